"""An encoder, played: one forward over whole sequences, in which every token sees all others, and nothing is cached.

What is given is what a tokenizer makes of sequences of one length: ids, a mask of ones (of which classes make no mask
that attention sees: masking_utils.py, _ignore_bidirectional_mask_sdpa), types of tokens where it makes them; or what an
image processor makes of images, pixels of fp32. The base of what happens in a layer are the embeddings, which the
model's forward holds, and the layer's input; what a layer makes lives as long as the variables of its class name it,
which EncoderCode says. Measured against small classes on the CPU (tests/peaks).
Not played: how distances are put into buckets before the layers (mpnet), which is less for ten heads or more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hubvram.architecture.attention import BidirectionalAttention
from hubvram.architecture.layers import Architecture, Image, Layer
from hubvram.architecture.mlp import DenseMLP
from hubvram.architecture.parts import Linear
from hubvram.checkpoint.components import Component
from hubvram.memory.forward.disentangled import distances
from hubvram.memory.forward.encoder_attention import attend, is_cut
from hubvram.memory.forward.encoder_code import EncoderCode, Held, Pixels, Types, Until
from hubvram.memory.forward.mlp import play_mlp
from hubvram.memory.forward.run import FP32, ID_BYTES, Run
from hubvram.memory.forward.tape import Peak, Tensor
from hubvram.memory.workload import Attention


def play_encoder(
    run: Run, architecture: Architecture, copies_logits: bool = False, *, code: EncoderCode
) -> tuple[Peak, ...]:
    """The peak before the head, and that at it (Program.play). No forward copies logits."""
    given = given_to(run, architecture, code)
    seen = code.tower(run, architecture, code) if code.tower else None
    play_model(run, architecture, code)
    before = run.tape.take_larger()
    play_head(run, architecture, code)
    del given, seen
    return *before, run.tape.take()


def given_to(run: Run, architecture: Architecture, code: EncoderCode, tokens: int | None = None) -> Tensor:
    """What a tokenizer makes, of all tokens that are played unless said otherwise; or an image processor, which makes
    pixels of fp32."""
    image = architecture.image
    if image is not None:
        element_bytes = None if code.pixels is Pixels.CALLER else FP32
        return run.tensor("pixels", image.channels, image.height, image.width, element_bytes=element_bytes)
    numbers = code.inputs + (code.types is Types.TOKENIZER)
    return run.tensor("ids, mask, and types of tokens", tokens or run.tokens, numbers, element_bytes=ID_BYTES)


def play_model(run: Run, architecture: Architecture, code: EncoderCode) -> None:
    """From the embeddings to what the last layer says."""
    hidden_size = architecture.hidden_size
    types = run.features("types of tokens", 1, element_bytes=ID_BYTES) if code.types is Types.MODEL else None
    pixels = _pixels(run, architecture.image) if code.pixels is Pixels.MODEL else None
    embed = code.embed or (_embed if architecture.image is None else _embed_patches)
    embed(run, architecture, code)
    kept = architecture.embedding_size if code.keeps_narrow_embedding else None
    embedded = run.features("embeddings", kept or hidden_size)
    own = code.around(run, architecture) if code.around else ()
    tables = (*_tables(run, architecture, code), *_score_wide(run, architecture, code), *own)
    others = max(architecture.num_hidden_layers - 2, 0) if code.keeps_all_layers else 0
    said = run.features("what the layers before said", others * hidden_size) if others else None
    before = play_layers(run, architecture, code)
    if architecture.final_norm.count:
        run.phase("norms")
        hidden = run.features("hidden states", hidden_size)
        normed = run.norm(hidden_size)
        del hidden, normed
    del embedded, own, tables, before, types, pixels, said


def _pixels(run: Run, image: Image | None) -> Tensor | None:
    """In the model's own type, where that is not theirs."""
    if image is None or run.element_bytes == FP32:
        return None
    return run.tensor("pixels in the model's type", image.channels, image.height, image.width)


