"""inkling, played: attention has biases by distance, of each token's making; K, V, and what attention and MLP say are
convolved in fp32; shared experts are weighed by the router, with the others.

(modeling_inkling.py, InklingTextModel.forward, InklingDecoderLayer.forward)
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from hubvram.architecture.attention import FullAttention
from hubvram.architecture.layers import Architecture, Layer
from hubvram.architecture.mlp import DenseMLP, MoEMLP
from hubvram.architecture.parts import Block
from hubvram.memory.forward.attention import cache_keys_and_values, eager, has_window_mask, keys_of, repeated_for_heads
from hubvram.memory.forward.attention_in_blocks import attention_of, later_caches, masks_of
from hubvram.memory.forward.composed import play_composed
from hubvram.memory.forward.decoder import play_decoder
from hubvram.memory.forward.inkling2 import less_convolved, play_biases, play_convolution, widths_of
from hubvram.memory.forward.mlp import play_experts, play_mlp
from hubvram.memory.forward.modeling_code import Kept
from hubvram.memory.forward.run import FP32, ID_BYTES, Run
from hubvram.memory.forward.tape import Peak, Tensor

_SCALED: Final = "scaled_relative_attention"
"""Whose queries and biases grow with the logarithm of their positions."""


def is_inkling_playable(architecture: Architecture) -> bool:
    """Whether every layer is such attention, then an MLP or experts."""
    return all(
        isinstance(mixer := group.layer.mixer, Block)
        and mixer.kind in ("relative_attention", _SCALED)
        and type(group.layer.mlp) in (DenseMLP, MoEMLP)
        for group in architecture.groups()
    )


def play_inkling(run: Run, architecture: Architecture, copies_logits: bool) -> tuple[Peak, Peak]:
    """A decoder of such layers."""
    return play_decoder(run, architecture, copies_logits, play_model=_play_model)


def _play_model(run: Run, architecture: Architecture) -> Tensor:
    """Returns the hidden states of all tokens before they are scaled (InklingForCausalLM.forward)."""
    hidden_size = architecture.hidden_size
    embedded = run.features("embeddings", hidden_size)
    positions = run.position_ids()
    masks = masks_of(run, architecture)
    for group in architecture.groups():
        later = later_caches(run, architecture.layers[group.indices[-1][1] + 1 :])
        is_first = group.indices == ((0, 0),)
        hidden = None if is_first else run.features("input of the layer", hidden_size)
        _play_layer(run, group.layer, hidden_size)
        del later, hidden
    run.phase("norms")
    hidden = run.features("hidden states", hidden_size)
    normed = run.norm(hidden_size)
    del embedded, positions, masks, hidden, normed
    return run.features("hidden states before they are scaled", hidden_size)


def _play_layer(run: Run, layer: Layer, hidden_size: int) -> None:
    """What the convolutions of K and V will keep counts from the beginning."""
    kernel = widths_of(layer).kernel
    run.phase("norms")
    not_yet = [less_convolved(run, hidden_size, kernel) for _ in range(2)]
    normed = run.norm(hidden_size)
    run.phase("attention")
    probabilities = _play_attention(run, layer)
    del normed
    said = run.features("what attention says", hidden_size)
    not_yet.pop()
    convolved = play_convolution(run, hidden_size, kernel, scales_sum=False)
    del said
    residual = run.features("residual", hidden_size)
    del convolved
    run.phase("norms")
    normed = run.norm(hidden_size)
    run.phase("mlp")
    play_mlp(run, layer.mlp)
    del normed
    said = run.features("what the MLP says", hidden_size)
    not_yet.pop()
    convolved = play_convolution(run, hidden_size, kernel, scales_sum=False)
    del probabilities, residual, said, convolved


# ------------------------------------------------------------------------------------------ MLPs


def play_inkling_experts(run: Run, mlp: MoEMLP) -> None:
    """Those that are chosen, then those that all tokens take, beside what the others say: gate and up, act(gate) by up,
    and that by their weights; and their answers, which are summed in fp32 (InklingMoE.forward,
    InklingSharedExperts.forward)."""
    number = mlp.shared_expert_intermediate_size // mlp.moe_intermediate_size
    inner, hidden, chosen = mlp.shared_expert_intermediate_size, mlp.hidden_size, mlp.num_experts_per_tok
    _route(run, mlp, number)
    shared = run.features("router logits and weights of shared experts", number, element_bytes=FP32 + run.element_bytes)
    play_experts(run, replace(mlp, shared_expert_intermediate_size=0))
    logits = run.features("router logits", mlp.num_experts, element_bytes=FP32)
    choices = run.features("choices of experts, and their weights", chosen, element_bytes=ID_BYTES + run.element_bytes)
    said_by_chosen = run.features("what the experts say", hidden)
    gate_up = run.features("gate and up of the shared experts", 2 * inner)
    products = run.features("act(gate) by up, and by their weights", 2 * inner)
    del products
    activated = run.features("act(gate) by up and their weights", inner)
    said = run.features("what each shared expert says", number * hidden)
    in_fp32 = run.in_fp32("the same in fp32", run.tokens, number * hidden)
    summed = run.features("their sum", hidden, element_bytes=FP32)
    del shared, logits, choices, said_by_chosen, gate_up, activated, said, in_fp32, summed


def _route(run: Run, mlp: MoEMLP, shared: int) -> None:
    """In fp32, tokens and the router with them (InklingTopkRouter.forward)."""
    read = run.in_fp32("hidden states in fp32", run.tokens, mlp.hidden_size)
    total = mlp.num_experts + shared
    weight = run.shared("the router in fp32", total, mlp.hidden_size, element_bytes=FP32) if read else None
    logits = run.features("router logits", total, element_bytes=FP32)
    del read, weight, logits


# ------------------------------------------------------------------------------------- attention


def _play_attention(run: Run, layer: Layer) -> Kept:
    """Q, K and V, of which Q and K are normed; biases; and where they grow with positions, Q and biases in fp32."""
    mixer, widths = attention_of(layer), widths_of(layer)
    heads, keys = mixer.num_attention_heads, keys_of(run, mixer)
    not_yet = run.not_yet_cached((mixer,))
    query = run.features("Q", mixer.q_size)
    made = []
    for name in ("K", "V"):
        source = run.features(f"{name} as made", mixer.k_size)
        made.append(play_convolution(run, mixer.k_size, widths.kernel, scales_sum=False))
        del source
    relative = run.features("what biases are made of", widths.relative)
    run.norm_copies(mixer.q_size, rows=heads)
    run.norm_copies(mixer.k_size, rows=mixer.num_key_value_heads)
    del made, not_yet
    cache_keys_and_values(run, mixer)
    places = run.shared("places of Q and of K", run.tokens + keys, element_bytes=ID_BYTES)
    biases = play_biases(run, heads, keys, widths.extent)
    scales = None
    if layer.mixer is not None and layer.mixer.kind == _SCALED:
        scales = run.shared("places of Q, and scales by them", run.tokens, 2, element_bytes=FP32)
        _scale(run, run.tokens * mixer.q_size)
        _scale(run, heads * run.tokens * keys)
    probabilities = None
    if run.is_eager:
        probabilities = eager(run, mixer, keys)
    else:
        _play_sdpa(run, mixer, keys)
    said = run.features("what heads say, and O", mixer.q_size + mixer.o_size)
    del query, relative, places, biases, scales, said
    return probabilities


def _scale(run: Run, size: int) -> None:
    """In fp32, and by a scale; then in the model's type again."""
    copy = run.in_fp32("in fp32", size)
    scaled = run.tensor("in fp32, scaled", size, element_bytes=FP32)
    del copy
    turned = run.tensor("scaled", size) if run.element_bytes < FP32 else None
    del scaled, turned


def _play_sdpa(run: Run, mixer: FullAttention, keys: int) -> None:
    """Biases are its mask, with what is masked as the lowest of numbers (integrations/sdpa_attention.py,
    create_position_bias_mask). Where no mask was made before, heads stay in groups (use_gqa_in_sdpa): beside a mask no
    kernel takes these but cuDNN's, which is for 16 bit, and which torch 2.13 prefers on some GPUs alone."""
    is_masked = run.sizes.padded or has_window_mask(mixer, run.tokens)
    has_groups = mixer.num_key_value_heads < mixer.num_attention_heads
    repeated = repeated_for_heads(run, mixer, keys) if is_masked and run.tokens > 1 else None
    mask = None
    if is_masked or run.tokens > 1:
        later = None if is_masked else run.shared("which tokens are later", run.tokens, keys, element_bytes=1)
        mask = run.tensor("biases, and what is masked", mixer.num_attention_heads, run.tokens, keys)
        del later
    if has_groups and not is_masked:
        if run.element_bytes < FP32:
            run.phase("composed attention")
        play_composed(run, mixer, keys, repeats=True)
        run.phase("attention")
    said = run.features("what heads say", mixer.q_size)
    del repeated, mask, said
