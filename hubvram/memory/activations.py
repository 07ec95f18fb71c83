"""Closed forms for what a forward pass holds at its peak, in bytes, for transformers without autograd.

Symbols as in the literature: B batch, S tokens of one sequence, T = B S, h hidden_size, i intermediate_size,
H heads, d head_dim, a = H d, G KV heads, k experts per token, e bytes per element. Every form is exactly linear
in B. They were fitted to nothing: each term is a tensor that `modeling_*.py` of transformers 5.23 keeps alive.

A layer has phases, each a sum of such terms: its norms; its attention (rotation, caching, softmax, what heads say);
its MLP (one, or experts: routing, up, down, shared). The base of all are hidden states: the embeddings, which the
model's forward holds; the layer's input, which its loop holds; the residual; what the norm made (modeling_llama.py,
LlamaModel.forward, LlamaDecoderLayer.forward). What differs between model types, modeling_code.py names.
Measured against: runs of full-size classes on fake tensors (tests/memory/test_activations.py) and of small ones on
the CPU (tests/peaks). Known to be off: eager decoding through a latent, where one sequence alone has no copy of V.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from hubvram.architecture.attention import FullAttention, LatentAttention, SlidingAttention
from hubvram.architecture.layers import Architecture, Layer
from hubvram.architecture.mlp import DenseMLP, MoEMLP
from hubvram.architecture.parts import Part
from hubvram.memory.kv_cache import held_tokens
from hubvram.memory.modeling_code import LLAMA, ModelingCode, Widths
from hubvram.memory.workload import Attention

Mixer = FullAttention | LatentAttention

TOKEN_ID_BYTES: Final = 8  # int64


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One forward pass."""

    batch_size: int
    tokens: int
    element_bytes: int
    attention: Attention
    code: ModelingCode = LLAMA
    """How the model type computes, where its parts do not tell."""

    @property
    def batch_tokens(self) -> int:
        return self.batch_size * self.tokens


# ------------------------------------------------------------------------------------------- MLP

_PYTHON_ACTIVATIONS: Final = frozenset({"gelu_new", "gelu_python", "quick_gelu"})
"""Activations written out in Python: their intermediates are tensors too (activations.py)."""

_PLAIN_COPIES: Final[Mapping[str, int]] = {"relu2": 3}
"""Activation -> copies of the inner width alive in a plain MLP, where those are not before and after it."""


def dense_mlp_bytes(mlp: DenseMLP, shape: Shape) -> int:
    """e T (4h + n i): input embeddings, layer input, residual, normed; and the copies of the inner width.

    Gated: act(gate), up, product; 4 where gate and up are one matrix. Plain: before and after the
    activation; 4 where that is written in Python (GPT-2).
    """
    hidden, inner = 4, _PLAIN_COPIES.get(mlp.hidden_act, 2)
    if mlp.gated:
        inner = 4 if mlp.fused else 3
    elif mlp.hidden_act in _PYTHON_ACTIVATIONS:
        inner = 4
    width = (hidden + shape.code.hidden_beside_mlp) * mlp.hidden_size + inner * mlp.intermediate_size
    return shape.element_bytes * shape.batch_tokens * width


def moe_mlp_bytes(mlp: MoEMLP, shape: Shape) -> int:
    """Grouped experts: the larger of the up phase, e T (4h + k (h + 4i)), and the down phase, e T 4h + T k h (2e + 2r).

    r is the size of a routing weight: e, or 4 where the model keeps them in fp32. On top comes the routing
    itself, per token: router logits, and for each choice its expert (as chosen, sorted, in 32 bit), its place in
    the order (and back again, in the down phase) and its weight before and after sorting
    (integrations/moe.py, grouped_mm_experts_forward).
    """
    chosen, hidden, element = mlp.num_experts_per_tok, mlp.hidden_size, shape.element_bytes
    weight = 4 if shape.code.routing_in_fp32 else element
    logit = 4 if shape.code.router_logits_in_fp32 else element
    routing = logit * mlp.num_experts + chosen * (28 + 2 * weight)
    inner, bias = mlp.moe_intermediate_size, int(mlp.expert_bias)
    gate_up = (2 if mlp.gated else 1) * inner
    copies = shape.code.gate_copies if mlp.gated else 1
    up = element * chosen * (hidden + (1 + bias) * gate_up + copies * inner)
    down = chosen * hidden * ((2 + bias) * element + 2 * weight) + 8 * chosen
    routed = routing + max(up, down)
    if not mlp.shared_expert_intermediate_size:
        return shape.batch_tokens * (4 * element * hidden + routed)
    # What the first of the two says waits for the other.
    shared = element * (3 if mlp.gated else 2) * mlp.shared_expert_intermediate_size
    waiting = element * hidden
    phase = max(shared, waiting + routed) if shape.code.shared_expert_first else max(routed, waiting + shared)
    return shape.batch_tokens * (4 * element * hidden + phase)


