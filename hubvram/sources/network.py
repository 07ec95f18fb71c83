"""How the Hub may be asked: the bounds of one model's reading."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from hubvram.errors import UsageError

TIMEOUT_SECONDS: Final = 120.0
"""For one model in all: a slow line takes a minute for the largest headers known (12 MB)."""

REQUESTS_IN_FLIGHT: Final = 64
"""Bound by the network, so it does not depend on the number of cores."""

OnWait = Callable[[float], None]
"""Called with the seconds that a request will wait for the Hub's quota, from any thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """What a reading may take. Raises UsageError where that makes no sense."""

    offline: bool = False
    """Send no request: answer from what is on this machine."""
    timeout_seconds: float = TIMEOUT_SECONDS
    """For the whole model, without waits for the quota."""
    requests_in_flight: int = REQUESTS_IN_FLIGHT
    """Of this model at once."""
    quota_wait_seconds: float = 5.0
    """How long a request may wait until the Hub's quota is renewed; where that takes longer, it is a HubBusyError."""
    on_wait: OnWait | None = None

    def __post_init__(self) -> None:
        seconds = self.timeout_seconds
        if not (isinstance(seconds, int | float) and seconds > 0 and math.isfinite(seconds)):
            raise UsageError(f"a timeout of {seconds} s is not possible", "--timeout takes seconds")
