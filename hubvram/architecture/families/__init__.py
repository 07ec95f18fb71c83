"""config.json -> Architecture, one table entry per model type; a new arrangement of layers is one file here."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from hubvram.architecture.families import (
    audio,
    classic,
    composite,
    composite_more,
    convolutions,
    dense,
    encoder,
    gemma,
    latent,
    linear_attention,
    moe,
    remote,
    remote_composite,
    searched,
    seq2seq,
    state_space,
    streams,
    swin,
    vision,
)
from hubvram.architecture.families.interface import Read
from hubvram.architecture.layers import Architecture
from hubvram.config.document import ConfigDocument
from hubvram.config.reader import ModelConfig

_FILES: Final = (
    composite_more,  # before those that read the text model of one of its types alone
    *(dense, gemma, searched, moe, streams, latent, state_space),
    *(linear_attention, convolutions, classic, encoder, vision, swin, audio, seq2seq),
    *(composite, remote, remote_composite),
)

FAMILIES: Final[Mapping[str, Read]] = MappingProxyType(dict(ChainMap(*(dict(file.FAMILIES) for file in _FILES))))
"""model_type -> how to read its config."""

_COMPOSITES: Final = composite.COMPOSITES | composite_more.COMPOSITES


def architecture_of(config: ModelConfig) -> Architecture | None:
    """What a family derives from a config; None without a family. Raises ConfigError."""
    document = described(config)
    if document is None or document.model_type is None:
        return None
    return FAMILIES[document.model_type](document, config.architectures)


def described(config: ModelConfig) -> ConfigDocument | None:
    """The part of a config that a family reads: all of it, else the text model inside; None without a family."""
    if config.whole.model_type in _COMPOSITES and config.text_model_type not in FAMILIES:
        return None
    document = next((document for document in (config.whole, config.text) if document.model_type in FAMILIES), None)
    is_other = remote_composite.OTHERS.get(document.model_type or "") if document else None
    return None if document is None or (is_other is not None and is_other(document)) else document
