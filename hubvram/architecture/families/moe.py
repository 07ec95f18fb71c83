"""Decoders with experts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hubvram.architecture.families.interface import Read

FAMILIES: Final[Mapping[str, Read]] = {}
