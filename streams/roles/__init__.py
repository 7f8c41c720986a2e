"""What one process does: process, train, sink, replay."""
