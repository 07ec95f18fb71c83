"""inkling2, played: each layer reads a mixture of what blocks of layers before it made; attention has biases by
distance and sinks, both of each token's making; K, V, and what attention and experts say are convolved in fp32.

(modeling_inkling2.py, Inkling2TextModel.forward, Inkling2SlidingDecoderLayer.forward, Inkling2FullDecoderLayer.forward)
"""

from __future__ import annotations

from typing import NamedTuple

from hubvram.architecture.attention import FullAttention, SlidingAttention
from hubvram.architecture.layers import Architecture, Layer
from hubvram.architecture.mlp import MoEMLP
from hubvram.architecture.parts import Block
from hubvram.memory.forward.attention import cache_keys_and_values, keys_of, multiply_expanded, repeated_for_heads
from hubvram.memory.forward.attention_in_blocks import attention_of, later_caches, masks_of
from hubvram.memory.forward.decoder import play_decoder
from hubvram.memory.forward.mlp import play_mlp
from hubvram.memory.forward.run import FP32, ID_BYTES, Run
from hubvram.memory.forward.tape import Peak, Tensor


class Widths(NamedTuple):
    """Of what attention makes beside Q, K and V."""

    relative: int
    """Features of all heads that biases are made of."""
    extent: int
    """Distances for which there are biases."""
    kernel: int
    """Tokens that a convolution reads."""
    is_dynamic: bool
    """Whether each token makes weights for the convolutions of K and V."""


def is_inkling2_playable(architecture: Architecture) -> bool:
    """Whether every layer is such attention, then experts, and the blocks are known."""
    return architecture.layers_per_block > 0 and all(
        isinstance(mixer := group.layer.mixer, Block)
        and mixer.kind == "relative_attention"
        and type(group.layer.mlp) is MoEMLP
        for group in architecture.groups()
    )


def play_inkling2(run: Run, architecture: Architecture, copies_logits: bool) -> tuple[Peak, Peak]:
    """A decoder of such layers."""
    return play_decoder(run, architecture, copies_logits, play_model=_play_model)


