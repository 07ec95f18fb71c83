"""prophetnet, played: beside its tokens the decoder runs streams, which predict those behind (modeling_prophetnet.py).

A stream has as many hidden states as there are tokens, and sees the tokens' K and V before its own. Its first step
makes buckets of distances, and a mask of each stream, for all pairs of positions that the model knows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from hubvram.architecture.attention import BidirectionalAttention, FullAttention
from hubvram.architecture.layers import Architecture, Layer, Stack
from hubvram.architecture.mlp import DenseMLP
from hubvram.architecture.parts import Block, Linear
from hubvram.architecture.parts import Tensor as Table
from hubvram.memory.forward.attention import play_scores
from hubvram.memory.forward.attention_in_blocks import attention_of
from hubvram.memory.forward.encoder_decoder import attention_across, keys_and_values
from hubvram.memory.forward.mlp import play_mlp
from hubvram.memory.forward.run import FP32, ID_BYTES, Run
from hubvram.memory.forward.tape import Peak, Tensor

_BOOL: Final = 1
_INT: Final = 4
"""Of a bucket: int32."""
_NGRAM: Final = "ngram_attention"


def play_prophetnet_encoder(run: Run, stack: Stack) -> tuple[Peak, ...]:
    """The encoder's peak (ProphetNetEncoder.forward)."""
    width = stack.hidden_size
    ids = run.input_ids(run.tokens)
    mask = _mask_of_input(run, stack, run.tokens)
    embedded = run.features("embeddings, and of positions", 2 * width)
    places = run.features("position ids", 1, element_bytes=ID_BYTES)
    summed = _sum_and_norm(run, width)
    del summed
    for group in stack.groups():
        hidden = run.features("input of the layer", width)
        mixer = group.layer.mixer
        assert isinstance(mixer, BidirectionalAttention)
        _play_layer(run, group.layer, partial(_attend, run, mixer))
        del hidden
    del ids, mask, embedded, places
    return run.tape.take_all()


def _mask_of_input(run: Run, stack: Stack, source: int) -> Tensor | None:
    """For each head, of the mask that `generate()` is given (ProphetNetEncoder.forward, ProphetNetDecoder.forward)."""
    mixer = stack.layers[0].mixer
    assert isinstance(mixer, BidirectionalAttention)
    if not run.sizes.by_generate:
        return None
    return run.tensor("mask of the input, for each head", mixer.num_attention_heads, source)


def play_prophetnet_step(run: Run, architecture: Architecture, *, copies_logits: bool) -> tuple[Peak, ...]:
    """A forward of the decoder beside what the encoder said (Program.step)."""
    stack = architecture.encoder
    assert stack is not None
    source = run.sizes.source_tokens
    given = run.input_ids(source)
    said = run.tensor("what the encoder says", source, stack.hidden_size)
    ids = run.tensor("token ids", run.keys, element_bytes=ID_BYTES)
    said_before = run.logits_before(architecture.head.out_features) if architecture.head else None
    _play_decoder(run, architecture, stack)
    before, *sharing = run.tape.take_all()
    _play_head(run, architecture, copies_logits)
    del given, said, ids, said_before
    return before, run.tape.take(), *sharing


# ----------------------------------------------------------------------------------- around layers


def _streams(architecture: Architecture) -> int:
    tables = (weight for weight in architecture.extras if isinstance(weight, Table) and weight.name == "ngrams")
    return next(table.shape[0] for table in tables)


def _play_decoder(run: Run, architecture: Architecture, encoder: Stack) -> None:
    """(ProphetNetDecoder.forward)"""
    width, streams = architecture.hidden_size, _streams(architecture)
    embedded = run.features("embeddings", width)
    around = _played_at_last(run, width, streams) if run.decodes else _played_at_first(run, architecture, streams)
    wide = run.over(tokens=(1 + streams) * run.tokens)  # hidden states of tokens and of streams
    mask = _mask_of_input(run, encoder, run.sizes.source_tokens)
    summed = _sum_and_norm(wide, width)
    del summed
    for group in architecture.groups():
        hidden = wide.features("input of the layer", width)
        across = (partial(_attend, wide, part) for part in attention_across((group.layer,)))
        _play_layer(wide, group.layer, partial(_attend_in_streams, run, wide, streams, group.layer), *across)
        del hidden
    del embedded, around, mask


def _played_at_last(run: Run, width: int, streams: int) -> tuple[Tensor, ...]:
    """The position of all sequences; their streams."""
    return (
        run.shared("position, embedded, and the next one", 2, width),
        run.shared("position ids", 1, element_bytes=ID_BYTES),
        run.features("streams, embedded", streams * width),
    )


