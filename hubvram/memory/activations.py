"""Closed forms for what a forward pass holds at its peak, in bytes, for transformers without autograd.

Symbols as in the literature: B batch, S tokens of one sequence, T = B S, h hidden_size, i intermediate_size,
H heads, d head_dim, a = H d, G KV heads, k experts per token, e bytes per element. Every form is exactly linear
in B. They were fitted to nothing: each term is a tensor that `modeling_*.py` of transformers 5.23 keeps alive,
and they equal the allocator's peak of a run of those classes (tests/memory/test_activations.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from hubvram.architecture.attention import FullAttention, SlidingAttention
from hubvram.architecture.layers import Architecture, Layer
from hubvram.architecture.mlp import DenseMLP, MoEMLP
from hubvram.memory.kv_cache import held_tokens
from hubvram.memory.workload import Attention

TOKEN_ID_BYTES: Final = 8  # int64


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One forward pass."""

    batch_size: int
    tokens: int
    element_bytes: int
    attention: Attention
    softmax_in_fp32: bool = True
    """Whether eager attention turns its scores to fp32 for the softmax."""
    routing_in_fp32: bool = False
    """Whether the weights of chosen experts stay fp32."""
    router_logits_in_fp32: bool = False
    rotary_in_fp32: bool = False
    """Whether cos and sin are kept in fp32."""

    @property
    def batch_tokens(self) -> int:
        return self.batch_size * self.tokens


# ------------------------------------------------------------------------------------------- MLP

_PYTHON_ACTIVATIONS: Final = frozenset({"gelu_new", "gelu_python", "quick_gelu"})
"""Activations written out in Python: their intermediates are tensors too (activations.py)."""


def dense_mlp_bytes(mlp: DenseMLP, shape: Shape) -> int:
    """e T (4h + n i): input embeddings, layer input, residual, normed; and the copies of the inner width.

    Gated: act(gate), up, product; 4 where gate and up are one matrix. Plain: before and after the
    activation; 4 and one more h where that is written in Python (GPT-2).
    """
    hidden, inner = 4, 2
    if mlp.gated:
        inner = 4 if mlp.fused else 3
    elif mlp.hidden_act in _PYTHON_ACTIVATIONS:
        hidden, inner = 5, 4
    width = hidden * mlp.hidden_size + inner * mlp.intermediate_size
    return shape.element_bytes * shape.batch_tokens * width


def moe_mlp_bytes(mlp: MoEMLP, shape: Shape) -> int:
    """Grouped experts: the larger of the up phase, e T (4h + k (h + 4i)), and the down phase, e T 4h + T k h (2e + 2r).

    r is the size of a routing weight: e, or 4 where the model keeps them in fp32. On top comes the routing
    itself, per token: router logits, and for each choice its expert (as chosen, sorted, in 32 bit), its place in
    the order (and back again, in the down phase) and its weight before and after sorting
    (integrations/moe.py, grouped_mm_experts_forward).
    """
    chosen, hidden, element = mlp.num_experts_per_tok, mlp.hidden_size, shape.element_bytes
    weight = 4 if shape.routing_in_fp32 else element
    logit = 4 if shape.router_logits_in_fp32 else element
    routing = logit * mlp.num_experts + chosen * (28 + 2 * weight)
    up = element * chosen * (hidden + 4 * mlp.moe_intermediate_size)
    down = chosen * hidden * (2 * element + 2 * weight) + 8 * chosen
    return shape.batch_tokens * (4 * element * hidden + routing + max(up, down))


def moe_decode_bytes(mlp: MoEMLP, shape: Shape) -> int:
    """One step of `generate()`: the chosen experts' weights are gathered per token, e B k 3 i h.

    (generation/utils.py switches grouped_mm to batched_mm for decoding.)
    """
    gathered = mlp.num_experts_per_tok * 3 * mlp.moe_intermediate_size * mlp.hidden_size
    return shape.element_bytes * shape.batch_size * (gathered + 4 * mlp.hidden_size)


