"""Linears with packed weights, played: what their kernels make beside what they read.

A linear of weights that are as they compute makes its output and nothing else; its caller plays that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from hubvram.memory.forward.run import Run

_BLOCK: Final = 64
"""Weights that share a scale, in bitsandbytes."""


class Moment(NamedTuple):
    """What is alive at one moment within a linear, its output included where that is made already."""

    what: str
    input_bytes: int = 0
    """For each feature that a token brings."""
    output_bytes: int = 0
    """For each feature that is made of a token."""
    token_bytes: int = 0
    """For each token."""
    holds_output: bool = False
    """Whether what the linear makes is among `output_bytes`."""
    weight_bytes: int = 0
    """For each weight: the whole matrix is unpacked, once for all tokens."""
    block_bytes: int = 0
    """For each 64 weights beside."""


class LinearCode(NamedTuple):
    """How a packed linear is computed: its moments, one after the other."""

    moments: tuple[Moment, ...] = ()
    few_tokens: int = 0
    """Up to so many tokens of a batch have a kernel that reads weights as they are packed."""
    copies_experts: bool = True
    """Whether a decoded token's experts are copied for it, as those in 16 bit are."""
    source: str = ""
    """Whose code, in a few words, and what it does with a matrix."""


def play_linear(run: Run, in_features: int, out_features: int, *, tokens: int, beside: int, is_cached: bool) -> None:
    """`beside` are features of each token that wait; `is_cached` says that what is made is counted as cached."""
    code = run.linears
    if code is None or not code.moments:
        return
    unpacks = run.batch_size * tokens > code.few_tokens
    waits = run.tensor("what waits for a linear", tokens, beside) if beside else None
    for moment in code.moments:
        output_bytes = moment.output_bytes - (run.element_bytes if is_cached and moment.holds_output else 0)
        row_bytes = moment.input_bytes * in_features + output_bytes * out_features + moment.token_bytes
        rows = run.tensor(moment.what, tokens, row_bytes, element_bytes=1) if row_bytes else None
        weights = in_features * out_features
        unpacked = scales = None
        if moment.block_bytes and unpacks:
            scales = run.unpacked("scales of a matrix, unpacked", -(-weights // _BLOCK), moment.block_bytes)
        if moment.weight_bytes and unpacks:
            unpacked = run.unpacked("a matrix, unpacked", out_features, in_features, moment.weight_bytes)
        del rows, unpacked, scales
    del waits
