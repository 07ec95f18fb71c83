"""Experts of which each token takes one, if it has room, by hand."""

from __future__ import annotations

from dataclasses import replace

from hubvram.architecture.mlp import MoEMLP
from hubvram.memory.engines.transformers_sides import knows
from hubvram.memory.forward.switch import play_switch_experts
from tests.memory.forward.test_programs import peak_of, sizes
from tests.samples import architecture_of

EXPERTS = MoEMLP(
    hidden_size=10, num_experts=4, num_experts_per_tok=1, moe_intermediate_size=100, hidden_act="relu", gated=False
)
FOUND = 4 * 4 + 4 * 8 + 2 + 2 * 10
"""Of each token: logits in fp32; which expert it takes, in 64 bits, and its weight; the sum."""
EACH = 2 * 8 + 2 * (10 + 2 * 100)
"""Of each that an expert takes: two places; what it reads, and its width twice."""


def test_an_expert_takes_all_tokens_of_each_sequence_or_as_many_as_have_room() -> None:
    def peak(capacity: int | None) -> int:
        return peak_of(lambda run: play_switch_experts(run, replace(EXPERTS, capacity=capacity)), sizes(7, 3))

    assert peak(None) == peak(8) == 21 * (FOUND + EACH)
    # The other 2 of each sequence may have been another's, and what that said is there too.
    assert peak(5) == 21 * FOUND + 15 * EACH + 6 * 2 * 10


def test_evenly_each_takes_a_part() -> None:
    # 6 of 21 at most; and what the expert before said.
    evenly = replace(sizes(7, 3), evenly=True)
    assert peak_of(lambda run: play_switch_experts(run, EXPERTS), evenly) == 21 * FOUND + 6 * (EACH + 2 * 10)


def test_a_router_reads_in_fp32() -> None:
    # Hidden states; logits; weights; who takes what, in which order, whether it has room, and both together.
    many = replace(EXPERTS, num_experts=1000)
    router = 4 * 10 + 1000 * (4 + 2 + 8 + 8 + 1 + 8)
    assert peak_of(lambda run: play_switch_experts(run, many), sizes(7, 3)) == 21 * router


def test_it_is_known() -> None:
    small = {"d_model": 64, "num_heads": 4, "d_kv": 16, "d_ff": 100, "num_layers": 2, "num_decoder_layers": 2}
    assert knows(architecture_of({"model_type": "switch_transformers", **small}))