def moe_decode_bytes(mlp: MoEMLP, shape: Shape) -> int:
    """One step of `generate()`: the chosen experts' weights are gathered per token, e B k 3 i h.

    For each of them there is also the token itself, and its inner width (integrations/moe.py,
    batched_mm_experts_forward; generation/utils.py switches grouped_mm to batched_mm for decoding).
    """
    chosen, hidden, inner = mlp.num_experts_per_tok, mlp.hidden_size, mlp.moe_intermediate_size
    matrices = 3 if mlp.gated else 2
    biases = ((matrices - 1) * inner + hidden) if mlp.expert_bias else 0
    gathered = matrices * inner * hidden + biases + hidden + inner
    waiting = hidden if mlp.shared_expert_intermediate_size and shape.code.shared_expert_first else 0
    return shape.element_bytes * shape.batch_size * (chosen * gathered + 4 * hidden + waiting)


_MLP_PREFILL: Final[Mapping[type, Callable[..., int]]] = {DenseMLP: dense_mlp_bytes, MoEMLP: moe_mlp_bytes}
_MLP_DECODE: Final[Mapping[type, Callable[..., int]]] = {DenseMLP: dense_mlp_bytes, MoEMLP: moe_decode_bytes}


# ------------------------------------------------------------------------------------- attention


def eager_score_bytes(num_attention_heads: int, shape: Shape, *, queries: int | None = None) -> int:
    """The quadratic term of eager attention: B H S S times the bytes alive per score.

    With an fp32 softmax of 16-bit scores: the masked scores (e), their fp32 copy (4), the fp32 result (4).
    Otherwise two copies in the model's own type.
    """
    per_score = shape.code.score_copies * shape.element_bytes
    if shape.code.softmax_in_fp32 and shape.element_bytes < 4:
        per_score = shape.element_bytes + 8
    queries = shape.tokens if queries is None else queries
    # A column for the sink in two of three copies, and the largest of each row (modeling_gpt_oss.py,
    # eager_attention_forward).
    columns = shape.code.sink_columns * shape.code.score_copies * shape.element_bytes
    return shape.batch_size * num_attention_heads * queries * (per_score * shape.tokens + columns)


def attention_bytes(mixer: FullAttention, shape: Shape, *, rotary_dim: int) -> int:
    """One attention layer at its peak, masks that it makes for itself included, its cached K and V not."""
    caching = shape.element_bytes * shape.batch_tokens * _caching_width(mixer, shape, rotary_dim)
    return max(_rotation_bytes(mixer, shape, rotary_dim), caching, _softmax_bytes(mixer, shape, rotary_dim))


def _caching_width(mixer: FullAttention, shape: Shape, rotary_dim: int) -> int:
    """Beside the cache while it takes V: K as it was made or rotated, and V where it is a tensor of its own."""
    beside = 3 * mixer.hidden_size + shape.code.query_width(mixer, rotary_dim) + mixer.k_size
    return beside if mixer.fused_qkv else beside + mixer.v_size


def _projection_bytes(mixer: FullAttention, shape: Shape) -> int:
    """Hidden states (embeddings, layer input, normed) and the projections, less the K and V that the cache counts.

    (llama/modeling_llama.py, LlamaAttention.forward: nothing is dropped before the cache has its own.)
    """
    return shape.element_bytes * (3 * mixer.hidden_size + mixer.q_size)


def _rotation_bytes(mixer: FullAttention, shape: Shape, rotary_dim: int) -> int:
    """Norms of Q and K, then their rotation, before K and V are cached."""
    code, heads, kv_heads = shape.code, mixer.num_attention_heads, mixer.num_key_value_heads
    projected = _projection_bytes(mixer, shape)
    query, key = min(rotary_dim, mixer.head_dim) * heads, min(rotary_dim, mixer.head_dim) * kv_heads
    beside = code.rotation(Widths(mixer.q_size, mixer.k_size, query, key), shape.element_bytes) if rotary_dim else 0
    if mixer.qk_norm:
        # Normed as soon as it is made: K and V come after Q's.
        early = 0 if code.norms_projections else shape.element_bytes * (mixer.k_size + mixer.v_size)
        rows = 1 if mixer.qk_norm_all_heads else heads
        beside = max(beside, code.norm_bytes * mixer.q_size + code.norm_row_bytes * rows - early)
    return shape.batch_tokens * (projected + beside)


