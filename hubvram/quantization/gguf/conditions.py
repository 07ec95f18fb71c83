"""When a rule of a mixture holds: by a tensor's place among its kind, and by the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class At:
    """Where a tensor stands when a rule is asked: the `index`-th of `count`, in a model of these properties."""

    index: int
    count: int
    grouping: int
    """Query heads for each head of K and V, 0 where the first layer has no attention."""
    experts: int
    imatrix: bool


When = Callable[[At], bool]
Rules = tuple[tuple[str, When], ...]
"""(type, when it is taken): the first that holds decides."""


def always(at: At) -> bool:
    return True


def few_kv_heads(at: At) -> bool:
    return at.grouping >= 4


def few_kv_heads_or_experts(at: At) -> bool:
    return at.grouping >= 4 or at.experts >= 4


def first_eighth(at: At) -> bool:
    return at.index < at.count // 8


def first_sixteenth(at: At) -> bool:
    return at.index < at.count // 16


def between(at: At) -> bool:
    """Neither in the first nor in the last eighth."""
    return at.count // 8 <= at.index < 7 * at.count // 8


def more_bits(at: At) -> bool:
    """use_more_bits of src/llama-quant.cpp: the first and the last eighth, and every third between, half in all."""
    return not between(at) or (at.index - at.count // 8) % 3 == 2


def first_eighth_or_more_of_eight_experts(at: At) -> bool:
    return first_eighth(at) or (at.experts == 8 and more_bits(at))


def with_imatrix(at: At) -> bool:
    return at.imatrix


def without_imatrix(at: At) -> bool:
    return not at.imatrix


def first(count: int) -> When:
    return lambda at: at.index < count


def both(one: When, other: When) -> When:
    return lambda at: one(at) and other(at)


def everywhere(kind: str) -> Rules:
    return ((kind, always),)
