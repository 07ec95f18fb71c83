"""An encoder and the decoder that attends to it, played: the encoder's forward, and one forward of the decoder.

`generate()` runs the encoder once, and keeps what it said until the end; the decoder's first step makes K and V of it
for each layer, which stay in the cache, and every later step finds them there (modeling_bart.py, BartEncoder.forward,
BartDecoderLayer.forward; generation/utils.py, _prepare_encoder_decoder_kwargs_for_generation).
Measured against small models on the CPU (tests/peaks) and full-size ones on fake tensors. The workspace that cuDNN
takes for convolutions over sound is not in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from hubvram.architecture.attention import BidirectionalAttention, CrossAttention, FullAttention
from hubvram.architecture.attention_in_blocks import BlockwiseAttention
from hubvram.architecture.layers import Architecture, Layer, LayerGroup, Stack
from hubvram.architecture.mlp import DenseMLP
from hubvram.architecture.parts import Part
from hubvram.memory.forward.attention import eager, keys_of, take_padding_out
from hubvram.memory.forward.mlp import play_mlp
from hubvram.memory.forward.relative_positions import play_position_bias
from hubvram.memory.forward.run import FP32, ID_BYTES, Run
from hubvram.memory.forward.sides_code import Attended, BothSides, Positions, Relative
from hubvram.memory.forward.tape import Peak, Share, Tensor
from hubvram.memory.workload import Attention


@dataclass(slots=True)
class _Biases:
    """Biases of relative positions that a side's layers share once its first layer has made them."""

    own: Tensor | None = None
    across: Tensor | None = None


@dataclass(frozen=True, slots=True)
class _Side:
    """A pass over one side that is being played."""

    run: Run
    sides: BothSides
    biases: _Biases = field(default_factory=_Biases)


def play_encoder(run: Run, stack: Stack, sides: BothSides) -> tuple[Peak, ...]:
    """The peak of the encoder's forward, and the moments at which all sequences share more (Tape.take_all)."""
    given = _given(run, stack, sides, run.tokens)
    if sides.sound is not None:
        run.phase("convolutions")
        sides.sound.play(run, stack)
    table = _grown(run, sides, stack, run.tokens)
    play_layers(run, sides, stack.groups(), sides.encoder)
    del given, table
    return run.tape.take_all()


def play_step(
    run: Run,
    architecture: Architecture,
    sides: BothSides,
    *,
    copies_logits: bool,
    given: Tensor | None = None,
    transformed: int = 0,
) -> tuple[Peak, ...]:
    """A forward of the decoder: the peak before the head, that at it, and moments before it at which more is shared
    (Tape.take_all). `given` is what the encoder reads, where that is neither tokens nor sound; `transformed` is the
    width of what the head reads, where it is made for it."""
    stack = architecture.encoder
    assert stack is not None
    source = run.sizes.source_tokens
    given = given or _given(run, stack, sides, source)
    tables = _grown(run, sides, stack, source), _grown(run, sides, architecture, run.keys)
    padded = sides.padded(stack, source) if sides.padded else source
    said = run.tensor("what the encoder says", padded, stack.hidden_size)
    ids = run.tensor("token ids", run.keys, element_bytes=ID_BYTES)
    said_before = run.logits_before(architecture.head.out_features) if architecture.head else None
    left = play_layers(run, sides, architecture.groups(), sides.decoder)
    before, *sharing = run.tape.take_all()
    if not sides.head_inside:
        left = ()
    run.phase("logits")
    hidden = run.features("hidden states, normed", architecture.hidden_size)
    read = run.features("hidden states, transformed", transformed) if transformed else None
    if architecture.head is not None:
        width = architecture.head.out_features
        # Classes of both sides make those of all tokens that they are given: of one, but where the decoder is prompted.
        logits = run.output("logits", run.tokens, width)
        biased = run.output("logits with their bias", run.tokens, width) if sides.adds_logits_bias else None
        # The copy is made behind the forward.
        del biased, left, hidden, read
        copy = run.output("the last one's fp32 copy", width, element_bytes=FP32) if copies_logits else None
        del logits, copy
    del given, tables, said, ids, said_before
    return before, run.tape.take(), *sharing


def _grown(run: Run, sides: BothSides, of: Stack | Architecture, tokens: int) -> Tensor | None:
    """By how much a longer table is larger: both have two rows before the first position."""
    known = of.max_position_embeddings or 0
    if not sides.grows_table or tokens <= known:
        return None
    return run.shared("table of positions, as far as it grew", tokens + sides.spare_rows - known, of.hidden_size)