def _softmax_bytes(mixer: FullAttention, shape: Shape, rotary_dim: int) -> int:
    hidden, q_size = mixer.hidden_size, mixer.q_size
    linear = shape.element_bytes * shape.batch_tokens
    query = shape.code.query_width(mixer, rotary_dim)
    if shape.attention is Attention.EAGER:
        scores = eager_score_bytes(mixer.num_attention_heads, shape)
        # Then what is left of them, and the output of each head, in two layouts.
        copies = 1 if shape.code.softmax_in_fp32 else shape.code.score_copies - 1
        left = copies * _row_bytes(mixer, shape) * (shape.tokens + shape.code.sink_columns) + 2 * linear * q_size
        return max(scores, left) + linear * (3 * hidden + query + _repeated_width(mixer))
    if shape.attention is Attention.SDPA and has_window_mask(mixer, shape):
        # With a mask, K and V are repeated for all heads, and the mask becomes an additive one.
        additive_mask = shape.element_bytes * shape.batch_size * shape.tokens**2
        return additive_mask + linear * (3 * hidden + query + q_size + _repeated_width(mixer))
    # Behind the kernel: its output copied into the order of tokens, or what O makes of it.
    behind = q_size if shape.code.copies_output(mixer, rotary_dim) else 0
    return linear * (3 * hidden + query + q_size + max(behind, mixer.o_size))


def _row_bytes(mixer: Mixer, shape: Shape) -> int:
    """One row of scores of each head."""
    return shape.element_bytes * shape.batch_tokens * mixer.num_attention_heads


def _repeated_width(mixer: FullAttention) -> int:
    """K and V repeated for all heads. A single KV head is only expanded: a view, no copy."""
    return 0 if mixer.num_key_value_heads in (1, mixer.num_attention_heads) else 2 * mixer.q_size


def attention_decode_bytes(mixer: FullAttention, held: Shape, *, rotary_dim: int) -> int:
    """One layer in one decode step: `torch.cat` appends to the cache, so old and new K are alive together.

    `held.tokens` are those that the layer keeps. A sliding layer makes both K and V before it drops the old
    ones. Eager attention then repeats K and V, and makes one row of scores per head.
    """
    one = replace(held, tokens=1)
    token = _caching_width(mixer, held, rotary_dim)
    copies = mixer.k_size + mixer.v_size if isinstance(mixer, SlidingAttention) else max(mixer.k_size, mixer.v_size)
    joining = held.element_bytes * held.batch_size * (token + (held.tokens - 1) * copies)
    phases = [joining, _rotation_bytes(mixer, one, rotary_dim)]
    if held.attention is Attention.EAGER:
        scores = eager_score_bytes(mixer.num_attention_heads, held, queries=1)
        width = 3 * mixer.hidden_size + held.code.query_width(mixer, rotary_dim)
        repeated = held.batch_tokens * _repeated_width(mixer)
        phases.append(scores + held.element_bytes * (held.batch_size * width + repeated))
    return max(phases)


def latent_attention_bytes(mixer: LatentAttention, shape: Shape) -> int:
    """Attention through a latent: it is cached compressed, then K and V are made of all of it for all heads.

    Q as made, its part that rotates, both joined; the latent as made; what kv_b makes, and K, which is copied
    together from that and the rotated part (modeling_deepseek_v3.py, DeepseekV3Attention.forward, expand_kv).
    """
    expanded = _expanded_width(mixer)
    linear = shape.element_bytes * shape.batch_tokens * (_latent_query_width(mixer) + expanded)
    if shape.attention is Attention.EAGER:
        return linear + eager_score_bytes(mixer.num_attention_heads, shape)
    # What heads say, and what O makes of it.
    return linear + shape.element_bytes * shape.batch_tokens * (mixer.v_size + mixer.hidden_size)


def latent_decode_bytes(mixer: LatentAttention, held: Shape) -> int:
    """The same for one token; K and V are made anew of all that is held. Eager attention copies V once more."""
    heads, keys = mixer.num_attention_heads, held.batch_tokens
    query = held.element_bytes * held.batch_size * _latent_query_width(mixer)
    made = query + held.element_bytes * keys * _expanded_width(mixer)
    if held.attention is not Attention.EAGER:
        return made + held.element_bytes * held.batch_size * (mixer.v_size + mixer.hidden_size)
    copied = held.element_bytes * keys * (mixer.v_size + heads)
    return made + max(eager_score_bytes(heads, held, queries=1), copied)


