"""reformer, played: attention within chunks of tokens, as they stand, or sorted by hashes of one matrix's vectors.

What comes out depends on the hashes, but no size does: a bucket has no room of its own, for tokens are sorted by
buckets, and the sorted ones are cut into chunks of one length (modeling_reformer.py, LSHSelfAttention.forward).
A prompt is filled up to whole chunks; one of no more than a chunk is attended to as a whole. Hidden states are cached,
and decoding makes K and V anew of those that it sees: of the last chunks, or for each head and each hash of the chunks
around the new token's place in the order of buckets.
Masks are left out: they are less than the copies of scores behind them.

Where a config names no number of buckets, the first prompt of more than a chunk sets it, here the one that is played;
`generate()` from a shorter one raises TypeError once there is a chunk of tokens to hash. In 16 bit axial positions run
only when `model.to()` has turned them: `from_pretrained` leaves them in fp32, and the first norm refuses the sum.
"""

from __future__ import annotations

from copy import copy
from math import isqrt
from typing import Final

from hubvram.architecture.attention_in_blocks import AttentionInChunks
from hubvram.architecture.layers import Architecture, Layer
from hubvram.architecture.mlp import DenseMLP
from hubvram.architecture.parts import Chunks
from hubvram.memory.chunked_cache import bucket_bytes, filled_up
from hubvram.memory.forward.decoder import play_decoder
from hubvram.memory.forward.mlp import play_mlp
from hubvram.memory.forward.run import ID_BYTES, Run
from hubvram.memory.forward.tape import Peak, Tensor

_LATER: Final = "what is not cached yet"
_INDEX: Final = 4
"""Of a bucket among all of them: its sequence, head, hash and place."""


def is_reformer(architecture: Architecture) -> bool:
    """Whether every layer is a decoder's attention in chunks, whose cache is known, then an MLP."""
    return len(_tables(architecture)) in (1, 2) and all(
        isinstance(group.layer.mixer, AttentionInChunks)
        and group.layer.mixer.is_known_to_keep
        and type(group.layer.mlp) is DenseMLP
        and not group.layer.others
        for group in architecture.groups()
    )


def play_reformer(run: Run, architecture: Architecture, copies_logits: bool) -> tuple[Peak, Peak]:
    """As a decoder with a model of its own."""
    return play_decoder(run, architecture, copies_logits, play_model=_play_model)


def _play_model(run: Run, architecture: Architecture) -> Tensor:
    """A prompt filled up, or one token; also of steps before it those that may need more."""
    hidden_size, blocks = architecture.hidden_size, [_block(layer) for layer in architecture.layers]
    for keys in _steps(run, blocks):
        step = copy(run)
        step.past_tokens = keys - run.tokens
        since = sum(
            _kept_bytes(run, block, run.keys, run.keys) - _kept_bytes(run, block, keys, keys) for block in blocks
        )
        later = run.less(_LATER, since)
        _play_pass(step, architecture, blocks)
        del later
    whole = filled_up(blocks[0].chunks, run.tokens)
    copied = run.tokens if run.sizes.all_logits and whole > run.tokens and not run.is_alone else 0
    # One stream, without padding, is what all decoders have there.
    tokens = 2 * (whole + copied) - run.tokens
    return run.tensor("the other stream, padding of both, and a copy without it", tokens, hidden_size)


