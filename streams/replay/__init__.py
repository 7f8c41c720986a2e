"""Real histories as events, and the replayer that produces them to the real topics."""
