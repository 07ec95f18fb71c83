"""A decoder, played: embeddings, layers of attention and MLP, the last token's logits.

The base of all that happens in a layer are hidden states: the embeddings, which the model's forward holds; the layer's
input, which its loop holds; the residual; what the norm made (modeling_llama.py, LlamaModel.forward,
LlamaDecoderLayer.forward). What differs between model types, modeling_code.py names. What keeps a state instead of
K and V has a program of its own, which describes transformers' own torch code, without kernels of other packages.
Measured against: runs of full-size classes on fake tensors (tests/memory/test_activations.py) and of small ones on
the CPU (tests/peaks).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import NoneType
from typing import Final

from hubvram.architecture.attention import (
    ChunkedAttention,
    FullAttention,
    LatentAttention,
    SharedKVAttention,
    SlidingAttention,
)
from hubvram.architecture.layers import Architecture, Layer, LayerGroup
from hubvram.architecture.mlp import DenseMLP, MoEMLP
from hubvram.architecture.parts import Block, Part
from hubvram.memory.forward.attention import has_window_mask, is_cut, keys_of, masks_sequences, play_attention
from hubvram.memory.forward.later import later
from hubvram.memory.forward.mlp import play_mlp
from hubvram.memory.forward.modeling_code import Kept
from hubvram.memory.forward.run import FP32, ID_BYTES, Run
from hubvram.memory.forward.tape import Peak, Tensor
from hubvram.memory.kv_cache import held_tokens, token_bytes
from hubvram.memory.workload import Attention


def is_playable(architecture: Architecture) -> bool:
    """Whether every layer is attention, then an MLP, of the kinds that have a program, and nothing else."""
    return all(
        _is_playable(group.layer.mixer)
        and type(group.layer.mlp) in (DenseMLP, MoEMLP, NoneType)
        and (_is_shared_block(group.layer) or all(_program_of(part) for part in group.layer.others))
        for group in architecture.groups()
    )


def _is_playable(mixer: Part | None) -> bool:
    if mixer is None or _program_of(mixer) is not None:
        return True
    if isinstance(mixer, LatentAttention):
        return not (mixer.gated_query or mixer.gates or mixer.others)
    return type(mixer) in (FullAttention, SlidingAttention, ChunkedAttention)


Embed = Callable[[Run, Architecture], tuple[Tensor, ...]]
"""Plays what is made before the layers, and returns what of it the whole forward holds."""
PlayModel = Callable[[Run, Architecture], Tensor | None]
"""Plays all that stands between token ids and logits, and returns what it leaves beside hidden states of the tokens."""
PlayLayer = Callable[[Run, Layer, int], Kept]
"""(run, layer, hidden_size) -> what the loop over layers holds of it"""


def play_embedding(run: Run, architecture: Architecture) -> tuple[Tensor, ...]:
    """One embedding of each token; around a model that scales it, one as it was, too."""
    whole = run.code.whole
    copies = 1 + run.code.copies_embeddings + (whole.embeddings + run.code.scales_embeddings if whole else 0)
    return (run.features("embeddings", copies * architecture.hidden_size),)


def play_layer(run: Run, layer: Layer, hidden_size: int) -> Kept:
    """Attention, then an MLP, with norms before, behind, or both."""
    if layer.mixer is None or layer.mlp is None:
        _play_part(run, layer, hidden_size)
        return None
    run.phase("norms")
    residual = None
    normed = run.norm(hidden_size) if layer.pre_norm else None
    waits = _play_others(run, layer, hidden_size)
    run.phase("attention")
    more = run.code.hidden_beside_attention
    read = run.features("what the MLP will read", more * hidden_size) if more else None
    kept = _mix(run, layer.mixer, hidden_size)
    del read
    run.phase("norms")
    del waits
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


def _play_part(run: Run, layer: Layer, hidden_size: int) -> None:
    """A layer of one part, whose input is the residual (mamba, nemotron_h)."""
    run.phase("norms")
    normed = run.norm(hidden_size)
    if layer.mlp is not None:
        run.phase("mlp")
        play_mlp(run, layer.mlp)
    else:
        run.phase("attention")
        probabilities = _mix(run, layer.mixer, hidden_size)
        del probabilities
    del normed


def play_decoder(
    run: Run,
    architecture: Architecture,
    copies_logits: bool,
    *,
    embed: Embed = play_embedding,
    play_layer: PlayLayer = play_layer,
    play_model: PlayModel | None = None,
) -> tuple[Peak, Peak]:
    """The peak before the head, and that at it."""
    ids = run.token_ids()
    said_before = run.logits_before(architecture.head.out_features) if architecture.head else None
    around = run.whole_holds()
    left = None
    if play_model is not None:
        left = play_model(run, architecture)
    else:
        play_tokens(run, architecture, embed, play_layer)
    del around
    before = run.tape.take_largest() if run.shares_positions else run.tape.take()
    run.phase("logits")
    hidden_size = architecture.hidden_size
    hidden: Tensor | None = run.features("hidden states, normed", hidden_size)
    if architecture.head is not None:
        width = architecture.head.out_features
        is_all = run.sizes.all_logits or (run.code.whole is not None and run.code.whole.all_logits)
        many = run.tokens if is_all else 1
        copies = run.code.hidden_beside_head
        read = run.tensor("hidden states as the head reads them", many, copies * hidden_size) if copies else None
        if run.code.capped_logit_bytes:
            capped = run.output("logits, as they are capped", many, width, element_bytes=run.code.capped_logit_bytes)
            del capped
        logits = run.output("logits" if many > 1 else "logits of the last token", many, width)
        more = _logit_copies(run, architecture) - 1
        scaled = run.output("the same, scaled or capped", more, many, width) if more else None
        del scaled, read
        if run.code.logits_in_fp32 and run.element_bytes < FP32:
            turned = run.output("logits in fp32", many, width, element_bytes=FP32)
            logits = turned
            del turned
        if is_all:
            hidden = None  # What is copied is the last of them, when the forward is done.
        copy = run.output("their fp32 copy", width, element_bytes=FP32) if copies_logits else None
        del logits, copy
    del ids, hidden, left, said_before
    return before, run.tape.take()


def _logit_copies(run: Run, architecture: Architecture) -> int:
    """Alive together, where the class that makes them scales or caps them: a whole does so itself, or does not."""
    scaled = run.code.logit_copies if run.code.whole is None else 1 + run.code.whole.scales_logits
    return max(scaled, 1 + architecture.caps_logits)


def play_tokens(
    run: Run, architecture: Architecture, embed: Embed = play_embedding, play_layer: PlayLayer = play_layer
) -> None:
    """All that stands between token ids and logits, in the usual way."""
    hidden_size = architecture.hidden_size
    embedded = embed(run, architecture)
    positions = (run.code.positions or _positions)(run, architecture)
    masks = (run.code.masks or usual_masks)(run, architecture)
    residual_bytes = FP32 if run.code.residual_in_fp32 else run.element_bytes
    for group in architecture.groups():
        around = _kept_probabilities(run, architecture, group), _later_caches(run, architecture, group)
        play = _play_shared_block if _is_shared_block(group.layer) else play_layer
        # The first layer reads the embeddings themselves.
        reads = "" if group.indices == ((0, 0),) else "input of the layer"
        kept = None
        for _ in range(2 if run.code.keeps_probabilities and _has_neighbours(group) else 1):
            hidden = run.features(reads, hidden_size, element_bytes=residual_bytes) if reads else None
            kept = play(run, group.layer, hidden_size)
            del hidden
        del around, kept
    run.phase("norms")
    hidden = run.features("hidden states", hidden_size, element_bytes=residual_bytes)
    normed = run.norm(hidden_size)
    del positions, masks, embedded, hidden, normed


def _play_beside_mlp(run: Run, experts: MoEMLP) -> None:
    """The residual, what the MLP says, the same normed; and what the experts read (modeling_gemma4.py).

    The router's logits take the name of the attention's probabilities, which are gone.
    """
    beside = run.features("residual, the MLP's answer, both normed", 4 * experts.hidden_size)
    play_mlp(run, experts)
    del beside


def _play_others(run: Run, layer: Layer, hidden_size: int) -> Tensor | None:
    """State spaces that stand beside the attention, before it: what they say waits, and attention reads a scaled copy
    of the hidden states (modeling_falcon_h1.py, FalconH1DecoderLayer.forward)."""
    stateful = [part for part in layer.others if _program_of(part)]
    if not stateful or layer.mixer is None:
        return None
    of_token = token_bytes(layer.mixer, run.cache_element_bytes)
    not_yet = run.features("less K and V, which come later", -of_token, element_bytes=1)
    for part in stateful:
        _mix(run, part, hidden_size)
    del not_yet
    return run.features("what the state space says, and hidden states, scaled", 2 * hidden_size)


def _mix(run: Run, mixer: Part | None, hidden_size: int) -> Kept:
    if isinstance(mixer, LatentAttention):
        return (run.code.latent_attention or _play_latent_attention)(run, mixer)
    if isinstance(mixer, FullAttention):
        return (run.code.attention or play_attention)(run, mixer)
    program = _program_of(mixer)
    if program is not None and mixer is not None:
        copies = run.sizes.padded and not run.decodes and mixer.kind in _MASKED
        masked = run.features("the same, with zeros for padding", hidden_size) if copies else None
        kept = program(run, mixer)
        del masked
        return kept
    raise TypeError(f"no program for {mixer!r}")


_PROGRAMS: Final[Mapping[str, Callable[..., Kept]]] = {
    "gated_delta_net": later("delta_net", "play_delta_net"),
    "lightning_attention": later("lightning", "play_lightning_attention"),
    "mamba": later("state_space", "play_mamba"),
    "mamba2": later("state_space", "play_mamba2"),
    "short_conv": later("convolution", "play_short_conv"),
    "kimi_delta_attention": later("delta_net", "play_kimi_delta_attention"),
    "sliding_latent_attention": later("dots3", "play_sliding_latent_attention"),
    "block_sparse_attention": later("block_sparse", "play_block_sparse_attention"),
    "rg_lru": later("griffin", "play_rg_lru"),
}
"""Kind of what keeps a state instead of K and V of tokens, or more than these -> its program."""

_MASKED: Final = frozenset({"gated_delta_net", "mamba", "kimi_delta_attention"})
"""Those that hold a copy of what they read in which padding is zero (apply_mask_to_padding_states)."""


_play_latent_attention: Final = later("latent", "play_latent_attention")
_play_shared_block: Final = later("shared_block", "play_shared_block")


def _is_shared_block(layer: Layer) -> bool:
    """Whether it is attention and an MLP that layers share, before a state space, and nothing else."""
    kinds = [part.kind for part in layer.others]
    return (
        isinstance(layer.mixer, FullAttention)
        and isinstance(layer.mlp, DenseMLP)
        and kinds[:2] in (["mamba", "linear"], ["mamba2", "linear"])
        and all(isinstance(part, Block) and part.kind == "adapter" for part in layer.others[2:])
    )


def _program_of(mixer: Part | None) -> Callable[..., Kept] | None:
    return None if mixer is None else _PROGRAMS.get(mixer.kind)


# ------------------------------------------------------------------------------- around the layers


def _kept_probabilities(run: Run, architecture: Architecture, group: LayerGroup) -> Tensor | None:
    """Those of attention in the layer before, where the model's loop still holds them."""
    if not (run.is_eager and run.code.keeps_probabilities):
        return None
    before = [architecture.layers[first - 1].mixer for first, _ in group.indices if first]
    mixer = next((mixer for mixer in before if isinstance(mixer, FullAttention)), None)
    if mixer is None:
        return None
    return run.tensor("probabilities of the layer before", mixer.num_attention_heads, run.tokens, keys_of(run, mixer))


