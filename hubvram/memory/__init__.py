"""How much memory it takes: weights, caches, activations, buffers, runtime."""