def _embed_patches(run: Run, architecture: Architecture, code: EncoderCode) -> None:
    """What the convolution makes of each patch; the same behind learned tokens; the sum with positions."""
    run.phase("embeddings")
    pixels = _pixels(run, architecture.image) if code.pixels is Pixels.EMBEDDING else None
    twice = run.features("embedded patches, twice", 2 * architecture.hidden_size)
    del pixels, twice


def _embed(run: Run, architecture: Architecture, code: EncoderCode) -> None:
    """Tokens, their types and positions, each embedded and added; a norm; a matrix where layers have another width."""
    run.phase("embeddings")
    width, hidden_size = architecture.embedding_size or architecture.hidden_size, architecture.hidden_size
    has_types = any(weight.name == "token types" for weight in architecture.extras)
    make = _of_each if run.code.positions_per_sequence else _of_all
    numbers = run.code.positions_per_sequence + (has_types and code.types is Types.EMBEDDING)
    ids = make(run, "ids of positions and types", numbers, ID_BYTES) if numbers else None
    added = run.features("embedded tokens", width)
    parts = [added]
    if has_types:
        parts.append(run.features("embedded types", width))
        added = run.features("sum with types", width)
    if architecture.learned_positions:
        parts.append(make(run, "embedded positions", width, run.element_bytes))
        added = added if code.adds_in_place else run.features("sum with positions", width)
    normed = run.norm(width)
    del ids, added, parts
    projected = run.features("projected", hidden_size) if width != hidden_size else None
    del normed, projected


def _of_each(run: Run, what: str, width: int, element_bytes: int) -> Tensor:
    return run.features(what, width, element_bytes=element_bytes)


def _of_all(run: Run, what: str, width: int, element_bytes: int) -> Tensor:
    return run.shared(what, run.tokens, width, element_bytes=element_bytes)


def _tables(run: Run, architecture: Architecture, code: EncoderCode) -> tuple[Tensor, ...]:
    """Position ids, cos and sin, which all sequences share."""
    if not run.rotary_dim:
        return ()
    width = (1 if run.code.halves_of_tables else 2) * run.rotary_dim
    tables = (run.shared("cos and sin", architecture.rotary_tables, run.tokens, width),)
    return (*tables, run.shared("position ids", run.tokens, element_bytes=ID_BYTES)) if code.keeps_positions else tables


def bias_of_sequences(run: Run, architecture: Architecture) -> tuple[Tensor, ...]:
    """A bias for each head, by how far apart two tokens are, of each sequence (modeling_mpnet.py)."""
    mixers = [group.layer.mixer for group in architecture.groups()]
    heads = max(mixer.num_attention_heads for mixer in mixers if isinstance(mixer, BidirectionalAttention))
    return (run.tensor("relative positions", heads, run.tokens, run.tokens),)


def causal_mask(run: Run, architecture: Architecture) -> tuple[Tensor, ...]:
    """Of earlier tokens, joined with that of padding, where attention is eager; kernels know it (modeling_clip.py)."""
    return (run.tensor("mask of later tokens", run.tokens, run.tokens),) if run.is_eager else ()


def _score_wide(run: Run, architecture: Architecture, code: EncoderCode) -> Iterator[Tensor]:
    """What is as wide as the scores, and stays: a mask where a window cuts in, which is one for each sequence, for it
    is joined with the padding's, as is that of no window where something is padded (masking_utils.py, sdpa_mask);
    distances of tokens."""
    mixers = [group.layer.mixer for group in architecture.groups()]
    has_masks = run.attention is not Attention.FLASH and not code.masks_scores
    mask_bytes = None if run.is_eager else 1
    if run.sizes.padded and has_masks:
        # One for each window, and one where there is none.
        for _ in {mixer.sliding_window for mixer in mixers if isinstance(mixer, BidirectionalAttention)}:
            yield run.tensor("mask of the padding", run.tokens, run.tokens, element_bytes=mask_bytes)
    elif has_masks and any(is_cut(mixer, run.tokens) for mixer in mixers):
        yield run.tensor("mask of the window", run.tokens, run.tokens, element_bytes=mask_bytes)
    if code.masks_scores:
        if any(weight.name == "distance norm" for weight in architecture.extras):
            yield run.shared("table of distances, normed", distances(architecture), architecture.hidden_size)
        yield run.tensor("mask", run.tokens, run.tokens, element_bytes=ID_BYTES)
        yield run.shared("distances", run.tokens, run.tokens, element_bytes=ID_BYTES)


