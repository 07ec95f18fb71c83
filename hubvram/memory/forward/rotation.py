"""How rotary positions are put into Q and K: what is alive beside the two, in transformers 5.23's different codes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from hubvram.memory.forward.run import Run

_TURNED: Final = "by cos, turned, and by sin"
_FP32: Final = 4


class Widths(NamedTuple):
    """Features of Q and K of one token, and how many of them rotate."""

    query: int
    key: int
    rotated_query: int
    rotated_key: int

    @property
    def rotates_all(self) -> bool:
        return self.rotated_query == self.query


Rotation = Callable[["Run", Widths], None]


def _turn(run: Run, widths: Widths, element_bytes: int) -> None:
    """`(q * cos) + (rotate_half(q) * sin)`: three more of Q; then Q done and three more of K (modeling_llama.py)."""
    turned = run.features(f"Q {_TURNED}", 3 * widths.rotated_query, element_bytes=element_bytes)
    del turned
    query = run.features("Q rotated", widths.rotated_query, element_bytes=element_bytes)
    turned = run.features(f"K {_TURNED}", 3 * widths.rotated_key, element_bytes=element_bytes)
    del turned, query


def halves(run: Run, widths: Widths) -> None:
    """Where not all of a head rotates, the rest is put behind what did, by a copy of both Q and K."""
    _turn(run, widths, run.element_bytes)
    if not widths.rotates_all:
        rotated = run.features("Q and K rotated", widths.rotated_query + widths.rotated_key)
        joined = run.features("Q and K joined to their rest", widths.query + widths.key)
        del rotated, joined


def halves_repeated(run: Run, widths: Widths) -> None:
    """By halves of cos and sin, each repeated for two neighbours (modeling_helium.py)."""
    repeated = run.shared("cos and sin, repeated", run.tokens, 2 * run.rotary_dim)
    halves(run, widths)
    del repeated


def halves_then_rest(run: Run, widths: Widths) -> None:
    """The same, where each of Q and K is joined to its rest in its own turn (modeling_glm.py)."""
    repeated = run.shared("cos and sin, repeated", run.tokens, 2 * run.rotary_dim)
    _turn(run, widths, run.element_bytes)
    if not widths.rotates_all:
        rotated = run.features("Q and K rotated", widths.rotated_query + widths.rotated_key)
        query = run.features("Q joined to its rest", widths.query)
        del rotated
        joined = run.features("K rotated, and joined to its rest", widths.rotated_key + widths.key)
        del joined, query
    del repeated


def halves_in_fp32(run: Run, widths: Widths) -> None:
    """The same with fp32 cos and sin, by which products are fp32 (modeling_olmo.py)."""
    _turn(run, widths, _FP32)


def repeated_in_fp32(run: Run, widths: Widths) -> None:
    """In fp32 too, by halves of cos and sin, each repeated for two neighbours (modeling_ernie4_5.py)."""
    repeated = run.along("cos and sin, repeated", 2 * run.rotary_dim, element_bytes=_FP32)
    halves_in_fp32(run, widths)
    del repeated


def all_in_fp32(run: Run, widths: Widths) -> None:
    """Q and K both turned to fp32 first (modeling_cohere.py, apply_rotary_pos_emb)."""
    width = 0 if run.element_bytes == _FP32 else widths.query + widths.key  # which are so already
    copies = run.features("Q and K in fp32", width, element_bytes=_FP32)
    halves_in_fp32(run, widths)
    del copies


def pairs_in_fp32(run: Run, widths: Widths) -> None:
    """Q and K in fp32 as pairs, by complex numbers; both are there until both are turned back (modeling_llama4.py).
    What is fp32 is read where it is, and stays so.

    A norm of Q and K that may follow takes less.
    """
    both = widths.query + widths.key
    pairs = None
    if run.element_bytes < _FP32:
        pairs = run.features("Q and K in fp32, and rotated", 2 * both, element_bytes=_FP32)
    rotated = run.features("Q and K rotated", both)
    del pairs, rotated


def pairs(run: Run, widths: Widths) -> None:
    """Neighbours turn together; what was turned keeps a name until both are done (modeling_roformer.py)."""
    turned = run.features(f"Q {_TURNED}, and rotated", 4 * widths.rotated_query)
    del turned
    query = run.features("Q turned, and rotated", 2 * widths.rotated_query)
    turned = run.features(f"K {_TURNED}, and rotated", 4 * widths.rotated_key)
    del turned, query


def halves_through_fp32(run: Run, widths: Widths) -> None:
    """Q and K are turned to fp32 one by one, twice each: once to be turned, beside a half turned the other way, what
    comes of that, and the product with cos (modeling_modernbert.py, modeling_esm.py). What is fp32 is not copied."""
    if run.element_bytes == _FP32:
        return halves(run, widths)
    copies = 3 * _FP32 + _FP32 // 2
    turned = run.features("Q in fp32, and turned", copies * widths.rotated_query, element_bytes=1)
    del turned
    query = run.features("Q rotated, in fp32", widths.rotated_query, element_bytes=_FP32)
    turned = run.features("K in fp32, and turned", copies * widths.rotated_key, element_bytes=1)
    del turned, query