def _played_at_first(run: Run, architecture: Architecture, streams: int) -> tuple[object, ...]:
    """Positions are counted by a mask, for each sequence."""
    width, rows = architecture.hidden_size, architecture.max_position_embeddings or 0
    not_yet = (
        run.not_yet_cached(attention_of(layer) for layer in architecture.layers),
        run.across_not_yet_cached(attention_across(architecture.layers)),
    )
    places = run.features("position ids", 1, element_bytes=ID_BYTES)
    embedded = run.features("embedded positions", width)
    _play_tables(run, rows)
    buckets = run.features("buckets of distances", 3 * run.tokens, element_bytes=_INT)
    following = run.features("embedded positions behind", width)
    summed = run.features("embeddings with positions", width)
    added = run.features("streams, embedded", streams * width)
    mask = run.shared("mask", run.tokens, run.tokens)
    _play_masks(run, rows, streams)
    masks = run.shared("masks of streams", streams, run.tokens, 2 * run.tokens)
    del not_yet, summed
    return places, embedded, buckets, following, added, mask, masks


def _play_tables(run: Run, rows: int) -> None:
    """Of all positions but the padding's; a stream has twice the distances (compute_buffered_relative_buckets)."""
    run.phase("buckets of distances")
    known = rows - 1
    places = run.shared("positions", known, element_bytes=ID_BYTES)
    distances = run.shared("distances, and those in streams", 3, known, known, element_bytes=ID_BYTES)
    buckets = _play_buckets(run.shared, known, known)
    others = _play_buckets(run.shared, known, 2 * known)
    del places, distances, buckets, others


def _play_buckets(make: Callable[..., Tensor], *pairs: int) -> Tensor:
    """Distances turned round, zeros, and the larger of both, behind which less is alive (compute_relative_buckets)."""
    made = make("distances turned round, zeros, the larger", 3, *pairs, element_bytes=ID_BYTES)
    del made
    return make("their buckets", *pairs, element_bytes=_INT)


def _play_masks(run: Run, rows: int, streams: int) -> None:
    """What a stream does not see of the tokens, and of itself: all but its own place (ngram_attention_bias)."""
    run.phase("masks of streams")
    places = run.shared("rows and columns", 2, rows, element_bytes=ID_BYTES)
    offsets = run.shared("which stream", streams, element_bytes=ID_BYTES)
    hidden = run.shared("what is not seen", streams + 1, rows, rows, element_bytes=_BOOL)
    numbers = run.shared("least number, and zero", 2)
    masks = run.shared("both as masks, and together", 4, streams, rows, rows)
    del places, offsets, hidden, numbers, masks


def _play_head(run: Run, architecture: Architecture, copies_logits: bool) -> None:
    """Logits of all streams; the first one's are put in order (ProphetNetForConditionalGeneration.forward)."""
    run.phase("logits")
    streams, width = _streams(architecture), architecture.hidden_size
    hidden = run.features("hidden states", (1 + streams) * width)
    if architecture.head is not None:
        logits = architecture.head.out_features
        ordered = None if run.is_alone else run.features("hidden states of streams", streams * width)
        made = run.output("logits of streams", streams, run.tokens, logits)
        del ordered
        chosen = None if run.is_alone or streams == 1 else run.output("logits", run.tokens, logits)
        # The copy is made behind the forward.
        del hidden
        copy = run.output("the last one's fp32 copy", logits, element_bytes=FP32) if copies_logits else None
        del made, chosen, copy


# ------------------------------------------------------------------------------------------ layers


def _play_layer(run: Run, layer: Layer, *mixes: Callable[[], object]) -> None:
    """What attention leaves, and what it says, have names until the layer's end (ProphetNetDecoderLayer.forward)."""
    width = layer.norms.hidden_size
    residual = None
    kept: list[object] = []
    for mix in mixes:
        run.phase("attention")
        kept += mix(), run.features("what attention says", width)
        residual = _sum_and_norm(run, width)
    run.phase("mlp")
    play_mlp(run, layer.mlp)
    run.phase("norms")
    said = run.features("what the MLP says", width)
    output = _sum_and_norm(run, width)
    del residual, kept, said, output


def _sum_and_norm(run: Run, width: int) -> Tensor:
    run.phase("norms")
    summed = run.features("sum", width)
    normed = run.norm(width)
    del summed
    return normed


# --------------------------------------------------------------------------------------- attention


def _attend(run: Run, mixer: FullAttention) -> None:
    """Products copy what is not in the order of heads: two at most, as what heads say is there twice later
    (ProphetNetAttention.forward)."""
    width, heads = mixer.q_size, mixer.num_attention_heads
    query = run.features("Q, scaled", width)
    keys, made = keys_and_values(run, mixer)
    play_scores(run, heads, keys)
    probabilities = run.tensor("probabilities", heads, run.tokens, keys)
    _play_answers(run, width)
    del query, made, probabilities


