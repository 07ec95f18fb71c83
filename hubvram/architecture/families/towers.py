"""Towers: what stands beside a text model and looks or listens, and what such towers are made of.

A tower is layers of attention both ways and an MLP, read as a decoder's are, and what is around them: patches,
positions, norms. All of it counts as vision or audio. The types are in towers_fixed.py, towers_any_size.py and
towers_audio.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from hubvram.architecture.families.decoder import ReadValues, ReadWeights, Traits, both_ways, dense, read_layers
from hubvram.architecture.families.fields import LAYERS_LIMIT, ratio
from hubvram.architecture.families.weights import norm
from hubvram.architecture.layers import Stack
from hubvram.architecture.parts import Tensor, Weight, vector
from hubvram.checkpoint.components import Component
from hubvram.config.document import ConfigDocument


@dataclass(frozen=True, slots=True, kw_only=True)
class Tower:
    """One type of tower."""

    traits: Traits
    around: tuple[ReadWeights, ...] = ()
    """What stands around the layers."""
    values: ReadValues | None = None
    """What usual fields are, whatever the file says under their name."""
    depth: tuple[str, ...] = ("num_hidden_layers",)
    """The config fields that add up to the number of layers."""
    component: Component = Component.VISION


def read_tower(config: ConfigDocument, towers: Mapping[str, Tower]) -> Stack | None:
    """The tower that a config describes; None for a type that is not among `towers`. Raises ConfigError."""
    tower = towers.get(config.model_type or "")
    if tower is None:
        return None
    if tower.values is not None:
        config = replace(config, data={**config.data, **tower.values(config)})
    number = sum(config.size(key, largest=LAYERS_LIMIT) for key in tower.depth)
    return Stack(
        name=tower.component.value,
        hidden_size=config.size("hidden_size"),
        layers=read_layers(config, number, tower.traits),
        extras=tuple(weight for read in tower.around for weight in read(config)),
        component=tower.component,
        model_type=config.model_type,
    )


def sides(config: ConfigDocument, key: str) -> tuple[int, int]:
    """Height and width, where the field has both or one number for both."""
    values = config.one_or_more(key)
    if len(values) not in (1, 2) or not all(0 < value <= _LARGEST_SIDE for value in values):
        raise config.error(key, f"expected one or two sizes from 1 to {_LARGEST_SIDE:,}, found {list(values)[:4]}")
    return values[0], values[-1]


_LARGEST_SIDE: Final = 2**20


def widened(config: ConfigDocument) -> int:
    """`mlp_ratio` times the hidden size."""
    return int(config.size("hidden_size") * ratio(config, "mlp_ratio"))


def swiglu_width(inner: int) -> int:
    """Width of a gated MLP that has the parameters of a plain one of this width, in steps of eight (dinov2)."""
    return (inner * 2 // 3 + 7) // 8 * 8


def grid(config: ConfigDocument) -> int:
    """How many patches an image has."""
    (height, width), (patch_height, patch_width) = sides(config, "image_size"), sides(config, "patch_size")
    return (height // patch_height) * (width // patch_width)


def patch_pixels(config: ConfigDocument, *, channels: int) -> int:
    """What a matrix over a patch reads."""
    height, width = sides(config, "patch_size")
    return channels * height * width


def patches(
    config: ConfigDocument, *, bias: bool = True, channels: str = "num_channels", time: str | None = None
) -> tuple[Weight, ...]:
    """The convolution that makes a token of a patch, or of the same patch in `time` frames."""
    hidden = config.size("hidden_size")
    frames = (config.size(time),) if time else ()
    shape = (hidden, config.size(channels), *frames, *sides(config, "patch_size"))
    return Tensor(name="patch embedding", shape=shape), *((vector("patch embedding bias", hidden),) if bias else ())


def positions(config: ConfigDocument, *, more: int = 0) -> tuple[Weight, ...]:
    """A learned position for each patch, and for `more` tokens beside them."""
    return (Tensor(name="positions", shape=(grid(config) + more, config.size("hidden_size"))),)


def table(config: ConfigDocument, *, key: str) -> tuple[Weight, ...]:
    """As many learned positions as the field `key` says."""
    return (Tensor(name="positions", shape=(config.size(key), config.size("hidden_size"))),)


def class_token(config: ConfigDocument) -> tuple[Weight, ...]:
    return (vector("class token", config.size("hidden_size")),)


def norms(config: ConfigDocument, *, count: int = 1, bias: bool = True) -> tuple[Weight, ...]:
    """Norms before or behind the layers."""
    return norm("norm", config.size("hidden_size"), None, bias=bias, count=count)


def layer_scales(config: ConfigDocument, index: int) -> tuple[Weight, ...]:
    """What attention and MLP say is weighed by a learned vector each."""
    return (Tensor(name="layer scale", shape=(config.size("hidden_size"),), count=2),)


def renamed(config: ConfigDocument, names: Mapping[str, str]) -> dict[str, Any]:
    """Usual field -> the value that older files have under another name."""
    return {usual: config.data[name] for usual, name in names.items() if config.data.get(name) is not None}


def hidden_size_from(key: str) -> ReadValues:
    """The usual field for the width of a tower whose config says it under another name."""
    return lambda config: {"hidden_size": config.size(key)}


VIT: Final = Traits(
    read_mlp=dense,
    read_mixer=both_ways,
    qkv_bias=True,
    o_bias=True,
    mlp_bias=True,
    norm_bias=True,
    gated=False,
    uneven_heads=True,
)
"""Pre-norm layers with biases everywhere, as ViT has them."""


BARE: Final = replace(VIT, qkv_bias=False, o_bias=False, mlp_bias=False, norm_bias=False, gated=True)
"""A llama's layers, both ways."""