def _steps(run: Run, blocks: list[AttentionInChunks]) -> set[int]:
    """How many tokens are in the cache at the last step of `generate()`, at the one that hashed all, where a prompt was
    too short for it, and at the last ones that saw chunks which were nearly full."""
    steps = {run.keys}
    if not (run.decodes and run.sizes.by_generate):
        return steps
    first = run.sizes.prompt_tokens + 1
    for block in blocks:
        chunk = block.chunks.chunk_length
        if block.num_hashes and not _bucket_bytes(run, block, first - 1):
            steps.add(max(first, chunk))
        elif not block.num_hashes:
            steps.update(chunk * full for full in (*range(1, block.num_chunks_before + 1), run.keys // chunk))
    return {keys for keys in steps if first <= keys <= run.keys} or {run.keys}


def _play_pass(run: Run, architecture: Architecture, blocks: list[AttentionInChunks]) -> None:
    """The embeddings, and two streams that begin with them, are held to the end (ReformerModel.forward,
    ReformerEncoder.forward)."""
    hidden_size, given = architecture.hidden_size, run.tokens
    if not run.decodes:
        run.tokens = filled_up(blocks[0].chunks, given)
    padded = _play_padding(run, given, blocks[0].chunks)
    # Its own prepare_inputs_for_generation hands on the prompt as it is.
    copies = run.sizes.by_generate and not run.decodes
    not_copied = run.tensor("less a copy of the ids", -given, element_bytes=ID_BYTES) if copies else None
    not_yet = run.less(_LATER, sum(_added_bytes(run, block) for block in blocks))
    _embed(run, architecture)
    del not_yet
    embedded = run.features("embeddings, and two streams of them", 3 * hidden_size)
    for group in architecture.groups():
        later = run.less(_LATER, sum(_added_bytes(run, block) for block in blocks[group.indices[-1][1] + 1 :]))
        # The first layer reads the streams as they begin.
        reads = "" if group.indices == ((0, 0),) else "both streams of the layer before"
        streams = run.features(reads, 2 * hidden_size) if reads else None
        _play_layer(run, group.layer)
        del later, streams
    del padded, not_copied, embedded


def _play_padding(run: Run, given: int, chunks: Chunks) -> Tensor | None:
    """Ids and mask with padding. A prompt of whole chunks has none, and is given a mask by who wants all logits: they
    are said all the same, so that a token more never takes less."""
    if run.decodes or given <= chunks.short_tokens:
        return None
    mask_bytes = ID_BYTES if run.sizes.all_logits else 1
    return run.features("ids and mask, with padding", ID_BYTES + mask_bytes, element_bytes=1)


def _block(layer: Layer) -> AttentionInChunks:
    if not isinstance(layer.mixer, AttentionInChunks):
        raise TypeError(f"no program for {layer.mixer!r}")
    return layer.mixer


# ----------------------------------------------------------------------------- positions and layers


def _tables(architecture: Architecture) -> list[tuple[int, ...]]:
    """Sizes of that of all positions, or of those of two axes."""
    return [weight.shape for weight in architecture.extras if weight.name == "positions"]


def _embed(run: Run, architecture: Architecture) -> None:
    """Of two axes, positions of all rows that are begun are joined for each sequence, and then some chosen, be it that
    of one token (AxialPositionEmbeddings.forward)."""
    run.phase("embeddings")
    hidden_size, (*_, table) = architecture.hidden_size, _tables(architecture)
    places = run.shared("position ids", run.tokens, element_bytes=ID_BYTES)
    embedded = run.features("embedded tokens", hidden_size)
    if len(_tables(architecture)) > 1:
        rows = run.tensor("positions of all rows that are begun", -(-run.keys // table[0]) * table[0], hidden_size)
        chosen = run.features("positions of each sequence, and of all", 2 * hidden_size)
        del rows, chosen
    both = run.features("embedded positions, and the sum", 2 * hidden_size)
    del places, embedded, both


def _play_layer(run: Run, layer: Layer) -> None:
    """What attention says, and the stream with it, stay to the layer's end (ReformerLayer.forward)."""
    block = _block(layer)
    hidden_size = block.hidden_size
    run.phase("norms")
    own = run.less(_LATER, _added_bytes(run, block))
    normed = run.norm(hidden_size)
    run.phase("attention")
    said = _play_attention(run, block)
    if run.decodes:
        _renew(run, block)
    del own, normed  # Now they are cached.
    told = run.features("what attention says", hidden_size)
    del said
    added = run.features("the stream with it", hidden_size)
    run.phase("norms")
    normed = run.norm(hidden_size)
    run.phase("mlp")
    play_mlp(run, layer.mlp)
    del normed
    answer = run.features("what the MLP says, and the other stream with it", 2 * hidden_size)
    del told, added, answer


# ------------------------------------------------------------------------------------------ caching


def _bucket_bytes(run: Run, block: AttentionInChunks, tokens: int) -> int:
    return bucket_bytes(block.chunks, tokens, run.sizes.prompt_tokens if run.decodes else run.sizes.tokens)


def _kept_bytes(run: Run, block: AttentionInChunks, tokens: int, rows: int) -> int:
    """Of one sequence's tokens, padding among them."""
    return rows * (block.hidden_size * run.cache_element_bytes + _bucket_bytes(run, block, tokens))


def _added_bytes(run: Run, block: AttentionInChunks) -> int:
    """By this pass, to the cache of one layer and sequence: of a prompt, with its padding."""
    if not run.decodes:
        return _kept_bytes(run, block, run.sizes.tokens, run.tokens)
    return _kept_bytes(run, block, run.keys, run.keys) - _kept_bytes(run, block, run.past_tokens, run.past_tokens)


def _renew(run: Run, block: AttentionInChunks) -> None:
    """States with this token, beside those before; then its buckets with theirs (ReformerDynamicCache.update)."""
    states = run.tensor("states with this token", run.keys, block.hidden_size)
    del states
    of_token = _bucket_bytes(run, block, run.keys)
    if of_token:
        state = run.tensor("state of this token", block.hidden_size)
        buckets = run.tensor("buckets with this token's", run.keys, of_token, element_bytes=1)
        del state, buckets


# ----------------------------------------------------------------------------- attention of a prompt


def _play_attention(run: Run, block: AttentionInChunks) -> tuple[Tensor, ...]:
    """What heads say, and buckets of what was hashed."""
    if not run.decodes:
        return _play_hashed(run, block) if block.num_hashes else _play_local(run, block)
    if not block.num_hashes:
        return _decode_local(run, block)
    return _decode_hashed(run, block) if _bucket_bytes(run, block, run.past_tokens) else _decode_unhashed(run, block)


def _is_whole(run: Run, block: AttentionInChunks) -> bool:
    """Whether all tokens see each other, without any chunks."""
    return run.tokens <= block.chunks.chunk_length


def _play_local(run: Run, block: AttentionInChunks) -> tuple[Tensor, ...]:
    """Chunks as they stand; scores have a name to the end (LocalSelfAttention.forward)."""
    heads, width, before = block.num_attention_heads, block.inner_size, block.num_chunks_before
    query, key, value = (run.features(name, width) for name in ("Q", "K", "V"))
    key = run.features("K scaled", width)
    places = run.features("places of tokens", heads, element_bytes=ID_BYTES)
    seen, pairs = None, run.tokens
    if not _is_whole(run, block):
        key = _with_chunks_before(run, before, key, width)
        value = _with_chunks_before(run, before, value, width)
        seen = _with_chunks_before(run, before, places, heads, ID_BYTES)
        pairs = _seen_at_once(block)
    ordered = before and not _is_whole(run, block)  # K and V, by joining chunks of them
    scattered = _is_scattered(run, block)
    copied = run.features("Q and K in the order of heads", (1 if ordered else 2) * width) if scattered else None
    scores = run.tensor("scores", heads, run.tokens, pairs)
    del query, key, copied
    probabilities = _softmax(run, heads, run.tokens, pairs)
    copied = run.features("V in the order of heads", width) if scattered and not ordered else None
    said = run.features("what heads say", width)
    del value, places, seen, scores, probabilities, copied
    return (said,)


def _play_hashed(run: Run, block: AttentionInChunks) -> tuple[Tensor, ...]:
    """Tokens in the order of their buckets, once for each hash; Q, K and V have names beside what is made of them
    (LSHSelfAttention.forward, _attend). To sort and to gather takes less than what follows."""
    rows, width, before = block.chunks.bucket_rows, block.inner_size, block.num_chunks_before
    query, value = run.features("Q, of which K is made", width), run.features("V", width)
    if _is_whole(run, block):
        return _play_whole(run, block, query, value)
    buckets = _hash(run, block, run.tokens)
    order = run.features("order of buckets, and the way back", 2 * rows, element_bytes=ID_BYTES)
    places = run.features("places of tokens", rows, element_bytes=ID_BYTES)
    inner, pairs = block.num_hashes * width, _seen_at_once(block)
    query, value = run.features("Q, for each hash", inner), run.features("V, for each hash", inner)
    key = _normed(run, run.tokens, inner)
    seen_key = _with_chunks_before(run, before, key, inner)
    seen_value = _with_chunks_before(run, before, value, inner)
    scores = run.tensor("scores", rows, run.tokens, pairs)
    del seen_key
    seen = _with_chunks_before(run, before, places, rows, ID_BYTES)
    probabilities = _softmax(run, rows, run.tokens, pairs)
    del scores
    said = run.features("what heads say, for each hash", inner)
    del query, key, value, seen_value, order, places, seen, probabilities, said
    return run.features("what heads say", width), buckets


def _play_whole(run: Run, block: AttentionInChunks, query: Tensor, value: Tensor) -> tuple[Tensor, ...]:
    """A prompt of no more than a chunk: nothing is hashed yet."""
    heads, width = block.num_attention_heads, block.inner_size
    places = run.features("places of tokens", heads, element_bytes=ID_BYTES)
    key = _normed(run, run.tokens, width)
    scattered = _is_scattered(run, block)
    copied = run.features("Q and K in the order of heads", 2 * width) if scattered else None
    scores = run.tensor("scores", heads, run.tokens, run.tokens)
    del copied
    probabilities = _softmax(run, heads, run.tokens, run.tokens)
    del scores
    copied = run.features("V in the order of heads", width) if scattered else None
    said = run.features("what heads say", width)
    del query, key, value, places, probabilities, copied
    return (said,)


def _seen_at_once(block: AttentionInChunks) -> int:
    return block.chunks.chunk_length * (1 + block.num_chunks_before)


def _is_scattered(run: Run, block: AttentionInChunks) -> bool:
    """Whether a product has to copy heads, which lie token by token: chunks of these always, and not those of one
    sequence alone."""
    return block.num_attention_heads > 1 and not (run.is_alone and _is_whole(run, block))


def _with_chunks_before(run: Run, before: int, made: Tensor, width: int, element_bytes: int | None = None) -> Tensor:
    """Of each chunk, behind those before it, which are shifted copies of all."""
    if not before:
        return made
    shifted = run.features("all, shifted by chunks", before * width, element_bytes=element_bytes)
    joined = run.features("each chunk behind those before it", (1 + before) * width, element_bytes=element_bytes)
    del shifted
    return joined


def _normed(run: Run, tokens: int, width: int) -> Tensor:
    """K, of what Q is too."""
    normed = run.tensor("K normed", tokens, width)
    key = run.tensor("K normed and scaled", tokens, width)
    del normed
    return key


def _softmax(run: Run, *sizes: int) -> Tensor:
    """Written out, beside the scores: less the logarithm of their sum, and exponentiated."""
    sums = run.tensor("logarithms of sums of rows", *sizes[:-1])
    less = run.tensor("scores less these", *sizes)
    probabilities = run.tensor("probabilities", *sizes)
    del sums, less
    return probabilities


# ------------------------------------------------------------------------------------------ hashing


def _factors(run: Run, block: AttentionInChunks) -> tuple[int, ...]:
    """Of the number of buckets; where none is named, what a prompt makes it (LSHSelfAttention._set_num_buckets)."""
    if block.num_buckets:
        return block.num_buckets
    prompt, chunk = run.sizes.prompt_tokens if run.decodes else run.sizes.tokens, block.chunks.chunk_length
    power = (2 * max(filled_up(block.chunks, prompt) // chunk, 1)).bit_length() - 1
    if 2**power <= 2 * max(isqrt(run.max_positions // chunk), chunk):
        return (2**power,)
    return 2 ** (power // 2), 2 ** (power - power // 2)


def _hash(run: Run, block: AttentionInChunks, tokens: int) -> Tensor:
    """The largest of a vector's products with random ones, and of their opposites, is its bucket, factor by factor
    (LSHSelfAttention._hash_vectors)."""
    rows, factors = block.chunks.bucket_rows, _factors(run, block)
    half = sum(factors) // 2
    run.phase("hashes")
    directions = run.shared("random directions", rows, block.head_dim, half)
    rotated: Tensor | None = run.tensor("products with these", tokens, rows, half)
    joined = buckets = None
    for factor in factors:
        del joined
        opposite = run.tensor("their opposites", tokens, rows, factor // 2)
        joined = run.tensor("both", tokens, rows, factor)
        del opposite
        if len(factors) == 1:
            rotated = None  # What is joined has its name.
        largest = run.tensor("places of the largest", tokens, rows, element_bytes=ID_BYTES)
        if buckets:
            summed = run.tensor("buckets by this factor too", tokens, rows, element_bytes=ID_BYTES)
            del summed
        buckets = largest
        del largest
    offset = run.tensor("the same, set apart by hashes", tokens, rows, element_bytes=ID_BYTES)
    del directions, rotated, joined, buckets
    run.phase("attention")
    return offset


# ----------------------------------------------------------------------------- attention of one token


def _decode_local(run: Run, block: AttentionInChunks) -> tuple[Tensor, ...]:
    """K and V of the last chunks, which what is cached begins with; of more chunks than there are, those that are left
    when counted from the end (LocalSelfAttention._retrieve_relevant_hidden_states)."""
    first = (run.past_tokens // block.chunks.chunk_length - block.num_chunks_before) * block.chunks.chunk_length
    seen = 1 + (run.past_tokens - first if first >= 0 else min(run.past_tokens, -first))
    heads, width = block.num_attention_heads, block.inner_size
    states = run.tensor("states that are seen", seen, block.hidden_size)
    query = run.features("Q", width)
    key, value = run.tensor("K", seen, width), run.tensor("V", seen, width)
    del states
    key = run.tensor("K scaled", seen, width)
    places = run.features("place of the token", heads, element_bytes=ID_BYTES)
    scattered = _is_scattered(run, block)
    copied = run.tensor("K in the order of heads", seen, width) if scattered else None
    scores = run.tensor("scores", heads, seen)
    del query, key, copied
    probabilities = _softmax(run, heads, seen)
    copied = run.tensor("V in the order of heads", seen, width) if scattered else None
    said = run.features("what heads say", width)
    del value, places, scores, probabilities, copied
    return (said,)


def _decode_unhashed(run: Run, block: AttentionInChunks) -> tuple[Tensor, ...]:
    """All tokens are seen while none of them has a bucket; those of a chunk get theirs."""
    heads, width, keys = block.num_attention_heads, block.inner_size, run.keys
    query = run.features("Q", width)
    states = run.tensor("states of all tokens", keys, block.hidden_size)
    of_key, value = run.tensor("Q of all tokens", keys, width), run.tensor("V", keys, width)
    buckets = (_hash(run, block, keys),) if _bucket_bytes(run, block, keys) else ()
    places = run.features("place of the token", heads, element_bytes=ID_BYTES)
    key = _normed(run, keys, width)
    del of_key
    said = _attend_to(run, block, keys, width)
    del query, states, key, value, places
    return (said, *buckets)


def _attend_to(run: Run, block: AttentionInChunks, keys: int, width: int) -> Tensor:
    """One token to these, for each head and hash."""
    scattered = _is_scattered(run, block)
    copied = run.tensor("K or V in the order of heads", keys, width) if scattered else None
    scores = run.tensor("scores, twice", 2, keys, width // block.head_dim)
    said = run.tensor("what heads say", width)
    del copied, scores
    return said


def _decode_hashed(run: Run, block: AttentionInChunks) -> tuple[Tensor, ...]:
    """Hidden states of the chunks around the token's place in the order of buckets are copied for each head and hash,
    and have a name to the end (LSHSelfAttention._get_relevant_hid_states_and_buckets)."""
    rows, width, seen = block.chunks.bucket_rows, block.inner_size, _seen_at_once(block)
    query = run.features("Q", width)
    states = run.tensor("states of all tokens", run.keys, block.hidden_size)
    buckets = _hash(run, block, 1)
    bucket_bytes = _bucket_bytes(run, block, run.keys) // rows
    all_buckets = run.tensor("buckets of all tokens", run.keys, rows, element_bytes=bucket_bytes)
    sorting = run.tensor("scaled and sorted", run.keys, rows, element_bytes=2 * bucket_bytes)
    order = run.tensor("order of buckets", run.keys, rows, element_bytes=ID_BYTES)
    del sorting
    own = run.tensor("places of the token in it", rows, _INDEX, element_bytes=ID_BYTES)
    places = run.tensor("places in it, and which they are", _INDEX + 1, rows, seen, element_bytes=ID_BYTES)
    del places
    places = run.tensor("tokens there, and among those of all sequences", 4, rows, seen, element_bytes=ID_BYTES)
    chosen = run.tensor("states of tokens there", rows, seen, block.hidden_size)
    del states, all_buckets, order, own, places
    places = run.tensor("tokens there", rows, seen, element_bytes=ID_BYTES)
    inner = rows * block.head_dim
    scattered = _is_scattered(run, block)
    copied = run.tensor("states in the order of heads", rows, seen, block.hidden_size) if scattered else None
    of_key, value = run.tensor("Q of these", seen, inner), run.tensor("V of these", seen, inner)
    del copied
    query = run.features("Q, for each hash", inner)
    key = _normed(run, seen, inner)
    del of_key
    said = _attend_to(run, block, seen, inner)
    del query, chosen, places, value, key, said
    return run.features("what heads say", width), buckets
