"""What `--dtype` accepts, by name: schemes, and GGUF's mixtures, whose tables are only read if one is named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from hubvram.errors import UsageError
from hubvram.quantization.schemes import SCHEMES

ALIASES: Final[Mapping[str, str]] = {"q3_k": "q3_k_m", "q4_k": "q4_k_m", "q5_k": "q5_k_m"}
"""llama-quantize's short names -> what they mean."""


def normal_precision(text: str) -> str:
    """A name as the tables have it."""
    name = text.strip().lower()
    return ALIASES.get(name, name)


def check_precision(name: str) -> None:
    """Raises UsageError for a name that nothing stands behind."""
    if name not in SCHEMES and not is_gguf(name):
        raise UsageError(f"{name!r} is no precision that hubvram knows", "`hubvram dtypes` lists them")


def is_gguf(name: str) -> bool:
    """Whether it is a mixture of GGUF types."""
    if name in SCHEMES:
        return False
    from hubvram.quantization.gguf.mixtures import MIXTURES

    return name in MIXTURES


def nominal_bits(name: str) -> int:
    """Bits of a weight, as the name has them: what the rule of thumb multiplies by."""
    if name in SCHEMES:
        return SCHEMES[name].bits
    from hubvram.quantization.gguf.mixtures import MIXTURES

    return MIXTURES[name].bits


def described() -> Iterator[tuple[str, int, str]]:
    """(name, nominal bits, what it does) of each."""
    from hubvram.quantization.gguf.mixtures import MIXTURES

    for name, scheme in SCHEMES.items():
        yield name, scheme.bits, scheme.description
    for name, mixture in MIXTURES.items():
        if name not in SCHEMES:
            yield name, mixture.bits, f"GGUF, {mixture.description}"
