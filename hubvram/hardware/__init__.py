"""Where it runs: accelerators, and what fits them."""
