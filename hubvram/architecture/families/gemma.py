"""Gemma 3n and 4: layers that use the K and V of earlier ones, embeddings for each layer, two sizes of heads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from hubvram.architecture import patterns
from hubvram.architecture.attention import FullAttention, SharedKVAttention
from hubvram.architecture.families.decoder import Traits, attention, dense, read_decoder
from hubvram.architecture.families.experts import Experts, read_experts
from hubvram.architecture.families.fields import changed, check_length, count_of, layer_config, number_of_layers
from hubvram.architecture.families.interface import Read
from hubvram.architecture.layers import Architecture
from hubvram.architecture.mlp import DenseMLP
from hubvram.architecture.parts import Linear, Part, Tensor, Weight, vector
from hubvram.checkpoint.components import Component
from hubvram.config.document import ConfigDocument

_GLOBAL_HEAD_DIM: Final = 512
"""What gemma4 takes where its config has no `global_head_dim` (configuration_gemma4.py)."""


def _read(config: ConfigDocument, architectures: tuple[str, ...], traits: Traits) -> Architecture:
    """A decoder whose last layers share K and V; files may have matrices for them all the same."""
    model = read_decoder(config, architectures, traits)
    unused = tuple(
        f"model.layers.{index}.self_attn.{name}.weight"
        for index, layer in enumerate(model.layers)
        if isinstance(layer.mixer, SharedKVAttention)
        for name in ("k_proj", "v_proj", "k_norm")  # `_keys_to_ignore_on_load_unexpected`
    )
    return replace(model, unused=(*model.unused, *unused))


def _first_shared(config: ConfigDocument) -> int:
    """The first of the last `num_kv_shared_layers` layers, which use the K and V of earlier ones of their kind."""
    number, shared = number_of_layers(config), config.get(int, "num_kv_shared_layers") or 0
    if not 0 <= shared < number:
        raise config.error("num_kv_shared_layers", f"{shared} is not between 0 and {number - 1}")
    return number - shared


def _attention(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> FullAttention:
    """As usual, but for layers without K and V of their own. What they look at ends where their kind's window does."""
    shared = partial(SharedKVAttention, sliding_window=window if isinstance(window, int) else None)
    return attention(config, traits, index, window, shared if index >= _first_shared(config) else None)


def _per_layer_input(config: ConfigDocument) -> tuple[DenseMLP, ...]:
    """What brings a token's embedding for this layer in: a narrow MLP, gated by that embedding."""
    width = count_of(config, "hidden_size_per_layer_input")
    return (_narrow(config, width, config.require(str, "hidden_activation")),) if width else ()


def _narrow(config: ConfigDocument, width: int, activation: str) -> DenseMLP:
    return DenseMLP(hidden_size=config.size("hidden_size"), intermediate_size=width, hidden_act=activation, gated=False)


def _per_layer_embeddings(config: ConfigDocument) -> tuple[Weight, ...]:
    """A second embedding with a row part for each layer, and what makes the same from the first one."""
    width = count_of(config, "hidden_size_per_layer_input")
    if not width:
        return ()
    rows, hidden = config.size("vocab_size_per_layer_input"), config.size("hidden_size")
    all_layers = number_of_layers(config) * width
    place = Component.EMBEDDING
    return (
        Tensor(name="per-layer embedding", shape=(rows, all_layers), component=place),
        Linear(name="per-layer projection", out_features=all_layers, in_features=hidden, component=place),
        vector("per-layer projection norm", width, Component.NORM),
    )


# ----------------------------------------------------------------------------------------- Gemma 3n


def _gemma3n_mlp(config: ConfigDocument, traits: Traits, index: int) -> DenseMLP:
    """`intermediate_size` is one width, or one for each layer."""
    if not isinstance(config.data.get("intermediate_size"), list):
        return dense(config, traits, index)
    widths, number = config.integers("intermediate_size"), number_of_layers(config)
    check_length(config, "intermediate_size", widths, number)
    return dense(changed(config, intermediate_size=widths[index]), traits, index)


def _gemma3n_others(config: ConfigDocument, traits: Traits, index: int) -> tuple[Part, ...]:
    """LAuReL's detour of low rank (2411.07501), and the embedding for this layer."""
    return _narrow(config, config.size("laurel_rank"), "linear"), *_per_layer_input(config)


def _altup(config: ConfigDocument, index: int) -> tuple[Weight, ...]:
    """What predicts and corrects the parallel copies of the hidden states (AltUp, 2301.13310)."""
    hidden, copies = config.size("hidden_size"), config.size("altup_num_inputs")
    other = Component.OTHER
    return (
        vector("altup output scale", hidden, other),
        Linear(name="altup correction", out_features=copies, in_features=copies, component=other),
        Linear(name="altup prediction", out_features=copies * copies, in_features=copies, component=other),
        Linear(name="altup router", out_features=copies, in_features=hidden, component=other),
    )