def _latent_query_width(mixer: LatentAttention) -> int:
    """Beside the cache, which counts the latent."""
    rotated = mixer.num_attention_heads * mixer.qk_rope_head_dim
    return 3 * mixer.hidden_size + 2 * mixer.q_size + rotated + mixer.kv_lora_rank + mixer.qk_rope_head_dim


def _expanded_width(mixer: LatentAttention) -> int:
    """What kv_b makes, and K."""
    return mixer.num_attention_heads * (mixer.qk_nope_head_dim + mixer.v_head_dim) + mixer.k_size


def has_window_mask(mixer: Mixer, shape: Shape) -> bool:
    """Whether a window cuts into the sequence, so that a mask has to be made (masking_utils.py)."""
    return isinstance(mixer, SlidingAttention) and shape.tokens >= mixer.sliding_window


# --------------------------------------------------------------------------------- whole passes


def mask_bytes(architecture: Architecture, shape: Shape, *, queries: int | None = None) -> int:
    """Eager attention's additive masks, (B, 1, S, S), one per kind of layer, kept for the whole forward."""
    if shape.attention is not Attention.EAGER:
        return 0
    kinds = {type(layer.mixer): _attention(layer) for layer in architecture.layers}
    unused = int(shape.code.makes_window_mask and len(kinds) == 1)
    if queries is None:
        return (len(kinds) + unused) * shape.element_bytes * shape.batch_size * shape.tokens**2
    keys = sum(held_tokens(mixer, shape.tokens) for mixer in kinds.values()) + unused * shape.tokens
    return shape.element_bytes * shape.batch_size * queries * keys


def norm_bytes(layer: Layer, shape: Shape) -> int:
    """The widest norm: behind the MLP four of the hidden width are alive, before it three, before attention two."""
    behind = layer.norms.count > 2 or not layer.pre_norm
    hidden = 4 if behind else 2 if layer.norms.count == 1 else 3
    code, width = shape.code, _attention(layer).hidden_size
    return shape.batch_tokens * (width * (shape.element_bytes * hidden + code.norm_bytes) + code.norm_row_bytes)


def _always_alive(architecture: Architecture, held: Shape, step: Shape) -> int:
    """Token ids; where a class makes them, a padding mask of ones and the embedded positions of each sequence."""
    code = held.code
    positions = step.element_bytes * architecture.hidden_size if code.positions_per_sequence else 0
    # In fp32, and cumulated in 64 bits (modeling_opt.py, OPTDecoder.forward).
    padding = 12 if code.positions_per_sequence else 0
    return (TOKEN_ID_BYTES + padding) * held.batch_tokens + positions * step.batch_tokens


def prefill_phases(architecture: Architecture, shape: Shape) -> dict[str, int]:
    """Phase of a layer -> bytes, the largest over the layers; token ids and masks included.

    Eager attention returns its probabilities, and the layer's frame keeps them until its MLP is done.
    """
    common = _always_alive(architecture, shape, shape) + mask_bytes(architecture, shape)
    rotary = architecture.rotary_dim
    layers = [group.layer for group in architecture.groups()]
    found = {
        "mlp": [
            _mlp(layer, shape, _MLP_PREFILL) + _kept_scores(layer, shape) - _not_normed(layer, shape)
            for layer in layers
        ],
        "attention": [_mixer_bytes(_attention(layer), shape, rotary) - _not_normed(layer, shape) for layer in layers],
        "norms": [norm_bytes(layer, shape) + _kept_scores(layer, shape) for layer in layers],
    }
    return {phase: common + max(numbers) for phase, numbers in found.items()}


def has_closed_forms(architecture: Architecture) -> bool:
    """Whether every layer is one that the forms above are about: attention, then an MLP, and nothing else."""
    return all(
        _has_closed_form(group.layer.mixer) and type(group.layer.mlp) in _MLP_PREFILL and not group.layer.others
        for group in architecture.groups()
    )


def _has_closed_form(mixer: Part | None) -> bool:
    if isinstance(mixer, LatentAttention):
        return not (mixer.index_n_heads or mixer.gated_query or mixer.gates or mixer.others)
    return type(mixer) in (FullAttention, SlidingAttention)


