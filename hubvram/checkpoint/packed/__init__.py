"""Tensors that hold packed weights: which they are, what stands beside them, the shape of what they hold."""
