"""Folds the input topics again, from the start of the log, into a shadow of the live profiles, and compares."""
