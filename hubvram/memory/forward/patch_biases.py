"""Biases by how far apart two patches are, played: for each head, and the same for all images (modeling_beit.py).

A table has a number for each head and each distance; it is scaled to the image, though that is the size it was made
for, and looked up for each pair of tokens, whose places in it stay on the host.
"""

from __future__ import annotations

from typing import Final

from hubvram.architecture.attention import BidirectionalAttention
from hubvram.architecture.layers import Architecture, Layer
from hubvram.architecture.parts import Tensor as Table
from hubvram.architecture.parts import Weight
from hubvram.memory.forward.run import Run
from hubvram.memory.forward.tape import Tensor

_UNSCALED: Final = 3
"""Rows of the table that are for the class token."""


def own_bias(run: Run, mixer: BidirectionalAttention) -> Tensor | None:
    """That of a layer's own table; None without one."""
    table = _table(mixer.others)
    return _look_up(run, table) if table is not None else None


def shared_bias(run: Run, architecture: Architecture) -> tuple[Tensor, ...]:
    """That of a table for all layers, made once (BeitModel.forward)."""
    table = _table(architecture.extras)
    return (_look_up(run, table),) if table is not None else ()


def bias_of_layer(run: Run, architecture: Architecture, layer: Layer) -> object:
    """A layer's own; with the shared one too, their sum beside it (BeitLayer.forward)."""
    assert isinstance(layer.mixer, BidirectionalAttention)
    own, shared = own_bias(run, layer.mixer), _table(architecture.extras)
    if own is None or shared is None:
        return own
    return own, run.shared("sum of both biases", shared.shape[1], run.tokens, run.tokens)


def shared_bias_again(run: Run, architecture: Architecture, layer: Layer) -> Tensor | None:
    """That of a table for all layers, made for each, while there still is that of the layer before.

    (modeling_data2vec_vision.py, Data2VecVisionEncoder.forward)
    """
    table = _table(architecture.extras)
    if table is None:
        return None
    is_alone = architecture.num_hidden_layers == 1
    before = None if is_alone else run.shared("bias of the layer before", table.shape[1], run.tokens, run.tokens)
    bias = _look_up(run, table)
    del before
    return bias


def _look_up(run: Run, table: Table) -> Tensor:
    """(1, heads, S, S), copied from where heads are innermost (BeitRelativePositionBias.forward)."""
    run.phase("relative positions")
    distances, heads = table.shape
    scaled = run.shared("table, scaled, without and with its last rows", 2 * distances - _UNSCALED, heads)
    looked_up = run.shared("biases, heads innermost", run.tokens, run.tokens, heads)
    bias = run.shared("biases", heads, run.tokens, run.tokens)
    del scaled, looked_up
    run.phase("attention")
    return bias


def _table(weights: tuple[Weight, ...]) -> Table | None:
    return next((it for it in weights if isinstance(it, Table) and it.name == "relative positions"), None)