def _mixer_bytes(mixer: Mixer, shape: Shape, rotary_dim: int) -> int:
    if isinstance(mixer, LatentAttention):
        return latent_attention_bytes(mixer, shape)
    return attention_bytes(mixer, shape, rotary_dim=rotary_dim)


def _decoding(layer: Layer, shape: Shape, rotary_dim: int) -> int:
    mixer = _attention(layer)
    held = replace(shape, tokens=held_tokens(mixer, shape.tokens))
    if isinstance(mixer, LatentAttention):
        return latent_decode_bytes(mixer, held)
    return attention_decode_bytes(mixer, held, rotary_dim=rotary_dim)


def _attention(layer: Layer) -> Mixer:
    if not isinstance(layer.mixer, Mixer):
        raise TypeError(f"no closed form for {layer.mixer!r}; has_closed_forms() says so")
    return layer.mixer


def _not_normed(layer: Layer, shape: Shape) -> int:
    """Without a norm before it, attention or MLP reads the residual itself: one tensor of the hidden width less."""
    return 0 if layer.pre_norm else shape.element_bytes * shape.batch_tokens * _attention(layer).hidden_size


def _kept_scores(layer: Layer, shape: Shape, *, queries: int | None = None) -> int:
    if shape.attention is not Attention.EAGER:
        return 0
    mixer = _attention(layer)
    keys = shape.tokens if queries is None else held_tokens(mixer, shape.tokens)
    rows = mixer.num_attention_heads * (shape.tokens if queries is None else queries)
    return shape.element_bytes * shape.batch_size * rows * (keys + shape.code.sink_columns)


def decode_phases(architecture: Architecture, shape: Shape) -> dict[str, int]:
    """The same for one decode step with `shape.tokens` behind it."""
    layers = [group.layer for group in architecture.groups()]
    step = replace(shape, tokens=1)
    common = _always_alive(architecture, shape, step) + mask_bytes(architecture, shape, queries=1)
    found = {
        "mlp": [
            _mlp(layer, step, _MLP_DECODE) + _kept_scores(layer, shape, queries=1) - _not_normed(layer, step)
            for layer in layers
        ],
        "attention": [_decoding(layer, shape, architecture.rotary_dim) - _not_normed(layer, step) for layer in layers],
    }
    return {phase: common + max(numbers) for phase, numbers in found.items()}


def _mlp(layer: Layer, shape: Shape, table: Mapping[type, Callable[..., int]]) -> int:
    return table[type(layer.mlp)](layer.mlp, shape)


def logits_bytes(architecture: Architecture, shape: Shape) -> int:
    """The last token's logits and their fp32 copy, e B V + 4 B V (generation/utils.py); 0 without a head."""
    width = 0 if architecture.head is None else architecture.head.out_features
    return shape.batch_size * width * (shape.element_bytes + 4)


def after_layers_bytes(architecture: Architecture, shape: Shape) -> int:
    """What is left of the forward when the logits are made: token ids, embeddings, last hidden states, normed."""
    width = 3 * architecture.hidden_size * shape.element_bytes
    return _always_alive(architecture, shape, shape) + shape.batch_tokens * width


def _rotary_dim(architecture: Architecture) -> int:
    """How many dimensions of a head rotate; through a latent, those that are kept apart for it."""
    mixers = (group.layer.mixer for group in architecture.groups())
    latent = max((mixer.qk_rope_head_dim for mixer in mixers if isinstance(mixer, LatentAttention)), default=0)
    return architecture.rotary_dim or latent


def buffer_bytes(architecture: Architecture, shape: Shape) -> int:
    """What all sequences share: position ids, rotary cos and sin, a learned position embedding's rows, sdpa's mask.

    sdpa needs one boolean (S, S) mask where a window cuts in; unpadded sequences share it.
    """
    rotary_bytes = 4 if shape.code.rotary_in_fp32 else shape.element_bytes
    halves = 1 if shape.code.halves_of_tables else 2
    rotary = rotary_bytes * architecture.rotary_tables * halves * _rotary_dim(architecture)
    shared = architecture.learned_positions and not shape.code.positions_per_sequence
    learned = shape.element_bytes * architecture.hidden_size if shared else 0
    rows = shape.tokens * ((0 if shape.code.positions_per_sequence else TOKEN_ID_BYTES) + rotary + learned)
    masked = shape.attention is Attention.SDPA and (
        shape.code.makes_window_mask
        or any(has_window_mask(_attention(group.layer), shape) for group in architecture.groups())
    )
    return rows + (shape.tokens**2 if masked else 0)
