"""Decoders with experts and with attention of their own making, layer by layer: MiMo, Laguna, MiniMax.

Details from each model's `modeling_*.py` in transformers 5.23.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from hubvram.architecture import patterns
from hubvram.architecture.attention import FullAttention, HiddenStatesAttention
from hubvram.architecture.attention_in_blocks import BlockSparseAttention
from hubvram.architecture.families.decoder import Traits, attention, dense, sinks
from hubvram.architecture.families.experts import (
    LOCAL,
    Experts,
    after,
    by_name,
    dense_of,
    everywhere,
    for_each_layer,
    read_moe,
)
from hubvram.architecture.families.fields import changed, number_of_layers, section_of
from hubvram.architecture.families.interface import Read
from hubvram.architecture.layers import Architecture
from hubvram.architecture.parts import Linear, Part, vector
from hubvram.architecture.recurrent import LightningAttention
from hubvram.checkpoint.components import Component
from hubvram.config.document import ConfigDocument


def _read_mimo(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """Layers with a window have other heads, by fields of their own or twice the usual KV heads, and sinks."""
    own = config.integers("hybrid_layer_pattern")
    if own and not config.strings("layer_types"):
        config = changed(config, layer_types=["sliding_attention" if flag else "full_attention" for flag in own])
    size = config.size_or_none("sliding_window_size")
    if size is not None:  # its code counts the query beside the window
        config = changed(config, sliding_window=size + 1)
    sliding = changed(
        config,
        **{key: config.size_or_none(f"swa_{key}") or config.size(key) for key in ("num_attention_heads", *_HEAD_SIZES)},
        num_key_value_heads=config.size_or_none("swa_num_key_value_heads") or 2 * config.size("num_key_value_heads"),
    )

    def read_mixer(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> FullAttention:
        own = config if window is None else sliding
        mixer = replace(attention(own, traits, index, window), v_head_dim=own.size("v_head_dim"))
        has_sinks = config.get(
            bool, "add_full_attention_sink_bias" if window is None else "add_swa_attention_sink_bias"
        )
        return replace(mixer, others=sinks(own)) if has_sinks or (has_sinks is None and window is not None) else mixer

    return read_moe(config, architectures, replace(_MIMO, read_mixer=read_mixer), _MIMO_EXPERTS)


_HEAD_SIZES: Final = ("head_dim", "v_head_dim")


def _read_laguna(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """Each layer may have another number of heads; a gate for each of them, or for each of their features."""
    number = number_of_layers(config)
    own = config.is_a(list, "num_attention_heads_per_layer")
    heads = for_each_layer(config, "num_attention_heads_per_layer" if own else "num_attention_heads", number)
    each = config.require(str, "gating") == "per-head" if config.is_a(str, "gating") else config.flag("gating")

    def read_mixer(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> FullAttention:
        mixer = attention(config, traits, index, window)
        if heads[index] % mixer.num_key_value_heads:
            raise config.error(
                f"num_attention_heads_per_layer[{index}]",
                f"{mixer.num_key_value_heads} KV heads do not divide {heads[index]} heads",
            )
        mixer = replace(mixer, num_attention_heads=heads[index])
        return replace(mixer, gate_size=mixer.num_attention_heads if each else mixer.q_size)

    return read_moe(config, architectures, replace(_LAGUNA, read_mixer=read_mixer), _LAGUNA_EXPERTS)


def _read_minimax(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """Every other layer has lightning attention: linear, with a state for each head (MiniMax-01, 2501.08313)."""
    number = number_of_layers(config)
    kinds = config.strings("layer_types") or ("full_attention", _LINEAR) * (number // 2 + 1)

    def read_mixer(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> Part:
        mixer = attention(config, traits, index, window)
        if kinds[index] != _LINEAR:
            return mixer
        return LightningAttention(
            hidden_size=mixer.hidden_size,
            num_attention_heads=mixer.num_attention_heads,
            head_dim=mixer.head_dim,
            block_size=config.size("block_size"),
        )

    traits = Traits(read_mlp=dense, read_mixer=read_mixer, kinds=(_LINEAR,))
    return read_moe(config, architectures, traits, LOCAL)


_LINEAR: Final = "linear_attention"


def _read_minimax_m3(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """Some layers choose the blocks of tokens that they look at, by an indexer with a cache of its own."""
    number = number_of_layers(config)
    legacy = section_of(config, "sparse_attention_config")
    for key, old in _M3_LEGACY.items():
        if legacy.size_or_none(old) is not None:
            config = changed(config, **{key: legacy.size(old)})
    flags = legacy.integers("sparse_attention_freq")
    if flags and not config.strings("layer_types"):
        config = changed(config, layer_types=[_M3_SPARSE if flag else "full_attention" for flag in flags])
    kinds = config.strings("layer_types") or ("full_attention",) * number

    def read_mixer(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> Part:
        mixer = attention(config, traits, index, window)
        return _indexed(config, mixer) if kinds[index] == _M3_SPARSE else mixer

    return read_moe(config, architectures, replace(_M3, read_mixer=read_mixer), _M3_EXPERTS)


_M3_SPARSE: Final = "minimax_m3_sparse"
_M3_LEGACY: Final = {
    "index_n_heads": "sparse_num_index_heads",
    "index_head_dim": "sparse_index_dim",
    "index_block_size": "sparse_block_size",
    "index_topk_blocks": "sparse_topk_blocks",
}


def _indexed(config: ConfigDocument, mixer: FullAttention) -> BlockSparseAttention:
    heads, size, hidden = config.size("index_n_heads"), config.size("index_head_dim"), mixer.hidden_size
    return BlockSparseAttention(
        kind="block_sparse_attention",
        index_block_size=config.size("index_block_size"),
        index_topk_blocks=config.size("index_topk_blocks"),
        component=Component.ATTENTION,
        weights=(
            *mixer.linears,
            Linear(name="index q", out_features=heads * size, in_features=hidden),
            Linear(name="index k", out_features=size, in_features=hidden),
        ),
        others=(*mixer.tensors, vector("index q norm", size), vector("index k norm", size)),
        # The indexer keeps its own K of all tokens beside them (MiniMaxM3VLSparseCacheLayer).
        keeps=(
            mixer,
            HiddenStatesAttention(hidden_size=size, num_attention_heads=1, num_key_value_heads=1, head_dim=size),
        ),
    )


_MIMO: Final = Traits(
    read_mlp=dense,
    windows=patterns.full_where(lambda index, _: index == 0 or (index + 1) % 6 == 0),
    qkv_bias="attention_bias",
    partial_rotary_key="partial_rotary_factor",
    partial_rotary_default=0.334,
    rotary_tables=2,
)

_MIMO_EXPERTS: Final = Experts(
    number="n_routed_experts", correction_bias=True, layers=partial(by_name, usual=partial(after, dense_layers=1))
)

_LAGUNA: Final = Traits(
    read_mlp=dense,
    qkv_bias="attention_bias",
    o_bias="attention_bias",
    qk_norm=True,
    windows=patterns.never,
    partial_rotary_key="partial_rotary_factor",
    partial_rotary_default=0.5,
    rotary_tables=2,
)

_LAGUNA_EXPERTS: Final = Experts(
    shared_width="shared_expert_intermediate_size",
    correction_bias=True,
    layers=partial(by_name, usual=partial(after, dense_layers=1)),
)

_M3: Final = Traits(
    read_mlp=dense_of("dense_intermediate_size"),
    windows=patterns.never,
    kinds=(_M3_SPARSE,),
    qk_norm=True,
    partial_rotary_key="partial_rotary_factor",  # Its class reads no `rotary_dim`.
)

_M3_EXPERTS: Final = replace(
    LOCAL,
    shared_width="shared_intermediate_size",
    correction_bias=True,
    layers=partial(by_name, usual=everywhere),
)

FAMILIES: Final[Mapping[str, Read]] = {
    "mimo_v2_flash": _read_mimo,
    "laguna": _read_laguna,
    "minimax": _read_minimax,
    "minimax_m3_vl_text": _read_minimax_m3,
}
