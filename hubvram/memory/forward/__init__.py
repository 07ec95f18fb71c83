"""Forward passes, played through: what transformers' classes keep alive, tensor by tensor."""
