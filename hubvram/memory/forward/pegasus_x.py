"""An encoder of blocks and of a few global tokens beside them, played (modeling_pegasus_x.py).

Its input is padded to whole blocks, and in staggered layers by half a block at both ends. Global tokens attend to all,
and all attend to them.
"""

from __future__ import annotations

from hubvram.architecture.attention_in_blocks import BlockwiseAttention
from hubvram.architecture.layers import Layer, Stack
from hubvram.architecture.parts import Tensor as Table
from hubvram.memory.forward.mlp import play_mlp
from hubvram.memory.forward.run import Run
from hubvram.memory.forward.tape import Peak, Tensor


def _global_tokens(stack: Stack) -> int:
    tables = (weight for weight in stack.extras if isinstance(weight, Table) and weight.name == "global tokens")
    return next(table.shape[0] for table in tables)


def play_pegasus_x_encoder(run: Run, stack: Stack) -> tuple[Peak, ...]:
    """The encoder's peak, and moments at which more is shared."""
    given, mixer = run.tokens, stack.layers[0].mixer
    assert isinstance(mixer, BlockwiseAttention)
    block = mixer.attention.sliding_window or 1
    tokens = -(-given // block) * block
    run = run.over(tokens=tokens)
    hidden_size, number = stack.hidden_size, _global_tokens(stack)
    ids = run.input_ids(given)
    embedded = run.tensor("embeddings", given, hidden_size)
    positions = run.shared("embedded positions", given, hidden_size)
    mask = run.tensor("mask, inverted, and padded", given + tokens)
    for group in stack.groups():
        hidden = run.features("input of the layer", hidden_size)
        global_hidden = run.tensor("global tokens", number, hidden_size)
        _play_layer(run, group.layer, hidden_size, number, block)
        del hidden, global_hidden
    run.phase("norms")
    hidden = run.features("hidden states", hidden_size)
    normed = run.tensor("normed", given, hidden_size)
    del ids, embedded, positions, mask, hidden, normed
    return run.tape.take_all()


def _play_layer(run: Run, layer: Layer, hidden_size: int, number: int, block: int) -> None:
    """Probabilities have a name until the layer's end (PegasusXEncoderLayer.forward)."""
    mixer = layer.mixer
    assert isinstance(mixer, BlockwiseAttention)
    tokens = run.tokens + block if mixer.staggered else run.tokens
    run.phase("norms")
    normed = run.tensor("normed", tokens, hidden_size)
    global_normed = run.tensor("global tokens, normed", number, hidden_size)
    mask = run.tensor("mask, padded", tokens) if mixer.staggered else None
    run.phase("attention")
    probabilities = _mix(run, mixer, tokens, number, block)
    del normed, global_normed
    run.phase("norms")
    said = run.tensor("what attention says", tokens, hidden_size)
    residual = run.features("residual", hidden_size)
    del said
    global_residual = run.tensor("global tokens, with attention", number, hidden_size)
    normed = run.norm(hidden_size)
    run.phase("mlp")
    play_mlp(run, layer.mlp)
    del normed
    said = run.features("what the MLP says, and with it the residual", 2 * hidden_size)
    del said, residual, global_residual, mask, probabilities


def _mix(run: Run, mixer: BlockwiseAttention, tokens: int, number: int, block: int) -> tuple[Tensor, Tensor]:
    """Returns the probabilities of both kinds."""
    attention = mixer.attention
    heads, width, keys = attention.num_attention_heads, attention.q_size, number + tokens
    made = run.tensor("Q, K and V", tokens, 3 * width), run.tensor("Q, K and V of global tokens", number, 3 * width)
    joined = run.tensor("K and V of both", keys, 2 * width)
    mask = run.tensor("mask of both", keys)
    weights = run.tensor("scores of global tokens, and masked", 2, heads, number, keys)
    del weights
    scores = run.tensor("scores of global tokens, masked", heads, number, keys)
    global_probabilities = run.tensor("probabilities of global tokens", heads, number, keys)
    global_said = run.tensor("what heads say to global tokens", number, width)
    del joined, mask, scores
    # Each token sees the global ones and its block.
    mask = run.tensor("mask of blocks", tokens // block, number + block)
    apart = run.tensor("scores of global tokens and of the block", heads, tokens, number + block)
    weights = run.tensor("scores joined, and masked", 2, heads, tokens, number + block)
    del weights
    scores = run.tensor("scores masked", heads, tokens, number + block)
    probabilities = run.tensor("probabilities", heads, tokens, number + block)
    said = run.tensor("what heads say of both, and the sum", 3, tokens, width)
    del made, global_said, mask, apart, scores, said
    return global_probabilities, probabilities
