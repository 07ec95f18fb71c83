"""Every model type of transformers: what its class holds against what hubvram derives from its config."""
