"""Decoders with short convolutions: between attention layers (lfm2), or within attention (zaya).

The details were read from each model's `modeling_*.py` in transformers 5.23.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from hubvram.architecture import patterns
from hubvram.architecture.attention import FullAttention
from hubvram.architecture.families.decoder import Traits, attention, dense, fixed
from hubvram.architecture.families.experts import Experts, after
from hubvram.architecture.families.fields import head_dim_of, ratio, section_of
from hubvram.architecture.families.hybrid import (
    CONV,
    FULL,
    HYBRID,
    SLIDING,
    Hybrid,
    always,
    by_indices,
    listed,
    read_hybrid,
)
from hubvram.architecture.families.interface import Read
from hubvram.architecture.layers import Architecture
from hubvram.architecture.mlp import DenseMLP
from hubvram.architecture.parts import Block, Linear, State, Tensor, Weight, vector
from hubvram.architecture.recurrent import ShortConv, conv_state
from hubvram.checkpoint.components import Component
from hubvram.config.document import ConfigDocument

# ------------------------------------------------------------------ between attention layers (lfm2)


def short_conv(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> ShortConv:
    """A gated convolution (lfm2)."""
    return ShortConv(
        hidden_size=config.size("hidden_size"),
        conv_L_cache=config.size("conv_L_cache"),
        conv_bias=config.flag("conv_bias"),
    )


def _adjusted(config: ConfigDocument, traits: Traits, index: int) -> DenseMLP:
    """Two thirds of what the config says, times a factor, rounded up; as it says without `block_auto_adjust_ff_dim`."""
    mlp = dense(config, traits, index)
    if not config.flag("block_auto_adjust_ff_dim"):
        return mlp
    size = int(2 * mlp.intermediate_size / 3)
    if config.get(float, "block_ffn_dim_multiplier") is not None:
        multiple = config.size("block_multiple_of")
        size = multiple * -(-int(ratio(config, "block_ffn_dim_multiplier") * size) // multiple)
    return replace(mlp, intermediate_size=size)


def _gated_heads(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> FullAttention:
    """A gate for each head (lfm3)."""
    mixer = attention(config, traits, index, window)
    return replace(mixer, gate_size=mixer.num_attention_heads) if config.flag("use_attention_gate") else mixer


def _lfm3_layers(config: ConfigDocument, layers: int) -> Sequence[str]:
    """Convolutions in every other layer, between them attention over everything and over a window in turn."""
    return [CONV if index % 2 or not index else FULL if index % 4 else SLIDING for index in range(layers)]


def _not_told(config: ConfigDocument, layers: int) -> Sequence[str]:
    raise config.error("layer_types", "it is missing, and its model type has no rule for it")


def _read_lfm2_moe(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """The router's learned bias is an option."""
    experts = replace(_LFM2_EXPERTS, correction_bias=config.flag("use_expert_bias"))
    return read_hybrid(config, architectures, replace(_LFM2_MOE, experts=experts))


_HYBRID_SLIDING: Final = "hybrid_sliding"


# -------------------------------------------------------------------------- within attention (zaya)


