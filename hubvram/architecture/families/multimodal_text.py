"""Text models that exist only inside models of several parts, under model types of their own.

Details from each model's `modeling_*.py` in transformers 5.23.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from hubvram.architecture import patterns
from hubvram.architecture.attention import FullAttention
from hubvram.architecture.families import projectors
from hubvram.architecture.families.decoder import (
    NO_GROUPS,
    Traits,
    attention,
    cross_attention,
    dense,
    fixed,
    read_decoder,
)
from hubvram.architecture.families.dense import LLAMA
from hubvram.architecture.families.experts import BEHIND_DENSE, Experts, in_steps, read_experts, read_moe
from hubvram.architecture.families.fields import changed, layer_config, number_of_layers, section_of
from hubvram.architecture.families.interface import Read
from hubvram.architecture.families.latent import is_sparse, latent_attention, latent_mlp
from hubvram.architecture.layers import Architecture
from hubvram.architecture.mlp import DenseMLP, MoEMLP
from hubvram.architecture.parts import Linear, Part, Tensor, Weight
from hubvram.checkpoint.components import Component
from hubvram.config.document import ConfigDocument

_QWEN2_VL_TEXT: Final = Traits(read_mlp=dense, windows=patterns.from_max_window_layers, qkv_bias=True)

_QWEN3_VL_TEXT: Final = Traits(read_mlp=dense, qkv_bias="attention_bias", o_bias="attention_bias", qk_norm=True)


def _mllama_layers(config: ConfigDocument) -> tuple[int, ...]:
    """Layers that look at the image, as MllamaTextConfig.__post_init__ has them."""
    return config.integers("cross_attention_layers") or (3, 8, 13, 18, 23, 28, 33, 38)


def _mllama_mixer(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> Part:
    """Attention to the text, or to the image alone."""
    if index not in _mllama_layers(config):
        return attention(config, traits, index, window)
    return cross_attention(config, replace(traits, qk_norm=True), index)


def _mllama_gates(config: ConfigDocument, index: int) -> tuple[Weight, ...]:
    gates = Tensor(name="gate", shape=(1,), count=2, component=Component.ATTENTION)
    return (gates,) if index in _mllama_layers(config) else ()


def _read_mllama_text(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """Its embedding has rows for 8 special tokens that the head does not predict."""
    traits = Traits(read_mlp=dense, read_mixer=_mllama_mixer, layer_extras=_mllama_gates, tied=False)
    architecture = read_decoder(config, architectures, traits)
    return replace(architecture, vocab_size=architecture.vocab_size + 8)


_KOSMOS_2_TEXT: Final = Traits(
    overrides=NO_GROUPS,
    read_mlp=dense,
    names={"intermediate_size": "ffn_dim"},
    qkv_bias=True,
    o_bias=True,
    mlp_bias=True,
    norm_bias=True,
    gated=False,
    activation="activation_function",
    rotary=False,
    attention_extras=lambda config: projectors.norm(config.size("hidden_size")),
    mlp_extras=lambda config: projectors.norm(config.size("intermediate_size")),
)


def _ernie_width(config: ConfigDocument, which: int) -> int:
    """Width of the experts for text (0), or for images (1)."""
    widths = config.integers("moe_intermediate_size") or (1536, 512)
    if len(widths) != 2 or not all(0 < width <= 2**48 for width in widths):
        raise config.error("moe_intermediate_size", f"expected two sizes, found {list(widths)[:4]}")
    return widths[which]


def _ernie_mlp(config: ConfigDocument, traits: Traits, index: int) -> DenseMLP | MoEMLP:
    """Experts for text, with shared ones beside them, behind a dense layer."""
    if not is_sparse(config, index):
        return dense(config, traits, index)
    config = changed(config, moe_intermediate_size=_ernie_width(config, 0))
    return read_experts(config, traits, replace(_ERNIE_EXPERTS, shared_number="moe_num_shared_experts"))


def _ernie_others(config: ConfigDocument, traits: Traits, index: int) -> tuple[Part, ...]:
    """Experts of their own for images, of which a token of text takes none."""
    if not is_sparse(config, index):
        return ()
    config = changed(config, moe_intermediate_size=_ernie_width(config, 1))
    return (replace(read_experts(config, traits, _ERNIE_EXPERTS), num_experts_per_tok=0),)


_ERNIE_EXPERTS: Final = Experts(correction_bias=True)
_ERNIE: Final = Traits(
    read_mlp=_ernie_mlp,
    read_others=_ernie_others,
    qkv_bias="use_bias",
    o_bias="use_bias",
    mlp_bias="use_bias",
)

_MOLMO2: Final = Traits(read_mlp=dense, qkv_bias="attention_bias", qk_norm=True, fused_qkv=False)


def _read_molmo2_text(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """Its embedding has rows for further tokens that the head does not predict."""
    whole_norms = config.get(str, "qk_norm_type") == "olmo"
    traits = replace(_MOLMO2, qk_norm_all_heads=whole_norms, pre_norm=not config.flag("norm_after"))
    architecture = read_decoder(config, architectures, traits)
    further = config.get(int, "additional_vocab_size") or 0
    if further < 0:
        raise config.error("additional_vocab_size", f"{further} is negative")
    # One as `rope_scaling` has it, and one without, whatever layers take.
    return replace(architecture, vocab_size=architecture.vocab_size + further, rotary_tables=2)


def _mistral4_mlp(config: ConfigDocument, traits: Traits, index: int) -> DenseMLP | MoEMLP:
    """DeepSeek's, whose router keeps no bias for each expert."""
    mlp = latent_mlp(config, traits, index)
    return replace(mlp, correction_bias=False) if isinstance(mlp, MoEMLP) else mlp


