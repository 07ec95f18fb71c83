"""Engines: who runs the model decides how caches are kept and what is alive at the peak."""
