"""config.json -> Architecture, one table entry per model type; a new arrangement of layers is one file here."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from hubvram.architecture.families import (
    classic,
    composite,
    decoder,
    encoder,
    hybrid,
    latent,
    moe,
    remote,
    seq2seq,
)
from hubvram.architecture.families.interface import Read

_FILES: Final = (decoder, moe, latent, hybrid, classic, encoder, seq2seq, composite, remote)

FAMILIES: Final[Mapping[str, Read]] = MappingProxyType(dict(ChainMap(*(dict(file.FAMILIES) for file in _FILES))))
"""model_type -> how to read its config."""
