"""xlm's attention, term by term by hand."""

from __future__ import annotations

from dataclasses import replace

from hubvram.architecture.attention import FullAttention
from hubvram.memory.forward.xlm import play_xlm_attention
from tests.memory.forward.test_programs import peak_of, sizes

MIXER = FullAttention(hidden_size=16, num_attention_heads=4, num_key_value_heads=4, head_dim=4)


def test_scores_in_fp32() -> None:
    # Q, K and V; a truth value for each token; scores, in fp32 too, and their softmax.
    of_token = 2 * 3 * 16 + 1 + 4 * 100 * (2 + 4 + 4)
    assert peak_of(lambda run: play_xlm_attention(run, MIXER), sizes(100, 3)) == 300 * of_token


def test_a_mask_of_what_comes_later() -> None:
    masked = replace(MIXER, masks_later=True)
    of_token = 2 * 3 * 16 + 100 + 4 * 100 * (2 + 4 + 4)
    assert peak_of(lambda run: play_xlm_attention(run, masked), sizes(100, 3)) == 300 * of_token
