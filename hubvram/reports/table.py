"""Aligned columns of plain text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

WIDTH: Final = 80
"""Columns of a terminal that every report keeps to."""
REST: Final = ("buffers", "outputs", "unpacked")
"""Components that the report adds up in one column."""


def align(rows: Sequence[Sequence[str]], *, left: int = 1, gap: int = 2) -> list[str]:
    """Rows of equal length as lines; the first `left` columns stand left, the others right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        (" " * gap)
        .join(
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        .rstrip()
        for row in rows
    ]
