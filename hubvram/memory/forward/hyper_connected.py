"""Decoders with several residual streams, of which attention and MLP each read one mixture and add to all (hy_v4).

(modeling_hy_v4.py, HYV4DecoderLayer.forward, HYV4HyperConnection.forward)
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from hubvram.architecture.attention import LatentAttention
from hubvram.architecture.layers import Architecture, Layer
from hubvram.memory.forward.decoder import is_playable, play_decoder
from hubvram.memory.forward.indexed import embed_and_hand_on, play_handed_on_attention
from hubvram.memory.forward.mlp import play_mlp
from hubvram.memory.forward.modeling_code import Kept
from hubvram.memory.forward.run import FP32, Run
from hubvram.memory.forward.tape import Peak


def is_hyper_connected_playable(architecture: Architecture) -> bool:
    """Whether every layer has its connections, and but for gates is of the kinds that a decoder has."""
    ungated = tuple(_ungated(layer) for layer in architecture.layers)
    return all(map(_streams, architecture.layers)) and is_playable(replace(architecture, layers=ungated))


def _ungated(layer: Layer) -> Layer:
    mixer = layer.mixer
    return replace(layer, mixer=replace(mixer, gates=(), others=())) if isinstance(mixer, LatentAttention) else layer


def _streams(layer: Layer) -> int:
    """As many as rows that read them, half of all."""
    return next((weight.shape[0] // 2 for weight in layer.extras if weight.name == "hc base"), 0)


def play_hyper_connected(run: Run, architecture: Architecture, copies_logits: bool) -> tuple[Peak, Peak]:
    """A decoder whose embeddings are copied for each stream; each layer is handed what the one before chose."""
    groups = architecture.groups()
    # The only one whose input is not counted by the loop over layers: embeddings are what other decoders read there.
    first = groups[0].layer if groups[0].indices == ((0, 0),) else None
    play = partial(_play_layer, first=first)
    return play_decoder(run, architecture, copies_logits, embed=embed_and_hand_on, play_layer=play)


def _play_layer(run: Run, layer: Layer, hidden_size: int, *, first: Layer | None) -> Kept:
    """The streams that it reads, and those behind attention; of each a mixture, normed."""
    if not isinstance(layer.mixer, LatentAttention):
        raise TypeError(f"no program for {layer!r}")
    number = _streams(layer)
    width = number * hidden_size
    streams = run.features("streams", width if layer == first else width - hidden_size)
    mixing = _mix_streams(run, number, hidden_size)
    normed = run.norm(hidden_size)
    run.phase("attention")
    kept = play_handed_on_attention(run, layer.mixer)
    del normed
    _add_to_streams(run, width, hidden_size)
    behind = run.features("streams behind attention", width)
    mixing = _mix_streams(run, number, hidden_size)
    normed = run.norm(hidden_size)
    run.phase("mlp")
    play_mlp(run, layer.mlp)
    del normed
    _add_to_streams(run, width, hidden_size)
    del streams, mixing, behind
    return kept[1] if isinstance(kept, tuple) else None


def _mix_streams(run: Run, number: int, hidden_size: int) -> Kept:
    """In fp32: the streams, and their squares or what each gives to the mixture. Left is what each will get."""
    run.phase("norms")
    copies = 1 + (run.element_bytes < FP32)
    both = run.features("streams in fp32, and what they give", copies * number * hidden_size, element_bytes=FP32)
    mixture = run.features("mixture of streams, in fp32", hidden_size, element_bytes=FP32)
    del both, mixture
    return run.features("what each stream gets", number, element_bytes=FP32)


def _add_to_streams(run: Run, width: int, hidden_size: int) -> None:
    run.phase("norms")
    said = run.features("what was said", hidden_size)
    copies = 2 + (run.element_bytes < FP32)
    added = run.features("what streams get, streams, and both, in fp32", copies * width, element_bytes=FP32)
    del said, added