def _given(run: Run, stack: Stack, sides: BothSides, source: int) -> Tensor:
    """What the encoder reads or hears."""
    if sides.sound is not None:
        return sides.sound.given(run, stack, source)
    return run.input_ids(source)


# ----------------------------------------------------------------------------------------------- layers


def play_layers(run: Run, sides: BothSides, groups: tuple[LayerGroup, ...], positions: Positions) -> tuple[object, ...]:
    """All of one side, from its embeddings to its last norm. Returns what its forward still names then."""
    side, hidden_size = _Side(run, sides), groups[0].layer.norms.hidden_size
    rows = _of(run, positions.rows, "embedded positions", hidden_size, run.element_bytes)
    ids = _of(run, positions.ids, "position ids", 1, ID_BYTES)
    tables = run.shared("cos and sin", 2, run.tokens, run.rotary_dim) if positions.rotary else None
    is_given = run.sizes.by_generate and not run.sizes.source_tokens
    ones = run.tensor("padding mask", run.keys, element_bytes=FP32) if positions.padding and not is_given else None
    masks = run.is_eager and run.sizes.source_tokens and run.tokens >= side.sides.masks_from
    mask = run.tensor("additive mask", run.tokens, run.keys) if masks else None
    padding = None if isinstance(groups[0].layer.mixer, BlockwiseAttention) else sides.masks(run)
    embedded = run.features("embeddings", hidden_size) if positions.embeddings else None
    side.biases.own = sides.makes_bias(run) if sides.makes_bias else None
    widens = run.sizes.in_fp16 and side.sides.widens_in_fp16
    before: tuple[Tensor | None, ...] = ()
    for index, group in enumerate(groups):
        is_first = index == 0 and group.count == 1
        state_bytes = FP32 if widens and not is_first else run.element_bytes
        # Without positions to add, the embeddings are the first layer's input.
        adds_positions = side.sides.relative is Relative.NONE and not positions.rotary
        is_embedded = is_first and embedded is not None and (positions.inside or not adds_positions)
        hidden = None if is_embedded else run.features("input of the layer", hidden_size, element_bytes=state_bytes)
        left = _play_layer(side, group.layer, hidden_size, state_bytes)
        before = left if side.sides.keeps_layer_before else ()
        del hidden, left
    run.phase("norms")
    hidden = run.features("hidden states", hidden_size)
    normed = run.norm(hidden_size)
    del normed
    return side, rows, ids, tables, ones, mask, padding, embedded, before, hidden


def _of(run: Run, share: Share | None, what: str, width: int, element_bytes: int) -> Tensor | None:
    """(B, S, width), or (S, width) for all sequences."""
    if share is None:
        return None
    made = run.shared if share is Share.ALL else run.tensor
    return made(what, run.tokens, width, element_bytes=element_bytes)


def _play_layer(side: _Side, layer: Layer, hidden_size: int, state_bytes: int) -> tuple[Tensor | None, ...]:
    """Hidden states have elements of `state_bytes`; what is normed is the model's own type. Returns probabilities."""
    run = side.run
    across = [part for part in layer.others if isinstance(part, CrossAttention)]
    residual = None
    kept: list[Tensor] = []
    probabilities: tuple[Tensor | None, ...] = ()
    for mixer in (layer.mixer, *across):
        run.phase("norms")
        normed = _norm(run, hidden_size, state_bytes) if layer.pre_norm else None
        run.phase("attention")
        made = _mix(side, mixer)
        if not side.sides.names_normed:
            normed, probabilities = None, ()
        run.phase("norms")
        said = run.features("what attention says", hidden_size)
        summed = run.features("the same, and the residual", hidden_size, element_bytes=state_bytes)
        if side.sides.keeps_attended is Attended.SAID:
            kept.append(said)
        del said, normed
        residual = summed if layer.pre_norm else run.norm(hidden_size)
        if side.sides.keeps_attended is Attended.SUM:
            kept.append(residual)
        probabilities = (*probabilities, made) if side.sides.keeps_layer_before else (made,)
        del made, summed
    run.phase("norms")
    normed = _norm(run, hidden_size, state_bytes) if layer.pre_norm else None
    run.phase("mlp")
    _play_mlp(side, layer.mlp)
    del normed
    run.phase("norms")
    said = run.features("what the MLP says, and with it the residual", 2 * hidden_size, element_bytes=state_bytes)
    behind = None if layer.pre_norm else run.norm(hidden_size)
    del said, behind, residual, kept
    return probabilities


