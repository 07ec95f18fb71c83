"""Engines: who runs the model decides how caches are kept and what is alive at the peak."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hubvram.memory.engines.interface import Engine
from hubvram.memory.engines.transformers import TRANSFORMERS

_ALL: Final[tuple[Engine, ...]] = (TRANSFORMERS,)

ENGINES: Final[Mapping[str, Engine]] = {engine.name: engine for engine in _ALL}
"""Name -> engine."""
