"""Experts in a loop of their class: what is alive depends on how tokens choose; both ends, term by term by hand."""

from __future__ import annotations

from dataclasses import replace

from hubvram.architecture.mlp import MoEMLP
from hubvram.architecture.parts import Linear
from hubvram.memory.engines.transformers import TRANSFORMERS as engine
from hubvram.memory.estimate import Basis
from hubvram.memory.estimator import estimate_memory
from hubvram.memory.forward.looped_experts import play_dbrx_experts, play_longcat_experts, play_step3p5_experts
from tests.memory.forward.test_programs import peak_of, sizes
from tests.samples import architecture_of, no_weights, workload_of

EXPERTS = MoEMLP(hidden_size=10, num_experts=8, num_experts_per_tok=2, moe_intermediate_size=100, hidden_act="silu")


def test_all_tokens_at_the_same_experts() -> None:
    # Of 21 tokens: 8 logits; 2 choices, each with its weight, its number and 9 places of the mask; the sum. Of those of
    # an expert, which are all: two places; what it reads, act(gate), up and the product, what it and the one before
    # said.
    found = 2 * 8 + 2 * (2 + 8 + 9 * 8) + 2 * 10
    each = 2 * 8 + 2 * (10 + 3 * 100 + 10 + 10)
    assert peak_of(lambda run: play_dbrx_experts(run, EXPERTS), sizes(7, 3)) == 21 * (found + each)
    # Evenly, 42 choices fall on 8 experts: 6 at most on one.
    evenly = replace(sizes(7, 3), evenly=True)
    assert peak_of(lambda run: play_dbrx_experts(run, EXPERTS), evenly) == 21 * found + 6 * each


def test_what_fp32_weights_make() -> None:
    # Router, choices and sum as above, but fp32 weights, and what the shared expert says. Of all tokens, two
    # places; what the expert before said in fp32; gate and up, act(gate), clamped, and the product, 5 x 100.
    found = 2 * 8 + 2 * (4 + 8 + 9 * 8) + 2 * 2 * 10
    narrow = 2 * 8 + 4 * 10 + 2 * 5 * 100
    assert peak_of(lambda run: play_step3p5_experts(run, EXPERTS), sizes(7, 3)) == 21 * (found + narrow)
    # Experts of a width of 1: the product, what is made of it, its weight, and it weighed.
    slim = replace(EXPERTS, moe_intermediate_size=1, hidden_size=100)
    weighed = 2 * 8 + 2 * 1 + 2 * 100 + 4 + 4 * 100
    assert peak_of(lambda run: play_step3p5_experts(run, slim), sizes(7)) == 7 * (found + 2 * 2 * 90 + weighed)


def test_experts_without_weights_are_counted_in_logits_and_mask() -> None:
    # 8 experts and 4 that hand back what they get: fp32 logits, 2 choices of 12; the sum. Of all tokens, two places;
    # what the expert reads, gate and up, act(gate) and the product; in fp32 what the one before said.
    idle = Linear(name="router", out_features=4, in_features=10)
    mlp = replace(EXPERTS, others=(idle,))
    found = 4 * 12 + 2 * (4 + 8 + 12 * 8) + 2 * 10
    each = 2 * 8 + 2 * (10 + 4 * 100) + 4 * 10
    assert peak_of(lambda run: play_longcat_experts(run, mlp), sizes(7, 3)) == 21 * (found + each)
    # Evenly, 42 choices fall on all 12.
    evenly = replace(sizes(7, 3), evenly=True)
    assert peak_of(lambda run: play_longcat_experts(run, mlp), evenly) == 21 * found + 4 * each


def test_activations_have_a_range_where_tokens_decide() -> None:
    weights = no_weights("bf16")
    dbrx = architecture_of({"model_type": "dbrx", "ffn_config": {"ffn_hidden_size": 10752, "moe_num_experts": 16}})
    estimate = estimate_memory(weights, dbrx, workload_of(4096))
    activations = next(component for component in estimate.components if component.name == "activations")
    assert activations.basis is Basis.ASSUMED
    assert activations.low_bytes < activations.size_bytes == activations.high_bytes
    prefill = estimate.instants[0]
    assert prefill.name == estimate.peak == "prefill"
    assert "if all tokens choose the same experts" in prefill.explanation
    assert activations.size_bytes - activations.low_bytes == prefill.spread_bytes
    llama = architecture_of({"model_type": "llama"})
    instants = engine.instants(llama, workload_of(4096), element_bytes=2, cache_element_bytes=2)
    assert not any(instant.spread_bytes for instant in instants)
