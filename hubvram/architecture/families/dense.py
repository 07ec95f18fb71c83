"""The model types of llama's shape: one entry each, with what it does differently.

The details were read from each model's `modeling_*.py` in transformers 5.23 and are proven by reconciliation
with published files, or with models that are built from those classes' defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from math import isqrt
from typing import Final

from hubvram.architecture import patterns
from hubvram.architecture.attention import FullAttention
from hubvram.architecture.families.decoder import (
    NO_GROUPS,
    ReadWeights,
    Traits,
    attention,
    cross_attention,
    dense,
    four_times_hidden,
    read_decoder,
    sinks,
)
from hubvram.architecture.families.fields import LAYERS_LIMIT, changed, check_chosen, head_dim_of, number_of_layers
from hubvram.architecture.families.interface import Read
from hubvram.architecture.layers import Architecture
from hubvram.architecture.parts import Block, Linear, Part, Tensor, Weight, vector
from hubvram.checkpoint.components import Component
from hubvram.config.document import ConfigDocument

_WIDENING_LIMIT: Final = 1000
"""How many times the hidden size an MLP may be wide: far more than any model has."""


def _doge_mlp(config: ConfigDocument, traits: Traits, index: int) -> Part:
    """An MLP; with `is_moe`, experts of one row and column each beside it, found by two halves of a key."""
    mlp = dense(config, traits, index)
    if not config.flag("is_moe"):
        return mlp
    number, chosen, hidden = config.size("num_experts"), config.size("num_experts_per_tok"), mlp.hidden_size
    check_chosen(config, "num_experts_per_tok", chosen, number)
    return Block(
        kind="cross_domain_moe",
        component=Component.MLP,
        weights=mlp.linears,
        others=(
            Linear(name="router", out_features=2 * isqrt(number), in_features=hidden, component=Component.ROUTER),
            Tensor(name="experts", shape=(number, hidden), count=2, component=Component.EXPERTS),
        ),
        inactive=2 * hidden * (number - chosen),
        stateless=True,
    )


def _doge_attention(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> FullAttention:
    return replace(attention(config, traits, index, window), keep_window=config.size("keep_window_size"))


def _doge_residuals(config: ConfigDocument, index: int) -> tuple[Weight, ...]:
    """A scale for each feature of what attention and MLP add to."""
    return (Tensor(name="residual", shape=(config.size("hidden_size"),), count=2, component=Component.OTHER),)


def _doge_mask(config: ConfigDocument) -> tuple[Weight, ...]:
    """What makes a mask from V: how much each KV head keeps of a token."""
    heads = config.size_or_none("num_key_value_heads") or config.size("num_attention_heads")
    head_dim = head_dim_of(config)
    keep = Linear(name="dt", out_features=heads, in_features=heads * head_dim, bias=config.flag("attention_bias"))
    return keep, vector("A", heads)


def _lambdas(config: ConfigDocument) -> tuple[Weight, ...]:
    """How much of one attention map is taken off the other (2410.05258)."""
    head_dim = head_dim_of(config)
    return (Tensor(name="lambda", shape=(head_dim,), count=4),)


def _xielu(config: ConfigDocument) -> tuple[Weight, ...]:
    """The two learned slopes of xIELU (2411.13010)."""
    return (Tensor(name="slope", shape=(1,), count=2),) if config.require(str, "hidden_act") == "xielu" else ()


def _norm_of(size: str) -> ReadWeights:
    """A norm as wide as this config field says."""
    return lambda config: (vector("norm", config.size(size)),)


def _japanese_attention(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> FullAttention:
    """Only the last layer's output has a bias."""
    last = number_of_layers(config) - 1
    return replace(attention(config, traits, index, window), o_bias=index == last)


