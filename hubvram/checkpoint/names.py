"""Tensor names are dotted paths: words that say which paths are meant, and what compares them."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

_DIGITS: Final = str.maketrans("123456789", "000000000")
_MEANINGS: Final = str.maketrans({".": r"\.", "*": r"[^.]*", "0": "0+"})


def without_numbers(name: str) -> str:
    """Layers and experts repeat the same few names: those are equal with their digits made equal."""
    return name.translate(_DIGITS)


@cache
def pattern(words: str) -> re.Pattern[str]:
    """What finds any of some words, parted by spaces, in a name `without_numbers`.

    A word is one or more whole parts of the path, wherever they stand: `self_attn`, `mlp.gate`, `(mlp|moe).gate`.
    `^` binds it to the beginning, `*` is anything within a part, `0` any number.
    """
    every = words.translate(_MEANINGS).split()
    first = [word.removeprefix("^") for word in every if word.startswith("^")]
    anywhere = [word for word in every if not word.startswith("^")]
    places = [rf"{place}(?:{'|'.join(some)})" for place, some in (("^", first), (r"(?:^|\.)", anywhere)) if some]
    return re.compile(rf"(?:{'|'.join(places)})(?:\.|$)")


def parameters_of(words: str) -> str:
    """Words for what stands in a module itself, and not in a module within."""
    return " ".join(f"{word}.(weight|bias|gamma|beta)" for word in words.split())
