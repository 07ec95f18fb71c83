"""What transformers' caches hold after a real run of a tiny model of every type, and the records of it."""
