"""Where each figure comes from: every component's terms with their numbers put in, and its source."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from hubvram.inspection import Inspection
from hubvram.memory.estimate import Basis, MemoryComponent, MemoryEstimate
from hubvram.memory.weights import STORED
from hubvram.reports.table import REST, WIDTH
from hubvram.units import size

_BASIS = {
    Basis.READ: "read in the files",
    Basis.DERIVED: "derived",
    Basis.ASSUMED: "assumed",
}
_NAMES = {
    "kv_cache": "KV cache",
    "state": "KV cache, states",
    **{name: f"rest, {name}" for name in REST},
}
"""As the table's columns are called."""


def explanation(found: Inspection) -> list[str]:
    """Of each precision asked for; of the stored one where none is."""
    asked = [estimate for estimate in found.estimates if estimate.precision in found.requested_precisions]
    return [line for estimate in asked or [found.stored_estimate] for line in _explained(estimate)]


def _explained(estimate: MemoryEstimate) -> Iterator[str]:
    label = estimate.scheme if estimate.precision == STORED else estimate.precision
    yield f"How {size(estimate.total_bytes)} come about ({label})"
    for component in estimate.components:
        yield from _lines(component)


def _lines(component: MemoryComponent) -> Iterator[str]:
    name = _NAMES.get(component.name, component.name)
    spread = ""
    if component.low_bytes != component.high_bytes:
        spread = f", {size(component.low_bytes)} to {size(component.high_bytes)}"
    yield f"  {name}: {size(component.size_bytes)}, {_BASIS[component.basis]}{spread}"
    for term in component.terms:
        yield from _wrapped(f"{term.what}: {term.formula} = {size(term.size_bytes)}", 4)
    if component.source:
        yield from _wrapped(f"source: {component.source}", 4)


def _wrapped(text: str, indent: int) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=" " * indent, subsequent_indent=" " * (indent + 2), break_on_hyphens=False
    )
