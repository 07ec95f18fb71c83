"""Where positions come from a table, and tokens beyond it cannot run (transformers 5.23)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from hubvram.architecture.layers import Architecture, Stack
from hubvram.memory.kv_cache import lengths
from hubvram.memory.workload import Workload

_COMPUTED: Final = frozenset({"pegasus", "marian"})
"""Sinusoids in a table that is made once (modeling_marian.py); others make a longer one when they need it."""
_CUT_OFF: Final = frozenset({"prophetnet"})
"""Tokens of an input beyond the table all have its last position (ProphetNetPositionalEmbeddings.forward)."""
_UNUSED: Final = {"prophetnet": 2}
"""Rows of a decoder's table that are no token's: the padding's, and the one behind the last token, which is where that
token's streams are (ProphetNetDecoder.forward)."""


class Shortage(NamedTuple):
    """A side that is given more tokens than it has positions."""

    whose: str
    tokens: int
    positions: str
    remedy: str
    """What would run."""


def shortages(architecture: Architecture, workload: Workload) -> Iterator[Shortage]:
    """Of an encoder that reads tokens; and of the decoder, which has the context without them."""
    name, encoder = architecture.model_type, architecture.encoder
    context, given = workload.context_tokens, workload.input_tokens
    decoded, _ = lengths(architecture, context, given)
    if encoder is not None and encoder.source_tokens is None:
        its = rows(name, encoder.alone or encoder)
        if 0 < its < given:
            remedy = f"--input takes at most {its:,} for it; without it, all of --context is input"
            whose = f"the encoder of {name}" + (f", {encoder.model_type}," if encoder.alone else "")
            yield Shortage(whose, given, _said(encoder, its), remedy)
    own = rows(name, architecture)
    if 0 < own < decoded:
        whose = name if encoder is None else f"the decoder of {name}"
        most = f"--context takes at most {own + context - decoded:,} for it"
        remedy = most if decoded == context else f"{most}, {given:,} of --input among them"
        yield Shortage(whose, decoded, _said(architecture, own), remedy)


def _said(side: Architecture | Stack, number: int) -> str:
    return f"{number:,} {'learned' if side.learned_positions else 'computed'} positions"


def rows(model_type: str, side: Architecture | Stack) -> int:
    """How many a side has a table for; 0 where there is no end. Some tables have rows before the first position."""
    learned, largest = side.learned_positions, side.max_position_embeddings
    if model_type in _CUT_OFF and isinstance(side, Stack):
        return 0
    if learned:
        unused = 0 if isinstance(side, Stack) else side.first_position + _UNUSED.get(model_type, 0)
        return min(learned, largest or learned) - unused
    return largest or 0 if model_type in _COMPUTED else 0