def _play_mlp(side: _Side, mlp: Part | None) -> None:
    """Where its output is written in fp32: an fp32 copy of the inner width, beside this and gate and up."""
    play_mlp(side.run, mlp)
    if side.run.sizes.in_fp16 and side.sides.widens_in_fp16:
        assert isinstance(mlp, DenseMLP)
        inner = side.run.features("inner of the MLP", mlp.intermediate_size * (3 if mlp.gated else 1))
        copy = side.run.features("the same in fp32", mlp.intermediate_size, element_bytes=FP32)
        del inner, copy
    if side.sides.names_normed and isinstance(mlp, DenseMLP):
        _play_down(side, mlp)


def _play_down(side: _Side, mlp: DenseMLP) -> None:
    """What the MLP's last matrix says, beside all that it reads, or of which that was made (T5DenseGatedActDense)."""
    run, width = side.run, mlp.intermediate_size
    widens = run.sizes.in_fp16 and side.sides.widens_in_fp16
    product_bytes = FP32 if widens else run.element_bytes
    factors = run.features("act(gate) and up", 2 * width) if mlp.gated else None
    read = run.features("what is read by down", width, element_bytes=product_bytes)
    said = run.features("what the MLP says", mlp.hidden_size, element_bytes=product_bytes)
    del factors, read, said


def _norm(run: Run, hidden_size: int, state_bytes: int) -> Tensor:
    """Of hidden states in fp32 no copy is made, but what they are scaled to, and this in the model's own type; the mean
    has a name (modeling_t5.py, T5LayerNorm.forward)."""
    if state_bytes == run.element_bytes:
        return run.norm(hidden_size)
    mean = run.features("the norm's mean", 1, element_bytes=FP32)
    scaled = run.features("scaled, in fp32, and cast", hidden_size, element_bytes=state_bytes + run.element_bytes)
    del mean, scaled
    return run.features("normed", hidden_size)


# -------------------------------------------------------------------------------------------- attention


def _mix(side: _Side, mixer: Part | None) -> Tensor | None:
    """Returns the probabilities where attention is eager: a layer keeps them until its next one has made its own."""
    run = side.run
    if isinstance(mixer, BlockwiseAttention):
        assert side.sides.attends is not None
        return side.sides.attends(run, mixer)
    assert isinstance(mixer, FullAttention)
    if side.sides.mix is not None:
        return side.sides.mix(run, mixer)
    copies = 2 if side.sides.orders_heads else 1
    query = None if side.sides.queries_last else _query(run, mixer)
    if side.sides.orders_heads:
        ordered = run.features("Q in the order of heads", mixer.q_size)
        del ordered
    keys, made = keys_and_values(run, mixer)
    query = query or _query(run, mixer)
    bias = _bias(side, mixer, keys)
    if run.is_eager:
        probabilities = eager(run, mixer, keys)
        run.linear(mixer.o_in_features, mixer.o_size, beside=mixer.o_in_features)
        del query, made, bias
        return probabilities if side.sides.keeps_probabilities else None
    run.phase("attention with its mask")
    if is_padded(run, mixer) and run.attention is Attention.FLASH:
        take_padding_out(run, mixer, keys)
    mask = _mask(side, mixer, keys)
    said = run.features("what heads say", copies * mixer.q_size)
    del said, mask
    run.phase("attention")
    run.linear(mixer.o_in_features, mixer.o_size, beside=mixer.o_in_features)
    said = run.features("what heads say, and O", mixer.q_size + mixer.o_size)
    del said, query, made, bias
    return None


def _query(run: Run, mixer: FullAttention) -> Tensor:
    """Where one matrix makes all three, Q is a view of what it made."""
    width = mixer.q_size + (mixer.k_size + mixer.v_size if _is_fused(mixer) else 0)
    run.linear(mixer.hidden_size, width)
    return run.features("Q", width)


def _is_fused(mixer: FullAttention) -> bool:
    return mixer.fused_qkv and not isinstance(mixer, CrossAttention)


