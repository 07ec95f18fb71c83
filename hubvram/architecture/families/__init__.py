"""config.json -> Architecture, one table entry per model type; a new arrangement of layers is one file here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from hubvram.architecture.families import decoder
from hubvram.architecture.layers import Architecture
from hubvram.config.document import ConfigDocument

Read = Callable[[ConfigDocument, tuple[str, ...]], Architecture]
"""(the text model's config, config.json's `architectures`) -> its architecture; raises ConfigError."""

FAMILIES: Final[Mapping[str, Read]] = MappingProxyType({**decoder.FAMILIES})
"""model_type -> how to read its config."""
