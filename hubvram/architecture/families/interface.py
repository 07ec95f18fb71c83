"""What a family is: a function from a config to an architecture."""

from __future__ import annotations

from collections.abc import Callable

from hubvram.architecture.layers import Architecture
from hubvram.config.document import ConfigDocument

Read = Callable[[ConfigDocument, tuple[str, ...]], Architecture]
"""(the model's config, config.json's `architectures`) -> its architecture; raises ConfigError."""
