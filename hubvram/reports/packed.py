"""A quantized model in a few words: how it is packed, what that takes, what stays as it was."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from hubvram.inspection import Model
from hubvram.units import count, size

if TYPE_CHECKING:
    from hubvram.inspection.quantization import QuantizationFacts

_NEARLY_ALL: Final = 0.99


def stored_name(model: Model) -> str:
    """`awq 4-bit`; where nothing is packed, or nobody knows how, the stored types."""
    label = model.quantization.label if model.quantization else None
    return label or model.stored.scheme


def packed_line(facts: QuantizationFacts) -> str:
    """`stored awq 4-bit, 5.33 GiB: 5.71 bits per weight (packed ones 4.16 with scales); embedding, head stay 16 bit`.

    Empty where it is not known.
    """
    over_all, packed = facts.bits_per_weight, facts.bits_per_packed_weight
    if facts.label is None or facts.stored_bytes is None or over_all is None or packed is None:
        return ""
    line = f"stored {facts.label}, {size(facts.stored_bytes)}: {over_all:.2f} bits per weight"
    line += f" (packed ones {packed:.2f} with scales)"
    names = ", ".join(_kept(facts))
    if not names:
        return line
    widths = " and ".join(str(bits) for bits in facts.kept_bits)
    return f"{line}; {names} stay {widths} bit ({count(sum(it.parameters for it in facts.kept))} parameters)"


def _kept(facts: QuantizationFacts) -> Iterator[str]:
    """Components, largest first, without those of which a few biases or norms stay."""
    for kept in sorted(facts.kept, key=lambda it: -it.parameters):
        if kept.parameters >= _NEARLY_ALL * kept.of:
            yield kept.component.value
        elif kept.parameters > (1 - _NEARLY_ALL) * kept.of:
            yield f"part of {kept.component.value}"
