"""inkling: shared experts that the router weighs, and sdpa composed of products, term by term by hand."""

from __future__ import annotations

from typing import Any

import pytest

from hubvram.architecture.attention import FullAttention
from hubvram.architecture.mlp import MoEMLP
from hubvram.memory.engines.transformers_code import play
from hubvram.memory.forward.composed import play_composed
from hubvram.memory.forward.inkling import play_inkling_experts
from hubvram.memory.forward.inkling2 import play_convolution
from hubvram.memory.workload import Attention
from tests.memory.forward.test_programs import peak_of, sizes
from tests.samples import architecture_of


def inkling(**changes: Any) -> Any:
    config = {
        "model_type": "inkling_text", "hidden_size": 64, "num_attention_heads": 8, "num_key_value_heads": 2,
        "head_dim": 16, "swa_num_attention_heads": 8, "swa_num_key_value_heads": 2, "swa_head_dim": 16, "d_rel": 4,
        "rel_extent": 16, "sliding_window_size": 16, "num_hidden_layers": 6, "intermediate_size": 32, "vocab_size": 100,
        "moe_intermediate_size": 8, "n_routed_experts": 4, "num_experts_per_tok": 2,
    }  # fmt: skip
    return architecture_of({**config, **changes})


def test_shared_experts() -> None:
    # 6 experts that all tokens take, 5 wide: gate, up and their product, and 60 features in two types, and their sum;
    # what the chosen 2 say. Of 3 + 6 experts logits; of 2 the number, the weight; of 6 the weight.
    mlp = MoEMLP(
        hidden_size=10, num_experts=3, num_experts_per_tok=2, moe_intermediate_size=5, hidden_act="silu",
        shared_expert_intermediate_size=30,
    )  # fmt: skip
    of_token = 2 * (3 * 30 + 60 + 10) + 4 * (60 + 10) + 4 * 9 + 2 * 10 + 6 * 2
    assert peak_of(lambda run: play_inkling_experts(run, mlp), sizes(7, 3)) == 3 * 7 * of_token


def test_convolution_that_is_not_scaled() -> None:
    # In fp32, also behind two tokens more, and the sum of both; in 16 bit.
    of_token = 100 * (3 * 4 + 2)
    assert peak_of(lambda run: (play_convolution(run, 100, 3, scales_sum=False),), sizes(30, 7)) == 7 * (
        30 * of_token + 2 * 100 * 4
    )


@pytest.mark.parametrize("batch_size", [1, 3])
def test_groups_of_heads_beside_a_mask_are_composed(batch_size: int) -> None:
    # Q in fp32 and scaled, K and V in fp32, and both repeated for 4 heads of 8; scores, their softmax, which are
    # nothing, and which rows.
    mixer = FullAttention(hidden_size=64, num_attention_heads=4, num_key_value_heads=2, head_dim=8)
    of_token = 4 * (2 * 32 + 2 * 16 + 2 * 32) + 4
    found = peak_of(lambda run: play_composed(run, mixer, run.keys, repeats=True), sizes(70, batch_size))
    assert found == batch_size * (70 * of_token + 70**2 * 4 * 9)


def test_scales_by_positions_stay() -> None:
    usual, grown = (
        play(inkling(**more), sizes(700, 3, Attention.EAGER)) for more in ({}, {"log_scaling_n_floor": 128})
    )
    # The peak, at the fp32 softmax, has two more numbers of each place.
    assert grown[0].total_bytes - usual[0].total_bytes == 700 * 2 * 4
    assert inkling(log_scaling_n_floor=128).layers[5].mixer.kind == "scaled_relative_attention"
    assert inkling(log_scaling_n_floor=128).layers[4].mixer.kind == "relative_attention"


def test_what_is_composed_is_said() -> None:
    assert play(inkling(), sizes(700, 3))[0].phase == "composed attention"
    assert play(inkling(), sizes(700, 3, Attention.EAGER))[0].phase == "attention"
