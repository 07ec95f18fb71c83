"""What a forked child must not share with its parent."""

from __future__ import annotations

import os
from collections.abc import Callable


def in_every_child(forget: Callable[[], None]) -> None:
    """Call this in each process that is forked from this one, where there is such a thing."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=forget)
