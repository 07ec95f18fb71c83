"""Model types whose code is not part of transformers: the repo brings it along, and nothing of it is run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hubvram.architecture.families.interface import Read

FAMILIES: Final[Mapping[str, Read]] = {}
