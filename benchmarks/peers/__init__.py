"""The same job on what a user would pick instead: python -m benchmarks.peers --help."""
