"""Embeddings of characters, of how they are said and of what they look like, played (modeling_roc_bert.py)."""

from __future__ import annotations

from hubvram.architecture.layers import Architecture
from hubvram.architecture.parts import Linear
from hubvram.architecture.parts import Tensor as Table
from hubvram.memory.forward.encoder_code import EncoderCode
from hubvram.memory.forward.run import ID_BYTES, Run


def joins_sounds_and_shapes(architecture: Architecture) -> bool:
    """Whether a matrix reads all three side by side, as in what is released."""
    hidden = architecture.hidden_size
    widths = (it.in_features for it in architecture.extras if isinstance(it, Linear) and it.name == "projection")
    return next(widths, 0) == hidden + _width(architecture, "sounds") + _width(architecture, "shapes")


def embed_spoken(run: Run, architecture: Architecture, code: EncoderCode) -> None:
    """Of shapes, joined to a copy of the tokens'; of sounds, joined to both; all of it through a matrix; then types and
    positions are added in place (RoCBertEmbeddings.forward)."""
    run.phase("embeddings")
    hidden = architecture.hidden_size
    sounds, shapes = _width(architecture, "sounds"), _width(architecture, "shapes")
    types = run.shared("types of tokens", run.tokens, element_bytes=ID_BYTES)
    tokens = run.features("embedded tokens, and shapes", hidden + shapes)
    joined = run.features("a copy of tokens, joined to shapes", hidden + shapes)
    of_sounds = run.features("embedded sounds", sounds)
    all_joined = run.features("the same, joined to sounds", hidden + shapes + sounds)
    del joined
    mapped = run.features("mapped to the width of layers", hidden)
    del all_joined
    added = run.features("embedded types, or positions", hidden)
    normed = run.norm(hidden)
    del types, tokens, of_sounds, mapped, added, normed


def _width(architecture: Architecture, name: str) -> int:
    tables = (it for it in architecture.extras if isinstance(it, Table) and it.name == name)
    return next((table.shape[-1] for table in tables), 0)
