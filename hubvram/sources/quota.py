"""The Hub's quota: how many requests are left in each bucket, by what it last said, and when there will be more.

Every answer has `RateLimit: "api";r=499;t=55` (499 left, renewed in 55 s), over fixed windows of five minutes.
https://huggingface.co/docs/hub/rate-limits
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from hubvram.sources.forking import in_every_child

API: Final = "api"
RESOLVERS: Final = "resolvers"

_LONGEST_SECONDS: Final = 3600
"""A window has 300 s; what says more than this is no Hub's answer."""


def bucket_of(url: str) -> str:
    """Which bucket a request to the Hub counts in."""
    path = urlsplit(url).path
    return API if path.startswith("/api/") and not path.startswith("/api/resolve-cache/") else RESOLVERS


class Quota:
    """Noted and waited for in the loop of sources/loop.py; read from any thread."""

    def __init__(self) -> None:
        self._left: dict[str, tuple[int, float]] = {}
        self._renewed: dict[str, asyncio.Event] = {}

    def forget(self) -> None:
        """In a forked child: whom the others wait for is not there."""
        self._renewed = {}

    def note(self, url: str, headers: Mapping[str, str]) -> None:
        """What an answer says. The latest counts: where requests pass, nobody has to wait any longer."""
        from huggingface_hub.utils import parse_ratelimit_headers

        limit = parse_ratelimit_headers(headers)
        if limit is None:
            return
        bucket = bucket_of(url)
        seconds = min(limit.reset_in_seconds, _LONGEST_SECONDS)
        self._left[bucket] = limit.remaining, time.monotonic() + seconds
        if limit.remaining > 0 and bucket in self._renewed:
            self._renewed.pop(bucket).set()

    def wait_seconds(self, url: str) -> float:
        """How long a request has to wait for its bucket; 0 where it may be sent."""
        remaining, renewed_at = self._left.get(bucket_of(url), (1, 0.0))
        return max(0.0, renewed_at - time.monotonic()) if remaining == 0 else 0.0

    async def renewed(self, url: str, seconds: float) -> None:
        """Wait this long for the bucket of a request, or until another request has passed."""
        event = self._renewed.setdefault(bucket_of(url), asyncio.Event())
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            pass

    def left(self) -> dict[str, tuple[int, int]]:
        """Bucket -> (requests left, seconds until it is renewed), of those that the Hub has told."""
        now = time.monotonic()
        return {bucket: (left, max(0, round(at - now))) for bucket, (left, at) in self._left.items()}


QUOTA: Final = Quota()
"""Of the Hub that this process asks."""
in_every_child(QUOTA.forget)
