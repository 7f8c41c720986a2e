"""The shared job on PyFlink. See README.md."""
