"""Linear attention with a gated delta rule, played: over a prompt in chunks, or one token into the state.

This is transformers' own torch code (modeling_qwen3_next.py, torch_chunk_gated_delta_rule and
torch_recurrent_gated_delta_rule; its copies in qwen3_5 and olmo_hybrid), which runs where flash-linear-attention is
not installed and no kernels of the Hub were asked for. Those kernels keep next to nothing in fp32, and need less.
Everything of the scan is in fp32, padded to whole chunks. The state that it leaves is counted with the cache.
"""

from __future__ import annotations

from typing import Final

from hubvram.architecture.parts import Block
from hubvram.architecture.recurrent import GatedDeltaNet
from hubvram.memory.forward.convolution import play_convolution
from hubvram.memory.forward.run import FP32, Run
from hubvram.memory.forward.tape import Tensor

_CHUNK: Final = 64
"""Tokens (torch_chunk_gated_delta_rule, chunk_size)."""


def play_delta_net(run: Run, mixer: GatedDeltaNet) -> None:
    """Projections; the convolution of Q, K and V; the scan."""
    run.phase("linear attention")
    beside = _projections(run, mixer)
    convolved = play_convolution(run, mixer.conv_dim, mixer.linear_conv_kernel_dim)
    # In fp32 decays, and learning rates.
    rates = run.features("decays and learning rates", mixer.linear_num_value_heads, element_bytes=FP32)
    more = run.features("learning rates", mixer.linear_num_value_heads)
    _step(run, mixer) if run.decodes else _scan(run, mixer)
    del beside, convolved, rates, more


def _projections(run: Run, mixer: GatedDeltaNet) -> tuple[Tensor, ...]:
    """What stays of them until the scan is done: the gate of its output, and what decays and rates were made from."""
    value, rates = mixer.value_size, 2 * mixer.linear_num_value_heads
    if run.code.gates_behind_scan:
        return ()
    if not run.code.joins_gate_to_qkv:
        return (run.features("gate, decays and rates as projected", value + rates),)
    made = run.features("Q, K, V, gate, decays and rates as projected", mixer.conv_dim + value + rates)
    if mixer.linear_num_key_heads in (1, mixer.linear_num_value_heads):
        return (made,)
    # Several heads of V for each one of K: they are put in order by copies.
    return made, run.features("gate, decays and rates in order", value + rates)


