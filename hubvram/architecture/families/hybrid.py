"""Decoders whose layers are of several kinds: which layer is of which kind, and what a kind is made of.

The rules that turn a few fields into one kind per layer follow the `__post_init__` of each config class in
transformers 5.23. An explicit `layer_types` (or what a model type calls it) wins, under its names of old too. The
model types are in state_space.py, linear_attention.py, convolutions.py and inkling.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from hubvram.architecture import patterns
from hubvram.architecture.families.decoder import ReadMixer, ReadMLP, Traits, read_decoder, usual_fields
from hubvram.architecture.families.experts import Experts, with_experts
from hubvram.architecture.families.fields import changed, number_of_layers
from hubvram.architecture.layers import Architecture
from hubvram.config.document import ConfigDocument

FULL: Final = "full_attention"
SLIDING: Final = "sliding_attention"
LINEAR: Final = "linear_attention"
"""transformers' word for everything that keeps a state: mamba too."""
CONV: Final = "conv"
HYBRID: Final = "hybrid"

KindRule = Callable[[ConfigDocument, int], Sequence[str]]
"""(config, number of layers) -> the kind of each layer."""

_NAMES_OF_OLD: Final[Mapping[str, str]] = {"mamba": LINEAR, "attention": FULL}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hybrid:
    """A model type with layers of several kinds."""

    kinds: KindRule
    mixers: Mapping[str, ReadMixer]
    """Kind of layer -> its token mixer."""
    traits: Traits
    mlps: Mapping[str, ReadMLP] = field(default_factory=dict)
    """Kind of layer -> its MLP, where that is another than the traits'."""
    experts: Experts | None = None


def read_hybrid(config: ConfigDocument, architectures: tuple[str, ...], hybrid: Hybrid) -> Architecture:
    """The architecture of one model of this shape. Raises ConfigError."""
    config = usual_fields(config, hybrid.traits)
    kinds = hybrid.kinds(config, number_of_layers(config))
    unknown = sorted(set(kinds) - set(hybrid.mixers))
    if unknown:
        raise config.error("layer_types", f"{unknown[0]!r} is no kind of layer that this model type has")
    traits = hybrid.traits
    if hybrid.experts is not None:
        traits = with_experts(config, traits, hybrid.experts)
    usual_mlp = traits.read_mlp

    def read_mixer(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> Any:
        return hybrid.mixers[kinds[index]](config, traits, index, window)

    def read_mlp(config: ConfigDocument, traits: Traits, index: int) -> Any:
        return hybrid.mlps.get(kinds[index], usual_mlp)(config, traits, index)

    traits = replace(traits, read_mixer=read_mixer, read_mlp=read_mlp, kinds=tuple(hybrid.mixers))
    return read_decoder(changed(config, layer_types=list(kinds)), architectures, traits)


def no_mixer(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> None:
    """For layers that are an MLP and nothing else."""


def no_mlp(config: ConfigDocument, traits: Traits, index: int) -> None:
    """For layers that are a token mixer and nothing else."""


# ---------------------------------------------------------------------------------- kinds of layers


def always(kind: str) -> KindRule:
    """The same in every layer."""
    return lambda config, layers: [kind] * layers


def listed(usual: KindRule) -> KindRule:
    """What `layer_types` says, else by the type's own rule."""

    def rule(config: ConfigDocument, layers: int) -> Sequence[str]:
        kinds = [_NAMES_OF_OLD.get(kind, kind) for kind in config.strings("layer_types")]
        return kinds or usual(config, layers)

    return rule


def by_period(config: ConfigDocument, layers: int) -> Sequence[str]:
    """Attention in each `attn_layer_period`-th layer, from `attn_layer_offset` on (jamba)."""
    period, offset = config.size("attn_layer_period"), config.require(int, "attn_layer_offset")
    return [FULL if index % period == offset else LINEAR for index in range(layers)]


def by_interval(config: ConfigDocument, layers: int) -> Sequence[str]:
    """Attention in the last of every `full_attention_interval` layers, four where nothing is said (qwen3_next)."""
    interval = config.size_or_none("full_attention_interval") or 4
    return [LINEAR if (index + 1) % interval else FULL for index in range(layers)]


def by_indices(key: str, *, other: str, absent: str) -> KindRule:
    """Attention in the layers that a field lists (bamba); `absent` everywhere where it is left out."""

    def rule(config: ConfigDocument, layers: int) -> Sequence[str]:
        if config.get(list, key) is None:
            return [absent] * layers
        chosen = set(config.integers(key))
        return [FULL if index in chosen else other for index in range(layers)]

    return rule
