"""A mask that each layer makes of V, term by term by hand."""

from __future__ import annotations

from dataclasses import replace

from hubvram.architecture.attention import FullAttention
from hubvram.memory.forward.dynamic_mask import play_dynamic_attention
from tests.memory.forward.test_programs import peak_of, sizes

MIXER = FullAttention(hidden_size=8, num_attention_heads=4, num_key_value_heads=2, head_dim=2, keep_window=100)
TOKENS = 100


def test_masks_of_heads() -> None:
    # Q, 8; what V keeps, 2; the mask of 2 heads of K and V, and that of all 4.
    each = 2 * (8 + 2 + 2 * TOKENS + 4 * TOKENS)
    assert peak_of(lambda run: play_dynamic_attention(run, MIXER), sizes(TOKENS, 3)) == 3 * TOKENS * each
    # With K and V for each of the 4, their masks are made of the additive one; what heads say, 8, is less.
    whole = replace(MIXER, num_key_value_heads=4)
    each = 2 * (8 + 4 + TOKENS + 4 * TOKENS)
    assert peak_of(lambda run: play_dynamic_attention(run, whole), sizes(TOKENS, 3)) == 3 * TOKENS * each
    # Of tokens beyond 40: for each of the 2 heads of K and V the mask before and behind, marks (and where none are)
    # and 40 places; and the additive mask.
    window = replace(MIXER, keep_window=40)
    each = 2 * (8 + 2 + TOKENS) + 2 * ((3 * 2 + 1) * TOKENS + 40 * 8)
    assert peak_of(lambda run: play_dynamic_attention(run, window), sizes(TOKENS, 3)) == 3 * TOKENS * each
