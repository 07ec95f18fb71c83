"""deepseek_v4, played: K and V of a window are one tensor, behind which entries stand that were made of many tokens.

All of it is eager: sinks are fp32 weights, by which scores become fp32 (modeling_deepseek_v4.py,
eager_attention_forward). Of one sequence alone K and V are not copied for all heads (Run.is_alone).
"""

from __future__ import annotations

from typing import NamedTuple

from hubvram.architecture.attention import SlidingAttention
from hubvram.architecture.layers import Architecture, Layer
from hubvram.architecture.parts import Block, Pool
from hubvram.memory.forward.decoder import play_decoder
from hubvram.memory.forward.hyper_streams import play_end, play_reading, play_writing
from hubvram.memory.forward.mlp import play_mlp
from hubvram.memory.forward.run import FP32, Run
from hubvram.memory.forward.tape import Peak, Tensor
from hubvram.memory.kv_cache import added_bytes, held_tokens

_KINDS = ("sliding_attention", "compressed_sparse_attention", "heavily_compressed_attention")
_LATER = "what will be cached"


class _Widths(NamedTuple):
    """Features of a token."""

    rank: int
    """Of Q's latent."""
    query: int
    size: int
    """Of a head, and so of K and V of all."""
    groups: int
    """Of what heads say, before O."""

    @property
    def heads(self) -> int:
        return self.query // self.size


def is_compressed(architecture: Architecture) -> bool:
    """Whether every layer is attention of these kinds, then experts, around which streams are mixed."""
    return all(
        isinstance(group.layer.mixer, Block) and group.layer.mixer.kind in _KINDS and group.layer.extras
        for group in architecture.groups()
    )


def play_compressed(run: Run, architecture: Architecture, copies_logits: bool) -> tuple[Peak, Peak]:
    """A decoder of several residual streams."""
    return play_decoder(run, architecture, copies_logits, play_model=_play_model)


def _play_model(run: Run, architecture: Architecture) -> None:
    hidden_size, layers = architecture.hidden_size, architecture.layers
    streams = next(weight.shape[0] for weight in architecture.extras if weight.name == "hc base")
    embedded = run.features("embeddings", hidden_size)
    positions = run.position_ids()
    # Of pairs, for each of two kinds of layers.
    tables = run.along("cos and sin", 2, run.rotary_dim)
    window = _block(layers[0]).keeps[0]
    mask = run.tensor("additive mask", run.tokens, held_tokens(window, run.keys) if run.decodes else run.tokens)
    added = [_added(run, _block(layer)) for layer in layers]
    for group in architecture.groups():
        # At the one of equal layers behind which least is still to come.
        indices = (index for first, last in group.indices for index in range(first, last + 1))
        later = run.less(_LATER, min(sum(added[index + 1 :]) for index in indices))
        hidden = run.features("streams", streams * hidden_size)
        _play_layer(run, group.layer, streams, hidden_size)
        del hidden, later
    hidden = run.features("streams", streams * hidden_size)
    play_end(run, streams, hidden_size)
    run.phase("norms")
    read = run.features("streams, read as one", hidden_size)
    normed = run.norm(hidden_size)
    del embedded, positions, tables, mask, hidden, read, normed


def _block(layer: Layer) -> Block:
    if not isinstance(layer.mixer, Block):
        raise TypeError(f"no program for {layer.mixer!r}")
    return layer.mixer


def _play_layer(run: Run, layer: Layer, streams: int, hidden_size: int) -> None:
    read = play_reading(run, streams, hidden_size)
    run.phase("norms")
    normed = run.norm(hidden_size)
    run.phase("attention")
    probabilities = _play_attention(run, _block(layer))
    del normed
    said = run.features("what attention says", hidden_size)
    written = play_writing(run, streams, hidden_size)
    read = play_reading(run, streams, hidden_size)
    run.phase("norms")
    normed = run.norm(hidden_size)
    run.phase("mlp")
    play_mlp(run, layer.mlp)
    del normed
    answer = run.features("what the MLP says", hidden_size)
    again = play_writing(run, streams, hidden_size)
    del read, said, written, answer, again, probabilities


# ------------------------------------------------------------------------------------- attention


