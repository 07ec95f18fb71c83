"""A decoder, played: embeddings, layers of attention and MLP, the last token's logits.

The base of all that happens in a layer are hidden states: the embeddings, which the model's forward holds; the layer's
input, which its loop holds; the residual; what the norm made (modeling_llama.py, LlamaModel.forward,
LlamaDecoderLayer.forward). What differs between model types, modeling_code.py names.
Measured against: runs of full-size classes on fake tensors (tests/memory/test_activations.py) and of small ones on
the CPU (tests/peaks).
"""

from __future__ import annotations

from collections.abc import Callable

from hubvram.architecture.attention import (
    ChunkedAttention,
    FullAttention,
    LatentAttention,
    SharedKVAttention,
    SlidingAttention,
)
from hubvram.architecture.layers import Architecture, Layer
from hubvram.architecture.mlp import DenseMLP, MoEMLP
from hubvram.architecture.parts import Part
from hubvram.memory.forward.attention import has_window_mask, play_attention
from hubvram.memory.forward.latent import play_latent_attention
from hubvram.memory.forward.mlp import play_mlp
from hubvram.memory.forward.modeling_code import Kept
from hubvram.memory.forward.run import FP32, ID_BYTES, Run
from hubvram.memory.forward.tape import Peak, Tensor
from hubvram.memory.kv_cache import held_tokens
from hubvram.memory.workload import Attention


def is_playable(architecture: Architecture) -> bool:
    """Whether every layer is attention, then an MLP, of the kinds that have a program, and nothing else."""
    return all(
        _is_playable(group.layer.mixer) and type(group.layer.mlp) in (DenseMLP, MoEMLP) and not group.layer.others
        for group in architecture.groups()
    )


def _is_playable(mixer: Part | None) -> bool:
    if isinstance(mixer, LatentAttention):
        return not (mixer.gated_query or mixer.gates or mixer.others)
    return type(mixer) in (FullAttention, SlidingAttention, ChunkedAttention)


Embed = Callable[[Run, Architecture], tuple[Tensor, ...]]
"""Plays what is made before the layers, and returns what of it the whole forward holds."""
PlayLayer = Callable[[Run, Layer, int], Kept]
"""(run, layer, hidden_size) -> what the loop over layers holds of it"""


def play_embedding(run: Run, architecture: Architecture) -> tuple[Tensor, ...]:
    """One embedding of each token; around a model that scales it, one as it was, too."""
    copies = 2 if run.code.whole and run.code.scales_embeddings else 1
    return (run.features("embeddings", copies * architecture.hidden_size),)


def play_layer(run: Run, layer: Layer, hidden_size: int) -> Kept:
    """Attention, then an MLP, with norms before, behind, or both."""
    run.phase("norms")
    residual = None
    normed = run.norm(hidden_size) if layer.pre_norm else None
    run.phase("attention")
    more = run.code.hidden_beside_attention
    waits = run.features("what the MLP will read", more * hidden_size) if more else None
    kept = _mix(run, layer.mixer)
    del waits
    run.phase("norms")
    behind = layer.norms.count > 2 or not layer.pre_norm
    if layer.norms.count > 1:
        # Before the MLP, with the residual.
        del normed
        residual = run.features("residual", hidden_size)
        normed = run.norm(hidden_size)
    del normed, residual
    run.phase("mlp")
    # The residual and what the norm made, or what attention said; without a norm, the residual itself is read.
    width = 2 + run.code.hidden_beside_mlp - (not layer.pre_norm)
    beside = run.features("residual, and normed", width * hidden_size)
    play_mlp(run, layer.mlp)
    if run.code.keeps_normed:
        said = run.features("what the MLP says, and the sum", 2 * hidden_size)
        del said
    del beside
    for part in layer.others:
        if isinstance(part, MoEMLP):
            kept = None
            _play_beside_mlp(run, part)
    if behind:
        run.phase("norms")
        said = run.features("residual, and what the MLP says", 2 * hidden_size)
        normed = run.norm(hidden_size)
        del said, normed
    return kept if run.code.keeps_probabilities else None


def play_decoder(
    run: Run,
    architecture: Architecture,
    copies_logits: bool,
    *,
    embed: Embed = play_embedding,
    play_layer: PlayLayer = play_layer,
) -> tuple[Peak, Peak]:
    """The peak before the head, and that at it."""
    ids = run.tensor("token ids", run.keys, element_bytes=ID_BYTES)
    around = run.whole_holds()
    _play_model(run, architecture, embed, play_layer)
    del around
    before = run.tape.take()
    run.phase("logits")
    hidden = run.features("hidden states, normed", architecture.hidden_size)
    if architecture.head is not None:
        width = architecture.head.out_features
        many = run.tokens if run.code.whole and run.code.whole.all_logits else 1
        logits = run.output("logits", many, width) if many > 1 else run.output("logits of the last token", width)
        copy = run.output("their fp32 copy", width, element_bytes=FP32) if copies_logits else None
        del logits, copy
    del ids, hidden
    return before, run.tape.take()


