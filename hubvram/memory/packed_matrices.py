"""Which of a model's matrices are packed, and by whom: what an engine needs to say how it computes with them."""

from __future__ import annotations

from typing import NamedTuple


class Packing(NamedTuple):
    """Of one set of weights. Names are those of schemes (`--dtype`), or of the layouts that the files show."""

    linears: tuple[str, ...] = ()
    """How matrices are packed that every token takes; empty where they are as they compute."""
    experts: tuple[str, ...] = ()
    """How those are that only some tokens take."""
    method: str | None = None
    """The tool that loads them, as configurations name it (`quant_method`)."""
    compute_dtype: str | None = None
    """What it computes in, where that need not be the model's own type."""
    parameters: int = 0
    """Of all packed matrices."""
    packed_bytes: int = 0
    """What these take, as far as unpacking them frees it."""

    @property
    def unpacking_bytes(self) -> int:
        """What all of them would take more in 16 bit."""
        return 2 * self.parameters - self.packed_bytes

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.linears, *self.experts)))


PLAIN = Packing()
"""Nothing is packed."""