def _play_attention(run: Run, block: Block) -> Tensor:
    """Q from a latent, normed and rotated; K and V; entries; softmax; what heads say rotated back, and O in groups.

    Returns the probabilities, which the layer holds by a name that it has no use for.
    """
    linears = {linear.name: linear for linear in block.weights}
    widths = _Widths(
        rank=linears["q a"].out_features,
        query=linears["q b"].out_features,
        size=linears["kv"].out_features,
        groups=linears["o a"].count * linears["o a"].out_features,
    )
    latent = run.features("latent of Q", widths.rank)
    not_yet = run.less(_LATER, _added(run, block))
    _play_query(run, widths)
    query = run.features("Q", widths.query)
    made = run.features("K that is V, as made", widths.size)
    del not_yet
    not_yet = run.less(_LATER, sum(_pooled(run, pool) for pool in block.pools))
    keys = held_tokens(block.keeps[0], run.keys) if run.decodes else run.tokens
    if run.decodes:
        copies = 2 if isinstance(block.keeps[0], SlidingAttention) else 1
        before = run.tensor("the window before this token", keys - 1, copies * widths.size)
        del before
    del made, not_yet
    entries = run.keys // block.pools[0].tokens_per_entry if block.pools else 0
    joined = bias = None
    if block.pools:
        _play_pools(run, block)
        # A column for what was not chosen.
        bias = run.tensor("which entries a token sees", run.tokens, entries + len(block.pools) - 1)
        joined = run.tensor("K of window and entries", keys + entries, widths.size)
    mask = run.tensor("additive mask of both", run.tokens, keys + entries) if entries else None
    probabilities = _play_scores(run, widths, keys + entries)
    said = run.features("what heads say", widths.query)
    rotated = run.rotary_dim * widths.heads
    turned = run.features("what heads say by cos, turned, and by sin, in fp32", 3 * rotated, element_bytes=FP32)
    del turned
    back = run.features("rotated back, before and after it is joined to the rest", rotated + widths.query)
    del back, said
    said = run.features("what heads say, and the same in order", 2 * widths.query)
    groups = run.features("O of groups, twice", 2 * widths.groups)
    del latent, query, joined, bias, mask, said, groups
    return probabilities


def _play_query(run: Run, widths: _Widths) -> None:
    """Each head is normed by its own fp32 squares, then rotated in fp32, in part."""
    made = run.features("Q as made", widths.query)
    in_fp32 = run.in_fp32("Q in fp32", run.tokens, widths.query)
    squares = run.features("its squares, or Q normed", widths.query, element_bytes=FP32)
    del in_fp32, squares
    rotated = run.rotary_dim * widths.heads
    turned = run.features("Q by cos, turned, and by sin, in fp32", 3 * rotated, element_bytes=FP32)
    del turned
    joined = run.features("Q rotated, before and after it is joined to the rest", rotated + widths.query)
    del made, joined


def _play_scores(run: Run, widths: _Widths, keys: int) -> Tensor:
    """Scores, with a column of sinks in fp32, less the largest, and their softmax; the last is turned back, and as it
    is where the model is fp32."""
    heads, queries = widths.heads, run.tokens
    copied = None if run.is_alone else run.tensor("K copied for all heads", keys, widths.query)
    scores = run.tensor("scores", heads, queries, keys)
    del copied
    scaled = run.tensor("scores scaled, or masked", heads, queries, keys)
    del scaled
    with_sinks = run.tensor("scores with sinks", heads, queries, keys + 1, element_bytes=FP32)
    largest = run.tensor("the largest", heads, queries, element_bytes=FP32)
    probabilities = run.tensor("those less it, or their softmax", heads, queries, keys + 1, element_bytes=FP32)
    del largest
    softmax = probabilities
    if run.element_bytes < FP32:
        probabilities = run.tensor("probabilities", heads, queries, keys)
    del scores
    copied = None if run.is_alone else run.tensor("V copied for all heads", keys, widths.query)
    said = run.features("what heads say", widths.query)
    del copied
    ordered = run.features("the same by tokens", widths.query) if queries > 1 else None
    del with_sinks, softmax, said, ordered
    return probabilities


# ---------------------------------------------------------------------------------------- entries


def _play_pools(run: Run, block: Block) -> None:
    """Entries; sparse attention has others to choose by, made while the variables of these still live."""
    run.phase("entries")
    index = {linear.name: linear for linear in block.weights}.get("index q")
    pool, *own = block.pools
    not_yet = run.less(_LATER, sum(_pooled(run, other) for other in own))
    laid = play_pool(run, pool)
    del not_yet
    if index is not None:
        heads = next(linear.out_features for linear in block.weights if linear.name == "index weights")
        laid_too = play_pool(run, own[0])
        _play_choice(run, own[0], heads, index.out_features)
        del laid_too
    del laid
    run.phase("attention")


