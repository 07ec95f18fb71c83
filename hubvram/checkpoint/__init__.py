"""What the files store: safetensors headers as tensors, and what each tensor is for."""