def _has_neighbours(group: LayerGroup) -> bool:
    """Whether one of its layers follows another."""
    return any(last > first for first, last in group.indices)


def _later_caches(run: Run, architecture: Architecture, group: LayerGroup) -> Tensor | None:
    """What the layers behind will keep of the prompt, and do not yet: less than the cache that is counted in full."""
    last = group.indices[-1][1]
    if run.decodes or not any(_program_of(layer.mixer) for layer in architecture.layers):
        return run.not_yet_cached(layer.mixer for layer in architecture.layers[last + 1 :])
    return run.prompt_not_yet_cached(architecture.layers[last + 1 :])


def _positions(run: Run, architecture: Architecture) -> tuple[Tensor, ...]:
    """Position ids, cos and sin, a learned embedding's rows; where a class makes a padding mask of ones, from that.

    (In fp32, and cumulated in 64 bits: modeling_opt.py, OPTDecoder.forward.)
    """
    code, hidden_size = run.code, architecture.hidden_size
    found = []
    if code.padding_mask_bytes:
        found.append(run.tensor("padding mask", run.keys, element_bytes=code.padding_mask_bytes))
    if code.positions_per_sequence:
        found.append(run.tensor("padding mask, and positions", run.keys, element_bytes=FP32 + ID_BYTES))
        found.append(run.features("embedded positions", hidden_size))
    elif code.counts_positions:
        found.append(run.position_ids())
        if architecture.learned_positions:
            found.append(run.along("embedded positions", hidden_size))
    if run.rotary_dim:
        width = sum(_rotary_widths(run, architecture)) * (1 if code.halves_of_tables else 2)
        table_bytes = FP32 if code.rotary_in_fp32 else run.element_bytes
        found.append(run.along("cos and sin", width, element_bytes=table_bytes))
    return tuple(found)


