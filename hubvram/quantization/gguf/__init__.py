"""GGUF: which tensors a file of llama.cpp has, the type of each by the mixture asked for, and what they take."""
