"""Pairs of a text and a vision encoder: clip, siglip.

Details from each model's `modeling_*.py` in transformers 5.23.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from hubvram.architecture.families.decoder import ReadWeights, read_layers
from hubvram.architecture.families.encoder_tops import linear
from hubvram.architecture.families.fields import labels_of, number_of_layers
from hubvram.architecture.families.interface import Read
from hubvram.architecture.families.towers import VIT, read_tower, sides
from hubvram.architecture.families.towers_fixed import TOWERS
from hubvram.architecture.layers import Architecture, Image, Stack
from hubvram.architecture.parts import Linear, Norms, Tensor, Weight, vector
from hubvram.checkpoint.components import Component
from hubvram.config.document import ConfigDocument
from hubvram.config.reader import inner_config


def _read_pair(config: ConfigDocument, architectures: tuple[str, ...], *, between: ReadWeights) -> Architecture:
    """A text encoder with a vision tower beside it, and what is `between`; or the tower alone, below a classifier."""
    vision = inner_config(config, "vision_config")
    stack = read_tower(vision, TOWERS)
    if stack is None:
        raise config.error("vision_config", f"{vision.model_type!r} is no type of tower that is known")
    model_type = config.model_type or config.require(str, "model_type")
    if any(name.endswith("ForImageClassification") for name in architectures):
        width = stack.hidden_size
        return Architecture(
            model_type=model_type,
            hidden_size=width,
            vocab_size=0,
            max_position_embeddings=None,
            tie_word_embeddings=False,
            layers=(),
            final_norm=Norms(count=0, hidden_size=width),
            head=Linear(name="head", out_features=labels_of(config), in_features=width, bias=True),
            stacks=(stack,),
        )
    text = _read_text(inner_config(config, "text_config"), ())
    tower = replace(stack, image=_image(vision, stack))
    return replace(text, model_type=model_type, stacks=(tower,), extras=(*text.extras, *between(config)))


def _image(config: ConfigDocument, stack: Stack) -> Image:
    """Of the tower's size; where it takes patches of images of any, a square of as many as it has positions for."""
    tokens = next(it.shape[0] for it in stack.extras if isinstance(it, Tensor) and it.name == "positions")
    channels = config.size("num_channels")
    if stack.model_type == "siglip2_vision_model":
        side = math.isqrt(tokens) * config.size("patch_size")
        return Image(channels=channels, height=side, width=side, tokens=tokens)
    height, width = sides(config, "image_size")
    return Image(channels=channels, height=height, width=width, tokens=tokens)


def _read_text(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """The text encoder of such a pair."""
    hidden_size = config.size("hidden_size")
    number = number_of_layers(config)
    positions = config.size("max_position_embeddings")
    return Architecture(
        model_type=config.model_type or config.require(str, "model_type"),
        hidden_size=hidden_size,
        vocab_size=config.size("vocab_size"),
        max_position_embeddings=positions,
        tie_word_embeddings=False,
        layers=read_layers(config, number, VIT),
        final_norm=Norms(count=1, hidden_size=hidden_size, bias=True),
        head=None,
        learned_positions=positions,
        extras=_projections(config, architectures),
    )


def _projections(config: ConfigDocument, architectures: tuple[str, ...]) -> tuple[Weight, ...]:
    """What makes the last token's vector the text's: siglip has it in the encoder, clip behind it."""
    hidden = config.size("hidden_size")
    if "siglip" in (config.model_type or ""):
        return (linear("text head", config.size_or_none("projection_size") or hidden, hidden),)
    if any(name.endswith("WithProjection") for name in architectures):
        return (_projection("text projection", config.size("projection_dim"), hidden),)
    return ()


def _projection(name: str, rows: int, columns: int) -> Linear:
    return Linear(name=name, out_features=rows, in_features=columns, component=Component.PROJECTOR)


def _clip_between(config: ConfigDocument) -> tuple[Weight, ...]:
    width = config.size("projection_dim")
    sides = (("text projection", "text_config"), ("visual projection", "vision_config"))
    return (
        *(_projection(name, width, inner_config(config, key).size("hidden_size")) for name, key in sides),
        vector("logit scale", 1, Component.OTHER),
    )


def _siglip_between(config: ConfigDocument) -> tuple[Weight, ...]:
    return vector("logit scale", 1, Component.OTHER), vector("logit bias", 1, Component.OTHER)


_SIGLIP: Final = partial(_read_pair, between=_siglip_between)

FAMILIES: Final[Mapping[str, Read]] = {
    "clip": partial(_read_pair, between=_clip_between),
    "clip_text_model": _read_text,
    "siglip": _SIGLIP,
    "siglip_text_model": _read_text,
    "siglip2": _SIGLIP,
    "siglip2_text_model": _read_text,
}
