"""Many models: a stream of results and failures."""
