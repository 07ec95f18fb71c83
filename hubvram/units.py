"""Quantities as people write and read them: sizes, token counts, parameter counts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from hubvram.errors import UsageError

GIB: Final = 2**30
MIB: Final = 2**20

_SIZE_UNITS: Final = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_TOKENS_LARGEST: Final = 10**10
_TOKEN_UNITS: Final = {"": 1, "k": 1024, "m": 1024**2}
_NUMBER: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)")
_LARGEST: Final = 2**63


def _parse(text: str, units: dict[str, int], what: str, examples: str) -> int:
    match = _NUMBER.fullmatch(text.strip().lower().replace("_", "").replace(",", ""))
    scale = units.get(match[2]) if match else None
    if match is None or scale is None or (scale == 1 and "." in match[1]):
        raise UsageError(f"{text!r} is not {what}", f"write it like {examples}")
    # Whole and decimal parts are kept apart so that no byte is lost to a float.
    whole, _, decimals = match[1].partition(".")
    value: int = int(whole) * scale + int(decimals or 0) * scale // 10 ** len(decimals)
    if not 0 < value < _LARGEST:
        raise UsageError(f"{text!r} is out of range for {what}", f"write it like {examples}")
    return value


def parse_size(text: str) -> int:
    """`24GiB` -> 25769803776 and `24GB` -> 24000000000: the two are different and both are understood."""
    size_bytes = _parse(text, _SIZE_UNITS, "a size", "24GiB, 24GB or 25769803776")
    if text.strip().isdecimal() and size_bytes < MIB:
        raise UsageError(f"a size of {size_bytes} bytes is no amount of GPU memory", f"write {text.strip()}GiB")
    return size_bytes


def parse_tokens(text: str) -> int:
    """`8192`, `8k` (8,192) or `128k` (131,072): k is 1,024, as in the names of context lengths."""
    tokens = _parse(text, _TOKEN_UNITS, "a number of tokens", "8192 or 8k")
    if tokens > _TOKENS_LARGEST:
        raise UsageError(f"{tokens:,} tokens are more than any model takes", "write it like 8192 or 8k")
    return tokens


def gib(size_bytes: int, decimals: int = 2) -> str:
    """`141107412992` -> `131.42`; the unit stands in the text around it."""
    return f"{size_bytes / GIB:,.{decimals}f}"


def size(size_bytes: int) -> str:
    """A size with its unit, in one family: GiB, or MiB and bytes for what would vanish."""
    if size_bytes >= GIB // 10:
        return f"{size_bytes / GIB:,.2f} GiB"
    if size_bytes >= MIB // 10:
        return f"{size_bytes / MIB:,.1f} MiB"
    return f"{size_bytes:,} bytes"


def count(number: int) -> str:
    """`70553706496` -> `70.55 B`, `855654400` -> `855.65 M`, `16384` -> `16,384`: parameters for reading."""
    for scale, letter in ((10**12, "T"), (10**9, "B"), (10**6, "M")):
        if number >= scale:
            return f"{number / scale:.2f} {letter}"
    return f"{number:,}"


def ranges(indices: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """`0, 1, 2, 5` -> `((0, 2), (5, 5))`: sorted indices as inclusive ranges."""
    found: list[tuple[int, int]] = []
    for index in indices:
        if found and found[-1][1] == index - 1:
            found[-1] = (found[-1][0], index)
        else:
            found.append((index, index))
    return tuple(found)