def _play_model(run: Run, architecture: Architecture) -> None:
    hidden_size, layers = architecture.hidden_size, architecture.layers
    embedded = run.features("embeddings", hidden_size)
    positions = run.position_ids()
    masks = masks_of(run, architecture)
    for index, layer in enumerate(layers):
        blocks = -(-index // architecture.layers_per_block)
        later = later_caches(run, layers[index + 1 :])
        hidden = run.features("input of the layer", hidden_size) if index else None
        states = run.features("states of blocks", blocks * hidden_size) if blocks else None
        begins = index % architecture.layers_per_block == 0
        _play_layer(run, layer, hidden_size, blocks=blocks, begins_block=begins)
        del later, hidden, states
    run.phase("norms")
    blocks = -(-len(layers) // architecture.layers_per_block)
    both = run.features("hidden states, and states of blocks", (1 + blocks) * hidden_size)
    mixed = play_mixture(run, hidden_size, 1 + blocks)
    normed = _norm(run, hidden_size)
    del embedded, positions, masks, both, mixed, normed


def widths_of(layer: Layer) -> Widths:
    block = layer.mixer
    if not isinstance(block, Block):
        raise TypeError(f"no program for {block!r}")
    return Widths(
        relative=next(linear.out_features for linear in block.weights if linear.name == "relative"),
        extent=next(weight.shape[1] for weight in block.others if weight.name == "relative positions"),
        kernel=block.states[0].shape[-1],
        is_dynamic=not isinstance(attention_of(layer), SlidingAttention),
    )


def less_convolved(run: Run, hidden_size: int, kernel: int) -> Tensor | None:
    """What a convolution behind attention or experts will keep of a prompt."""
    return None if run.decodes else run.tensor("less its last inputs", -kernel, hidden_size, element_bytes=FP32)


# ---------------------------------------------------------------------------------------- layers


def _play_layer(run: Run, layer: Layer, hidden_size: int, *, blocks: int, begins_block: bool) -> None:
    """The first one's attention reads the embeddings; Q, K and V of full attention read a mixture each, all of which
    stay to the end. What the convolutions of K and V will keep counts from the beginning."""
    mixer, widths = attention_of(layer), widths_of(layer)
    read = 3 if widths.is_dynamic else 1
    run.phase("norms")
    not_yet = [less_convolved(run, hidden_size, widths.kernel) for _ in range(2)]
    mixed = play_mixture(run, hidden_size, 1 + blocks, read) if blocks else None
    normed = [_norm(run, hidden_size) if blocks else run.norm(hidden_size) for _ in range(read)]
    run.phase("attention")
    probabilities = _play_attention(run, mixer, widths)
    del normed
    if not widths.is_dynamic:
        del mixed
    said = run.features("what attention says", hidden_size)
    not_yet.pop()
    convolved = play_convolution(run, hidden_size, widths.kernel)
    residual = run.features("residual", hidden_size, element_bytes=FP32)
    del said, convolved
    run.phase("norms")
    states = run.features("states of blocks, and the input", (1 + blocks) * hidden_size) if begins_block else None
    read_by_mlp = play_mixture(run, hidden_size, 1 + blocks + begins_block)
    normed_for_mlp = _norm(run, hidden_size)
    run.phase("mlp")
    play_mlp(run, layer.mlp)
    del read_by_mlp, normed_for_mlp
    said = run.features("what the experts say", hidden_size)
    not_yet.pop()
    convolved = play_convolution(run, hidden_size, widths.kernel)
    del probabilities, residual, states, said, convolved


def play_mixture(run: Run, hidden_size: int, sources: int, mixtures: int = 1) -> Tensor:
    """Sources side by side in fp32, and these normed, by which each mixture attends to them
    (Inkling2BlockAttentionResidual.forward)."""
    stacked = run.features("sources, in fp32", sources * hidden_size, element_bytes=FP32)
    normed = run.features("the same, normed", sources * hidden_size, element_bytes=FP32)
    rows = run.features("roots of rows", sources, element_bytes=FP32)
    del stacked, rows
    mixed = run.features("mixtures of sources", mixtures * hidden_size, element_bytes=FP32)
    del normed
    return mixed


def _norm(run: Run, hidden_size: int) -> Tensor:
    """Of what is fp32: normed, and by its weight; then in the model's type."""
    normed = run.features("normed, and by its weight", 2 * hidden_size, element_bytes=FP32)
    row = run.features("squares of the row", 1, element_bytes=FP32)
    del normed, row
    by_weight = run.features("normed in fp32", hidden_size, element_bytes=FP32)
    if run.element_bytes == FP32:
        return by_weight
    return run.features("normed", hidden_size)


def play_convolution(run: Run, width: int, kernel: int, *, scales_sum: bool = True) -> Tensor:
    """In fp32: what is convolved, which is added to the result; then their sum, and its part
    (Inkling2ShortConvolution.forward); or, where it is not scaled, the same in the model's type."""
    source = run.in_fp32("what is convolved, in fp32", run.tokens, width)
    if run.decodes:
        window = run.tensor("the last inputs, with this one", kernel + 1, width, element_bytes=FP32)
        out = run.tensor("convolved", 2, width, element_bytes=FP32)
        del window
    else:
        out = run.tensor("convolved", run.tokens + kernel - 1, width, element_bytes=FP32)
    behind = FP32 if scales_sum else run.element_bytes % FP32
    both = run.features("the sum of both, and what is made of it", width, element_bytes=FP32 + behind)
    del source, out, both
    return run.features("convolved", width)


def play_dynamic_convolution(run: Run, mixer: FullAttention, kernel: int) -> Tensor:
    """By weights of each token for each feature, beside the tokens that it reads and the products of both
    (Inkling2DynamicShortConvolution.forward)."""
    width = mixer.k_size
    of_heads = run.features("weights of heads", mixer.num_key_value_heads * kernel, element_bytes=FP32)
    weights = run.features("weights of features", width * kernel, element_bytes=FP32)
    source = run.in_fp32("what is convolved, in fp32", run.tokens, width)
    last = run.tensor("the last inputs, with this one", kernel + 1, width, element_bytes=FP32) if run.decodes else None
    before = 2 * kernel if run.decodes else run.tokens + kernel - 1
    padded = run.tensor("the same, padded", before, width, element_bytes=FP32)
    del last
    windows = run.features("what each token reads", width * kernel, element_bytes=FP32)
    products = run.features("the same by weights, and their sum", width * (kernel + 1), element_bytes=FP32)
    del of_heads, weights, source, padded, windows, products
    return run.features("convolved", width)


# ------------------------------------------------------------------------------------- attention


def _play_attention(run: Run, mixer: FullAttention, widths: Widths) -> Tensor:
    """Q, K and V, which are clipped and normed in fp32; what biases, the gate and sinks are made of; all eager."""
    heads, keys = mixer.num_attention_heads, keys_of(run, mixer)
    not_yet = run.not_yet_cached((mixer,))
    query = run.features("Q", mixer.q_size)
    made = []
    for name in ("K", "V"):
        source = run.features(f"{name} as made", mixer.k_size)
        if widths.is_dynamic:
            made.append(play_dynamic_convolution(run, mixer, widths.kernel))
        else:
            made.append(play_convolution(run, mixer.k_size, widths.kernel))
        del source
    gate = run.features("gate of what heads say, sinks", mixer.q_size + heads)
    relative = run.features("what biases are made of", widths.relative)
    places = run.shared("places of Q and of K", run.tokens + keys, element_bytes=ID_BYTES)
    scales = run.along("scales of Q by positions", 1, element_bytes=FP32) if widths.is_dynamic else None
    for width in (mixer.q_size, mixer.k_size, widths.relative):
        clipped = run.features("in fp32, and by its scale, or clipped", 2 * width, element_bytes=FP32)
        del clipped
    del made, not_yet
    cache_keys_and_values(run, mixer)
    biases = play_biases(run, heads, keys, widths.extent)
    probabilities = _attend(run, mixer, keys)
    said = run.features("what heads say", mixer.q_size)
    copies = 2 + (run.element_bytes < FP32)
    gated = run.features("the same, the gate in (0, 1), and both, in fp32", copies * mixer.q_size, element_bytes=FP32)
    del query, gate, relative, places, scales, biases, said, gated
    return probabilities


def play_biases(run: Run, heads: int, keys: int, extent: int) -> Tensor:
    """For each distance up to the last, then of each pair of tokens, by their distance; beyond it there is none
    (Inkling2RelativeLogits.forward)."""
    of_distances = run.features("biases of distances", heads * extent)
    distances = run.shared("distances, and those that have biases", 2, run.tokens, keys, element_bytes=ID_BYTES)
    biases = run.tensor("biases of pairs", heads, run.tokens, keys)
    beyond = run.shared("which are beyond", run.tokens, keys, element_bytes=1)
    result = run.tensor("biases of pairs, or none", heads, run.tokens, keys)
    del of_distances, distances, biases, beyond
    return result


def _attend(run: Run, mixer: FullAttention, keys: int) -> Tensor:
    """A sink is one more column of the scores; the fp32 ones stay until heads have spoken (eager_attention_forward)."""
    heads = mixer.num_attention_heads
    rows = (heads, run.tokens)
    repeated = repeated_for_heads(run, mixer, keys)
    multiply_expanded(run, mixer, keys)
    scores = run.tensor("scores", *rows, keys)
    before = run.tensor("scores before", *rows, keys)
    del before
    columns = run.tensor("scores, and sinks, in fp32", *rows, keys + 1, element_bytes=FP32)
    softmax = run.tensor("their softmax", *rows, keys + 1, element_bytes=FP32)
    # Of what is fp32 already the softmax itself.
    probabilities = softmax if run.element_bytes == FP32 else run.tensor("probabilities", *rows, keys)
    del scores, softmax
    said = run.features("what heads say, by heads and by tokens", (2 if run.tokens > 1 else 1) * mixer.q_size)
    del repeated, columns, said
    return probabilities
