"""Decoders beside a codec: parameters of all but that, by hand."""

from __future__ import annotations

from typing import Any

import pytest

from hubvram.errors import ConfigError
from tests.samples import architecture_of

MOSHI: dict[str, Any] = {
    "model_type": "moshi", "hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2, "vocab_size": 100,
    "ffn_dim": 96, "num_codebooks": 3, "audio_vocab_size": 50,
    "depth_decoder_config": {"hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 1, "ffn_dim": 40},
}  # fmt: skip
WHOLE = {**MOSHI, "architectures": ["MoshiForConditionalGeneration"]}


def test_codes_and_a_depth_decoder_are_the_wholes() -> None:
    alone, whole = architecture_of(MOSHI), architecture_of(WHOLE)
    assert (alone.whole_type, whole.whole_type) == (None, "moshi")
    tables = 2 * 3 * 51 * 64
    # For each of three codes Q, K, V and O, gate and up, and down; two norms.
    layer = 3 * (4 * 32 * 32 + 32 * 40 + 20 * 32) + 2 * 32
    # Text, and all codes but the last; what reads the decoder's hidden states, and what says each code.
    around = (101 + 2 * 51) * 32 + 3 * 32 * 64 + 3 * 50 * 32
    assert whole.parameters - alone.parameters == tables + layer + around


def test_how_many_codes_there_are_may_be_the_codecs_to_say() -> None:
    left_out = {key: value for key, value in WHOLE.items() if key != "audio_vocab_size"}
    said = {**left_out, "audio_encoder_config": {"model_type": "mimi", "codebook_size": 50}}
    assert architecture_of(said).parameters == architecture_of(WHOLE).parameters


def test_a_gate_is_as_wide_as_up() -> None:
    with pytest.raises(ConfigError, match=r"depth_decoder_config.ffn_dim: 41 is no even number"):
        architecture_of({**WHOLE, "depth_decoder_config": {**MOSHI["depth_decoder_config"], "ffn_dim": 41}})
