"""Patches of an image, each with its row and column, and the encoder that reads them, played (modeling_pix2struct.py).

Patches are counted as the encoder's positions, and taken to be of the image: those of zeros that an image processor
adds to fill up their number would be masked.
"""

from __future__ import annotations

from hubvram.architecture.attention import BidirectionalAttention
from hubvram.architecture.layers import Layer, Stack
from hubvram.architecture.mlp import DenseMLP
from hubvram.architecture.parts import Linear
from hubvram.memory.forward.attention import eager
from hubvram.memory.forward.mlp import play_mlp
from hubvram.memory.forward.run import Run
from hubvram.memory.forward.sound import Sound
from hubvram.memory.forward.tape import Peak, Tensor


def play_pix2struct_encoder(run: Run, stack: Stack) -> tuple[Peak, ...]:
    """The encoder's peak (Pix2StructVisionModel.forward); to embed patches takes less than a layer."""
    given = _patches(run, stack, run.tokens)
    embedded, before = run.features("embeddings", stack.hidden_size), None
    for index, group in enumerate(stack.groups()):
        for turn in range(min(group.count, 2)):  # the second beside what the first left
            is_embedded = index == turn == 0
            hidden = None if is_embedded else run.features("input of the layer", stack.hidden_size)
            before = _play_layer(run, group.layer, before)
            del hidden
    del before
    run.phase("norms")
    hidden = run.features("hidden states", stack.hidden_size)
    normed = run.norm(stack.hidden_size)
    del given, embedded, hidden, normed
    return run.tape.take_all()


def _patches(run: Run, stack: Stack, positions: int) -> Tensor:
    """In the model's own type, in which the caller gives them; the row and the column stand before the pixels."""
    matrix = next(it for it in stack.extras if isinstance(it, Linear) and it.name == "patch embedding")
    return run.tensor("patches", positions, 2 + matrix.in_features)


def _play_layer(run: Run, layer: Layer, before: Tensor | None) -> Tensor | None:
    """What attention says keeps a name beside its sum with the residual. Returns the probabilities, which the loop
    over layers keeps until the next ones are made (Pix2StructVisionLayer.forward)."""
    mixer, mlp, width = layer.mixer, layer.mlp, layer.norms.hidden_size
    assert isinstance(mixer, BidirectionalAttention) and isinstance(mlp, DenseMLP)
    run.phase("norms")
    normed = run.norm(width)
    probabilities = _attend(run, mixer)
    projected = run.features("what attention says", mixer.o_size)
    added = run.features("sum with the residual", width)
    run.phase("norms")
    del normed
    normed = run.norm(width)
    run.phase("mlp")
    play_mlp(run, mlp)
    inner = run.features("act(gate), up, and their product", 3 * mlp.intermediate_size)
    said = run.features("what the MLP says", mlp.hidden_size)
    del inner
    output = run.features("output of the layer", width)
    del before, normed, projected, added, said, output
    return probabilities


def _attend(run: Run, mixer: BidirectionalAttention) -> Tensor | None:
    """Q, K and V live until O is made (Pix2StructVisionAttention.forward)."""
    run.phase("attention")
    made = run.features("Q, K and V", mixer.q_size + mixer.k_size + mixer.v_size)
    probabilities = eager(run, mixer, run.tokens) if run.is_eager else None
    said = run.features("what heads say, and O", mixer.q_size + mixer.o_size)
    del made, said
    return probabilities


PATCHES = Sound(_patches, lambda run, stack: None)