def _time_scales(config: ConfigDocument, index: int) -> tuple[Weight, ...]:
    """What the delay of the transcript does to the norm before the MLP, by a matrix of low rank."""
    hidden, other = config.size("hidden_size"), Component.OTHER
    matrix = Linear(name="delay", out_features=_DELAY_RANK, in_features=hidden, component=other, count=2)
    return (matrix,)


_DELAY_RANK: Final = 32  # VoxtralRealtimeTextAdaRmsNorm

_STEP3_NAMES: Final = {
    "num_key_value_heads": "num_attention_groups",
    "n_routed_experts": "moe_num_experts",
    "num_experts_per_tok": "moe_top_k",
    "share_expert_dim": "share_expert_dims",
}


def _step3_attention(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> FullAttention:
    """Layers with a window may have a number of heads of their own; a gate for each head, or for each feature."""
    local = layer_config(config, index)
    heads = config.size_or_none("num_sliding_attention_heads")
    if config.section("per_layer_config") is None and window is not None and heads is not None:
        local = changed(config, num_attention_heads=heads)
    mixer = attention(local, traits, index, window)
    by_head = not config.is_a(str, "gating") or config.require(str, "gating") == "per-head"
    return replace(mixer, gate_size=mixer.num_attention_heads if by_head else mixer.q_size)


def _step3_mlp(config: ConfigDocument, traits: Traits, index: int) -> DenseMLP | MoEMLP:
    """Experts with a shared one, by default behind three dense layers."""
    if not is_sparse(config, index):
        return dense(config, traits, index)
    return read_experts(config, traits, _STEP3_EXPERTS)


_STEP3_EXPERTS: Final = Experts(number="n_routed_experts", shared_width="share_expert_dim", correction_bias=True)
_STEP3: Final = Traits(
    read_mlp=_step3_mlp,
    read_mixer=_step3_attention,
    qkv_bias="attention_bias",
    o_bias="attention_bias",
    mlp_bias="mlp_bias",
    qk_norm=True,
    values=fixed(first_k_dense_replace=3),
    rotary_tables=2,
)


def _read_step3(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """Released files have names of their own, and lists that go on for the blocks behind the last layer."""
    number = number_of_layers(config)
    values = {usual: config.data[name] for usual, name in _STEP3_NAMES.items() if config.data.get(name) is not None}
    for key in ("layer_types", "mlp_layer_types"):
        values[key] = list(config.strings(key))[:number] or None
    if values["mlp_layer_types"] is None and config.data.get("moe_layers_enum") is not None:
        sparse = _layers_in(config, "moe_layers_enum")
        values["mlp_layer_types"] = ["sparse" if index in sparse else "dense" for index in range(number)]
    other = config.section("attention_other_setting") or {}
    if config.size_or_none("num_sliding_attention_heads") is None and "num_attention_heads" in other:
        values["num_sliding_attention_heads"] = other["num_attention_heads"]
    found = read_decoder(changed(config, **values), architectures, _STEP3)
    return replace(found, rotary_dims=_step3_rotary_dims(config, found.rotary_dim))


def _step3_rotary_dims(config: ConfigDocument, head_dim: int) -> tuple[int, ...]:
    """Of each kind of layers: by its name as transformers writes it, by any of its layers in released files."""
    kinds = config.strings("layer_types") or ("full_attention",)
    rope, listed = section_of(config, "rope_parameters"), config.data.get("partial_rotary_factors")
    shares = listed if isinstance(listed, list) else []
    found = []
    for kind in dict.fromkeys(kinds):
        first = kinds.index(kind)
        document = section_of(rope, kind)
        if not document.data and first < len(shares):
            document = replace(config, data={"partial_rotary_factor": shares[first]})
        share = document.get(float, "partial_rotary_factor")
        if share is not None and not 0 <= share <= 1:
            raise document.error("partial_rotary_factor", f"{share} is not between 0 and 1")
        found.append(head_dim if share is None else int(head_dim * share))
    return tuple(found)


def _layers_in(config: ConfigDocument, key: str) -> frozenset[int]:
    """Numbers of layers, as a list or in a string."""
    if not config.is_a(str, key):
        return frozenset(config.integers(key))
    parts = [part.strip() for part in config.require(str, key).split(",")]
    if not all(part.isascii() and part.isdigit() and len(part) < 9 for part in parts if part):
        raise config.error(key, "expected numbers between commas")
    return frozenset(int(part) for part in parts if part)


GIT: Final = Traits(
    overrides=NO_GROUPS,
    read_mlp=dense,
    qkv_bias=True,
    o_bias=True,
    mlp_bias=True,
    norm_bias=True,
    gated=False,
    pre_norm=False,  # the last norm is that of the embeddings
    head_bias=True,
    learned_positions="max_position_embeddings",
)

_TRAITS: Final[Mapping[str, Traits]] = {
    "qwen2_vl_text": _QWEN2_VL_TEXT,
    "qwen2_5_vl_text": _QWEN2_VL_TEXT,
    "qwen2_5_omni_text": _QWEN2_VL_TEXT,
    "qwen3_vl_text": _QWEN3_VL_TEXT,
    "glm4v_text": Traits(
        read_mlp=dense,
        qkv_bias=True,
        fused_mlp=True,
        norms_per_layer=4,
        partial_rotary_key="partial_rotary_factor",
    ),
    "glm_ocr_text": Traits(read_mlp=dense, fused_mlp=True, norms_per_layer=4),
    "paddleocr_vl_text": Traits(read_mlp=dense, qkv_bias="use_bias", o_bias="use_bias", mlp_bias="use_bias"),
    "kosmos_2_text_model": _KOSMOS_2_TEXT,
    "granite_docling_text": LLAMA,
    "ernie4_5_vl_moe_text": _ERNIE,
    "mistral4": Traits(read_mixer=latent_attention, read_mlp=_mistral4_mlp),
    "voxtral_realtime_text": Traits(read_mlp=dense, layer_extras=_time_scales, windows=patterns.wherever_set),
}


_MOE: Final[Mapping[str, tuple[Traits, Experts]]] = {
    "qwen3_vl_moe_text": (_QWEN3_VL_TEXT, Experts(layers=in_steps)),
    "qwen3_omni_moe_text": (replace(_QWEN3_VL_TEXT, uneven_heads=True), Experts(layers=in_steps)),
    "glm4v_moe_text": (
        Traits(
            read_mlp=dense,
            qkv_bias="attention_bias",
            uneven_heads=True,
            partial_rotary_key="partial_rotary_factor",
            partial_rotary_default=0.5,
        ),
        BEHIND_DENSE,
    ),
}

FAMILIES: Final[Mapping[str, Read]] = {
    **{model_type: partial(read_decoder, traits=traits) for model_type, traits in _TRAITS.items()},
    **{model_type: partial(read_moe, traits=traits, experts=experts) for model_type, (traits, experts) in _MOE.items()},
    "mllama_text_model": _read_mllama_text,
    "molmo2_text": _read_molmo2_text,
    "step3p5": _read_step3,
}
