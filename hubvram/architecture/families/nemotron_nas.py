"""Models whose layers were chosen one by one by a search (Nemotron-NAS, 2411.19146): `block_configs` lists them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from hubvram.architecture import patterns
from hubvram.architecture.families.decoder import Traits, attention, dense, fixed, read_decoder
from hubvram.architecture.families.fields import changed, ratio, section_of
from hubvram.architecture.families.interface import Read
from hubvram.architecture.layers import Architecture, Layer
from hubvram.architecture.parts import Block, Linear, Norms, Part
from hubvram.checkpoint.components import Component
from hubvram.config.document import ConfigDocument

_ROUNDED_TO: Final = 256


def _nemotron_nas(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """Llama, of which each layer may lack its attention or MLP, or have one matrix in its place."""
    model = read_decoder(config, architectures, _TRAITS)
    return replace(model, layers=tuple(_with_norms(layer, model.hidden_size) for layer in model.layers))


def _with_norms(layer: Layer, hidden_size: int) -> Layer:
    """What a layer does not have, it has no norm for."""
    return replace(
        layer, norms=Norms(count=(layer.mixer is not None) + (layer.mlp is not None), hidden_size=hidden_size)
    )


def _part(config: ConfigDocument, index: int, name: str) -> ConfigDocument:
    """What `block_configs` says of one layer's attention or ffn."""
    blocks = config.require(list, "block_configs")
    if len(blocks) <= index:
        raise config.error("block_configs", f"it lists {len(blocks)} layers, num_hidden_layers has more")
    path = f"{config.path}block_configs[{index}]."
    block = blocks[index]
    if not isinstance(block, dict):
        raise config.error(f"block_configs[{index}]", "expected an object")
    document = ConfigDocument(model_id=config.model_id, data=block, path=path)
    return section_of(document, name)


def _mixer(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> Part | None:
    part = _part(config, index, "attention")
    if part.flag("no_op"):
        return None
    if part.flag("replace_with_linear"):
        return _matrix(config, Component.ATTENTION)
    group, heads = part.size("n_heads_in_group"), config.size("num_attention_heads")
    if heads % group:
        raise part.error("n_heads_in_group", f"{group} does not divide the {heads} attention heads")
    return attention(
        changed(config, num_key_value_heads=heads // group), traits, index, part.size_or_none("window_length")
    )


def _mlp(config: ConfigDocument, traits: Traits, index: int) -> Part | None:
    part = _part(config, index, "ffn")
    if part.flag("no_op"):
        return None
    if part.flag("replace_with_linear"):
        return _matrix(config, Component.MLP)
    return dense(changed(config, intermediate_size=_width(part, config.size("hidden_size"))), traits, index)


def _width(part: ConfigDocument, hidden_size: int) -> int:
    """`intermediate_size`, or two thirds of `ffn_mult` times the hidden size, rounded up."""
    if part.get(float, "ffn_mult") is None:
        return part.size("intermediate_size")
    share = ratio(part, "ffn_mult")
    width = -(-int(2 * share * hidden_size / 3) // _ROUNDED_TO) * _ROUNDED_TO
    if not width:
        raise part.error("ffn_mult", f"{share} leaves no width")
    return width


def _matrix(config: ConfigDocument, component: Component) -> Block:
    hidden = config.size("hidden_size")
    weights = (Linear(name="linear", out_features=hidden, in_features=hidden),)
    return Block(kind="linear", component=component, weights=weights, stateless=True)


_TRAITS: Final = Traits(
    read_mlp=_mlp,
    read_mixer=_mixer,
    qkv_bias="attention_bias",
    o_bias="attention_bias",
    mlp_bias="mlp_bias",
    values=fixed(hidden_act="silu"),
)

FAMILIES: Final[Mapping[str, Read]] = {"nemotron-nas": _nemotron_nas}
