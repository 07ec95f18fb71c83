"""falcon, played: layers of three kinds, masks that are always made, and sdpa with one head of K (modeling_falcon.py).

The newer layers (falcon-40b) repeat K and V for all heads before they cache them, and norm twice; the older ones
(falcon-7b) have one head of K and V; the oldest (falcon-rw) have as many as of Q, ALiBi's biases, and their MLP behind
the attention. No fused kernel of torch takes one head of K beside many of Q without being told of groups
(sdp_utils_cpp.h, check_batch_size_and_num_heads_dense): falcon-7b's sdpa is composed of products and a softmax in fp32,
on any device.
"""

from __future__ import annotations

from hubvram.architecture.attention import FullAttention
from hubvram.architecture.layers import Architecture
from hubvram.memory.forward.attention import cache, multiply_expanded
from hubvram.memory.forward.composed import play_composed
from hubvram.memory.forward.decoder import play_decoder, usual_masks
from hubvram.memory.forward.modeling_code import LAYER_NORM, with_traits
from hubvram.memory.forward.rotation import Widths, halves
from hubvram.memory.forward.run import FP32, ID_BYTES, Run
from hubvram.memory.forward.tape import Peak, Tensor
from hubvram.memory.workload import Attention


def play_falcon(run: Run, architecture: Architecture, copies_logits: bool) -> tuple[Peak, Peak]:
    """As a decoder whose traits depend on the config (FalconDecoderLayer.forward)."""
    layer = architecture.layers[0]
    norms_twice = layer.norms.count > 1
    is_new = isinstance(layer.mixer, FullAttention) and _repeats(layer.mixer)
    run.code = with_traits(
        LAYER_NORM,
        positions=_positions,
        masks=_masks,
        attention=_attend,
        keeps_probabilities=True,
        keeps_normed=True,
        hidden_beside_attention=int(norms_twice and is_new),
        # What attention read, what it said; or both of them beside a residual of its own.
        hidden_beside_mlp=int(norms_twice) + int(norms_twice and not is_new),
    )
    return play_decoder(run, architecture, copies_logits)


def _repeats(mixer: FullAttention) -> bool:
    return mixer.cached_heads is not None


def _mixer(architecture: Architecture) -> FullAttention:
    mixer = architecture.layers[0].mixer
    if not isinstance(mixer, FullAttention):
        raise TypeError(f"no program for {mixer!r}")
    return mixer


# ------------------------------------------------------------------------------- around the layers


def _positions(run: Run, architecture: Architecture) -> tuple[Tensor, ...]:
    """cos and sin are made also where only biases are read."""
    width = 2 * _mixer(architecture).head_dim
    return (
        run.position_ids(),
        run.along("cos and sin", width),
    )


def _masks(run: Run, architecture: Architecture) -> tuple[Tensor, ...]:
    """A mask is made also where a causal kernel would need none; biases are one more for each head, and themselves."""
    if not run.rotary_dim:
        heads = _mixer(architecture).num_attention_heads
        return (
            run.tensor("padding mask", run.keys, element_bytes=ID_BYTES),
            run.tensor("biases by distance", heads, run.keys),
            run.tensor("mask with biases", heads, run.tokens, run.keys),
        )
    if run.attention is Attention.SDPA:
        return (run.mask("boolean mask", run.tokens, run.keys),)
    return usual_masks(run, architecture)


# --------------------------------------------------------------------------------------- a layer


def _attend(run: Run, mixer: FullAttention) -> Tensor | None:
    """One matrix makes Q, K and V. The newer layers copy each of them for all heads, those with one head of K that,
    and V's (_split_heads)."""
    repeats = _repeats(mixer)
    width = mixer.q_size if repeats else mixer.k_size
    fused = mixer.q_size + mixer.k_size + mixer.v_size
    # K and V, or their copies, count as cached.
    made = run.features("Q as made", mixer.q_size + fused if repeats else mixer.q_size)
    if run.rotary_dim:
        halves(run, Widths(mixer.q_size, width, mixer.q_size, width))
    del made
    made = run.features("Q, K and V as made", fused)
    query = run.features("Q rotated", mixer.q_size) if run.rotary_dim else None
    copies = repeats or mixer.num_key_value_heads == 1
    cache(run, (width if run.rotary_dim else 0) + (width if copies else 0), width, run.keys)
    probabilities = left = None
    if run.is_eager:
        probabilities, left = _eager(run, mixer)
    else:
        _fused(run, mixer)
    del query
    if mixer.o_bias:
        projected = run.features("what heads say, O, and with its bias", mixer.q_size + 2 * mixer.o_size)
        del projected
    del made, left
    return probabilities


def _eager(run: Run, mixer: FullAttention) -> tuple[Tensor, Tensor | None]:
    """Scores, those with the mask, and their softmax, in the model's own type. Beside biases scores are fp32 before
    that, and what they were made from stays: the product, and scores before and behind the biases."""
    sizes = (mixer.num_attention_heads, run.tokens, run.keys)
    own = run.element_bytes
    bytes_each = 3 * own if run.rotary_dim else 3 * own + 3 * FP32 if own < FP32 else 4 * own
    if run.rotary_dim and not _repeats(mixer):
        multiply_expanded(run, mixer, run.keys)
    scores = run.tensor("scores, and what is made of them", *sizes, element_bytes=bytes_each)
    del scores
    probabilities = run.tensor("probabilities", *sizes)
    left_bytes = 2 * FP32 + (own if own < FP32 else 0)
    left = None if run.rotary_dim else run.tensor("scores before", *sizes, element_bytes=left_bytes)
    said = run.features("what heads say, in two layouts", 2 * mixer.q_size)
    del said
    return probabilities, left


def _fused(run: Run, mixer: FullAttention) -> None:
    """sdpa, with an additive mask made of the boolean one; or flash attention."""
    if run.attention is Attention.SDPA:
        mask = run.tensor("additive mask", run.tokens, run.keys) if run.rotary_dim else None
        if not _repeats(mixer) and mixer.num_key_value_heads != mixer.num_attention_heads:
            play_composed(run, mixer, run.keys)
        said = run.features("what heads say", mixer.q_size)
        del mask
    else:
        said = run.features("what heads say", mixer.q_size)
    projected = run.features("O", mixer.o_size)
    del said, projected