_MLP_PREFILL: Final[Mapping[type, Callable[..., int]]] = {DenseMLP: dense_mlp_bytes, MoEMLP: moe_mlp_bytes}
_MLP_DECODE: Final[Mapping[type, Callable[..., int]]] = {DenseMLP: dense_mlp_bytes, MoEMLP: moe_decode_bytes}


# ------------------------------------------------------------------------------------- attention


def eager_score_bytes(num_attention_heads: int, shape: Shape, *, queries: int | None = None) -> int:
    """The quadratic term of eager attention: B H S S times the bytes alive per score.

    With an fp32 softmax of 16-bit scores: the masked scores (e), their fp32 copy (4), the fp32 result (4).
    Otherwise two copies in the model's own type.
    """
    per_score = 2 * shape.element_bytes
    if shape.softmax_in_fp32 and shape.element_bytes < 4:
        per_score = shape.element_bytes + 8
    queries = shape.tokens if queries is None else queries
    return per_score * shape.batch_size * num_attention_heads * queries * shape.tokens


def attention_bytes(mixer: FullAttention, shape: Shape, *, rotary: bool) -> int:
    """One attention layer at its peak, masks that it makes for itself included."""
    hidden, q_size, k_size = mixer.hidden_size, mixer.q_size, mixer.k_size
    linear = shape.element_bytes * shape.batch_tokens
    if shape.attention is Attention.EAGER:
        scores = eager_score_bytes(mixer.num_attention_heads, shape)
        return scores + linear * (3 * hidden + _query_width(mixer, rotary) + _repeated_width(mixer))
    if shape.attention is Attention.SDPA and has_window_mask(mixer, shape):
        # With a mask, K and V are repeated for all heads, and the mask becomes an additive one.
        additive_mask = shape.element_bytes * shape.batch_size * shape.tokens**2
        return additive_mask + linear * (3 * hidden + 2 * q_size + _repeated_width(mixer))
    return linear * (3 * hidden + 4 * q_size + 2 * k_size)


def _query_width(mixer: FullAttention, rotary: bool) -> int:
    """What is alive of Q (and, where one matrix makes all three, of K and V) beside the cache."""
    if not mixer.fused_qkv:
        return mixer.q_size
    fused = mixer.q_size + mixer.k_size + mixer.v_size
    return fused + (mixer.q_size if rotary else 0)  # Rotated queries are a tensor of their own.


def _repeated_width(mixer: FullAttention) -> int:
    """K and V repeated for all heads. A single KV head is only expanded: a view, no copy."""
    return 0 if mixer.num_key_value_heads in (1, mixer.num_attention_heads) else 2 * mixer.q_size


def attention_decode_bytes(mixer: FullAttention, held: Shape) -> int:
    """One layer in one decode step: `torch.cat` appends to the cache, so old and new K are alive together.

    `held.tokens` are those that the layer keeps. A sliding layer makes both K and V before it drops the old
    ones. Eager attention then repeats K and V, and makes one row of scores per head.
    """
    copies = 2 if isinstance(mixer, SlidingAttention) else 1
    phase = held.element_bytes * held.batch_tokens * copies * mixer.k_size
    if held.attention is Attention.EAGER:
        scores = eager_score_bytes(mixer.num_attention_heads, held, queries=1)
        repeated = held.element_bytes * held.batch_tokens * _repeated_width(mixer)
        phase = max(phase, scores + repeated)
    token = 3 * mixer.hidden_size + mixer.q_size + 2 * mixer.k_size
    return phase + held.element_bytes * held.batch_size * token


def has_window_mask(mixer: FullAttention, shape: Shape) -> bool:
    """Whether a window cuts into the sequence, so that a mask has to be made (masking_utils.py)."""
    return isinstance(mixer, SlidingAttention) and shape.tokens >= mixer.sliding_window


# --------------------------------------------------------------------------------- whole passes


def mask_bytes(architecture: Architecture, shape: Shape) -> int:
    """Eager attention's additive masks, (B, 1, S, S), one per kind of layer, kept for the whole forward."""
    if shape.attention is not Attention.EAGER:
        return 0
    kinds = len({type(layer.mixer) for layer in architecture.layers})
    return kinds * shape.element_bytes * shape.batch_size * shape.tokens**2


