"""What we decide: pure functions and value objects. No I/O, no clock, no logging, no globals."""
