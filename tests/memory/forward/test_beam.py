"""beam: rotation, scales and gates in fp32, term by term by hand."""

from __future__ import annotations

from hubvram.architecture.attention import FullAttention, SlidingAttention
from hubvram.architecture.mlp import DenseMLP
from hubvram.memory.forward.beam import play_beam_attention
from hubvram.memory.forward.modeling_code import LLAMA, with_traits
from hubvram.memory.forward.rotation import halves_in_fp32
from tests.memory.forward.test_programs import mlp_bytes, peak_of, sizes

CODE = with_traits(LLAMA, gating_in_fp32=(3, 1), rotation=halves_in_fp32)


def test_full_attention_scales_and_a_window_rotates() -> None:
    full = FullAttention(hidden_size=10, num_attention_heads=4, num_key_value_heads=2, head_dim=16)
    window = SlidingAttention(
        hidden_size=10, num_attention_heads=4, num_key_value_heads=2, head_dim=16, sliding_window=50
    )
    # Q; in fp32 the same and scaled, or by cos, turned, and by sin.
    assert peak_of(lambda run: play_beam_attention(run, full), sizes(7, 3), CODE, rotary_dim=16) == 21 * 64 * (2 + 8)
    assert peak_of(lambda run: play_beam_attention(run, window), sizes(7, 3), CODE, rotary_dim=16) == 21 * 64 * (2 + 12)


def test_gate_in_fp32() -> None:
    # Gate and up; act(gate), up and their product in fp32.
    mlp = DenseMLP(hidden_size=10, intermediate_size=100, hidden_act="silu")
    assert mlp_bytes(mlp, sizes(7, 3), CODE) == 21 * 100 * (2 * 2 + 3 * 4)
