"""The shared job on Quix Streams: README.md."""