def _rotary_widths(run: Run, architecture: Architecture) -> list[int]:
    """Of each set of cos and sin: what rotates, or all of a head of its kind of layers."""
    if not run.code.rotary_by_heads:
        return list(architecture.rotary_dims) or [run.rotary_dim] * architecture.rotary_tables
    mixers = {type(group.layer.mixer): group.layer.mixer for group in architecture.groups()}
    of_kinds = (mixers.get(FullAttention), mixers.get(SlidingAttention))
    return [mixer.head_dim for mixer in of_kinds if isinstance(mixer, FullAttention)]


def _masked_keys(run: Run, mixer: FullAttention | LatentAttention) -> int:
    """How many a layer's mask is for."""
    if run.sizes.room and isinstance(mixer, FullAttention):
        return keys_of(run, mixer)
    return held_tokens(mixer, run.keys) if run.decodes else run.keys


def usual_masks(run: Run, architecture: Architecture) -> tuple[Tensor, ...]:
    """Eager attention's additive masks, (B, 1, S, K), one per kind of layer, kept for the whole forward; sdpa's
    boolean one, (S, S), where a window cuts in: unpadded sequences share it."""
    mixers = [group.layer.mixer for group in architecture.groups()]
    kinds = {type(mixer): mixer for mixer in mixers if isinstance(mixer, FullAttention | LatentAttention)}
    kinds.pop(SharedKVAttention, None)  # which take the mask of those whose K and V they share
    code, slides = run.code, SlidingAttention in kinds
    makes_both = code.makes_window_mask or code.makes_full_mask or (code.full_mask_first and slides)
    # Beside a static cache `generate()` makes them, by the layers that there are (create_masks_for_generate).
    unused = makes_both and len(kinds) == 1 and not run.sizes.room
    keys = [_masked_keys(run, mixer) for mixer in kinds.values()]
    if run.is_eager:
        return tuple(run.tensor("additive mask", run.tokens, each) for each in keys + keys[:1] * unused)
    if masks_sequences(run):
        keys = keys + keys[:1] * unused
        return tuple(run.tensor("mask of the sequence", run.tokens, each, element_bytes=1) for each in keys)
    if run.sizes.room:
        seen = [mixer for mixer in kinds.values() if isinstance(mixer, FullAttention) and is_cut(run, mixer)]
        return tuple(
            run.tensor("mask of the sequence", run.tokens, keys_of(run, mixer), element_bytes=1) for mixer in seen
        )
    cut = any(has_window_mask(group.layer.mixer, run.tokens) for group in architecture.groups())
    if run.attention is Attention.SDPA and ChunkedAttention in kinds and cut:
        # Chunks begin behind a sequence's padding.
        return (run.tensor("mask of the chunk", run.tokens, run.tokens, element_bytes=1),)
    if run.attention is Attention.SDPA and (cut or run.code.makes_window_mask or run.code.always_masks):
        return (run.shared("mask", run.tokens, run.keys, element_bytes=1),)
    return ()
