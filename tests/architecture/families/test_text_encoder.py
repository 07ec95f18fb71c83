"""Encoders: what the rules say where a config differs from its model type's defaults, and classes from each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from hubvram.architecture.attention import BidirectionalAttention, CrossAttention, FullAttention
from hubvram.architecture.layers import Architecture
from hubvram.architecture.reconcile import Status, reconcile
from hubvram.checkpoint.components import Component
from hubvram.errors import ConfigError
from tests.samples import architecture_of, checkpoint_of

# Parameters that the class of transformers 5.23 has, built from this config on the meta device.
BUILT: dict[str, tuple[str, Mapping[str, Any], int]] = {
    "AlbertForMaskedLM": (
        "albert",
        {
            "num_hidden_groups": 2,
            "inner_group_num": 2,
            "hidden_size": 64,
            "num_attention_heads": 4,
            "intermediate_size": 128,
            "num_hidden_layers": 4,
        },
        4_086_768,
    ),
    "DebertaModel": (
        "deberta",
        {"relative_attention": True, "pos_att_type": "c2p|p2c", "type_vocab_size": 2, "position_biased_input": False},
        138_603_264,
    ),
    "DebertaV2Model": (
        "deberta-v2",
        {
            "relative_attention": True,
            "pos_att_type": ["p2c"],
            "type_vocab_size": 2,
            "conv_kernel_size": 3,
            "embedding_size": 512,
        },
        811_911_680,
    ),
    "DebertaV2ForSequenceClassification": (
        "deberta-v2",
        {"relative_attention": True, "share_att_key": True, "norm_rel_ebd": "layer_norm", "num_labels": 3},
        881_448_963,
    ),
    "ModernBertForMaskedLM": (
        "modernbert",
        {"attention_bias": True, "mlp_bias": True, "norm_bias": True, "classifier_bias": True, "decoder_bias": False},
        149_776_128,
    ),
    "ElectraForMaskedLM": ("electra", {"embedding_size": 256}, 17_519_674),
    "ElectraForPreTraining": ("electra", {}, 13_549_057),
    "RobertaForSequenceClassification": ("roberta", {"num_labels": 5}, 124_648_709),
    "RobertaForMultipleChoice": ("roberta", {}, 124_645_633),
    "MPNetForSequenceClassification": ("mpnet", {}, 109_486_466),
    "DistilBertForMultipleChoice": ("distilbert", {}, 66_954_241),
    "BigBirdForQuestionAnswering": ("big_bird", {"use_bias": False}, 131_576_066),
    "RoCBertModel": ("roc_bert", {"enable_shape": False}, 124_088_832),
    "RoFormerForCausalLM": ("roformer", {"is_decoder": True, "embedding_size": 100}, 90_357_836),
    "XmodModel": (
        "xmod",
        {"adapter_layer_norm": True, "adapter_reuse_layer_norm": False, "languages": ["a", "b"], "pre_norm": True},
        123_685_632,
    ),
    "BertLMHeadModel": ("bert", {"is_decoder": True, "add_cross_attention": True}, 137_881_146),
    "ErnieModel": ("ernie", {"use_task_id": True}, 109_484_544),
    "EsmModel": (
        "esm",
        {"vocab_size": 33, "position_embedding_type": "rotary", "emb_layer_norm_before": True},
        85_673_617,
    ),
    "ViTModel": ("vit", {"pooler_output_size": 100, "qkv_bias": False}, 85_847_908),
    "ViTForMaskedImageModeling": ("vit", {}, 86_390_016),
    "DeiTForImageClassificationWithTeacher": ("deit", {"num_labels": 10}, 85_815_572),
    "Dinov2ForImageClassification": (
        "dinov2",
        {"use_swiglu_ffn": True, "use_mask_token": False, "num_labels": 10},
        85_752_586,
    ),
    "DINOv3ViTModel": (
        "dinov3_vit",
        {"use_gated_mlp": True, "key_bias": True, "mlp_bias": False, "num_register_tokens": 4},
        28_656_000,
    ),
    "BeitForImageClassification": ("beit", {"use_relative_position_bias": True, "num_labels": 10}, 85_769_674),
    "BeitModel": ("beit", {"use_shared_relative_position_bias": True, "use_mean_pooling": False}, 85_665_360),
    "CLIPForImageClassification": ("clip", {"num_labels": 10}, 87_463_690),
    "SiglipTextModel": ("siglip_text_model", {"projection_size": 100}, 109_758_052),
    "Wav2Vec2Model": ("wav2vec2", {"add_adapter": True, "output_hidden_size": 512}, 99_488_128),
    "Wav2Vec2Model, 2": (
        "wav2vec2",
        {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True, "adapter_attn_dim": 16},
        94_704_192,
    ),
    "Wav2Vec2ForPreTraining": ("wav2vec2", {"mask_time_prob": 0.0, "mask_feature_prob": 0.0}, 95_043_840),
    "Wav2Vec2ForSequenceClassification": ("wav2vec2", {"use_weighted_layer_sum": True, "num_labels": 8}, 94_570_645),
    "HubertModel": ("hubert", {"conv_pos_batch_norm": True, "feat_proj_layer_norm": False}, 94_372_096),
    "WavLMForCTC": ("wavlm", {"add_adapter": True}, 105_027_984),
    "Data2VecAudioModel": ("data2vec-audio", {}, 93_164_288),
}


def config_of(class_name: str, model_type: str, **values: Any) -> Architecture:
    return architecture_of({"model_type": model_type, "architectures": [class_name], **values})


@pytest.mark.parametrize("case", BUILT)
def test_variants_have_the_parameters_of_the_class(case: str) -> None:
    model_type, values, parameters = BUILT[case]
    assert config_of(case.partition(",")[0], model_type, **values).parameters == parameters


def test_published_totals() -> None:
    # The 183.8M of the model card's "86M backbone parameters, 98M in the embedding": 128,100 x 768 = 98,380,800.
    deberta = {
        **{"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12},
        **{"relative_attention": True, "position_buckets": 256, "norm_rel_ebd": "layer_norm", "share_att_key": True},
        **{"pos_att_type": "p2c|c2p", "position_biased_input": False},
    }
    read = config_of("", "deberta-v2", **deberta)
    assert (read.parameters, read.embedding_parameters) == (183_831_552, 98_380_800)


def test_encoders_cache_nothing_and_decoders_do() -> None:
    encoder = config_of("BertLMHeadModel", "bert")
    decoder = config_of("BertLMHeadModel", "bert", is_decoder=True, add_cross_attention=True)
    assert {type(layer.mixer) for layer in encoder.layers} == {BidirectionalAttention}
    assert {type(layer.mixer) for layer in decoder.layers} == {FullAttention}
    assert {type(part) for layer in decoder.layers for part in layer.others} == {CrossAttention}
    # Types that transformers cannot turn into decoders stay encoders.
    stays = config_of("DistilBertModel", "distilbert", is_decoder=True)
    assert {type(layer.mixer) for layer in stays.layers} == {BidirectionalAttention}


def test_modernbert_looks_at_everything_in_each_third_layer() -> None:
    read = config_of("ModernBertModel", "modernbert", num_hidden_layers=7)
    windows = [layer.mixer.sliding_window for layer in read.layers if isinstance(layer.mixer, BidirectionalAttention)]
    assert windows == [None, 128, 128, None, 128, 128, None]


def test_albert_shares_its_layers() -> None:
    read = config_of("AlbertModel", "albert", num_hidden_layers=5, num_hidden_groups=2)
    # int(i / (5 / 2)) is 0 for the first three layers, 1 for the last two.
    assert [layer.is_shared for layer in read.layers] == [False, True, True, False, True]


# ---------------------------------------------------------------- files saved from another class

SMALL: dict[str, Any] = {
    **{"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2},
    **{"vocab_size": 50, "max_position_embeddings": 20},
}


def small_bert(*, prefix: str = "bert.") -> dict[str, tuple[int, ...]]:
    """BertModel without a pooler, by SMALL."""
    layer = f"{prefix}encoder.layer.0."
    matrices = {
        **{f"attention.self.{name}": (8, 8) for name in ("query", "key", "value")},
        "attention.output.dense": (8, 8),
        "intermediate.dense": (16, 8),
        "output.dense": (8, 16),
    }
    tables = {"word": 50, "position": 20, "token_type": 2}
    shapes: dict[str, tuple[int, ...]] = {
        **{f"{prefix}embeddings.{name}_embeddings.weight": (rows, 8) for name, rows in tables.items()},
        **{f"{layer}{name}.weight": shape for name, shape in matrices.items()},
        **{f"{layer}{name}.bias": shape[:1] for name, shape in matrices.items()},
    }
    norms = (f"{prefix}embeddings", f"{layer}attention.output", f"{layer}output")
    # Old files have TensorFlow's names for the two.
    return shapes | {f"{norm}.LayerNorm.{name}": (8,) for norm in norms for name in ("gamma", "beta")}


POOLER: dict[str, tuple[int, ...]] = {"pooler.dense.weight": (8, 8), "pooler.dense.bias": (8,)}
WORDS: dict[str, tuple[int, ...]] = {
    **{"cls.predictions.bias": (50,), "cls.predictions.transform.dense.weight": (8, 8)},
    **{f"cls.predictions.transform.{name}": (8,) for name in ("dense.bias", "LayerNorm.weight", "LayerNorm.bias")},
}
AGAIN: dict[str, tuple[int, ...]] = {"cls.predictions.decoder.weight": (50, 8), "cls.predictions.decoder.bias": (50,)}
SENTENCES: dict[str, tuple[int, ...]] = {"cls.seq_relationship.weight": (2, 8), "cls.seq_relationship.bias": (2,)}
BERT_POOLER = {f"bert.{name}": shape for name, shape in POOLER.items()}


@pytest.mark.parametrize(
    ("class_name", "shapes", "accounted"),
    [
        ("BertModel", small_bert(prefix="") | POOLER, {}),
        ("BertModel", small_bert(prefix=""), {"pooler": -72}),
        ("BertModel", small_bert() | WORDS, {"pooler": -72, "head": 138}),
        ("BertForMaskedLM", small_bert() | WORDS | AGAIN, {}),
        ("BertForMaskedLM", small_bert() | BERT_POOLER | WORDS | SENTENCES, {"pooler": 72, "next-sentence head": 18}),
        ("BertForPreTraining", small_bert() | BERT_POOLER | WORDS | SENTENCES, {}),
        (
            "BertForMaskedLM",
            small_bert(prefix="") | POOLER,
            {"pooler": 72, "head, announced by the config and not in the files": -138},
        ),
    ],
)
def test_what_stands_on_top_is_accounted_for(
    class_name: str, shapes: dict[str, tuple[int, ...]], accounted: dict[str, int]
) -> None:
    compared = reconcile(checkpoint_of(shapes), config_of(class_name, "bert", **SMALL))
    assert compared.status is Status.RECONCILED
    assert {item.what: item.parameters for item in compared.accounted} == accounted
    # What the class leaves out is in the files, and not in memory.
    assert compared.loaded_parameters == compared.total - sum(number for number in accounted.values() if number > 0)


def test_another_matrix_on_top_is_not_explained_away() -> None:
    shapes = small_bert() | WORDS | {"cls.predictions.transform.more.weight": (8, 8)}
    compared = reconcile(checkpoint_of(shapes), config_of("BertForMaskedLM", "bert", **SMALL))
    assert compared.differences == {Component.HEAD: 64}


@pytest.mark.parametrize(
    ("model_type", "values", "key"),
    [
        ("albert", {"num_hidden_groups": 13}, "num_hidden_groups"),
        ("deberta", {"pos_att_type": 3, "relative_attention": True}, "pos_att_type"),
        ("dinov2", {"mlp_ratio": 10**9}, "mlp_ratio"),
        ("vit", {"patch_size": 0}, "patch_size"),
        ("wav2vec2", {"conv_dim": []}, "conv_dim"),
        ("wav2vec2", {"conv_kernel": [3]}, "conv_dim"),
    ],
)
def test_bad_values_are_named(model_type: str, values: Mapping[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        config_of("", model_type, **values)
