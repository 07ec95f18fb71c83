"""Models of several parts: a text model, a vision or audio tower, a projector between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hubvram.architecture.families.interface import Read

FAMILIES: Final[Mapping[str, Read]] = {}