def _compressed(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> Block:
    """Compressed convolutional attention (2510.04476): Q and K convolved, half of V from the token before."""
    hidden, head_dim, bias = config.size("hidden_size"), config.size("head_dim"), config.flag("attention_bias")
    heads, kv_heads = config.size("num_attention_heads"), config.size("num_key_value_heads")
    q_size, channels = heads * head_dim, (heads + kv_heads) * head_dim
    rows = {"q": q_size, "k": kv_heads * head_dim, "v": kv_heads * head_dim // 2, "v before": kv_heads * head_dim // 2}
    return Block(
        kind="convolutional_attention",
        component=Component.ATTENTION,
        weights=(
            *(Linear(name=name, out_features=size, in_features=hidden, bias=bias) for name, size in rows.items()),
            Linear(name="o", out_features=hidden, in_features=q_size, bias=bias),
        ),
        others=(
            Tensor(name="convolution", shape=(channels, 1, config.size("cca_time0"))),
            Tensor(name="convolution of heads", shape=(channels, head_dim, config.size("cca_time1"))),
            Tensor(name="convolution biases", shape=(channels,), count=2),
            vector("K scale", kv_heads),
        ),
        keeps=(attention(config, traits, index, window),),
        kept_states=(
            # Of both convolutions together, without the input that leaves.
            conv_state(channels, config.size("cca_time0") + config.size("cca_time1") - 2),
            State(name="v before", shape=(kv_heads * head_dim // 2,)),
        ),
    )


def _compressed_over_window(config: ConfigDocument, traits: Traits, index: int, _: patterns.Window) -> Block:
    """The same over a window, which only this kind of layers has."""
    return _compressed(config, traits, index, config.size("sliding_window"))


def _zaya_experts(config: ConfigDocument, traits: Traits, index: int) -> Block:
    """Experts, or none: a router of several layers, which hears the one before, chooses one of both."""
    hidden, width, size = (config.size(key) for key in ("hidden_size", "moe_intermediate_size", "router_hidden_size"))
    number, classes = config.size("num_experts"), config.size("num_experts") + 1
    decide = (
        Linear(name="router in", out_features=size, in_features=hidden, bias=True, component=Component.ROUTER),
        Linear(name="router", out_features=size, in_features=size, bias=True, count=2, component=Component.ROUTER),
        Linear(name="router out", out_features=classes, in_features=size, component=Component.ROUTER),
        Tensor(name="router norms", shape=(size,), count=2 if index else 1, component=Component.ROUTER),
        vector("correction bias", classes, Component.ROUTER),
    )
    return Block(
        kind="moe",
        component=Component.EXPERTS,
        weights=(
            Linear(name="gate up", out_features=2 * width, in_features=hidden, count=number),
            Linear(name="down", out_features=hidden, in_features=width, count=number),
        ),
        others=decide,
        inactive=(number - 1) * 3 * width * hidden,
        stateless=True,
    )


def _residual_scales(config: ConfigDocument, index: int) -> tuple[Weight, ...]:
    return (Tensor(name="residual scales", shape=(config.size("hidden_size"),), count=8, component=Component.OTHER),)


def _embedding_scales(config: ConfigDocument) -> tuple[Weight, ...]:
    return (Tensor(name="embedding scales", shape=(config.size("hidden_size"),), count=2, component=Component.OTHER),)


def _read_zaya(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """Each kind of layers may rotate another share of a head; half where nothing is said (ZayaConfig)."""
    found = read_hybrid(config, architectures, _ZAYA)
    kinds = set(config.strings("layer_types")) or {HYBRID}
    dims = tuple(_rotated(config, kind) for kind in sorted(kinds))
    return replace(found, rotary_dim=max(dims), rotary_tables=len(dims), rotary_dims=dims)


def _rotated(config: ConfigDocument, kind: str) -> int:
    rope = section_of(config, "rope_parameters")
    if not rope.data:
        return head_dim_of(config) // 2
    share = section_of(rope, kind).get(float, "partial_rotary_factor")
    return int(head_dim_of(config) * (1.0 if share is None else share))


# -------------------------------------------------------------------------------------- model types

_LFM: Final = Traits(
    read_mlp=dense,
    names={"tie_word_embeddings": "tie_embedding"},
    values=fixed(hidden_act="silu"),
    qk_norm=True,
)
_LFM2_EXPERTS: Final = Experts(layers=partial(after, dense_layers="num_dense_layers"))
_LFM2_MOE: Final = Hybrid(kinds=listed(_not_told), mixers={CONV: short_conv, FULL: attention}, traits=_LFM)

_ZAYA: Final = Hybrid(
    kinds=listed(always(HYBRID)),
    mixers={HYBRID: _compressed, _HYBRID_SLIDING: _compressed_over_window},
    traits=Traits(
        read_mlp=_zaya_experts,
        layer_extras=_residual_scales,
        extras=_embedding_scales,
        head_bias="lm_head_bias",
        rotary=False,  # its attention is no class with heads that rotate
    ),
)
_TYPES: Final[Mapping[str, Hybrid]] = {
    "lfm2": Hybrid(
        kinds=listed(by_indices("full_attn_idxs", other=CONV, absent=FULL)),
        mixers={CONV: short_conv, FULL: attention},
        traits=replace(_LFM, read_mlp=_adjusted, names={**_LFM.names, "intermediate_size": "block_ff_dim"}),
    ),
    "lfm3": Hybrid(
        kinds=listed(_lfm3_layers),
        mixers={CONV: short_conv, FULL: _gated_heads, SLIDING: _gated_heads},
        traits=replace(
            _LFM,
            names={},
            qkv_bias="attention_bias",
            o_bias="attention_bias",
            post_norms="use_sandwich_norm",
            rotary_tables=2,
        ),
    ),
}

FAMILIES: Final[Mapping[str, Read]] = {
    **{model_type: partial(read_hybrid, hybrid=hybrid) for model_type, hybrid in _TYPES.items()},
    "lfm2_moe": _read_lfm2_moe,
    "zaya": _read_zaya,
}
