"""config.json -> Architecture, one table entry per model type; a new arrangement of layers is one file here."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from hubvram.architecture.families import (
    classic,
    composite,
    dense,
    encoder,
    gemma,
    hybrid,
    latent,
    moe,
    remote,
    searched,
    seq2seq,
)
from hubvram.architecture.families.interface import Read
from hubvram.config.document import ConfigDocument
from hubvram.config.reader import ModelConfig

_FILES: Final = (dense, gemma, searched, moe, latent, hybrid, classic, encoder, seq2seq, composite, remote)

FAMILIES: Final[Mapping[str, Read]] = MappingProxyType(dict(ChainMap(*(dict(file.FAMILIES) for file in _FILES))))
"""model_type -> how to read its config."""


def described(config: ModelConfig) -> ConfigDocument | None:
    """The part of a config that a family reads: all of it, else the text model inside; None without a family."""
    if config.whole.model_type in composite.COMPOSITES and config.text_model_type not in FAMILIES:
        return None
    return next((document for document in (config.whole, config.text) if document.model_type in FAMILIES), None)
