"""gemma4, played: Q is normed and rotated before K and V are made; the last layers go with K and V of earlier ones.

`generate()` asks for the last token's logits alone, and so these last layers run over that token alone; but for flash
attention, for which the class does not cut them short (modeling_gemma4.py, _maybe_slice_kv_shared_inputs).
"""

from __future__ import annotations

from hubvram.architecture.attention import FullAttention, SharedKVAttention, SlidingAttention
from hubvram.architecture.layers import Architecture, Layer
from hubvram.architecture.mlp import DenseMLP, MoEMLP
from hubvram.memory.forward.attention import attend, cache_keys_and_values, keys_of
from hubvram.memory.forward.decoder import play_decoder, play_embedding, play_layer
from hubvram.memory.forward.run import Run
from hubvram.memory.forward.tape import Peak, Tensor
from hubvram.memory.workload import Attention

_MIXERS = (FullAttention, SlidingAttention, SharedKVAttention)


def is_gemma4_playable(architecture: Architecture) -> bool:
    """Whether layers are attention, an MLP and, beside these, what each token is for this layer, and experts."""
    return all(
        type(group.layer.mixer) in _MIXERS
        and type(group.layer.mlp) is DenseMLP
        and all(type(part) in (DenseMLP, MoEMLP) for part in group.layer.others)
        for group in architecture.groups()
    )


def play_gemma4(run: Run, architecture: Architecture, copies_logits: bool) -> tuple[Peak, Peak]:
    """A decoder that embeds each token for each layer too, and cuts a prompt short where layers share K and V."""
    return play_decoder(run, architecture, copies_logits, embed=embed_for_layers, play_layer=_play_layer)


def embed_for_layers(run: Run, architecture: Architecture) -> tuple[Tensor, ...]:
    """The embeddings; and, for each layer, what the token is and what is made of its embedding, normed and added."""
    (embedded,) = play_embedding(run, architecture)
    widths = [part.intermediate_size for layer in architecture.layers for part in _inputs(layer)]
    if not widths:
        return (embedded,)
    run.phase("embedding for each layer")
    # Both, as what is made of the embedding is normed, while nothing is cached yet.
    later = run.not_yet_cached(layer.mixer for layer in architecture.layers)
    both = run.features("embeddings for layers, twice", 2 * sum(widths))
    run.norm_copies(sum(widths), rows=len(widths))
    del later, both
    whole = run.code.whole
    apart = sum(widths) + architecture.hidden_size if whole and whole.keeps_layer_inputs else 0
    return embedded, run.features("embeddings for layers", sum(widths) + apart)


def _inputs(layer: Layer) -> list[DenseMLP]:
    """What brings the embedding for this layer in; LAuReL's detour has no activation."""
    narrow = (part for part in layer.others if isinstance(part, DenseMLP))
    return [part for part in narrow if part.hidden_act != "linear"]


def _play_layer(run: Run, layer: Layer, hidden_size: int) -> None:
    whole = run.decodes or run.attention is Attention.FLASH
    if whole or not isinstance(layer.mixer, SharedKVAttention):
        play_layer(run, layer, hidden_size)


def play_gemma4_attention(run: Run, mixer: FullAttention, *, makes_v_last: bool = False) -> Tensor | None:
    """Q normed and rotated; then K; V normed too. What is cached counts with the cache: before, it is not there yet.

    V is made after K, or after K is normed and rotated (gemma3n); what K's matrix made for it too is one tensor.
    """
    later = 0 if isinstance(mixer, SharedKVAttention) else mixer.k_size + mixer.v_size
    query = run.features("Q", mixer.q_size)
    _norm_and_turn(run, mixer.q_size, mixer.num_attention_heads, later)
    if isinstance(mixer, SharedKVAttention):
        probabilities = attend(run, mixer, _shared_keys(run, mixer))
        del query
        return probabilities
    later = mixer.v_size if mixer.v_from_k or makes_v_last else 0
    _norm_and_turn(run, mixer.k_size, mixer.num_key_value_heads, later)
    _norm(run, mixer.v_size, mixer.num_key_value_heads, 0)
    cache_keys_and_values(run, mixer)
    probabilities = attend(run, mixer, keys_of(run, mixer))
    del query
    return probabilities


def _norm_and_turn(run: Run, width: int, heads: int, later: int) -> None:
    """By cos, turned, and by sin; `later` features are cached once all are made."""
    _norm(run, width, heads, later)
    if 3 * width > later:
        turned = run.features("by cos, turned, and by sin, less what is cached later", 3 * width - later)
        del turned


def _norm(run: Run, width: int, heads: int, later: int) -> None:
    copies_bytes = run.norm_copy_bytes * width + run.norm_row_bytes * heads - run.element_bytes * later
    if copies_bytes > 0:
        copies = run.features("the norm's fp32 copies, less what is cached later", copies_bytes, element_bytes=1)
        del copies


def _shared_keys(run: Run, mixer: SharedKVAttention) -> int:
    return run.keys if mixer.sliding_window is None else min(run.keys, mixer.sliding_window)
