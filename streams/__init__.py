"""How it runs: the journey of a batch, its wiring, the roles and the command line."""