def _attend_in_streams(run: Run, wide: Run, streams: int, layer: Layer) -> tuple[Tensor, Tensor]:
    """Returns the probabilities of tokens and of streams (ProphetNetNgramSelfAttention.forward)."""
    mixer = attention_of(layer)
    width = mixer.q_size
    made = wide.features("Q, K and V", 3 * width)
    another = wide.features("one of them, scaled, or in the order of heads", width)
    del another
    old = run.tensor("K or V before this token", run.past_tokens, width) if run.decodes else None
    del old
    scores = _Scores(run, mixer, _buckets(layer) // mixer.num_attention_heads, run.keys)
    weights = scores.play()
    probabilities = scores.play_softmax()
    _play_answers(run, width)
    said = run.features("what attention says of tokens", width)
    of_streams = replace(scores, streams=streams, keys=run.keys + run.tokens)
    kept, probabilities_of_streams = _attend_from_streams(of_streams)
    both = wide.features("what attention says of all", width)
    del made, weights, said, kept, both
    return probabilities, probabilities_of_streams


def _attend_from_streams(scores: _Scores) -> tuple[object, Tensor]:
    """What has a name until attention is done, and the probabilities."""
    run, streams, width = scores.run, scores.streams, scores.mixer.q_size
    query = run.features("Q of streams", streams * width)
    keys = _seen(scores, "K")
    hidden = run.features("hidden states of streams", streams * width)
    values = _seen(scores, "V")
    weights = scores.play()
    probabilities = scores.play_softmax()
    # Made token by token, head by head, and there for each stream.
    ordered = run.tensor("V, stream by stream", streams, scores.keys, width) if streams > 1 else None
    answers = run.features("what heads say", streams * width)
    del ordered, answers
    _play_answers(run, streams * width)
    answers = run.features("what attention says of streams", streams * width)
    return (query, keys, hidden, values, weights, answers), probabilities


def _seen(scores: _Scores, name: str) -> Tensor:
    """K or V of the tokens and of a stream, for each stream; then together."""
    sizes = scores.streams, scores.keys, scores.mixer.q_size
    each = scores.run.tensor(f"{name} that each stream sees", *sizes)
    together = scores.run.tensor(f"{name} that streams see", *sizes)
    del each
    return together


def _play_answers(run: Run, width: int) -> None:
    """By heads and by tokens, which for one token is the same; then O of it."""
    answers = run.features("what heads say, by heads and by tokens; or O", 2 * width)
    del answers


def _buckets(layer: Layer) -> int:
    """Numbers of a token: one for each bucket and head."""
    others = layer.mixer.others if isinstance(layer.mixer, Block) else ()
    matrix = next(it for it in others if isinstance(it, Linear) and it.name == "relative positions")
    return matrix.out_features


@dataclass(frozen=True, slots=True)
class _Scores:
    """Of the tokens, or of streams."""

    run: Run
    mixer: FullAttention
    buckets: int
    keys: int
    streams: int = 0
    """0 of the tokens."""

    def _new(self, what: str, *, element_bytes: int | None = None) -> Tensor:
        heads, tokens = self.mixer.num_attention_heads, self.run.tokens
        return self.run.tensor(what, max(1, self.streams), heads, tokens, self.keys, element_bytes=element_bytes)

    def play(self) -> tuple[Tensor, ...]:
        """Scores, and the number that a token says for the bucket of each pair (get_main_relative_pos_embeddings).

        Those numbers are put into the order of heads, by then beside the buckets; those of streams before.
        """
        run = self.run
        scores = self._new("scores")
        distances = self._distances() if run.decodes else None
        width = max(1, self.streams) * self.buckets * self.mixer.num_attention_heads
        numbers = run.features("numbers for buckets", width)
        ordered = run.features("the same, by heads", width) if self.streams else None
        del ordered
        places = self._new("buckets of all heads", element_bytes=_INT)
        longer = self._new("the same in 64 bits", element_bytes=ID_BYTES)
        del places
        ordered = None if self.streams else run.features("the same, by heads", width)
        del ordered
        found = self._new("numbers of pairs")
        del numbers, longer, distances
        added = self._new("scores with numbers")
        del added
        return scores, found

    def _distances(self) -> tuple[Tensor, Tensor]:
        """Of the token from all that it sees, and their buckets; at first, these are there."""
        run = self.run
        distances = run.tensor("distances", run.tokens, self.keys, element_bytes=ID_BYTES)
        return distances, _play_buckets(run.tensor, run.tokens, self.keys)

    def play_softmax(self) -> Tensor:
        """In fp32, to probabilities in the model's own type."""
        if self.run.element_bytes < FP32:
            beside = self.run.element_bytes if self.run.sizes.in_fp16 else FP32
            made = self._new("scores in fp32, and their softmax", element_bytes=beside + FP32)
            del made
            made = self._new("their softmax", element_bytes=FP32)
        return self._new("probabilities")


def is_playable(architecture: Architecture) -> bool:
    """Whether there are two sides of attention and then an MLP, and streams on the decoder's."""
    stack = architecture.encoder
    return (
        stack is not None
        and all(
            type(group.layer.mixer) is BidirectionalAttention and type(group.layer.mlp) is DenseMLP
            for group in stack.groups()
        )
        and all(
            isinstance(group.layer.mixer, Block)
            and group.layer.mixer.kind == _NGRAM
            and type(group.layer.mlp) is DenseMLP
            for group in architecture.groups()
        )
    )
