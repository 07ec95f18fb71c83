"""Two gemmas as one model, played: norms before and behind everything, rotary positions on both sides.

The decoder attends to what the encoder says apart (modeling_t5gemma.py), or to its own tokens and these at once, by
joining K and V of both (modeling_t5gemma2.py, T5Gemma2MergedAttention.forward).
"""

from __future__ import annotations

from dataclasses import dataclass

from hubvram.architecture.attention import BidirectionalAttention, CrossAttention, FullAttention, SlidingAttention
from hubvram.architecture.layers import Architecture, Layer, LayerGroup, Stack
from hubvram.architecture.mlp import DenseMLP
from hubvram.architecture.parts import Block, Part
from hubvram.memory.forward.attention import (
    attend,
    cache_keys_and_values,
    eager,
    keys_of,
    play_attention,
    repeated_for_heads,
)
from hubvram.memory.forward.mlp import play_mlp
from hubvram.memory.forward.rotation import Widths
from hubvram.memory.forward.run import BOOL_BYTES, FP32, ID_BYTES, Run
from hubvram.memory.forward.sides_code import padding_mask
from hubvram.memory.forward.tape import Peak, Tensor
from hubvram.memory.workload import Attention


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoGemmas:
    """In what the classes differ."""

    scales_apart: bool = False
    """Whether the model's forward holds embeddings before they were scaled, too."""
    turns_by_kind: bool = False
    """Whether layers with a window have a cos and sin of their own."""
    masks_windows: bool = False
    """Whether an encoder's layers with a window have a mask even if that is wider than what they read."""
    marks_padding: bool = False
    """Whether an encoder that is given no mask makes one of 64-bit numbers (make_default_2d_attention_mask)."""


def play_encoder(run: Run, stack: Stack, gemmas: TwoGemmas) -> tuple[Peak, ...]:
    """The encoder's peak, and moments at which more is shared."""
    groups = stack.groups()
    run = _rotating(run, groups)
    ids = run.input_ids(run.tokens)
    marks = gemmas.marks_padding and not run.sizes.by_generate
    padding = run.tensor("padding mask", run.tokens, element_bytes=ID_BYTES) if marks else None
    embedded = run.features("embeddings", stack.hidden_size)
    positions = run.shared("position ids", run.tokens, element_bytes=ID_BYTES)
    masks = _encoder_masks(run, groups, gemmas)
    _play_layers(run, groups, stack.hidden_size, gemmas)
    del ids, padding, embedded, positions, masks
    return run.tape.take_all()


def play_step(run: Run, architecture: Architecture, gemmas: TwoGemmas, *, copies_logits: bool) -> tuple[Peak, Peak]:
    """A forward of the decoder: the peak before the head, and that at it."""
    stack, groups = architecture.encoder, architecture.groups()
    assert stack is not None
    run = _rotating(run, groups)
    source = run.sizes.source_tokens
    given = run.input_ids(source)
    said = run.tensor("what the encoder says", source, stack.hidden_size)
    ids = run.tensor("token ids", run.keys, element_bytes=ID_BYTES)
    said_before = run.logits_before(architecture.head.out_features) if architecture.head else None
    embedded = run.features("embeddings", architecture.hidden_size)
    positions = run.shared("position ids", run.tokens, element_bytes=ID_BYTES)
    masks = _decoder_masks(run, groups)
    _play_layers(run, groups, architecture.hidden_size, gemmas, architecture)
    del embedded, positions, masks
    before = run.tape.take()
    run.phase("logits")
    hidden = run.features("hidden states, normed", architecture.hidden_size)
    if architecture.head is not None:
        logits = run.output("logits of the last token", architecture.head.out_features)
        width = architecture.head.out_features
        copy = run.output("their fp32 copy", width, element_bytes=FP32) if copies_logits else None
        del logits, copy
    del given, said, ids, said_before, hidden
    return before, run.tape.take()


def _rotating(run: Run, groups: tuple[LayerGroup, ...]) -> Run:
    """The same on one side, all of whose heads rotates."""
    return Run(run.sizes, run.code, rotary_dim=_own(groups[0].layer).head_dim)


def _own(layer: Layer) -> FullAttention:
    """A layer's attention to its own tokens."""
    mixer = layer.mixer.keeps[0] if isinstance(layer.mixer, Block) else layer.mixer
    assert isinstance(mixer, FullAttention)
    return mixer


def _window(mixer: FullAttention) -> int | None:
    return mixer.sliding_window if isinstance(mixer, BidirectionalAttention | SlidingAttention) else None


def _cross(layer: Layer) -> CrossAttention:
    parts = layer.mixer.keeps if isinstance(layer.mixer, Block) else layer.others
    return next(part for part in parts if isinstance(part, CrossAttention))


# ------------------------------------------------------------------------------------------- masks


