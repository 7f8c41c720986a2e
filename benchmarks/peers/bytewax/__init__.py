"""The shared job on Bytewax: README.md."""
