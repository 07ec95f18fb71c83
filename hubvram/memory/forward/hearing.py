"""voxtral_realtime, played: an encoder of sound hears some positions with each token of text, which attend to a window
of those before; what it says of them is added to the embeddings of tokens (modeling_voxtral_realtime.py).

`generate()` embeds all of the sound before the prompt is read, and keeps that to the end
(VoxtralRealtimeForConditionalGeneration._prepare_model_inputs).
"""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from functools import partial

from hubvram.architecture.attention import FullAttention
from hubvram.architecture.layers import Architecture, Stack
from hubvram.memory.forward import decoder
from hubvram.memory.forward.attention import attend, cache
from hubvram.memory.forward.modeling_code import Kept, with_traits
from hubvram.memory.forward.rotation import Widths
from hubvram.memory.forward.run import ID_BYTES, Run
from hubvram.memory.forward.sound import channels_of
from hubvram.memory.forward.tape import Peak, Tensor
from hubvram.memory.kv_cache import held_tokens
from hubvram.memory.workload import Attention


def is_hearing_playable(architecture: Architecture) -> bool:
    """Whether the text model is a decoder, and what hears is beside it."""
    return decoder.is_playable(architecture) and any(stack.cached_per_token for stack in architecture.stacks)


def play_hearing(run: Run, architecture: Architecture, copies_logits: bool) -> tuple[Peak, Peak]:
    """A decoder of text, behind the encoder."""
    return decoder.play_decoder(run, architecture, copies_logits, play_model=_play_model)


def _play_model(run: Run, architecture: Architecture) -> Tensor:
    """Returns what is left of the sound: as it is given, and for each token."""
    hidden_size = architecture.hidden_size
    tower = next(stack for stack in architecture.stacks if stack.cached_per_token)
    hearing = _hearing(run, tower)
    later = run.not_yet_cached(layer.mixer for layer in architecture.layers)
    sounds = _given(run, hearing, tower)
    embedded = run.features("embeddings", hidden_size)
    said = _hear(hearing, replace(architecture, layers=tower.layers), tower)
    projected = run.features("what is heard, for each token, activated", 2 * hidden_size)
    del projected
    heard = run.features("what is heard, for each token", hidden_size)
    del later
    delay = run.shared("how late the text is", hidden_size)
    decoder.play_tokens(run, architecture, embed=lambda run, architecture: ())
    del sounds, embedded, said, heard, delay
    return run.tensor("sound, and what is heard", _given_size(run, tower) + run.tokens * hidden_size)


def _hearing(run: Run, tower: Stack) -> Run:
    """The pass over the positions that are heard with these tokens."""
    step, hearing = tower.cached_per_token, copy(run)
    sizes = replace(run.sizes, tokens=step * run.tokens, past_tokens=step * run.past_tokens, padded=False)
    hearing.sizes = replace(sizes, by_generate=False)
    hearing.tokens, hearing.past_tokens = sizes.tokens, sizes.past_tokens
    hearing.code = with_traits(run.code, attention=partial(_attend, step=step), whole=None)
    mixers = [layer.mixer for layer in tower.layers]
    hearing.rotary_dim = max(mixer.head_dim for mixer in mixers if isinstance(mixer, FullAttention))
    return hearing


# ----------------------------------------------------------------------------------------- sound


def _positions(run: Run, tower: Stack) -> int:
    """Of sound that is embedded: with `generate()` all of it, else as many as these tokens hear."""
    return tower.cached_per_token * (run.sizes.all_tokens if run.sizes.by_generate else run.tokens)


def _given_size(run: Run, tower: Stack) -> int:
    """Features of all positions; and where `generate()` embeds them, two frames of each, which its caller has."""
    width = tower.hidden_size + (2 * channels_of(tower, "conv1")[0] if run.sizes.by_generate else 0)
    return _positions(run, tower) * width


def _given(run: Run, hearing: Run, tower: Stack) -> Tensor:
    """Embedded, where `generate()` does that and nothing is cached yet, by two convolutions: each reads a copy with
    padding before it, and is activated (VoxtralRealtimeEmbedder.forward)."""
    if run.sizes.by_generate and not run.decodes:
        run.phase("convolutions over sound")
        not_heard = hearing.not_yet_cached(layer.mixer for layer in tower.layers)
        (channels, width), positions = channels_of(tower, "conv1"), _positions(run, tower)
        frames = run.tensor("frames of sound", 2 * positions, channels)
        padded = run.tensor("the same behind padding", 2 * positions + 2, channels)
        first = run.tensor("of the first convolution", 2 * positions, width)
        del padded
        activated = run.tensor("the same, activated", 2 * positions, width)
        del first
        padded = run.tensor("the same behind padding", 2 * positions + 1, width)
        second = run.tensor("of the second convolution", positions, width)
        del padded
        embedded = run.tensor("embedded sound", positions, width)
        del not_heard, frames, activated, second, embedded
    return run.tensor("sound", _given_size(run, tower))


# --------------------------------------------------------------------------------------- encoder


def _hear(hearing: Run, encoder: Architecture, tower: Stack) -> Tensor:
    """Returns what the encoder says of each position."""
    mixers, hidden_size = [layer.mixer for layer in tower.layers], tower.hidden_size
    positions = hearing.shared("position ids of sound", hearing.tokens, element_bytes=ID_BYTES)
    masks = decoder.usual_masks(hearing, encoder)
    if hearing.decodes and hearing.attention is Attention.SDPA:
        keys = max(held_tokens(mixer, hearing.keys, step=tower.cached_per_token) for mixer in mixers if mixer)
        masks = (hearing.shared("mask of several positions", hearing.tokens, keys, element_bytes=1),)
    tables = hearing.shared("cos and sin of sound", 2 * hearing.tokens, hearing.rotary_dim)
    for group in tower.groups():
        last = group.indices[-1][1]
        later = hearing.not_yet_cached(mixers[last + 1 :])
        hidden = hearing.features("input of the layer", hidden_size) if last else None
        kept = decoder.play_layer(hearing, group.layer, hidden_size)
        del later, hidden, kept
    hearing.phase("norms")
    hidden = hearing.features("hidden states", hidden_size)
    normed = hearing.norm(hidden_size)
    del positions, masks, tables, hidden, normed
    return hearing.features("what the encoder says of sound", hidden_size)


def _attend(run: Run, mixer: FullAttention, *, step: int) -> Kept:
    """As in llama; but a window keeps room for all positions that come with a token (DynamicSlidingWindowLayer)."""
    query = run.features("Q", mixer.q_size)
    run.code.rotation(run, Widths(mixer.q_size, mixer.k_size, mixer.q_size, mixer.k_size))
    del query
    query = run.features("Q", mixer.q_size)
    width = mixer.k_size + mixer.v_size
    cache(run, width, width, held_tokens(mixer, run.past_tokens, step=step) + 1)
    keys = held_tokens(mixer, run.keys, step=step) if run.decodes else run.tokens
    probabilities = attend(run, mixer, keys)
    del query
    return probabilities
