"""jetmoe: experts of all tokens at once, term by term by hand."""

from __future__ import annotations

from hubvram.architecture.attention import FullAttention
from hubvram.architecture.mlp import MoEMLP
from hubvram.memory.forward.jetmoe import play_attention_of_experts, play_jetmoe_experts
from hubvram.memory.forward.run import Run
from hubvram.memory.forward.tape import Share
from tests.memory.forward.test_programs import peak_of, sizes

ROUTED = 4 * 8 + 2 * (2 * 8 + 2)
"""8 logits in fp32; two choices, each with its place, its token and its weight."""


def test_experts() -> None:
    mlp = MoEMLP(hidden_size=10, num_experts=8, num_experts_per_tok=2, moe_intermediate_size=100, hidden_act="silu")
    # Two choices of the token; gate and up, which stay, act(gate) and the product: as much as gate and up twice.
    assert peak_of(lambda run: play_jetmoe_experts(run, mlp), sizes(7, 3)) == 21 * (ROUTED + 2 * 2 * (10 + 4 * 100))


def test_attention_by_experts() -> None:
    mixer = FullAttention(hidden_size=100, num_attention_heads=4, num_key_value_heads=2, head_dim=4)
    run = Run(sizes(7, 3), rotary_dim=4)
    kept = play_attention_of_experts(run, mixer, num_experts=8)
    # Q, K and V repeated, what heads say, and the same for each choice: 16 each. Two choices of 100, and three of 100.
    assert run.tape.take().size_bytes(Share.SEQUENCE) == 21 * (ROUTED + 2 * (5 * 16 + 500))
    del kept