def play_layers(run: Run, architecture: Architecture, code: EncoderCode) -> Tensor | None:
    """What the last of them leaves."""
    before = None
    for group in architecture.groups():
        for _ in range(min(group.count, 2)):  # the second beside what the first left
            hidden = run.features("input of the layer", architecture.hidden_size)
            before = play_layer(run, architecture, group.layer, code, before)
            del hidden
    return before


def play_layer(
    run: Run, architecture: Architecture, layer: Layer, code: EncoderCode, before: Tensor | None
) -> Tensor | None:
    """`before` is what the layer before left to this one; what this one leaves to the next."""
    mixer, mlp, held = layer.mixer, layer.mlp, Held()
    assert isinstance(mixer, BidirectionalAttention) and isinstance(mlp, DenseMLP)
    first = code.begins(run, architecture, layer) if code.begins else None
    held.has_bias = first is not None
    if layer.pre_norm:
        _norm(run, layer, held, code.normed)
    run.phase("attention")
    probabilities = (code.attend or attend)(run, architecture, mixer, code, held)
    held.let_go(Until.SAID)
    if probabilities is not None:
        held.hold(code.probabilities, probabilities)
    left = probabilities if code.probabilities is Until.NEXT_LAYER else None
    del probabilities
    held.hold(code.projected, run.features("O", mixer.o_size))
    if code.keeps_unscaled and any(weight.name == "layer scale" for weight in layer.extras):
        held.let_go(Until.PROJECTED)
        held.hold(code.projected, run.features("O, scaled", mixer.o_size))
    _add(run, layer, held)
    if layer.pre_norm:
        _norm(run, layer, held, code.mlp_normed)
    held.let_go(Until.READ)
    run.phase("mlp")
    play_mlp(run, mlp)
    held.hold(code.inner, run.features("inner of the MLP", mlp.intermediate_size * (3 if mlp.fused else 1)))
    held.let_go(Until.SAID)
    held.hold(code.mlp_said, run.features("what the MLP says", mlp.hidden_size))
    _add(run, layer, held, code.adapt)
    del before, first
    return left


def _norm(run: Run, layer: Layer, held: Held, until: Until) -> None:
    run.phase("norms")
    held.hold(until, run.norm(layer.norms.hidden_size))


def _add(run: Run, layer: Layer, held: Held, adapt: Callable[[Run, Layer], None] | None = None) -> None:
    """To the residual; what adapters make of the sum; and the norm behind it, if there is one."""
    held.let_go(Until.PROJECTED)
    sum_until = Until.LAYER if layer.pre_norm else Until.NORMED
    held.hold(sum_until, run.features("sum with the residual", layer.norms.hidden_size))
    held.let_go(Until.ADDED)
    if adapt is not None:
        adapt(run, layer)
    if not layer.pre_norm:
        _norm(run, layer, held, Until.LAYER)
    held.let_go(Until.NORMED)


# ------------------------------------------------------------------------------------------- head


def play_head(run: Run, architecture: Architecture, code: EncoderCode) -> None:
    """What it says of each token, through a matrix, an activation and a norm where it has them."""
    run.phase("logits")
    hidden = run.features("hidden states", architecture.hidden_size)
    head = architecture.head
    if head is not None and head.out_features == architecture.vocab_size:
        width = width_before_head(architecture)
        transformed = run.features("hidden states, transformed", 2 * width) if width else None
        del transformed
        read = run.features("hidden states, transformed", width) if width else None
        logits = run.output("logits of all tokens", run.tokens, code.logit_copies * head.out_features)
        del logits, read
    elif head is not None:
        logits = run.output("what the head says", run.tokens if architecture.head_reads_all else 1, head.out_features)
        del logits
    del hidden


def width_before_head(architecture: Architecture) -> int:
    """Of the matrix that stands before the head; 0 where there is none."""
    dense = (it for it in architecture.extras if isinstance(it, Linear) and it.name == "dense")
    return next((it.out_features for it in dense if it.component is Component.HEAD), 0)
