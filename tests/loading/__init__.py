"""Loading, measured: what transformers holds while it loads small models, beside what is said of it."""
