"""cpmant, played: a prompt of its own before each text, all of which is embedded, and masked, at every step.

What is cached is sliced off as late as before the layers, so that biases for all pairs of tokens stay for one token.
(modeling_cpmant.py, CpmAntModel.forward, CpmAntSegmentPositionEmbedding.forward, CpmAntAttention.forward)
"""

from __future__ import annotations

from copy import copy
from typing import Final

from hubvram.architecture.attention import FullAttention
from hubvram.architecture.layers import Architecture
from hubvram.memory.forward.attention import cache_keys_and_values, keys_of
from hubvram.memory.forward.decoder import play_decoder
from hubvram.memory.forward.mlp import play_mlp
from hubvram.memory.forward.run import ID_BYTES, Run
from hubvram.memory.forward.tape import Peak, Tensor
from hubvram.memory.kv_cache import held_tokens

_INT32: Final = 4


def play_cpmant(run: Run, architecture: Architecture, copies_logits: bool) -> tuple[Peak, Peak]:
    """A step of `generate()` is given all ids."""
    return play_decoder(run, architecture, copies_logits, play_model=_play_model)


def _play_model(run: Run, architecture: Architecture) -> Tensor | None:
    """The layers with the prompt, or one token; all else with all tokens. Behind them, hidden states of its own prompt
    are cut off, so that what the head reads is no longer in one piece: it is copied, but not that of one sequence."""
    hidden_size, layer = architecture.hidden_size, architecture.layers[-1]
    if not isinstance(layer.mixer, FullAttention):
        raise TypeError(f"no program for {layer.mixer!r}")
    whole = copy(run)
    whole.tokens, whole.past_tokens, whole.decodes = held_tokens(layer.mixer, run.keys), 0, False
    step = run if run.decodes else whole
    given = run.tensor("a copy of all ids", run.keys, element_bytes=ID_BYTES) if _is_step(run) else None
    ids = whole.features("ids, segments, contexts, places and spans", 5, element_bytes=_INT32)
    lengths = whole.tensor("lengths", 1, element_bytes=_INT32)
    embedded = whole.features("segments embedded, and added to embeddings", 2 * hidden_size)
    mask = whole.tensor("mask", whole.tokens, whole.tokens, element_bytes=_INT32)
    not_yet = step.not_yet_cached(layer.mixer for layer in architecture.layers)
    biases = _biases(whole, layer.mixer.num_attention_heads)
    del not_yet
    hidden = step.features("input of the layer", hidden_size)
    run.phase("attention")
    normed = step.features("normed", hidden_size)
    play_cpmant_attention(step, layer.mixer)
    del normed
    run.phase("norms")
    said = step.features("with what attention says", hidden_size)
    normed = step.norm(hidden_size)
    run.phase("mlp")
    play_mlp(step, layer.mlp)
    added = step.features("what the MLP says, and the sum", 2 * hidden_size)
    del given, ids, lengths, embedded, mask, biases, hidden, said, normed, added
    if run.decodes:
        return None
    copied = 0 if run.is_alone else run.tokens if run.sizes.all_logits else 1
    return run.tensor("hidden states of its prompt, and a copy", step.tokens - run.tokens + copied, hidden_size)


def _is_step(run: Run) -> bool:
    """Where others are given one token."""
    return run.decodes and run.sizes.by_generate


def _biases(run: Run, heads: int) -> Tensor:
    """Of all pairs: buckets by each sequence's segments, and for all sequences by distance; what heads say of them, in
    two layouts, of which one stays. What those by distance are made of is less than this with more than four heads."""
    run.phase("positions")
    pairs = (run.tokens, run.tokens)
    by_segments = run.tensor("buckets by segments", *pairs, element_bytes=_INT32)
    by_distance = run.shared("buckets by distance", *pairs, element_bytes=_INT32)
    biases = run.tensor("biases of heads, in two layouts", 2, heads, *pairs)
    del by_segments, by_distance, biases
    return run.tensor("biases of heads", heads, *pairs)


def play_cpmant_attention(run: Run, mixer: FullAttention) -> None:
    """Biases and the mask make new scores each; they are masked again behind their softmax."""
    query = run.features("Q", mixer.q_size)
    cache_keys_and_values(run, mixer)
    sizes = (mixer.num_attention_heads, run.tokens, keys_of(run, mixer))
    hidden = run.tensor("which are not seen", *sizes[1:], element_bytes=1)
    instead = run.shared("what stands there", 1)
    scores = run.tensor("scores before and behind a step", 2, *sizes)
    del scores, hidden, instead
    scores = run.tensor("scores", *sizes)
    said = run.features("what heads say, in two layouts", (2 if run.tokens > 1 else 1) * mixer.q_size)
    del query, scores, said