def _encoder_masks(run: Run, groups: tuple[LayerGroup, ...], gemmas: TwoGemmas) -> tuple[Tensor, ...]:
    """Where a window cuts in; where all tokens see all others, there is none (masking_utils.py). Of padding both kinds
    of layers have one, without rows for flash attention; a mask that is given makes them each sequence's own."""
    padded = run.sizes.padded
    if run.attention is Attention.FLASH:
        return (run.tensor("masks of the padding", 2, run.tokens, element_bytes=BOOL_BYTES),) if padded else ()
    if not any(_is_masked(run, group.layer.mixer, gemmas) for group in groups):
        return ()
    if gemmas.masks_windows:
        _measure_distances(run)
    number = 2 if padded else 1
    if run.is_eager:
        return (run.tensor("additive masks of window and padding", number, run.tokens, run.tokens),)
    make = run.tensor if run.sizes.by_generate else run.shared
    return (make("masks of window and padding", number, run.tokens, run.tokens, element_bytes=BOOL_BYTES),)


def _is_masked(run: Run, mixer: Part | None, gemmas: TwoGemmas) -> bool:
    """Whether a layer of the encoder is given a mask (masking_utils.py, _ignore_bidirectional_mask_sdpa)."""
    window = mixer.sliding_window if isinstance(mixer, BidirectionalAttention) else None
    return run.sizes.padded or (window is not None and (gemmas.masks_windows or run.tokens >= window))


def _measure_distances(run: Run) -> None:
    """How far apart tokens are, whether that is within the window to the left, whether it is negative; the same the
    other way round, and whether that is within the window (modeling_t5gemma2.py, sliding_window_mask_function)."""
    run.phase("mask of the window")
    place_bytes = 2 * ID_BYTES + BOOL_BYTES
    places = run.shared("positions of both, and whether they count", run.tokens, element_bytes=place_bytes)
    distances = run.shared("distances of tokens, and negative", 2, run.tokens, run.tokens, element_bytes=ID_BYTES)
    compared = run.shared("distances compared", 3, run.tokens, run.tokens, element_bytes=BOOL_BYTES)
    del places, distances, compared


def _decoder_masks(run: Run, groups: tuple[LayerGroup, ...]) -> tuple[Tensor, ...]:
    """Eager attention's, for each kind of layers, and of the encoder's tokens, if some are padding. Where attention is
    to both, these have one in any case, and all are joined: in sdpa as well, for which those of own tokens are one for
    all sequences, and that of the encoder's a view of one number, unless a mask is given."""
    is_merged = isinstance(groups[0].layer.mixer, Block)
    if not (run.is_eager or is_merged):
        padding = padding_mask(run)
        return () if padding is None else (padding,)
    own = {type(_own(group.layer)): keys_of(run, _own(group.layer)) for group in groups}
    source, keys = run.sizes.source_tokens, list(own.values())
    joined = [each + source for each in keys if is_merged]
    if run.is_eager:
        across = [source] if is_merged or run.sizes.padded else []
        return tuple(run.tensor("additive mask", run.tokens, width) for width in (*keys, *across, *joined))
    across = [source] if run.sizes.by_generate else []
    return (
        *(run.shared("mask", run.tokens, width, element_bytes=BOOL_BYTES) for width in keys),
        *(run.tensor("mask of both", run.tokens, width, element_bytes=BOOL_BYTES) for width in (*across, *joined)),
    )


# ------------------------------------------------------------------------------------------ layers


def _play_layers(
    run: Run,
    groups: tuple[LayerGroup, ...],
    hidden_size: int,
    gemmas: TwoGemmas,
    architecture: Architecture | None = None,
) -> None:
    windows = {_window(_own(group.layer)) for group in groups} if gemmas.turns_by_kind else {None}
    tables = run.shared("cos and sin", run.tokens, len(windows) * 2 * run.rotary_dim)
    for group in groups:
        later = architecture.layers[group.indices[-1][1] + 1 :] if architecture is not None else ()
        less = _not_yet(run, later)
        is_embedded = group.indices == ((0, 0),) and not gemmas.scales_apart
        hidden = None if is_embedded else run.features("input of the layer", hidden_size)
        _play_layer(run, group.layer, hidden_size, gemmas)
        del hidden, less
    run.phase("norms")
    hidden = run.features("hidden states", hidden_size)
    normed = run.norm(hidden_size)
    del tables, hidden, normed


def _not_yet(run: Run, layers: tuple[Layer, ...]) -> tuple[Tensor | None, ...]:
    """Less than nothing: what layers that are still to run will cache."""
    own = run.not_yet_cached(_own(layer) for layer in layers)
    return own, run.across_not_yet_cached(_cross(layer) for layer in layers)


def _play_layer(run: Run, layer: Layer, hidden_size: int, gemmas: TwoGemmas) -> None:
    """Each of attention, attention across and MLP between two norms; attention's probabilities keep their name until
    the next one has made its own."""
    mixers = (layer.mixer, *(part for part in layer.others if isinstance(part, CrossAttention)))
    residual = kept = None
    for mixer in mixers:
        run.phase("norms")
        normed = run.norm(hidden_size)
        run.phase("attention")
        kept = _mix(run, mixer, gemmas)
        del normed
        residual = _add(run, hidden_size, residual)
    run.phase("norms")
    normed = run.norm(hidden_size)
    run.phase("mlp")
    play_mlp(run, layer.mlp)
    del normed
    residual = _add(run, hidden_size, residual)
    del residual, kept


