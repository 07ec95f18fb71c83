"""The Hub's rate limits: so many requests of a bucket in a fixed window of time."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass

from .messages import Reply, json_reply
from .state import HubState

_ANONYMOUS = {"api": (500, 300), "resolvers": (3000, 300)}


@dataclass(slots=True)
class _Window:
    ends: float = 0.0
    used: int = 0


class Quotas:
    """Requests to the CDN are free, and so are those of the Hub that a fault has answered."""

    def __init__(self, state: HubState) -> None:
        self._state = state
        self._windows = {bucket: _Window() for bucket in _ANONYMOUS}
        self._lock = threading.Lock()

    def spend(self, path: str) -> tuple[dict[str, str], Reply | None]:
        """The headers for a request's answer and, where its window is closed, the answer."""
        resolves = path.startswith("/api/resolve-cache/") or not path.startswith("/api/")
        bucket = "resolvers" if resolves else "api"
        if bucket not in self._state.quotas:
            return self._shown(bucket), None
        requests, window_seconds = self._state.quotas[bucket]
        with self._lock:
            window, now = self._windows[bucket], time.monotonic()
            if now >= window.ends:
                window.ends, window.used = now + window_seconds, 0
            closed = window.used >= requests
            window.used += not closed
            # In doubles (now + 300) - now may be a little over 300: no more than the window is left of it.
            wait_seconds = max(1, math.ceil(min(window_seconds, window.ends - now)))
            left = requests - window.used
        headers = _headers(bucket, left, wait_seconds, requests, math.ceil(window_seconds))
        return headers, json_reply({"error": "Too many requests: the rate limit is reached"}, 429) if closed else None

    def _shown(self, bucket: str) -> dict[str, str]:
        requests, window_seconds = _ANONYMOUS[bucket]
        with self._lock:
            self._windows[bucket].used += 1
            # Never 0: a closed window is something to ask for, not to run into.
            left = max(1, requests - self._windows[bucket].used)
        return _headers(bucket, left, window_seconds, requests, window_seconds)


def _headers(bucket: str, left: int, wait_seconds: int, requests: int, window_seconds: int) -> dict[str, str]:
    return {
        "RateLimit": f'"{bucket}";r={left};t={wait_seconds}',
        "RateLimit-Policy": f'"fixed window";"{bucket}";q={requests};w={window_seconds}',
    }