def prefill_phases(architecture: Architecture, shape: Shape) -> dict[str, int]:
    """Phase of a layer -> bytes, the largest over the layers; token ids and masks included.

    Eager attention returns its probabilities, and the layer's frame keeps them until its MLP is done.
    """
    common = TOKEN_ID_BYTES * shape.batch_tokens + mask_bytes(architecture, shape)
    rotary = architecture.rotary_dim > 0
    layers = [group.layer for group in architecture.groups()]
    return {
        "mlp": common
        + max(
            _mlp(layer, shape, _MLP_PREFILL) + _kept_scores(layer, shape) - _not_normed(layer, shape)
            for layer in layers
        ),
        "attention": common
        + max(attention_bytes(_attention(layer), shape, rotary=rotary) - _not_normed(layer, shape) for layer in layers),
    }


def has_closed_forms(architecture: Architecture) -> bool:
    """Whether every layer is one that the forms above are about: attention, then an MLP, and nothing else."""
    return all(
        type(group.layer.mixer) in (FullAttention, SlidingAttention)
        and type(group.layer.mlp) in _MLP_PREFILL
        and not group.layer.others
        for group in architecture.groups()
    )


def _attention(layer: Layer) -> FullAttention:
    if not isinstance(layer.mixer, FullAttention):
        raise TypeError(f"no closed form for {layer.mixer!r}; has_closed_forms() says so")
    return layer.mixer


def _not_normed(layer: Layer, shape: Shape) -> int:
    """Without a norm before it, attention or MLP reads the residual itself: one tensor of the hidden width less."""
    return 0 if layer.pre_norm else shape.element_bytes * shape.batch_tokens * _attention(layer).hidden_size


def _kept_scores(layer: Layer, shape: Shape) -> int:
    if shape.attention is not Attention.EAGER:
        return 0
    heads = _attention(layer).num_attention_heads
    return shape.element_bytes * shape.batch_size * heads * shape.tokens**2


def decode_phases(architecture: Architecture, shape: Shape) -> dict[str, int]:
    """The same for one decode step with `shape.tokens` behind it."""
    layers = [group.layer for group in architecture.groups()]
    common = TOKEN_ID_BYTES * shape.batch_tokens
    step = replace(shape, tokens=1)
    return {
        "mlp": common + max(_mlp(layer, step, _MLP_DECODE) for layer in layers),
        "attention": common
        + max(
            attention_decode_bytes(
                _attention(layer),
                replace(shape, tokens=held_tokens(_attention(layer), shape.tokens)),
            )
            for layer in layers
        ),
    }


def _mlp(layer: Layer, shape: Shape, table: Mapping[type, Callable[..., int]]) -> int:
    return table[type(layer.mlp)](layer.mlp, shape)


def logits_bytes(architecture: Architecture, shape: Shape) -> int:
    """The last token's logits and their fp32 copy, e B V + 4 B V (generation/utils.py); 0 without a head."""
    width = 0 if architecture.head is None else architecture.head.out_features
    return shape.batch_size * width * (shape.element_bytes + 4)


def after_layers_bytes(architecture: Architecture, shape: Shape) -> int:
    """What is left of the forward when the logits are made: token ids, embeddings, last hidden states, normed."""
    width = 3 * architecture.hidden_size * shape.element_bytes
    return shape.batch_tokens * (TOKEN_ID_BYTES + width)


def buffer_bytes(architecture: Architecture, shape: Shape) -> int:
    """What all sequences share: position ids, rotary cos and sin, a learned position embedding's rows, sdpa's mask.

    sdpa needs one boolean (S, S) mask where a window cuts in; unpadded sequences share it.
    """
    rotary_bytes = 4 if shape.rotary_in_fp32 else shape.element_bytes
    rotary = rotary_bytes * architecture.rotary_tables * 2 * architecture.rotary_dim
    learned = shape.element_bytes * architecture.hidden_size if architecture.learned_positions else 0
    rows = shape.tokens * (TOKEN_ID_BYTES + rotary + learned)
    masked = shape.attention is Attention.SDPA and any(
        has_window_mask(_attention(layer), shape) for layer in architecture.layers
    )
    return rows + (shape.tokens**2 if masked else 0)