def _add(run: Run, hidden_size: int, residual: Tensor | None) -> Tensor:
    """The sum of what was said, once that is normed, and of the residual, which is the layer's input at first."""
    run.phase("norms")
    said = run.features("what was said", hidden_size)
    normed = run.norm(hidden_size)
    del said
    total = run.features("residual", hidden_size)
    del normed, residual
    return total


# --------------------------------------------------------------------------------------- attention


def _mix(run: Run, mixer: Part | None, gemmas: TwoGemmas) -> Tensor | None:
    if isinstance(mixer, Block):
        return _attend_to_both(run, mixer)
    if isinstance(mixer, CrossAttention):
        return _attend_across(run, mixer)
    if isinstance(mixer, BidirectionalAttention):
        return _attend_both_ways(run, mixer, gemmas)
    assert isinstance(mixer, FullAttention)
    return play_attention(run.over(padded=False), mixer)


def _widths(mixer: FullAttention) -> Widths:
    return Widths(mixer.q_size, mixer.k_size, mixer.q_size, mixer.k_size)


def _norm_and_turn(run: Run, mixer: FullAttention) -> None:
    if mixer.qk_norm:
        run.norm_copies(mixer.q_size, rows=mixer.num_attention_heads)
    run.code.rotation(run, _widths(mixer))


def _attend_both_ways(run: Run, mixer: BidirectionalAttention, gemmas: TwoGemmas) -> Tensor | None:
    """Q, K and V, rotated."""
    query, made = run.features("Q", mixer.q_size), run.features("K and V", mixer.k_size + mixer.v_size)
    _norm_and_turn(run, mixer)
    if run.attention is Attention.SDPA and _is_masked(run, mixer, gemmas):
        mask = run.tensor("additive mask", run.tokens, run.tokens)
        said = _masked(run, mixer, run.tokens)
        del mask, said
        return None
    probabilities = attend(run, mixer, run.tokens)
    del query, made
    return probabilities


def _attend_across(run: Run, mixer: CrossAttention) -> Tensor | None:
    """Q of its own tokens; K and V of what the encoder says, unless they are cached."""
    query, source = run.features("Q", mixer.q_size), run.sizes.source_tokens
    if not run.decodes:
        made = run.tensor("K and V of what the encoder says, as made", source, mixer.k_size + mixer.v_size)
        del made
    probabilities = attend(run, mixer, source)
    del query
    return probabilities


def _attend_to_both(run: Run, block: Block) -> Tensor | None:
    """K and V of its own tokens, and of the encoder's, joined."""
    own, across = block.keeps
    assert isinstance(own, FullAttention) and isinstance(across, CrossAttention)
    source, width = run.sizes.source_tokens, own.k_size + own.v_size
    query = run.features("Q", own.q_size)
    _norm_and_turn(run, own)
    cache_keys_and_values(run, own)
    if not run.decodes:
        # K and V as made are as large as what is cached of them, and not yet.
        copies = run.tensor("fp32 copies of K's norm", source, own.k_size, element_bytes=run.norm_copy_bytes)
        rows = run.tensor("the norm's rows", source, own.num_key_value_heads, element_bytes=run.norm_row_bytes)
        del copies, rows
        made = run.tensor("K and V of what the encoder says, as made", source, width)
        del made
    keys = keys_of(run, own) + source
    joined = run.tensor("K and V of both", keys, width)
    if run.is_eager:
        probabilities = eager(run, own, keys)
        del query, joined
        return probabilities
    mask = run.tensor("additive mask", run.tokens, keys)
    said = _masked(run, own, keys)
    del mask, said
    projected = run.features("what heads say, and O", own.q_size + own.o_size)
    del query, joined, projected
    return None


def _masked(run: Run, mixer: FullAttention, keys: int) -> tuple[Tensor | None, ...]:
    """sdpa with a mask, for which K and V are repeated; for one token its heads are taken for tokens instead
    (integrations/sdpa_attention.py, pack_gqa). It says of each row the logarithm of its sum too."""
    repeated = repeated_for_heads(run, mixer, keys) if run.tokens > 1 else None
    said = run.features("what heads say", mixer.q_size)
    return repeated, said, run.features("the kernel's sums", mixer.num_attention_heads, element_bytes=FP32)


def is_playable(architecture: Architecture) -> bool:
    """Whether there are two sides of attention, as either class has it, and then an MLP."""
    stack = architecture.encoder
    if stack is None:
        return False
    return all(
        type(group.layer.mixer) is BidirectionalAttention and type(group.layer.mlp) is DenseMLP
        for group in stack.groups()
    ) and all(
        (isinstance(group.layer.mixer, Block) or type(group.layer.mixer) in (FullAttention, SlidingAttention))
        and type(group.layer.mlp) is DenseMLP
        for group in architecture.groups()
    )
