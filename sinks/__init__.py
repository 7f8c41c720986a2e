"""What we write: one class a system, a ready client passed in."""
