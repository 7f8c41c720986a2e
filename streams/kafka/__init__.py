"""Faust application, batch transport and topics."""
