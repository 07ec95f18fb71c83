"""A static cache, played: a layer makes room for all tokens in its first forward, and attention sees all of the room.

A window's layer has room for its window, and hands on a longer prompt as it was made
(transformers 5.23, cache_utils.py: StaticLayer.update, StaticSlidingWindowLayer.update).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from hubvram.architecture.attention import ChunkedAttention, FullAttention, SlidingAttention
from hubvram.architecture.parts import Part
from hubvram.memory.kv_cache import slots, token_bytes, window_of

if TYPE_CHECKING:
    from hubvram.memory.forward.run import Run
    from hubvram.memory.forward.tape import Tensor


def seen_tokens(run: Run, mixer: Part) -> int:
    """How many keys attention takes, and has a mask for."""
    room = slots(mixer, run.sizes.room)
    return room if run.decodes else max(room, run.tokens)


def masks_room(run: Run, mixer: Part) -> bool:
    """Whether sdpa has a mask without any padding: not over a prompt, unless its window is as short as what is seen
    (masking_utils.py, _ignore_causal_mask_sdpa)."""
    window = window_of(mixer)
    return run.decodes or (window is not None and seen_tokens(run, mixer) >= window)


def room_bytes(run: Run, parts: Iterable[Part]) -> int:
    """Of one sequence: what layers that are still to run in the first forward will make room for."""
    if run.decodes:
        return 0
    return sum(slots(part, run.sizes.room) * token_bytes(part, run.cache_element_bytes) for part in parts)


def no_room_yet(run: Run, mixer: FullAttention) -> Tensor | None:
    """Less than nothing: the layer's room, which it makes once K and V are made; these count as cached before."""
    made_bytes = run.tokens * token_bytes(mixer, run.cache_element_bytes)
    more_bytes = made_bytes - room_bytes(run, (mixer,))
    return run.tensor("K and V as made, less the room for them", more_bytes, element_bytes=1) if more_bytes else None


def play_update(run: Run, mixer: FullAttention, made_width: int) -> Tensor | None:
    """K and V as made are copied to their places; a full window's are all moved on by one before, into tensors of their
    own. Returns what was made of a prompt that is longer than its window: attention sees that."""
    made = run.features("K and V as made", made_width) if made_width else None
    room = slots(mixer, run.sizes.room)
    slides = isinstance(mixer, SlidingAttention | ChunkedAttention)
    if slides and run.decodes and run.past_tokens >= room:
        moved = run.tensor("K and V, moved on by one", room, mixer.k_size + mixer.v_size)
        del moved
    return made if slides and not run.decodes and run.tokens > room else None
