"""One event loop in a thread of its own: all requests of all models share it, and any of them can be given up.

Whoever waits for a request is in an ordinary thread; a request that hangs, wherever it hangs, is cancelled there.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from hubvram.sources.forking import in_every_child

T = TypeVar("T")


class Loop:
    """The loop, started when it is first needed; a forked child, which has no threads, starts its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def forget(self) -> None:
        """In a forked child."""
        self._lock = threading.Lock()
        self._loop = None

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for `work`, done in the loop; an interrupt here cancels it there."""
        future = asyncio.run_coroutine_threadsafe(work, self._started())
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    @property
    def is_running(self) -> bool:
        """Whether anything was ever run in this process."""
        return self._loop is not None

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                # A daemon: the end of the program does not wait for a server.
                threading.Thread(target=self._loop.run_forever, name="hubvram-network", daemon=True).start()
            return self._loop


LOOP = Loop()
in_every_child(LOOP.forget)
