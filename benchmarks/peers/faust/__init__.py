"""The shared job on Faust: README.md."""
