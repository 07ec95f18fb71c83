"""Relative positions of T5's kind, played: a bias for each head and each pair of tokens, which all sequences share.

How far apart two tokens are is put into buckets, in 64-bit integers, and a table says a number for each bucket and
head (modeling_t5.py, T5Attention._relative_position_bucket, compute_bias). The result is a view whose heads are
innermost, so that sdpa, which takes it for its mask, copies it into order for each layer
(integrations/sdpa_attention.py, create_position_bias_mask).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from hubvram.memory.forward.run import FP32, ID_BYTES, Run
from hubvram.memory.forward.tape import Tensor

_BYTE: Final = 1
"""Of a boolean."""


def play_position_bias(run: Run, heads: int, keys: int, *, both_ways: bool, keeps_logarithm: bool = False) -> Tensor:
    """(1, heads, S, K), of distances and their buckets."""
    run.phase("relative positions")
    pairs = (run.tokens, keys)
    places = run.shared("positions of both", run.tokens + keys, element_bytes=ID_BYTES)
    distances = run.shared("distances of tokens", *pairs, element_bytes=ID_BYTES)
    buckets = play_buckets(run.shared, pairs, both_ways=both_ways, keeps_logarithm=keeps_logarithm)
    bias = run.shared("bias of each pair of tokens", heads, *pairs)
    del places, distances, buckets
    run.phase("attention")
    return bias


def play_buckets(
    make: Callable[..., Tensor], pairs: tuple[int, int], *, both_ways: bool, keeps_logarithm: bool = False
) -> Tensor:
    """Before them, distances are absolute, whether they are small, and in large buckets, cut off at the last of these:
    by a tensor full of it, into a third. Both ways, the half of the buckets they are in. `make` says whose they are."""
    half = make("halves of their buckets", *pairs, element_bytes=ID_BYTES) if both_ways else None
    absolute = make("absolute distances", *pairs, element_bytes=ID_BYTES)
    small = make("whether they are small", *pairs, element_bytes=_BYTE)
    logarithm = make("their logarithms", *pairs, element_bytes=FP32) if keeps_logarithm else None
    large = make("buckets, the last one, and the smaller of both", 3, *pairs, element_bytes=ID_BYTES)
    del half, absolute, small, logarithm, large
    return make("their buckets", *pairs, element_bytes=ID_BYTES)