def _gemma3n_extras(config: ConfigDocument) -> tuple[Weight, ...]:
    hidden, further = config.size("hidden_size"), config.size("altup_num_inputs") - 1
    copies = Linear(
        name="altup copies", out_features=hidden, in_features=hidden, count=2 * further, component=Component.OTHER
    )
    return *_per_layer_embeddings(config), copies


_GEMMA3N: Final = Traits(
    read_mlp=_gemma3n_mlp,
    read_mixer=_attention,
    read_others=_gemma3n_others,
    layer_extras=_altup,
    extras=_gemma3n_extras,
    windows=patterns.all_but_every_fifth,
    qkv_bias="attention_bias",
    o_bias="attention_bias",
    qk_norm=True,
    # Those of gemma2, and one each for AltUp's router, LAuReL and the embedding for this layer.
    norms_per_layer=7,
    activation="hidden_activation",
    rotary_tables=2,
)


# ------------------------------------------------------------------------------------------ Gemma 4


def _gemma4_attention(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> FullAttention:
    """Full layers have heads of their own size and, with `attention_k_eq_v`, no matrix for V."""
    if index == number_of_layers(config) - 1:
        window = None  # whatever `layer_types` says of the last layer
    if isinstance(window, int) and config.get(str, "use_bidirectional_attention") == "all":
        window = window // 2 + 1
    local = layer_config(config, index)
    if window is None and config.section("per_layer_config") is None:
        local = changed(local, **_global_heads(config))
    mixer = _attention(local, traits, index, window)
    return replace(mixer, v_from_k=window is None and config.flag("attention_k_eq_v"))


def _global_heads(config: ConfigDocument) -> Mapping[str, Any]:
    """What is different in full layers, as configs had it before `per_layer_config`."""
    heads = config.size_or_none("num_global_key_value_heads") if config.flag("attention_k_eq_v") else None
    head_dim = config.size_or_none("global_head_dim") or _GLOBAL_HEAD_DIM
    return {"head_dim": head_dim} if heads is None else {"head_dim": head_dim, "num_key_value_heads": heads}


def _gemma4_mlp(config: ConfigDocument, traits: Traits, index: int) -> DenseMLP:
    """Layers that go without K and V of their own may have an MLP of twice the width instead."""
    mlp = dense(config, traits, index)
    doubled = config.flag("use_double_wide_mlp") and index >= _first_shared(config)
    return replace(mlp, intermediate_size=2 * mlp.intermediate_size) if doubled else mlp


def _gemma4_others(config: ConfigDocument, traits: Traits, index: int) -> tuple[Part, ...]:
    """The embedding for this layer, and experts beside the MLP."""
    if not config.flag("enable_moe_block"):
        return _per_layer_input(config)
    experts = read_experts(config, traits, Experts(chosen="top_k_experts"))
    scales = (
        vector("router scale", experts.hidden_size, Component.ROUTER),
        vector("scale of each expert", experts.num_experts, Component.ROUTER),
    )
    return *_per_layer_input(config), replace(experts, others=scales)


def _gemma4_layer(config: ConfigDocument, index: int) -> tuple[Weight, ...]:
    """A scale for the whole layer, and norms for what not every model has."""
    norms = (1 if count_of(config, "hidden_size_per_layer_input") else 0) + 3 * config.flag("enable_moe_block")
    further = Tensor(name="norm", shape=(config.size("hidden_size"),), count=norms, component=Component.NORM)
    return *_gemma4_scale(config, index), *((further,) if norms else ())


def _gemma4_scale(config: ConfigDocument, index: int) -> tuple[Weight, ...]:
    return (vector("layer scale", 1, Component.OTHER),)


_GEMMA4_UNIFIED: Final = Traits(
    read_mlp=_gemma4_mlp,
    read_mixer=_gemma4_attention,
    layer_extras=_gemma4_scale,
    windows=patterns.all_but_every_sixth_always,
    qkv_bias="attention_bias",
    o_bias="attention_bias",
    qk_norm=True,
    norms_per_layer=4,
    activation="hidden_activation",
    rotary_tables=2,
)

_GEMMA4: Final = replace(
    _GEMMA4_UNIFIED, read_others=_gemma4_others, layer_extras=_gemma4_layer, extras=_per_layer_embeddings
)

FAMILIES: Final[Mapping[str, Read]] = {
    "gemma3n_text": partial(_read, traits=_GEMMA3N),
    "gemma4_text": partial(_read, traits=_GEMMA4),
    "gemma4_unified_text": partial(_read, traits=_GEMMA4_UNIFIED),
}
