"""What a figure is made of."""

from __future__ import annotations

from typing import NamedTuple


class Term(NamedTuple):
    """A summand of a component, with its numbers put in: what a reader would check by hand."""

    what: str
    formula: str
    size_bytes: int


def product(*factors: int, unit: str = "bytes") -> str:
    """`2 x 8,192 x 128 x 2 bytes`: the last one is in the unit."""
    return f"{' x '.join(f'{factor:,}' for factor in factors)} {unit}"
