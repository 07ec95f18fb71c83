"""Published memory of models beside what hubvram says: `python -m tests.published [WORD...]`, GiB.

Words choose rows by model, precision or figure. `plus` is what was there and is not in this release of transformers;
`blocks` what the allocator adds; `left` is published less all of it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tests.published.record import Row, rows, said

_LINE = "{:30} {:15} {:>14} {:13} {:>8} {:>8} {:>17} {:>8} {:>7} {:>7} {:>8}  {}"
_GIB = 2**30


def _gib(size: float | None) -> str:
    return "?" if size is None else f"{size / _GIB:.3f}"


def _printed(row: Row) -> str:
    found = said(row)
    span, difference, left = "?", "?", "?"
    if found.low_bytes is not None and found.high_bytes is not None:
        low, high = found.low_bytes, found.high_bytes
        span = _gib(low) if low == high else f"{_gib(low)}..{_gib(high)}"
        difference = f"{row.published_bytes / high - 1:+.2%}"
        left = f"{(row.published_bytes - row.plus_bytes - found.blocks.low_bytes) / high - 1:+.2%}"
    run = f"{row.batch}x{row.input}+{row.new}" if row.input else ""
    return _LINE.format(
        *(row.model.partition("/")[2], row.precision, run, row.figure, _gib(row.published_bytes)),
        *(_gib(found.weight_bytes), span, difference, _gib(row.plus_bytes), _gib(found.blocks.low_bytes), left),
        row.source.address,
    )


def main(words: Sequence[str] = ()) -> None:
    head = ("model", "precision", "run", "figure", "published", "weights", "said", "off", "plus", "blocks", "left")
    print(_LINE.format(*head, "source"))
    chosen = [row for row in rows() if all(word in row.name for word in words)]
    for row in chosen:
        print(_printed(row))
        for what, terms in row.plus:
            print(f"    plus {what}: {terms}")
        if row.explanation:
            print(f"    {row.differs}: {row.explanation}")
    differ = [row for row in chosen if row.differs]
    why = sum("not explained" not in row.explanation for row in differ)
    print(f"{len(chosen)} figures, of which {len(differ)} differ: {why} for a reason, {len(differ) - why} unexplained")


if __name__ == "__main__":
    main(sys.argv[1:])
