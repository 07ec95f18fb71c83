"""Decoders with state spaces, convolutions or linear attention, alone or between attention layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hubvram.architecture.families.interface import Read

FAMILIES: Final[Mapping[str, Read]] = {}