def _key_and_value_linears(run: Run, mixer: FullAttention) -> None:
    """What a decoder's make counts as cached; of what the encoder says they make it once."""
    is_cached = not isinstance(mixer, BidirectionalAttention)
    if _is_fused(mixer) or (isinstance(mixer, CrossAttention) and run.decodes):
        return
    tokens = run.sizes.source_tokens if isinstance(mixer, CrossAttention) else run.tokens
    run.linear(mixer.kv_in_features, mixer.k_size, tokens=tokens, is_cached=is_cached)
    beside = 0 if is_cached else mixer.k_size
    run.linear(mixer.kv_in_features, mixer.v_size, tokens=tokens, beside=beside, is_cached=is_cached)


def attention_across(layers: Iterable[Layer]) -> Iterator[CrossAttention]:
    """A decoder's to what the encoder says."""
    return (part for layer in layers for part in layer.others if isinstance(part, CrossAttention))


def keys_and_values(run: Run, mixer: FullAttention) -> tuple[int, Tensor | None]:
    """(how many tokens are seen, K and V where they are not the cache's). Beside the cache while it takes them."""
    width = mixer.k_size + mixer.v_size
    _key_and_value_linears(run, mixer)
    if isinstance(mixer, BidirectionalAttention):
        return run.tokens, run.features("K and V", width)
    if isinstance(mixer, CrossAttention):
        source = run.sizes.source_tokens
        made = None if run.decodes else run.tensor("K and V of what the encoder says, as made", source, width)
        del made
        return source, None
    made = None if mixer.fused_qkv else run.features("K and V as made", width)
    old = run.tensor("K before this token", run.past_tokens, mixer.k_size) if run.decodes else None
    del made, old
    return keys_of(run, mixer), None


def _bias(side: _Side, mixer: FullAttention, keys: int) -> Tensor | None:
    """The bias of relative positions; across there are zeros."""
    run, biases, heads = side.run, side.biases, mixer.num_attention_heads
    each = side.sides.relative is Relative.EACH
    if side.sides.relative is Relative.NONE:
        return None
    if isinstance(mixer, CrossAttention):
        kept = None if each else biases.across
        found = kept or run.shared("zeros across", heads, run.tokens, keys)
        biases.across = None if each else found
        return found
    kept = None if each else biases.own
    both_ways = isinstance(mixer, BidirectionalAttention)
    found = kept or play_position_bias(run, heads, keys, both_ways=both_ways, keeps_logarithm=each)
    biases.own = None if each else found
    return found


def is_padded(run: Run, mixer: FullAttention) -> bool:
    """Whether some of what it looks at is padding: a decoder's own tokens are not."""
    return run.sizes.padded and isinstance(mixer, BidirectionalAttention | CrossAttention)


def _mask(side: _Side, mixer: FullAttention, keys: int) -> Tensor | None:
    """sdpa takes the bias for its mask, once that of each head is copied together; zeros are in order. Where something
    is padded, it is first made for each sequence (integrations/sdpa_attention.py, create_position_bias_mask).

    Without a bias, it makes an additive mask of the one that it is given.
    """
    run, heads = side.run, mixer.num_attention_heads
    padded = is_padded(run, mixer) and run.attention is Attention.SDPA
    if side.sides.relative is Relative.NONE:
        return run.tensor("additive mask", run.tokens, keys) if padded else None
    both = run.tensor("the bias and the mask", heads, run.tokens, keys) if padded else None
    if isinstance(mixer, CrossAttention):
        return both
    make = run.tensor if padded else run.shared
    return make("the bias, head by head", heads, run.tokens, keys)


_PLAYABLE: Final = (BidirectionalAttention, FullAttention)


def is_playable(
    architecture: Architecture, *, blocks: frozenset[str] = frozenset(), mlps: tuple[type[Part], ...] = (DenseMLP,)
) -> bool:
    """Whether there are two sides, of layers of attention and then an MLP, of the kinds that have a program; `blocks`
    names those of attention over blocks."""
    stack = architecture.encoder
    if stack is None or any(weight.name == "prompts" for weight in stack.extras):  # mvp's are joined to K and V.
        return False
    layers = [group.layer for group in (*stack.groups(), *architecture.groups())]
    return all(
        (type(layer.mixer) in _PLAYABLE or (isinstance(layer.mixer, BlockwiseAttention) and layer.mixer.kind in blocks))
        and type(layer.mlp) in mlps
        for layer in layers
    )