def _scan(run: Run, mixer: GatedDeltaNet) -> None:
    """What all chunks need is made at once; then chunk by chunk what they say, and the state, which lives twice more
    while it is renewed."""
    heads, value = mixer.linear_num_value_heads, mixer.value_size
    key = heads * mixer.linear_key_head_dim
    chunks = -(-run.tokens // _CHUNK)
    tokens = chunks * _CHUNK
    masked = run.shared("mask of a chunk", _CHUNK, _CHUNK, element_bytes=1)
    rates = run.tensor("decays, summed, and rates", tokens, 3 * heads, element_bytes=FP32)
    per_chunk = run.tensor("decays of chunks", chunks, heads, element_bytes=FP32)
    made = run.tensor("V, weighed, and solved", tokens, 3 * value, element_bytes=FP32)
    keys = run.tensor("K weighed, decayed, and solved", tokens, 3 * key, element_bytes=FP32)
    pairs = run.tensor("pairs of a chunk: decays, K by K, Q by K", tokens, 3 * heads * _CHUNK, element_bytes=FP32)
    said = run.tensor("what chunks say", tokens, value, element_bytes=FP32)
    queries = run.tensor("Q and K, decayed", tokens, 2 * key, element_bytes=FP32)
    undecayed = run.tensor("K before", tokens, key + heads, element_bytes=FP32)
    del undecayed
    of_chunk = run.tensor("V of a chunk, and what it says", _CHUNK, 2 * value, element_bytes=FP32)
    within = run.tensor("what a chunk says of itself, and in all", _CHUNK, 2 * value, element_bytes=FP32)
    del within
    renewed = run.tensor("the state decayed, what is put in, and both", 3, *_state(mixer), element_bytes=FP32)
    del renewed
    copied = run.tensor("what chunks say, in one piece", tokens, value, element_bytes=FP32)
    del masked, rates, per_chunk, made, keys, pairs, said, queries, of_chunk, copied


def play_kimi_delta_attention(run: Run, mixer: Block) -> None:
    """The same with a decay for each channel, by which decays of pairs of tokens are as wide as a head
    (modeling_kimi_linear.py, chunk_kimi_delta_attention): three such tensors for the prompt, or one, and two for a
    chunk."""
    run.phase("linear attention")
    conv, state = mixer.states
    (channels, kernel), (heads, head_dim, _) = conv.shape, state.shape
    width = heads * head_dim
    convolved = play_convolution(run, channels, kernel)
    decays = run.features("decays", width, element_bytes=FP32 if run.code.decays_in_fp32 else None)
    rates = run.features("learning rates", heads)
    if run.decodes:
        turned = 0 if run.code.decays_in_fp32 or run.element_bytes == FP32 else width
        copies = 7 * width + heads + turned
        vectors = run.tensor("Q, K, V, what is known of V and what is not", copies, element_bytes=FP32)
        states = run.tensor("the state decayed, what is put in, and both", 3, *state.shape, element_bytes=FP32)
        del vectors, states
    else:
        _scan_of_channels(run, heads, head_dim)
    del convolved, decays, rates


def _scan_of_channels(run: Run, heads: int, head_dim: int) -> None:
    width = heads * head_dim
    chunks = -(-run.tokens // _CHUNK)
    tokens = chunks * _CHUNK
    masks = run.shared("masks of a chunk", 2, _CHUNK, _CHUNK, element_bytes=1)
    made = run.tensor("Q, K, decays, and K and V by their rates", tokens, 5 * width + heads, element_bytes=FP32)
    decays = run.tensor("decays of pairs", tokens, _CHUNK * width, element_bytes=FP32)
    values = run.tensor("V", tokens, width, element_bytes=FP32)
    not_yet = run.tensor("less the state, which comes later", -width, head_dim, element_bytes=FP32)
    products = run.tensor("K by K of pairs, before and after decay", 2, tokens, _CHUNK * width, element_bytes=FP32)
    del values, not_yet, products
    last = run.tensor("the last row solved, and those before", chunks, heads, _CHUNK - 1, _CHUNK, element_bytes=FP32)
    solved = run.tensor("pairs of a chunk", tokens, heads * _CHUNK, element_bytes=FP32)
    values = run.tensor("V and K solved, and what chunks say", tokens, 3 * width, element_bytes=FP32)
    said = run.tensor("what the state says to a chunk", _CHUNK, width, element_bytes=FP32)
    products = run.tensor("Q by K of a chunk, before and after decay", 2, _CHUNK, _CHUNK * width, element_bytes=FP32)
    del masks, made, decays, values, products, last, solved, said


def _step(run: Run, mixer: GatedDeltaNet) -> None:
    """One token: beside the cached state this one decayed, what is put in, and the new one. V and learning rates are
    turned to fp32, unless they are in it."""
    heads, value = mixer.linear_num_value_heads, mixer.value_size
    turned = run.in_fp32("V and learning rates in fp32", value + heads)
    width = 3 * value + 2 * heads * mixer.linear_key_head_dim + heads
    vectors = run.tensor("Q, K, what is known of V, what is not, and what is said", width, element_bytes=FP32)
    states = run.tensor("the state decayed, what is put in, and both", 3, *_state(mixer), element_bytes=FP32)
    del turned, vectors, states


def _state(mixer: GatedDeltaNet) -> tuple[int, int, int]:
    return mixer.linear_num_value_heads, mixer.linear_key_head_dim, mixer.linear_value_head_dim
