"""Attention in two passes by hand."""

from __future__ import annotations

from hubvram.memory.forward.differential import play_differential_attention
from tests.memory.forward.test_programs import MIXER, peak_of, sizes, step


def test_two_passes() -> None:
    # Q 128, V 64 wide: halves of V twice as wide as V each, what both passes say, the difference, the same normed, and
    # by a factor: all of a token but the cached.
    said = 2 * 50 * (128 + 2 * 64 + 2 * 128 + 3 * 128)
    assert peak_of(lambda run: play_differential_attention(run, MIXER), sizes(50, 3)) == 3 * said
    # Of 100 tokens that are cached one step repeats V's halves.
    token = 2 * (128 + 2 * 128 + 3 * 128)
    assert peak_of(lambda run: play_differential_attention(run, MIXER), step(100)) == 2 * 100 * 2 * 64 + token
