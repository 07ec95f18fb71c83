"""xLSTM, played: a matrix for each head that remembers, over whole chunks of a prompt at once, then token by token.

This is transformers' own torch code (modeling_xlstm.py), which runs where the package xlstm is not installed. Its cache
is in the model's type; what a layer hands to it lives on until the next layer is done. All tokens get logits.
"""

from __future__ import annotations

from typing import Final

from hubvram.architecture.layers import Architecture, Layer
from hubvram.architecture.mlp import DenseMLP
from hubvram.architecture.parts import Block
from hubvram.memory.forward.decoder import play_decoder
from hubvram.memory.forward.mlp import play_mlp
from hubvram.memory.forward.modeling_code import Kept
from hubvram.memory.forward.run import FP32, Run
from hubvram.memory.forward.tape import Peak, Tensor

_CHUNK: Final = 64
"""Tokens of a chunk (`chunk_size`), and of a prompt that run through all layers together at most."""
_TOGETHER: Final = 16384


def is_xlstm(architecture: Architecture) -> bool:
    """Whether every layer is of these two parts, and nothing else."""
    return all(
        isinstance(group.layer.mixer, Block)
        and group.layer.mixer.kind == "mlstm"
        and type(group.layer.mlp) is DenseMLP
        and not group.layer.others
        for group in architecture.groups()
    )


def play_xlstm(run: Run, architecture: Architecture, copies_logits: bool) -> tuple[Peak, Peak]:
    """As a decoder with layers and logits of its own (xLSTMForCausalLM.forward)."""
    before, _ = play_decoder(run, architecture, copies_logits, play_layer=_play_layer)
    return before, _play_logits(run, architecture)


def _play_logits(run: Run, architecture: Architecture) -> Peak:
    """Of all tokens, in fp32, before they are capped, within the cap, and capped; a long prompt's part by part, in
    place, but turned to fp32 all at once."""
    run.phase("logits")
    width = architecture.head.out_features if architecture.head is not None else 0
    ids = run.tensor("token ids", run.keys, element_bytes=8)
    hidden = run.features("hidden states, normed", architecture.hidden_size)
    logits = run.output("logits", run.tokens, width, element_bytes=FP32)
    made = run.features("logits as made", width if run.element_bytes < FP32 else 0)
    del made
    tokens = min(run.tokens, _TOGETHER)
    capped = run.tensor("divided, and within the cap; or capped", 2, tokens, width, element_bytes=FP32)
    del ids, hidden, logits, capped
    return run.tape.take()


def _play_layer(run: Run, layer: Layer, hidden_size: int) -> Kept:
    """What the memory says stays beside the sum until the layer's end (xLSTMBlock.forward). Of a long prompt each part
    has its own input, and all parts one output (xLSTMModel.forward)."""
    if not isinstance(layer.mixer, Block):
        raise TypeError(f"no program for {layer!r}")
    all_tokens, run.tokens = run.tokens, min(run.tokens, _TOGETHER)
    part = run.features("part of the prompt", hidden_size) if run.tokens < all_tokens else None
    before = _state(run, layer.mixer)
    run.phase("norms")
    normed = run.norm(hidden_size)
    run.phase("memory")
    state = _play_memory(run, layer.mixer)
    del normed
    run.phase("norms")
    said = run.features("what the memory says, and the sum", 2 * hidden_size)
    normed = run.norm(hidden_size)
    run.phase("mlp")
    play_mlp(run, layer.mlp)
    del before, state, said, normed, part
    run.tokens = all_tokens
    return None


def _elements(mixer: Block) -> int:
    return sum(state.elements for state in mixer.states)


def _state(run: Run, mixer: Block) -> Tensor:
    """What a layer hands to its cache: of token by token in fp32; else a view of the states behind all chunks."""
    chunks, rest = divmod(run.tokens, _CHUNK)
    if rest:
        return run.tensor("the new state", _elements(mixer), element_bytes=FP32)
    return run.tensor("states behind chunks", chunks + 1, _elements(mixer))


def _play_memory(run: Run, mixer: Block) -> Tensor | None:
    """(xLSTMLayer.forward, wrap_chunkwise_arbitrary_sequence_length)"""
    heads, key, value = mixer.states[0].shape
    projected = run.features("Q, K, V, gates", 2 * heads * (key + value + 1))
    chunks, rest = divmod(run.tokens, _CHUNK)
    states = said = None
    if chunks:
        states, said = _play_chunks(run, mixer, chunks)
    if rest:
        if run.tokens > 1:
            copies = run.tensor("Q, K, V and gates of the rest", rest, heads * (2 * key + value + 2))
            told = run.tensor("what the rest says", rest, heads * value)
            _play_step(run, mixer)
            del copies, told
        else:
            _play_step(run, mixer)
        states = _state(run, mixer)
    del said
    _play_norm(run, heads * value)
    del projected
    return states


def _play_chunks(run: Run, mixer: Block, chunks: int) -> tuple[Tensor, Tensor]:
    """The state behind each chunk; then what all chunks say, by pairs of tokens for each head: decays, the same where
    a token sees, with gates, stabilized, exponentiated; Q by K; both (mlstm_chunkwise_parallel_fw_H)."""
    heads, key, value = mixer.states[0].shape
    tokens, state = chunks * _CHUNK, heads * key * value
    copies = run.tensor("Q, K, V and gates of chunks", tokens, heads * (2 * key + value + 2))
    sums = run.tensor("gates, and their sums", tokens, 2 * heads)
    states = run.tensor("states behind chunks", chunks + 1, _elements(mixer))
    gates = run.tensor("gates to the end of the chunk", tokens, heads)
    gated = run.tensor("K of a chunk, gated", min(chunks, 2) * _CHUNK, heads * key)
    renewed = run.tensor("the state, the same decayed, what is put in, and both", 3 + (chunks > 1), state)
    del gates, gated, renewed
    seen = run.shared("which tokens see which", _CHUNK, _CHUNK, element_bytes=1)
    pairs = run.tensor("pairs of a chunk", tokens, 7 * heads * _CHUNK)
    largest = run.tensor("the largest of each row", tokens, 4 * heads)
    queries = run.tensor("Q, gated", tokens, heads * key)
    scaled = run.tensor("Q, gated and scaled", tokens, heads * key)
    del queries
    ordered = run.tensor("states in order of chunks", chunks, state)
    by_states = run.tensor("what states say", tokens, heads * value)
    del ordered
    said = run.tensor("what chunks say", tokens, 2 * heads * value)
    del by_states, said, scaled, pairs, largest, seen, sums, copies
    return states, run.tensor("what chunks say", tokens, heads * value)


def _play_step(run: Run, mixer: Block) -> None:
    """In fp32 the state before, the same decayed, what is put in, and both (mlstm_recurrent_step_native)."""
    heads, key, value = mixer.states[0].shape
    query = run.tensor("Q scaled", heads * key)
    before = run.tensor("the state before", _elements(mixer), element_bytes=FP32)
    renewed = run.tensor("the same decayed, what is put in, both", 3, heads * key * value, element_bytes=FP32)
    del query, before, renewed


def _play_norm(run: Run, width: int) -> None:
    """Of each head, in fp32: what is said, without its mean, and scaled; and in the model's type."""
    said = run.features("what is said", width)
    copies = run.features("the same in fp32, without mean, scaled", 3 * width, element_bytes=FP32)
    normed = run.features("normed", width)
    del said, copies, normed
