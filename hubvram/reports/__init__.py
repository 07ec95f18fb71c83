"""A result, written out: for a terminal, for a script."""
