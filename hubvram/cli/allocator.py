"""The allocator's habits, where they cost memory."""

from __future__ import annotations

from typing import Final

_M_ARENA_MAX: Final = -8
_ARENAS: Final = 2


def share_arenas() -> None:
    """Let all threads of this process allocate from two arenas, where the C library is glibc.

    It gives each thread one of its own, and what a large header leaves behind there is kept for that thread alone: a
    thousand models took 459 MiB at the peak, with two arenas 175. MALLOC_ARENA_MAX does the same from outside.
    """
    import ctypes

    try:
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)
    except (AttributeError, OSError, TypeError):  # another C library, or another system
        return
