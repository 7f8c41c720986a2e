"""The command line `footfall`."""
