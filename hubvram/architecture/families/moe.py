"""Decoders with experts: attention of the usual kind, or something near it, and an MLP of which a token uses a part.

Most model types are a line in _TYPES: in what their layers differ from llama's, and what the fields are called
that describe their experts. The details were read from each model's `modeling_*.py` in transformers 5.23.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from hubvram.architecture import patterns
from hubvram.architecture.attention import FullAttention
from hubvram.architecture.families.decoder import Traits, attention, dense, fixed
from hubvram.architecture.families.experts import (
    ROUTED,
    Experts,
    after,
    by_name,
    check_length,
    count_of,
    dense_of,
    everywhere,
    for_each_layer,
    full_where,
    in_steps,
    number_of_layers,
    read_moe,
    section_of,
    with_sinks,
    with_values,
)
from hubvram.architecture.families.interface import Read
from hubvram.architecture.layers import Architecture
from hubvram.architecture.parts import Block, Linear, Part, Weight, vector
from hubvram.checkpoint.components import Component
from hubvram.config.document import ConfigDocument
from hubvram.config.reader import inner_config

# --------------------------------------------------- which layers have experts, and which a window


def _llama4_layers(config: ConfigDocument, layers: int) -> Sequence[bool]:
    """By `moe_layers`, else the last of every `interleave_moe_layer_step`."""
    if config.get(list, "moe_layers") is not None:
        chosen = set(config.integers("moe_layers"))
        return [index in chosen for index in range(layers)]
    step = config.size("interleave_moe_layer_step")
    return [(index + 1) % step == 0 for index in range(layers)]


def _ernie_layers(config: ConfigDocument, layers: int) -> Sequence[bool]:
    """From `moe_layer_start_index` to `moe_layer_end_index` (-1 for the last), each `moe_layer_interval`-th."""
    first, last = config.require(int, "moe_layer_start_index"), config.require(int, "moe_layer_end_index")
    last, step = layers - 1 if last == -1 else last, config.size("moe_layer_interval")
    return [(index + 1) % step == 0 and first <= index <= last for index in range(layers)]


# ------------------------------------------------------------------------------------- attention


def _sinks(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> FullAttention:
    """A learned logit for each head, which takes what attention no token gets (gpt_oss)."""
    return with_sinks(attention(config, traits, index, window))


def _gated(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> FullAttention:
    """A matrix of its own makes a gate for each feature of each head (afmoe)."""
    mixer = attention(config, traits, index, window)
    return replace(mixer, gate_size=mixer.q_size)


def _gated_with_bias(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> FullAttention:
    """The same, with one bias for each head (beam)."""
    mixer = _gated(config, traits, index, window)
    return replace(mixer, others=(vector("gate bias", mixer.num_attention_heads),))


def _chunked_where_rotary(config: ConfigDocument, layers: int) -> patterns.Windows:
    """By `no_rope_layers` (0 for a layer without rotary positions), else all but each `no_rope_layer_interval`-th."""
    rotary: Sequence[int] = config.integers("no_rope_layers")
    if not rotary:
        interval = config.size("no_rope_layer_interval")
        rotary = [(index + 1) % interval for index in range(layers)]
    check_length(config, "no_rope_layers", rotary, layers)
    return [patterns.Chunk(config.size("attention_chunk_size")) if flag else None for flag in rotary]


def _from_max_window_layers(config: ConfigDocument, layers: int) -> patterns.Windows:
    """A window that is not null holds from layer `max_window_layers` on (dots1)."""
    first, window = config.require(int, "max_window_layers"), config.size_or_none("sliding_window")
    return [window if index >= first else None for index in range(layers)]


def _behind_dense(config: ConfigDocument, layers: int) -> patterns.Windows:
    """Each `sliding_window_pattern`-th layer is full, counted anew behind the dense ones (cohere2_moe)."""
    first = min(count_of(config, "first_k_dense_replace"), layers)
    before, behind = config.size("prefix_dense_sliding_window_pattern"), config.size("sliding_window_pattern")
    places = (*((index, before) for index in range(first)), *((index, behind) for index in range(layers - first)))
    window = config.size_or_none("sliding_window")
    return [window if (index + 1) % pattern else None for index, pattern in places]


def _every_global_layer(config: ConfigDocument, layers: int) -> patterns.Windows:
    """Each `global_attn_every_n_layers`-th layer is full (afmoe)."""
    pattern = config.size("global_attn_every_n_layers")
    return full_where(lambda index, _: (index + 1) % pattern == 0)(config, layers)


# ----------------------------------------------------------------- types with a reader of their own


def _dbrx_values(config: ConfigDocument) -> Mapping[str, Any]:
    """What the nested configs say, under the usual names."""
    attn, ffn = inner_config(config, "attn_config"), inner_config(config, "ffn_config")
    return {
        "num_key_value_heads": attn.size("kv_n_heads"),
        "num_experts": ffn.size("moe_num_experts"),
        "num_experts_per_tok": ffn.size("moe_top_k"),
        "moe_intermediate_size": ffn.size("ffn_hidden_size"),
        "hidden_act": "silu",
    }


def _read_mimo(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """Layers with a window have other heads, by fields of their own or twice the usual KV heads, and sinks."""
    own = config.integers("hybrid_layer_pattern")
    if own and not config.strings("layer_types"):
        config = with_values(config, layer_types=["sliding_attention" if flag else "full_attention" for flag in own])
    size = config.size_or_none("sliding_window_size")
    if size is not None:  # its code counts the query beside the window
        config = with_values(config, sliding_window=size + 1)
    sliding = with_values(
        config,
        **{key: config.size_or_none(f"swa_{key}") or config.size(key) for key in ("num_attention_heads", *_HEAD_SIZES)},
        num_key_value_heads=config.size_or_none("swa_num_key_value_heads") or 2 * config.size("num_key_value_heads"),
    )

    def read_mixer(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> FullAttention:
        own = config if window is None else sliding
        mixer = replace(attention(own, traits, index, window), v_head_dim=own.size("v_head_dim"))
        sinks = config.get(bool, "add_full_attention_sink_bias" if window is None else "add_swa_attention_sink_bias")
        return with_sinks(mixer) if sinks or (sinks is None and window is not None) else mixer

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
        hidden, size = mixer.hidden_size, mixer.q_size
        return Block(
            kind="lightning_attention",
            component=Component.ATTENTION,  # as its tensors are named
            weights=(
                Linear(name="qkv", out_features=3 * size, in_features=hidden),
                Linear(name="gate", out_features=size, in_features=hidden),
                Linear(name="o", out_features=hidden, in_features=size),
            ),
            others=(vector("norm", size),),
        )

    traits = Traits(read_mlp=dense, read_mixer=read_mixer, kinds=(_LINEAR,))
    return read_moe(config, architectures, traits, _LOCAL)


_LINEAR: Final = "linear_attention"


def _read_minimax_m3(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """Some layers choose the blocks of tokens that they look at, by an indexer with a cache of its own."""
    number = number_of_layers(config)
    legacy = section_of(config, "sparse_attention_config")
    for key, old in (("index_n_heads", "sparse_num_index_heads"), ("index_head_dim", "sparse_index_dim")):
        if legacy.size_or_none(old) is not None:
            config = with_values(config, **{key: legacy.size(old)})
    flags = legacy.integers("sparse_attention_freq")
    if flags and not config.strings("layer_types"):
        config = with_values(config, layer_types=[_M3_SPARSE if flag else "full_attention" for flag in flags])
    kinds = config.strings("layer_types") or ("full_attention",) * number

    def read_mixer(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> Part:
        mixer = attention(config, traits, index, window)
        return _indexed(config, mixer) if kinds[index] == _M3_SPARSE else mixer

    return read_moe(config, architectures, replace(_M3, read_mixer=read_mixer), _M3_EXPERTS)


_M3_SPARSE: Final = "minimax_m3_sparse"


def _indexed(config: ConfigDocument, mixer: FullAttention) -> Block:
    heads, size, hidden = config.size("index_n_heads"), config.size("index_head_dim"), mixer.hidden_size
    return Block(
        kind="block_sparse_attention",
        component=Component.ATTENTION,
        weights=(
            *mixer.linears,
            Linear(name="index q", out_features=heads * size, in_features=hidden),
            Linear(name="index k", out_features=size, in_features=hidden),
        ),
        others=(*mixer.tensors, vector("index q norm", size), vector("index k norm", size)),
    )


def _jetmoe_attention(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> Block:
    """A mixture of attention heads (2210.05144): experts make the queries, and what comes out of them."""
    hidden, size = config.size("hidden_size"), config.size("num_key_value_heads") * config.size("head_dim")
    number, chosen = config.size("num_local_experts"), config.size("num_experts_per_tok")
    one_expert = 2 * size * hidden
    return Block(
        kind="mixture_of_attention_heads",
        component=Component.EXPERTS,
        weights=(
            Linear(name="k v", out_features=2 * size, in_features=hidden, component=Component.ATTENTION),
            Linear(name="q", out_features=size, in_features=hidden, count=number),
            Linear(name="o", out_features=hidden, in_features=size, count=number),
        ),
        others=(
            vector("bias", hidden),
            Linear(name="router", out_features=number, in_features=hidden, component=Component.ROUTER),
        ),
        inactive=max(number - chosen, 0) * one_expert,
    )


def _jetmoe_bias(config: ConfigDocument) -> Weight:
    return vector("bias", config.size("hidden_size"), Component.MLP)


def _exaone_windows(config: ConfigDocument, layers: int) -> patterns.Windows:
    """Each `sliding_window_pattern`-th layer is full; as letters, those with a G and the last."""
    if not config.is_a(str, "sliding_window_pattern"):
        return patterns.by_pattern_of_four(config, layers)
    letters = config.require(str, "sliding_window_pattern")
    if set(letters) != {"L", "G"} and set(letters) != {"L"}:
        raise config.error("sliding_window_pattern", "its letters are not L and G")
    return full_where(lambda index, number: letters[index % len(letters)] == "G" or index == number - 1)(config, layers)


# ------------------------------------------------------------------------------------- the tables

_PLAIN: Final = Traits(read_mlp=dense)
_BIASED: Final = Traits(read_mlp=dense, qkv_bias="attention_bias", o_bias="attention_bias")
_NORMED: Final = replace(_BIASED, qk_norm=True)

_LOCAL: Final = Experts(number="num_local_experts", width="intermediate_size")
_WIDE: Final = Experts(width="intermediate_size")

_MIMO: Final = Traits(
    read_mlp=dense,
    windows=full_where(lambda index, _: index == 0 or (index + 1) % 6 == 0),
    qkv_bias="attention_bias",
    partial_rotary_key="partial_rotary_factor",
    partial_rotary_default=0.334,
    rotary_tables=2,
)
_MIMO_EXPERTS: Final = Experts(
    number="n_routed_experts", correction_bias=True, layers=partial(by_name, usual=partial(after, dense_layers=1))
)
_LAGUNA: Final = replace(
    _NORMED,
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
    rotary_key="rotary_dim",
)
_M3_EXPERTS: Final = replace(
    _LOCAL,
    shared_width="shared_intermediate_size",
    correction_bias=True,
    layers=partial(by_name, usual=everywhere),
)
_TYPES: Final[Mapping[str, tuple[Traits, Experts]]] = {
    "olmoe": (replace(_NORMED, qk_norm_all_heads=True), _WIDE),
    "flex_olmo": (replace(_NORMED, qk_norm_all_heads=True, pre_norm=False), _WIDE),
    "gpt_oss": (
        replace(_BIASED, read_mixer=_sinks, windows=patterns.every_other),
        replace(_LOCAL, bias=True, router_bias=True),
    ),
    "minimax_m2": (
        replace(_PLAIN, qk_norm=True, qk_norm_all_heads=True, rotary_key="rotary_dim"),
        replace(_LOCAL, correction_bias=True),
    ),
    "llama4_text": (
        replace(_BIASED, read_mlp=dense_of("intermediate_size_mlp"), windows=_chunked_where_rotary),
        replace(_LOCAL, shared_width="intermediate_size", layers=_llama4_layers),
    ),
    "dbrx": (replace(_PLAIN, overrides=_dbrx_values, fused_qkv=True), Experts()),
    "ernie4_5_moe": (
        Traits(read_mlp=dense, qkv_bias="use_bias", o_bias="use_bias", mlp_bias="use_bias", head_bias="use_bias"),
        Experts(shared_number="moe_num_shared_experts", correction_bias=True, layers=_ernie_layers),
    ),
    "exaone_moe": (
        replace(_PLAIN, qk_norm=True, windows=_exaone_windows),
        Experts(
            shared_number="num_shared_experts",
            correction_bias=True,
            layers=partial(by_name, usual=partial(after, dense_layers="first_k_dense_replace")),
        ),
    ),
    "dots1": (
        replace(_NORMED, windows=_from_max_window_layers),
        replace(ROUTED, layers=partial(after, dense_layers="first_k_dense_replace")),
    ),
    "hunyuan_v1_moe": (_NORMED, replace(_WIDE, shared_width="intermediate_size")),
    "mellum": (
        replace(_NORMED, windows=patterns.never, rotary_tables=2),
        Experts(layers=partial(by_name, usual=everywhere)),
    ),
    "granitemoe_swa": (
        replace(_BIASED, read_mixer=_sinks, windows=patterns.all_but_every_fourth_from_first),
        replace(_LOCAL, shared_width="shared_intermediate_size"),
    ),
    "cohere2_moe": (
        replace(
            _BIASED,
            read_mlp=dense_of("prefix_dense_intermediate_size", "intermediate_size"),
            windows=_behind_dense,
            parallel=True,
        ),
        replace(
            _WIDE,
            shared_number="num_shared_experts",
            layers=partial(by_name, usual=partial(after, dense_layers="first_k_dense_replace")),
        ),
    ),
    "afmoe": (
        replace(_NORMED, read_mixer=_gated, windows=_every_global_layer, norms_per_layer=4),
        Experts(
            shared_number="num_shared_experts",
            correction_bias=True,
            layers=partial(after, dense_layers="num_dense_layers"),
        ),
    ),
    "aria_text": (
        replace(_BIASED, mlp_bias="mlp_bias"),
        Experts(
            number="moe_num_experts",
            chosen="moe_topk",
            width="intermediate_size",
            shared_number="moe_num_shared_experts",
        ),
    ),
    "beam": (
        replace(
            _NORMED,
            read_mixer=_gated_with_bias,
            windows=full_where(lambda index, number: (index + 1) % 6 == 0 or index == number - 1),
            norms_per_layer=4,
        ),
        Experts(correction_bias=True, layers=partial(by_name, usual=partial(after, dense_layers=3))),
    ),
    "hy_v3": (
        replace(_NORMED, mlp_bias="mlp_bias"),
        Experts(
            shared_number="num_shared_experts",
            correction_bias=True,
            layers=partial(by_name, usual=partial(after, dense_layers=1)),
        ),
    ),
    "jetmoe": (
        replace(_PLAIN, read_mixer=_jetmoe_attention, activation="activation_function"),
        replace(_LOCAL, others=(_jetmoe_bias,)),
    ),
    "solar_open": (replace(_PLAIN, qkv_bias="attention_bias"), ROUTED),
    "flint": (
        replace(
            _NORMED,
            read_mixer=_sinks,
            windows=full_where(lambda index, number: index < 2 or index % 4 == 1 or index == number - 1),
            values=fixed(mlp_only_layers=[0, 1]),
        ),
        Experts(shared_width="shared_expert_intermediate_size", layers=in_steps),
    ),
    "kolibri1": (
        replace(_PLAIN, qk_norm=True, windows=patterns.all_but_every_fifth, norms_per_layer=4),
        Experts(shared_width="shared_expert_intermediate_size", correction_bias=True),
    ),
}

FAMILIES: Final[Mapping[str, Read]] = {
    "mimo_v2_flash": _read_mimo,
    "laguna": _read_laguna,
    "minimax": _read_minimax,
    "minimax_m3_vl_text": _read_minimax_m3,
    **{
        model_type: partial(read_moe, traits=traits, experts=experts)
        for model_type, (traits, experts) in _TYPES.items()
    },
}
