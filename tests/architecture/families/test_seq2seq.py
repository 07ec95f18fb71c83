"""Encoder-decoders: the rules that their default configs do not exercise.

Expected numbers are parameters of transformers 5.23's own classes, built from the same config on the meta device
(what is tied once, and without sinusoids, which no rule counts unless a file stores them).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pytest

from hubvram.architecture.attention import BidirectionalAttention, CrossAttention, FullAttention
from hubvram.architecture.mlp import MoEMLP
from hubvram.architecture.reconcile import Status, reconcile
from hubvram.checkpoint.components import Component
from hubvram.errors import ConfigError
from hubvram.memory.kv_cache import knows_cache
from tests.caches.record import recorded
from tests.samples import architecture_of, checkpoint_of

_BART: Final[Mapping[str, Any]] = {
    "d_model": 64,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_ffn_dim": 96,
    "decoder_ffn_dim": 80,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 2,
    "vocab_size": 200,
    "max_position_embeddings": 40,
}
_T5: Final[Mapping[str, Any]] = {
    "d_model": 64,
    "d_kv": 8,
    "d_ff": 96,
    "num_layers": 3,
    "num_heads": 4,
    "vocab_size": 200,
}
_GEMMA: Final[Mapping[str, Any]] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "vocab_size": 200,
}
_PROPHET: Final[Mapping[str, Any]] = {
    "hidden_size": 64,
    "num_decoder_layers": 2,
    "num_decoder_attention_heads": 4,
    "decoder_ffn_dim": 80,
    "vocab_size": 200,
    "max_position_embeddings": 40,
}
_NARROW: Final = {**_GEMMA, "hidden_size": 48, "num_hidden_layers": 2, "attention_bias": True}
_BERT: Final = {
    "model_type": "bert",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 80,
    "vocab_size": 100,
}
_BERT_DECODER: Final = {
    **_BERT,
    "hidden_size": 48,
    "num_hidden_layers": 1,
    "vocab_size": 120,
    "is_decoder": True,
    "add_cross_attention": True,
}
_LABELS: Final = {"id2label": {str(label): "" for label in range(5)}}


def bart(model_type: str, class_name: str, **values: Any) -> dict[str, Any]:
    return {**_BART, "model_type": model_type, "architectures": [class_name], **values}


def t5(model_type: str, class_name: str, **values: Any) -> dict[str, Any]:
    return {**_T5, "model_type": model_type, "architectures": [class_name], **values}


def t5gemma(class_name: str, **values: Any) -> dict[str, Any]:
    sides = {"encoder": _NARROW, "decoder": _GEMMA}
    return {"model_type": "t5gemma", "architectures": [class_name], **sides, **values}


@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        (bart("bart", "BartModel"), 209_264),
        (bart("bart", "BartForSequenceClassification", **_LABELS), 213_749),
        (bart("bart", "BartForQuestionAnswering"), 209_394),
        # 5,120 less than the class has: its sinusoids, 2 * 40 * 64.
        (bart("marian", "MarianMTModel"), 208_752 - 5_120),
        (
            bart("marian", "MarianMTModel", share_encoder_decoder_embeddings=False, decoder_vocab_size=150),
            218_352 - 5_120,
        ),
        (bart("bigbird_pegasus", "BigBirdPegasusForConditionalGeneration", use_bias=True), 209_008),
        (
            bart("nllb-moe", "NllbMoeForConditionalGeneration", encoder_sparse_step=2, decoder_sparse_step=0)
            | {"num_experts": 3, "router_bias": True},
            228_979,
        ),
        (bart("whisper", "WhisperForAudioClassification", classifier_proj_size=12, num_labels=7), 183_335),
        (
            bart(
                "speech_to_text", "Speech2TextForConditionalGeneration", conv_kernel_sizes=[5, 3, 5], conv_channels=32
            ),
            228_656,
        ),
        (
            {**_PROPHET, "model_type": "prophetnet", "architectures": ["ProphetNetForCausalLM"]}
            | {"add_cross_attention": False, "ngram": 3},
            86_880,
        ),
        (
            bart("trocr", "TrOCRForCausalLM", decoder_layers=2, decoder_attention_heads=4, layernorm_embedding=False)
            | {"use_learned_position_embeddings": False, "cross_attention_hidden_size": 48},
            96_800,
        ),
        # All defaults.
        ({"model_type": "moonshine", "architectures": ["MoonshineForConditionalGeneration"]}, 27_092_736),
        ({"model_type": "encoder-decoder", "encoder": _BERT, "decoder": _BERT_DECODER}, 161_272),
    ],
)
def test_bart_and_others(config: dict[str, Any], parameters: int) -> None:
    assert architecture_of(config).parameters == parameters


@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        (t5("t5", "T5ForConditionalGeneration", feed_forward_proj="gated-gelu", num_decoder_layers=2), 163_456),
        # Version 1.1 has a head of its own: 200 * 64 more.
        (
            t5("t5", "T5ForConditionalGeneration", feed_forward_proj="gated-gelu", num_decoder_layers=2)
            | {"tie_word_embeddings": False},
            163_456 + 12_800,
        ),
        (t5("t5", "T5EncoderModel"), 74_816),
        (t5("t5", "T5ForTokenClassification", **_LABELS), 75_141),
        (t5("t5", "T5ForSequenceClassification", **_LABELS), 166_085),
        (t5("umt5", "UMT5EncoderModel"), 93_504),
        (t5("longt5", "LongT5EncoderModel", encoder_attention_type="transient-global"), 75_136),
        (
            t5("switch_transformers", "SwitchTransformersForConditionalGeneration", num_layers=4, num_decoder_layers=6)
            | {"num_sparse_encoder_layers": 4, "num_sparse_decoder_layers": 2, "num_experts": 3, "router_bias": True},
            417_426,
        ),
        (
            t5("switch_transformers", "SwitchTransformersForConditionalGeneration", num_layers=4)
            | {"num_decoder_layers": None, "num_sparse_encoder_layers": 0, "num_sparse_decoder_layers": 9}
            | {"num_experts": 3},
            235_840,
        ),
        (t5gemma("T5GemmaForConditionalGeneration"), 151_760),
        (t5gemma("T5GemmaForConditionalGeneration", tie_word_embeddings=False), 164_560),
        (t5gemma("T5GemmaEncoderModel", is_encoder_decoder=False), 47_120),
        (t5gemma("T5GemmaForSequenceClassification"), 151_890),
    ],
)
def test_t5_and_its_kin(config: dict[str, Any], parameters: int) -> None:
    assert architecture_of(config).parameters == parameters


def test_published_totals() -> None:
    nllb = {"d_model": 1024, "vocab_size": 256_206, "encoder_layers": 12, "decoder_layers": 12}
    # NLLB-200's distilled 600M: 256,206 * 1,024 words, 12 * 12,596,224 and 12 * 16,796,672 of layers, 4,096 of norms.
    assert architecture_of({"model_type": "m2m_100", **nllb}).parameters == 615_073_792
    # mT5-small: 2 * 250,112 * 512 words and head, 8 * 2,360,320 and 8 * 3,147,264 of layers, 384 and 1,024 around them.
    assert architecture_of({"model_type": "mt5", "tie_word_embeddings": False}).parameters == 300_176_768


def test_sides_by_class() -> None:
    both = architecture_of(bart("bart", "BartForConditionalGeneration"))
    decoder = architecture_of(bart("bart", "BartForCausalLM"))
    encoder = architecture_of(t5("t5", "T5EncoderModel"))

    assert [stack.name for stack in both.stacks] == ["encoder"]
    assert len(both.stacks[0].layers) == 2
    assert decoder.stacks == ()
    assert decoder.layers == both.layers
    assert [type(part) for part in decoder.layers[0].parts[::2]] == [FullAttention, CrossAttention]
    assert encoder.stacks == ()
    assert isinstance(encoder.layers[0].mixer, BidirectionalAttention)
    assert knows_cache(both) and knows_cache(decoder)


def test_experts_in_every_second_layer() -> None:
    sparse = {"encoder_sparse_step": 2, "num_sparse_decoder_layers": 1, "num_decoder_layers": 3, "num_experts": 3}

    architecture = architecture_of(t5("switch_transformers", "SwitchTransformersModel", num_layers=4, **sparse))

    layers = architecture.stacks[0].layers
    assert [isinstance(layer.mlp, MoEMLP) for layer in layers] == [False, True, False, True]
    assert [isinstance(layer.mlp, MoEMLP) for layer in architecture.layers] == [False, True, False]
    # Of three experts a token takes one, on both sides.
    assert architecture.inactive_parameters == 3 * 2 * (2 * 64 * 96)


@pytest.mark.parametrize(
    ("said", "is_tied"),
    [
        ({}, True),
        ({"tie_word_embeddings": False}, False),
        # What transformers 5 writes for a head apart.
        ({"tie_word_embeddings": True, "scale_decoder_outputs": False}, False),
    ],
)
def test_head_of_t5(said: dict[str, Any], is_tied: bool) -> None:
    assert architecture_of(t5("t5", "T5ForConditionalGeneration", **said)).has_tied_head is is_tied


def test_copies_and_sinusoids() -> None:
    architecture = architecture_of(bart("marian", "MarianMTModel"))
    copies = ("model.shared.weight", "model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight")
    sinusoids = {"model.encoder.embed_positions.weight": (40, 64)}

    compared = reconcile(
        checkpoint_of({**dict.fromkeys((*copies, "lm_head.weight"), (200, 64)), **sinusoids}),
        architecture,
    )

    assert compared.total == 200 * 64 + 40 * 64
    assert {item.what: item.parameters for item in compared.not_counted} == {
        "shared embedding, stored again": 2 * 200 * 64,
        "tied head, stored again": 200 * 64,
    }
    assert [(item.what, item.parameters) for item in compared.accounted] == [("computed positions", 40 * 64)]
    assert Component.EMBEDDING not in compared.differences
    assert compared.status is Status.UNRECONCILED


@pytest.mark.parametrize(
    ("config", "key"),
    [
        (bart("bart", "BartModel", decoder_attention_heads=5), "decoder_attention_heads"),
        (bart("speech_to_text", "Speech2TextModel", conv_kernel_sizes=[5, 0]), "conv_kernel_sizes"),
        (t5("t5", "T5Model", feed_forward_proj="other-gelu"), "feed_forward_proj"),
        (t5("longt5", "LongT5Model", encoder_attention_type="global"), "encoder_attention_type"),
        ({"model_type": "encoder-decoder", "encoder": {"model_type": "encoder-decoder"}}, "encoder.model_type"),
        ({"model_type": "encoder-decoder", "encoder": _BERT}, "decoder: it is missing"),
    ],
)
def test_refused(config: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=key.replace(".", r"\.")):
        architecture_of(config)


def test_a_pair_that_hears() -> None:
    # The parameters of transformers' SpeechEncoderDecoderModel from the same config.
    (config,) = (record.config for name, record in recorded().items() if name.startswith("speech-encoder-decoder"))
    assert architecture_of(config).parameters == 223_344
