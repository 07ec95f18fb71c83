"""What a cache is made of at one moment of a generation."""

from __future__ import annotations

from typing import NamedTuple

from hubvram.memory.terms import Term


class Cached(NamedTuple):
    """What a cache is made of at one moment, and what it adds to the activations there."""

    kv_cache_bytes: int
    state_bytes: int
    terms: tuple[Term, ...] = ()
    """Of the first, where they can be written down."""
    state_terms: tuple[Term, ...] = ()
    excess_bytes: int = 0
    """Kept alive by it, throughout: what a window's layers hold of a prompt beyond their window."""
    unpacked_bytes: int = 0
    """While attention runs: K and V of a layer, where those that are held are packed."""
    packed_bytes: int = 0
    """Those of that layer as they are held: not there before it has packed a prompt."""
    update_bytes: int = 0
    """While a layer packs or unpacks what it holds."""