def _play_model(run: Run, architecture: Architecture, embed: Embed, play_layer: PlayLayer) -> None:
    hidden_size = architecture.hidden_size
    embedded = embed(run, architecture)
    positions = (run.code.positions or _positions)(run, architecture)
    masks = (run.code.masks or usual_masks)(run, architecture)
    kept = None
    for group in architecture.groups():
        later = run.not_yet_cached(layer.mixer for layer in architecture.layers[group.indices[-1][1] + 1 :])
        for _ in range(min(group.count, 2) if run.code.keeps_probabilities else 1):
            hidden = run.features("input of the layer", hidden_size)
            kept = play_layer(run, group.layer, hidden_size)
            del hidden
        del later
    run.phase("norms")
    hidden = run.features("hidden states", hidden_size)
    normed = run.norm(hidden_size)
    del positions, masks, embedded, kept, hidden, normed


def _play_beside_mlp(run: Run, experts: MoEMLP) -> None:
    """The residual, what the MLP says, the same normed; and what the experts read (modeling_gemma4.py).

    The router's logits take the name of the attention's probabilities, which are gone.
    """
    beside = run.features("residual, the MLP's answer, both normed", 4 * experts.hidden_size)
    play_mlp(run, experts)
    del beside


def _mix(run: Run, mixer: Part | None) -> Kept:
    if isinstance(mixer, LatentAttention):
        return (run.code.latent_attention or play_latent_attention)(run, mixer)
    if isinstance(mixer, FullAttention):
        return (run.code.attention or play_attention)(run, mixer)
    raise TypeError(f"no program for {mixer!r}")


# ------------------------------------------------------------------------------- around the layers


def _positions(run: Run, architecture: Architecture) -> tuple[Tensor, ...]:
    """Position ids, cos and sin, a learned embedding's rows; where a class makes a padding mask of ones, from that.

    (In fp32, and cumulated in 64 bits: modeling_opt.py, OPTDecoder.forward.)
    """
    code, hidden_size = run.code, architecture.hidden_size
    found = []
    if code.positions_per_sequence:
        found.append(run.tensor("padding mask, and positions", run.keys, element_bytes=FP32 + ID_BYTES))
        found.append(run.features("embedded positions", hidden_size))
    else:
        found.append(run.shared("position ids", run.tokens, element_bytes=ID_BYTES))
        if architecture.learned_positions:
            found.append(run.shared("embedded positions", run.tokens, hidden_size))
    if run.rotary_dim:
        width = sum(_rotary_widths(run, architecture)) * (1 if code.halves_of_tables else 2)
        make = run.tensor if code.rotary_per_sequence else run.shared
        table_bytes = FP32 if code.rotary_in_fp32 else run.element_bytes
        found.append(make("cos and sin", run.tokens, width, element_bytes=table_bytes))
    return tuple(found)


def _rotary_widths(run: Run, architecture: Architecture) -> list[int]:
    """Of each set of cos and sin: what rotates, or all of a head of its kind of layers."""
    if not run.code.rotary_by_heads:
        return [run.rotary_dim] * architecture.rotary_tables
    mixers = {type(group.layer.mixer): group.layer.mixer for group in architecture.groups()}
    of_kinds = (mixers.get(FullAttention), mixers.get(SlidingAttention))
    return [mixer.head_dim for mixer in of_kinds if isinstance(mixer, FullAttention)]


def usual_masks(run: Run, architecture: Architecture) -> tuple[Tensor, ...]:
    """Eager attention's additive masks, (B, 1, S, K), one per kind of layer, kept for the whole forward; sdpa's
    boolean one, (S, S), where a window cuts in: unpadded sequences share it."""
    kinds = {type(group.layer.mixer): group.layer.mixer for group in architecture.groups()}
    kinds.pop(SharedKVAttention, None)  # which take the mask of those whose K and V they share
    unused = (run.code.makes_window_mask or run.code.makes_full_mask) and len(kinds) == 1
    if run.is_eager:
        keys = [held_tokens(mixer, run.keys) if run.decodes and mixer else run.keys for mixer in kinds.values()]
        return tuple(run.tensor("additive mask", run.tokens, each) for each in keys + keys[:1] * unused)
    cut = any(has_window_mask(group.layer.mixer, run.tokens) for group in architecture.groups())
    if run.attention is Attention.SDPA and ChunkedAttention in kinds and cut:
        # Chunks begin behind a sequence's padding.
        return (run.tensor("mask of the chunk", run.tokens, run.tokens, element_bytes=1),)
    if run.attention is Attention.SDPA and (cut or run.code.makes_window_mask or run.code.always_masks):
        return (run.shared("mask", run.tokens, run.keys, element_bytes=1),)
    return ()
