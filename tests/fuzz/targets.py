"""The table of what is fuzzed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tests.fuzz.configs import CONFIG
from tests.fuzz.headers import HEADER
from tests.fuzz.target import Target

TARGETS: Final[Mapping[str, Target]] = {target.name: target for target in (HEADER, CONFIG)}
