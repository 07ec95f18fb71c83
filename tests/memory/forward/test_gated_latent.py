"""Attention through a latent whose heads are gated."""

from __future__ import annotations

from dataclasses import replace

from hubvram.architecture.attention import LatentAttention
from hubvram.architecture.parts import Linear
from hubvram.memory.engines.transformers_code import knows
from hubvram.memory.forward.decoder import is_playable
from hubvram.memory.forward.indexed import play_attention_with_gated_query, play_indexed_attention
from hubvram.memory.forward.latent import play_latent_attention
from tests.memory.forward.test_programs import peak_of, sizes
from tests.samples import architecture_of

MIXER = LatentAttention(
    hidden_size=10,
    num_attention_heads=4,
    q_lora_rank=None,
    kv_lora_rank=16,
    qk_nope_head_dim=8,
    qk_rope_head_dim=4,
    v_head_dim=100,
)


def test_gates_of_heads() -> None:
    # Q as made and rotated, 2 x 48 and 16; the latent, 20; K without rotation and V, 4 x 108; K, 48. Then what heads
    # say, 400, and O, 10; or, with gates, 4 of these and what they leave.
    width = 2 * 48 + 16 + 20 + 4 * 108 + 48
    assert peak_of(lambda run: play_latent_attention(run, MIXER), sizes(7, 3)) == 2 * 21 * (width + 400 + 10)
    gated = replace(MIXER, gates=(Linear(name="g", out_features=4, in_features=10),))
    assert peak_of(lambda run: play_latent_attention(run, gated), sizes(7, 3)) == 2 * 21 * (width + 2 * 400 + 4)


def test_a_decoder_with_them_is_played() -> None:

    found = architecture_of({"model_type": "bailing_hybrid"})
    assert knows(found) and not is_playable(found)


def test_gates_that_the_matrix_of_q_makes() -> None:
    # Beside all of the same attention without: Q's latent before its norm, gates as made, and copied.
    mixer = replace(MIXER, q_lora_rank=24, v_head_dim=8)
    plain = peak_of(lambda run: play_indexed_attention(run, mixer), sizes(7, 3))
    gated = replace(mixer, gated_query=True)
    more = peak_of(lambda run: play_attention_with_gated_query(run, gated), sizes(7, 3)) - plain
    # What weighs them is wider than O and the kernel's mask of 7 tokens: a gate and its product with what heads say,
    # both in fp32, 32 each.
    assert more == 21 * (2 * (24 + 2 * 32) + 2 * 4 * 32 - 2 * (10 + 7))