def _gpt_neox_japanese(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """The MLP is a number of times as wide as the hidden states; K and V have as many heads as Q."""
    width = config.size("intermediate_multiple_size", largest=_WIDENING_LIMIT) * config.size("hidden_size")
    traits = Traits(
        read_mlp=dense,
        read_mixer=_japanese_attention,
        norm_bias=True,
        gated=False,
        fused_qkv=True,
        partial_rotary_key="rotary_pct",
    )
    return read_decoder(changed(config, intermediate_size=width, num_key_value_heads=None), architectures, traits)


def _hrm_text(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """Two stacks of layers, a low and a high one, run in turns; each run of a layer has a cache of its own.

    Once in a file, `num_hidden_layers` is the number of runs, and `num_layers_per_stack` that of layers.
    """
    per_stack = config.size_or_none("num_layers_per_stack") or number_of_layers(config)
    high, low = config.size("H_cycles"), config.size("L_cycles")
    if per_stack * high * (low + 1) > LAYERS_LIMIT:
        raise config.error("H_cycles", f"more than {LAYERS_LIMIT:,} layers run")
    traits = replace(LLAMA, norms_per_layer=0, final_norms=0, output_gate=True, fused_qkv=True, fused_mlp=True)
    local = changed(config, num_hidden_layers=per_stack, num_key_value_heads=None)
    model = read_decoder(local, architectures, traits)
    again = tuple(replace(layer, is_shared=True) for layer in model.layers)
    first = (*model.layers, *again * (low - 1), *model.layers)
    state = vector("initial low state", model.hidden_size, Component.OTHER)
    return replace(model, layers=(*first, *again * ((high - 1) * (low + 1))), extras=(state,))


def _gpt2_others(config: ConfigDocument, traits: Traits, index: int) -> tuple[Part, ...]:
    """Attention to what an encoder says, where it has one."""
    if not config.flag("add_cross_attention"):
        return ()
    return (cross_attention(config, traits, index),)


def _gpt2_norms(config: ConfigDocument, index: int) -> tuple[Weight, ...]:
    """The norm before that attention."""
    if not config.flag("add_cross_attention"):
        return ()
    return (Tensor(name="cross norm", shape=(config.size("hidden_size"),), count=2, component=Component.NORM),)


LLAMA: Final = Traits(read_mlp=dense, qkv_bias="attention_bias", o_bias="attention_bias", mlp_bias="mlp_bias")

_GLM: Final = Traits(
    read_mlp=dense,
    qkv_bias="attention_bias",
    fused_mlp=True,
    partial_rotary_key="partial_rotary_factor",
    partial_rotary_default=0.5,
)

_PHI3: Final = Traits(
    read_mlp=dense,
    windows=patterns.wherever_set,
    fused_qkv=True,
    fused_mlp=True,
    partial_rotary_key="partial_rotary_factor",
)

_OLMO2: Final = Traits(
    read_mlp=dense,
    qkv_bias="attention_bias",
    o_bias="attention_bias",
    qk_norm=True,
    qk_norm_all_heads=True,
    pre_norm=False,
)

_TRAITS: Final[Mapping[str, Traits]] = {
    "llama": LLAMA,
    "mistral": Traits(read_mlp=dense, windows=patterns.wherever_set),
    "qwen2": Traits(read_mlp=dense, windows=patterns.from_max_window_layers, qkv_bias=True),
    "qwen3": Traits(
        read_mlp=dense,
        windows=patterns.from_max_window_layers,
        qkv_bias="attention_bias",
        o_bias="attention_bias",
        qk_norm=True,
    ),
    "granite": LLAMA,
    "cohere": Traits(
        read_mlp=dense,
        qkv_bias="attention_bias",
        o_bias="attention_bias",
        qk_norm="use_qk_norm",
        qk_norm_all_heads=True,
        parallel=True,
    ),
    "phi": Traits(
        read_mlp=dense,
        qkv_bias=True,
        o_bias=True,
        mlp_bias=True,
        qk_norm="qk_layernorm",
        qk_norm_bias=True,
        norm_bias=True,
        parallel=True,
        head_bias=True,
        gated=False,
        partial_rotary_key="partial_rotary_factor",
        partial_rotary_default=0.5,
    ),
    "stablelm": Traits(
        read_mlp=dense,
        qkv_bias="use_qkv_bias",
        qk_norm="qk_layernorm",
        qk_norm_all_heads=True,
        norm_bias=True,
        parallel="use_parallel_residual",
        partial_rotary_key="partial_rotary_factor",
        partial_rotary_default=0.25,
    ),
    "starcoder2": Traits(
        read_mlp=dense,
        windows=patterns.wherever_set,
        qkv_bias="use_bias",
        o_bias="use_bias",
        mlp_bias="use_bias",
        norm_bias=True,
        gated=False,
    ),
    "gemma": Traits(read_mlp=dense, qkv_bias="attention_bias", o_bias="attention_bias"),
    "gemma2": Traits(
        read_mlp=dense,
        windows=patterns.every_other,
        qkv_bias="attention_bias",
        o_bias="attention_bias",
        norms_per_layer=4,
        activation="hidden_activation",
    ),
    "gemma3_text": Traits(
        read_mlp=dense,
        windows=patterns.all_but_every_sixth,
        both_ways="use_bidirectional_attention",
        qkv_bias="attention_bias",
        o_bias="attention_bias",
        qk_norm=True,
        norms_per_layer=4,
        activation="hidden_activation",
        rotary_tables=2,
    ),
    "phi3": _PHI3,
    "gpt2": Traits(
        read_mlp=four_times_hidden,
        qkv_bias=True,
        o_bias=True,
        mlp_bias=True,
        norm_bias=True,
        gated=False,
        activation="activation_function",
        fused_qkv=True,
        overrides=NO_GROUPS,
        learned_positions="max_position_embeddings",
        read_others=_gpt2_others,
        layer_extras=_gpt2_norms,
    ),
    "gpt_neox": Traits(
        read_mlp=dense,
        qkv_bias="attention_bias",
        o_bias="attention_bias",
        mlp_bias=True,
        norm_bias=True,
        gated=False,
        fused_qkv=True,
        overrides=NO_GROUPS,
        partial_rotary_key="rotary_pct",
        partial_rotary_default=0.25,
    ),
    "smollm3": replace(LLAMA, windows=patterns.by_no_rope),
    "cohere2": Traits(
        read_mlp=dense,
        windows=patterns.by_pattern_of_four,
        qkv_bias="attention_bias",
        o_bias="attention_bias",
        parallel=True,
    ),
    "glm": _GLM,
    "glm4": replace(_GLM, norms_per_layer=4),
    "olmo": Traits(
        read_mlp=dense,
        qkv_bias="attention_bias",
        o_bias="attention_bias",
        norms_per_layer=0,
        final_norms=0,
    ),
    "olmo2": _OLMO2,
    "olmo3": replace(_OLMO2, windows=patterns.all_but_every_fourth, rotary_tables=2),
    "ernie4_5": Traits(read_mlp=dense, qkv_bias="use_bias", o_bias="use_bias", mlp_bias="use_bias"),
    "exaone4": Traits(read_mlp=dense, windows=patterns.by_pattern_of_four, qk_norm=True, pre_norm=False),
    "ministral": Traits(read_mlp=dense, windows=patterns.wherever_set),
    "ministral3": Traits(read_mlp=dense, windows=patterns.wherever_set),
    "seed_oss": Traits(
        read_mlp=dense,
        qkv_bias="attention_bias",
        o_bias="attention_out_bias",
        mlp_bias="mlp_bias",
    ),
    "arcee": replace(LLAMA, gated=False),
    "nemotron": replace(
        LLAMA,
        gated=False,
        norm_bias=True,
        partial_rotary_key="partial_rotary_factor",
        partial_rotary_default=0.5,
    ),
    "jais2": replace(LLAMA, gated=False, norm_bias=True),
    "nanochat": replace(LLAMA, gated=False, mlp_bias=False, norms_per_layer=0, final_norms=0),
    "apertus": replace(LLAMA, gated=False, mlp_bias=False, qk_norm=True, mlp_extras=_xielu),
    "bitnet": replace(
        LLAMA,
        mlp_bias=False,
        attention_extras=_norm_of("hidden_size"),
        mlp_extras=_norm_of("intermediate_size"),
    ),
    "diffllama": replace(LLAMA, mlp_bias=False, attention_extras=_lambdas),
    "doge": replace(
        LLAMA,
        read_mixer=_doge_attention,
        read_mlp=_doge_mlp,
        windows=patterns.wherever_set,
        qk_norm=True,
        attention_extras=_doge_mask,
        layer_extras=_doge_residuals,
    ),
    "helium": replace(LLAMA, o_bias=False),
    "hunyuan_v1_dense": replace(LLAMA, mlp_bias=False, qk_norm=True),
    "hyperclovax": replace(LLAMA, post_norms="use_post_norm"),
    "cwm": Traits(read_mlp=dense, windows=patterns.all_but_every_fourth_from_first, mlp_bias="mlp_bias"),
    "granite_swa": replace(LLAMA, windows=patterns.all_but_every_fourth_from_first, attention_extras=sinks),
    "iquestcoder": LLAMA,
    "internlm3": replace(LLAMA, qkv_bias="qkv_bias", o_bias="qkv_bias", mlp_bias="bias"),
    "emu3_text_model": LLAMA,
    "persimmon": Traits(
        read_mlp=dense,
        qkv_bias=True,
        o_bias=True,
        mlp_bias=True,
        qk_norm="qk_layernorm",
        qk_norm_bias=True,
        fused_qkv=True,
        overrides=NO_GROUPS,
        norm_bias=True,
        gated=False,
        partial_rotary_key="partial_rotary_factor",
        partial_rotary_default=0.5,
    ),
    "vaultgemma": Traits(
        read_mlp=dense,
        windows=patterns.every_other,
        qkv_bias="attention_bias",
        o_bias="attention_bias",
        activation="hidden_activation",
    ),
}

FAMILIES: Final[Mapping[str, Read]] = {
    **{model_type: partial(read_decoder, traits=traits) for model_type, traits in _TRAITS.items()},
    "gpt_neox_japanese": _gpt_neox_japanese,
    "hrm_text": _hrm_text,
}
