"""Experts of nllb-moe, the first of which reads all tokens for all others, by hand."""

from __future__ import annotations

from hubvram.architecture.mlp import MoEMLP
from hubvram.memory.engines.transformers_sides import knows
from hubvram.memory.forward.nllb_moe import play_nllb_experts
from tests.memory.forward.test_programs import peak_of, sizes
from tests.samples import architecture_of


def test_the_first_expert_reads_each_token_as_often_as_there_are_others() -> None:
    wide = MoEMLP(
        hidden_size=10, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=100, hidden_act="relu", gated=False
    )
    # Of each token: fp32 logits, the first choice in 64 bits, weights; the sum; whether each expert is each number.
    found = 4 * (4 + 8 + 2) + 2 * 10 + 8 * 4 * 4
    # Thrice: two places, what is read, and the width twice.
    each = 2 * 8 + 2 * 10 + 2 * 2 * 100
    assert peak_of(lambda run: play_nllb_experts(run, wide), sizes(7, 3)) == 21 * (found + 3 * each)


def test_it_is_known() -> None:
    heads = {"encoder_attention_heads": 4, "decoder_attention_heads": 4}
    small = {"d_model": 64, "encoder_layers": 4, "decoder_layers": 4, "vocab_size": 100}
    assert knows(architecture_of({"model_type": "nllb-moe", **heads, **small}))