def play_pool(run: Run, pool: Pool) -> tuple[Tensor, ...]:
    """Weights in fp32; where tokens are spread over two entries, both laid out for them. All these stay.

    Of values and weights as projected the cache holds all: those of one more token with a copy of all that wait.
    """
    rate, width = pool.tokens_per_entry, pool.overlap * pool.entry_size
    tokens, kept = run.tokens // rate * rate, []
    if run.decodes:
        joins = _waiting(run, pool, run.keys) > 1
        waited = min(_waiting(run, pool, run.past_tokens), rate - joins)
        before = run.tensor("values and weights of tokens that waited", waited, pool.waiting_size)
        kept.append(run.tensor("those of this token, which is joined to them", joins * pool.waiting_size))
        del before
        tokens = rate * (_waiting(run, pool, run.keys) == rate)
    if not tokens:
        return tuple(kept)
    not_yet = run.less(_LATER, tokens // rate * pool.entry_size * run.element_bytes)
    kept.append(run.tensor("weights of tokens in entries", tokens, width, element_bytes=FP32))
    if pool.overlap > 1:
        kept.append(run.tensor("values laid out for entries", tokens, width))
        kept.append(run.tensor("weights laid out for entries", tokens, width, element_bytes=FP32))
        carried = pool.carried_size if run.past_tokens >= rate else 0
        kept.append(run.tensor("what was carried into this one", carried, element_bytes=run.element_bytes + FP32))
    softmax = run.tensor("softmax of weights", tokens, width, element_bytes=FP32)
    turned = run.tensor("the same, turned back", tokens, width)
    del softmax, turned, not_yet
    if run.decodes:
        joined = run.tensor("entries before, and this one, which is joined to them", run.keys // rate, pool.entry_size)
        del joined
    return tuple(kept)


def _play_choice(run: Run, pool: Pool, heads: int, width: int) -> None:
    """Scores of all entries by an indexer's heads, whose K is copied for each token by their product; not so that of
    one sequence alone, or for one token."""
    entries = run.keys // pool.tokens_per_entry
    rotated = run.rotary_dim * heads
    made = run.features("the indexer's Q as made, and rotated in part", width + rotated)
    query = run.features("the indexer's Q", width)
    del made
    in_fp32 = run.in_fp32("the same in fp32", run.tokens, width), run.in_fp32("its K", entries, pool.entry_size)
    copied = None
    if not run.is_alone and run.tokens > 1:
        both = width + entries * pool.entry_size
        copied = run.features("the same by tokens, and K for each token", both, element_bytes=FP32)
    scores = run.tensor("its scores", run.tokens, heads, entries, element_bytes=FP32)
    del in_fp32, copied
    positive = run.tensor("what is positive of them, and scaled", 2, run.tokens, heads, entries, element_bytes=FP32)
    del query, scores, positive


# ------------------------------------------------------------------------------------------ cache


def _added(run: Run, block: Block) -> int:
    """Bytes of a sequence that this pass adds to a layer's cache."""
    window = added_bytes(block.keeps, run.cache_element_bytes, tokens=run.tokens, past_tokens=run.past_tokens)
    return window + sum(_pooled(run, pool) for pool in block.pools)


def _pooled(run: Run, pool: Pool) -> int:
    """Less than nothing where an entry's tokens go. Of a prompt all tokens wait, as views, until decoding runs."""
    rate = pool.tokens_per_entry
    entries = run.keys // rate - run.past_tokens // rate
    before = _waiting(run, pool, run.past_tokens) if run.past_tokens else 0
    waiting = (_waiting(run, pool, run.keys) if run.decodes else run.tokens) - before
    carried = pool.carried_size * (run.element_bytes + FP32) if run.past_tokens < rate <= run.keys else 0
    return (entries * pool.entry_size + waiting * pool.waiting_size) * run.element_bytes + carried


def _waiting(run: Run, pool: Pool, tokens: int) -> int:
    """Of a sequence's tokens those that are held for an entry, and those of the last one until one more waits.

    Of `generate()` the most that it ever held is counted with its cache (kv_cache.pooled_bytes).
    """
    rate = pool.tokens_per_entry
    return min(tokens, rate) if run.sizes.by_generate else (tokens - 1) % rate + 1
