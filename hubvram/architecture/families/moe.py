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
from hubvram.architecture.families.decoder import Traits, attention, dense, fixed, sinks
from hubvram.architecture.families.experts import (
    BEHIND_DENSE,
    LOCAL,
    ROUTED,
    WIDE,
    Experts,
    after,
    by_name,
    dense_of,
    everywhere,
    in_steps,
    read_moe,
)
from hubvram.architecture.families.fields import check_length, count_of
from hubvram.architecture.families.interface import Read
from hubvram.architecture.parts import Block, Linear, Weight, vector
from hubvram.checkpoint.components import Component
from hubvram.config.document import ConfigDocument
from hubvram.config.reader import inner_config

# ---------------------------------------------------- which layers have experts, and which a window


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


# ---------------------------------------------------------------------------------------- attention


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
    return patterns.full_where(lambda index, _: (index + 1) % pattern == 0)(config, layers)


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


def _jetmoe_attention(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> Block:
    """A mixture of attention heads (2210.05144): experts make the queries, and what comes out of them."""
    hidden, kv_heads, head_dim = (config.size(key) for key in ("hidden_size", "num_key_value_heads", "head_dim"))
    size = kv_heads * head_dim
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
        keeps=(
            FullAttention(
                hidden_size=hidden,
                num_attention_heads=chosen * kv_heads,
                num_key_value_heads=kv_heads,
                head_dim=head_dim,
                cached_tokens=patterns.tokens_kept(window),
            ),
        ),
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
    return patterns.full_where(lambda index, number: letters[index % len(letters)] == "G" or index == number - 1)(
        config, layers
    )


# --------------------------------------------------------------------------------------- the tables

_PLAIN: Final = Traits(read_mlp=dense)
_BIASED: Final = Traits(read_mlp=dense, qkv_bias="attention_bias", o_bias="attention_bias")
_NORMED: Final = replace(_BIASED, qk_norm=True)

_TYPES: Final[Mapping[str, tuple[Traits, Experts]]] = {
    "mixtral": (replace(_PLAIN, windows=patterns.wherever_set), WIDE),
    "qwen2_moe": (
        replace(_PLAIN, windows=patterns.every_other_before_max_window_layers, qkv_bias="qkv_bias"),
        Experts(shared_width="shared_expert_intermediate_size", shared_gate=True, layers=in_steps),
    ),
    "qwen3_moe": (replace(_NORMED, windows=patterns.if_used), Experts(layers=in_steps)),
    "glm4_moe": (
        Traits(
            read_mlp=dense,
            uneven_heads=True,
            qkv_bias="attention_bias",
            qk_norm="use_qk_norm",
            partial_rotary_key="partial_rotary_factor",
            partial_rotary_default=0.5,
        ),
        BEHIND_DENSE,
    ),
    "phimoe": (replace(_BIASED, windows=patterns.wherever_set, norm_bias=True, head_bias="lm_head_bias"), LOCAL),
    "granitemoe": (_BIASED, LOCAL),
    "granitemoeshared": (_BIASED, replace(LOCAL, shared_width="shared_intermediate_size")),
    "olmoe": (replace(_NORMED, qk_norm_all_heads=True), WIDE),
    "flex_olmo": (replace(_NORMED, qk_norm_all_heads=True, pre_norm=False), WIDE),
    "gpt_oss": (
        replace(_BIASED, attention_extras=sinks, windows=patterns.every_other),
        replace(LOCAL, bias=True, router_bias=True),
    ),
    "minimax_m2": (
        replace(_PLAIN, qk_norm=True, qk_norm_all_heads=True, rotary_key="rotary_dim"),
        replace(LOCAL, correction_bias=True),
    ),
    "llama4_text": (
        replace(_BIASED, read_mlp=dense_of("intermediate_size_mlp"), windows=_chunked_where_rotary),
        replace(LOCAL, shared_width="intermediate_size", layers=_llama4_layers),
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
        BEHIND_DENSE,
    ),
    "hunyuan_v1_moe": (_NORMED, replace(WIDE, shared_width="intermediate_size")),
    "mellum": (
        replace(_NORMED, windows=patterns.never, rotary_tables=2),
        Experts(layers=partial(by_name, usual=everywhere)),
    ),
    "granitemoe_swa": (
        replace(_BIASED, attention_extras=sinks, windows=patterns.all_but_every_fourth_from_first),
        replace(LOCAL, shared_width="shared_intermediate_size"),
    ),
    "cohere2_moe": (
        replace(
            _BIASED,
            read_mlp=dense_of("prefix_dense_intermediate_size", "intermediate_size"),
            windows=_behind_dense,
            parallel=True,
        ),
        replace(
            WIDE,
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
            windows=patterns.full_where(lambda index, number: (index + 1) % 6 == 0 or index == number - 1),
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
        replace(LOCAL, others=(_jetmoe_bias,)),
    ),
    "solar_open": (replace(_PLAIN, qkv_bias="attention_bias"), ROUTED),
    "flint": (
        replace(
            _NORMED,
            attention_extras=sinks,
            windows=patterns.full_where(lambda index, number: index < 2 or index % 4 == 1 or index == number - 1),
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
    **{
        model_type: partial(read_moe, traits=traits, experts=experts)
        for model_type, (traits, experts) in _TYPES.items()
    },
}
