"""Model types whose code is not part of transformers: the repo brings it along, and nothing of it is run.

There is no table of defaults for them: what a file leaves out is what the published `configuration_*.py` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from hubvram.architecture.attention import FullAttention
from hubvram.architecture.families.decoder import Traits, attention, dense, fixed, four_times_hidden, read_decoder
from hubvram.architecture.families.experts import WIDE, read_experts
from hubvram.architecture.families.fields import changed
from hubvram.architecture.families.interface import Read
from hubvram.architecture.layers import Architecture
from hubvram.architecture.mlp import DenseMLP, MoEMLP
from hubvram.architecture.patterns import Window, from_max_window_layers
from hubvram.config.document import ConfigDocument

# ------------------------------------------------------------------------------------------ chatglm


def _glm_values(config: ConfigDocument) -> Mapping[str, Any]:
    return {
        "num_key_value_heads": config.size("multi_query_group_num") if config.flag("multi_query_attention") else None,
        "hidden_act": "silu",
        "qkv_bias": config.flag("add_qkv_bias") or config.flag("add_bias_linear"),
    }


_GLM: Final = Traits(
    read_mlp=dense,
    names={
        "num_hidden_layers": "num_layers",
        "num_key_value_heads": "num_key_value_heads",  # multi_query_group_num only where there are groups
        "vocab_size": "padded_vocab_size",
        "intermediate_size": "ffn_hidden_size",
        "head_dim": "kv_channels",
        "max_position_embeddings": "seq_length",
    },
    values=_glm_values,
    qkv_bias="qkv_bias",
    o_bias="add_bias_linear",
    mlp_bias="add_bias_linear",
    fused_qkv=True,
    fused_mlp=True,
    tied=False,  # its class names no output embedding that could be tied
    partial_rotary_key="partial_rotary_factor",
    partial_rotary_default=0.5,
)
"""ChatGLM2, ChatGLM3, GLM-4."""

_GLM_1: Final = Traits(
    read_mlp=four_times_hidden,
    names={
        "num_hidden_layers": "num_layers",
        "n_inner": "inner_hidden_size",
        "max_position_embeddings": "max_sequence_length",
    },
    values=fixed(hidden_act="gelu", tie_word_embeddings=True),
    qkv_bias=True,
    o_bias=True,
    mlp_bias=True,
    norm_bias=True,
    gated=False,
    fused_qkv=True,
)
"""The first ChatGLM, of the same model type."""


def _read_chatglm(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """Its files name `ChatGLMModel`, and hold a head all the same."""
    named = tuple(name for name in architectures if name != "ChatGLMModel")
    if config.get(int, "ffn_hidden_size") is None:
        return read_decoder(config, named, _GLM_1)
    final, root_mean_square = config.get(bool, "post_layer_norm"), config.get(bool, "rmsnorm")
    traits = replace(_GLM, norm_bias=root_mean_square is False, final_norms=0 if final is False else 1)
    return read_decoder(config, named, traits)


# -------------------------------------------------------------------------- baichuan, qwen, minicpm

_BAICHUAN: Final = Traits(read_mlp=dense, names={"max_position_embeddings": "model_max_length"}, fused_qkv=True)
_BAICHUAN_ROTARY_WIDTH: Final = 4096


def _read_baichuan(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """The 7B's positions rotate; the 13B, of the same model type, has ALiBi."""
    rotary = config.size("hidden_size") == _BAICHUAN_ROTARY_WIDTH
    return read_decoder(config, architectures, replace(_BAICHUAN, rotary=rotary))


def _half_as_wide(config: ConfigDocument, traits: Traits, index: int) -> DenseMLP:
    """Gate and up are half of `intermediate_size` each."""
    return replace(dense(config, traits, index), intermediate_size=_halved(config))


def _halved(config: ConfigDocument) -> int:
    whole = config.size("intermediate_size")
    if whole % 2:
        raise config.error("intermediate_size", f"{whole} is not even: gate and up are half of it each")
    return whole // 2


def _experts_if_any(config: ConfigDocument, traits: Traits, index: int) -> DenseMLP | MoEMLP:
    """MiniCPM-MoE is a MiniCPM with `num_experts`."""
    if not config.get(int, "num_experts"):
        return dense(config, traits, index)
    return read_experts(config, traits, WIDE)


def _no_experts(config: ConfigDocument, traits: Traits, index: int) -> DenseMLP:
    if config.get(int, "num_experts"):
        raise config.error("num_experts", "how this model type arranges its experts is not known")
    return dense(config, traits, index)


def _deci_attention(config: ConfigDocument, traits: Traits, index: int, window: Window) -> FullAttention:
    """Each layer has a number of KV heads of its own."""
    numbers = config.integers("num_key_value_heads_per_layer")
    if len(numbers) <= index:
        raise config.error("num_key_value_heads_per_layer", f"it describes {len(numbers)} layers only")
    return attention(changed(config, num_key_value_heads=numbers[index]), traits, index, window)


# ------------------------------------------------------------------------------------------- others

_TRAITS: Final[Mapping[str, Traits]] = {
    "qwen": Traits(
        read_mlp=_half_as_wide,
        names={"head_dim": "kv_channels"},
        values=lambda config: {"hidden_act": "silu", "linear_bias": config.get(bool, "no_bias") is False},
        qkv_bias=True,
        o_bias="linear_bias",
        mlp_bias="linear_bias",
        fused_qkv=True,
        partial_rotary_key="rotary_pct",
    ),
    "internlm": Traits(read_mlp=dense, values=fixed(bias=True), qkv_bias="bias", o_bias="bias"),
    "internlm2": Traits(read_mlp=dense, values=fixed(bias=True), qkv_bias="bias", o_bias="bias", fused_qkv=True),
    "exaone": Traits(
        read_mlp=four_times_hidden,
        names={"num_hidden_layers": "num_layers", "n_inner": "intermediate_size"},
        values=fixed(activation_function="silu", tie_word_embeddings=True),
        activation="activation_function",
    ),
    # A Qwen2 whose further layers, `mtp_layers`, draft tokens.
    "mimo": Traits(
        read_mlp=dense,
        values=fixed(max_window_layers=28),
        windows=from_max_window_layers,
        qkv_bias=True,
    ),
    "minicpm": Traits(
        read_mlp=_experts_if_any,
        values=fixed(tie_word_embeddings=True),
        qkv_bias="attention_bias",
        o_bias="attention_bias",
    ),
    "orion": Traits(read_mlp=dense, qkv_bias="attention_bias", o_bias="attention_bias", norm_bias=True),
    "xverse": Traits(read_mlp=_no_experts),
    "deci": Traits(
        read_mlp=dense,
        read_mixer=_deci_attention,
        qkv_bias="attention_bias",
        o_bias="attention_bias",
        mlp_bias="mlp_bias",
    ),
}

FAMILIES: Final[Mapping[str, Read]] = {
    **{model_type: partial(read_decoder, traits=traits) for model_type, traits in _TRAITS.items()},
    "baichuan": _read_baichuan,
    "chatglm": _read_chatglm,
}
