"""Laws of contracts: each suite runs on the fake and on the real system."""
