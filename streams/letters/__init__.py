"""Dead letters read back: which there are (shelf.py), which are meant (where.py), sent again (redrive.py)."""
