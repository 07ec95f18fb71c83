"""RWKV-4, played: time mixing, token by token, and channel mixing (modeling_rwkv.py).

This is transformers' own torch code, which runs where no kernel of the Hub was asked for, and for one token always. The
states of all layers are five tensors, there from the start and written in place.
"""

from __future__ import annotations

from dataclasses import replace

from hubvram.architecture.layers import Architecture, Layer
from hubvram.architecture.parts import Block, Linear
from hubvram.memory.forward.decoder import play_decoder
from hubvram.memory.forward.modeling_code import Kept
from hubvram.memory.forward.run import FP32, Run
from hubvram.memory.forward.tape import Peak, Tensor


def is_rwkv(architecture: Architecture) -> bool:
    """Whether every layer is of these two parts, and nothing else."""
    return all(
        (group.layer.mixer and group.layer.mixer.kind, group.layer.mlp and group.layer.mlp.kind, group.layer.others)
        == ("rwkv", "channel_mix", ())
        for group in architecture.groups()
    )


def play_rwkv(run: Run, architecture: Architecture, copies_logits: bool) -> tuple[Peak, Peak]:
    """As a decoder with layers of its own.

    One token of each of several sequences is mixed with the token before of every sequence: their sum is (B, B, h), so
    that all that follows runs over as many tokens as there are sequences (RwkvSelfAttention.extract_key_value, where
    the state lacks an axis).
    """
    if run.tokens == 1 < run.batch_size:
        sizes = replace(run.sizes, tokens=run.batch_size, past_tokens=run.keys - run.batch_size, decodes=True)
        run = Run(sizes, run.code)
    return play_decoder(run, architecture, copies_logits, embed=_embed, play_layer=_play_layer)


def _embed(run: Run, architecture: Architecture) -> tuple[Tensor, ...]:
    """Of the tokens that there are."""
    tokens = 1 if run.decodes else run.tokens
    return (run.tensor("embeddings", tokens, architecture.hidden_size),)


def _play_layer(run: Run, layer: Layer, hidden_size: int) -> Kept:
    """What time mixing says stays beside the sum until the layer's end (RwkvBlock.forward)."""
    if not (isinstance(layer.mixer, Block) and isinstance(layer.mlp, Block)):
        raise TypeError(f"no program for {layer!r}")
    run.phase("time mixing")
    normed = run.norm(hidden_size)
    _mix_times(run, hidden_size, _width(layer.mixer))
    run.phase("channel mixing")
    said = run.features("what time mixing says, and the sum", 2 * hidden_size)
    del normed
    normed = run.norm(hidden_size)
    _mix_channels(run, hidden_size, _width(layer.mlp))
    del said, normed
    return None


def _width(part: Block) -> int:
    """Of what its first matrices make."""
    first = part.weights[0]
    if not isinstance(first, Linear):
        raise TypeError(f"no program for {part!r}")
    return first.out_features


def _before(run: Run, hidden_size: int) -> Tensor | None:
    """Each token's neighbour; that of a single one is the state."""
    return None if run.tokens == 1 else run.features("the tokens before", hidden_size)


def _mixed(run: Run, hidden_size: int) -> None:
    """Of a token and the one before, each by its weights."""
    mixed = run.features("both weighed, and their sum", 3 * hidden_size)
    del mixed


def _mix_times(run: Run, hidden_size: int, width: int) -> None:
    before = _before(run, hidden_size)
    mixed = run.features("mixed for K and V", 2 * hidden_size)
    _mixed(run, hidden_size)
    del mixed
    made = run.features("K, V, and gate before and behind", 4 * width)
    mixed = run.features("mixed for the gate", hidden_size)
    del before, mixed, made
    made = run.features("K, V, the gate, and what tokens say", 4 * width)
    decays = run.shared("decays", width)
    _scan(run, width)
    del decays
    states = run.tensor("the new state", 3, width, element_bytes=FP32)
    gated = run.features("the same gated, and through O", width + hidden_size)
    del made, states, gated


def _scan(run: Run, width: int) -> None:
    """One token, in fp32: K, the largest for what is said and for the state, both exponents of each, numerator,
    denominator; then the state's numerator from two products, and its denominator. Behind the first token of a prompt
    the state before is apart from that of the pass."""
    copies = 10 if run.tokens == 1 else 13
    vectors = run.tensor("of one token", copies, width, element_bytes=FP32)
    del vectors


def _mix_channels(run: Run, hidden_size: int, width: int) -> None:
    before = _before(run, hidden_size)
    mixed = run.features("mixed for K", hidden_size)
    _mixed(run, hidden_size)
    gate = run.features("mixed for the gate", hidden_size)
    inner = run.features("inner, twice", 2 * width)
    del mixed, inner
    inner = run.features("inner, and what it says", width + hidden_size)
    gated = run.features("the gate before and behind, or what it leaves", 2 * hidden_size)
    del before, gate, inner, gated
