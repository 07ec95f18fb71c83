"""What is stored and no parameter, by the names that published models use."""

from __future__ import annotations

import pytest

from hubvram.checkpoint.buffers import buffer_kind, is_kept

REBUILT = [
    ("h.0.attn.bias", 4, "causal masks"),
    ("transformer.h.0.attn.bias", 4, "causal masks"),
    ("gpt_neox.layers.0.attention.bias", 4, "causal masks"),
    ("gpt_neox.layers.0.attention.masked_bias", 0, "masked values"),
    ("h.0.attn.masked_bias", 0, "masked values"),
    ("gpt_neox.layers.0.attention.rotary_emb.inv_freq", 1, "rotary frequencies"),
    ("model.layers.0.self_attn.rotary_emb.inv_freq", 1, "rotary frequencies"),
    ("transformer.rotary_pos_emb.inv_freq", 1, "rotary frequencies"),
    ("rotary_emb.cos_cached", 4, "rotary frequencies"),
    ("model.encoder.embed_positions.weights", 2, "computed positions"),
    ("bert.embeddings.position_ids", 2, "position ids"),
    ("position_ids", 2, "position ids"),
    ("encoder.version", 1, "version numbers"),
]
KEPT = [
    ("final_logits_bias", 2, "bias of the logits"),
    ("model.layers.0.mlp.act_fn.beta", 0, "constants of an activation"),
    ("model.layers.0.self_attn.slope_rate", 3, "decay factors"),
    ("model.layers.0.ffn.gate.tid2eid", 2, "experts of each token"),
    ("vision_model.radio_model.summary_idxs", 1, "indices of tokens"),
    ("encoder.layers.0.blocks.1.attention.self.relative_position_index", 2, "indices of offsets"),
    ("model.vision_tower.encoder.layers.0.mlp.up_proj.input_max", 0, "bounds of activations"),
    ("model.vision_tower.std_scale", 1, "statistics of images and sound"),
    ("encoder.layers.0.conv.batch_norm.running_var", 1, "batch statistics"),
    ("encoder.layers.0.conv.batch_norm.num_batches_tracked", 0, "batch statistics"),
]


@pytest.mark.parametrize(("name", "dimensions", "kind"), REBUILT)
def test_what_the_code_rebuilds(name: str, dimensions: int, kind: str) -> None:
    assert buffer_kind(name, dimensions) == kind
    assert not is_kept(kind)


@pytest.mark.parametrize(("name", "dimensions", "kind"), KEPT)
def test_what_stays_in_memory(name: str, dimensions: int, kind: str) -> None:
    assert buffer_kind(name, dimensions) == kind
    assert is_kept(kind)


@pytest.mark.parametrize(
    ("name", "dimensions"),
    [
        ("h.0.attn.c_attn.bias", 1),
        ("model.layers.0.attn.bias", 1),
        ("gpt_neox.layers.0.attention.dense.bias", 1),
        ("model.layers.0.self_attn.q_proj.weight", 2),
        ("embed_positions.weight", 2),
    ],
)
def test_parameters_are_none(name: str, dimensions: int) -> None:
    assert buffer_kind(name, dimensions) is None
