"""What the author declared: config.json, read with types, and the defaults that it leaves out."""
