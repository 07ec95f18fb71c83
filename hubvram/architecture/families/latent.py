"""Decoders with multi-head latent attention: DeepSeek-V2 and what came after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from hubvram.architecture import patterns
from hubvram.architecture.attention import LatentAttention
from hubvram.architecture.families.decoder import Traits, dense, read_decoder
from hubvram.architecture.families.experts import Experts, read_experts
from hubvram.architecture.families.fields import check_length, count_of, layer_config, number_of_layers
from hubvram.architecture.families.hyper_connections import hyper_connections, hyper_head
from hubvram.architecture.families.interface import Read
from hubvram.architecture.layers import Architecture
from hubvram.architecture.mlp import DenseMLP, MoEMLP
from hubvram.architecture.parts import Block, Linear, Part, Tensor, Weight, vector
from hubvram.architecture.recurrent import conv_state, recurrent_state
from hubvram.checkpoint.components import Component
from hubvram.config.document import ConfigDocument
from hubvram.config.reader import inner_config

_INDEXED: Final = "indexed_attention"
_LINEAR: Final = "linear_attention"
_SLIDING: Final = "sliding_attention"


def latent_attention(
    config: ConfigDocument, traits: Traits, index: int, window: patterns.Window = None
) -> LatentAttention:
    """Latent attention over everything, from the usual fields."""
    hidden_size, heads = config.size("hidden_size"), config.size("num_attention_heads")
    v_head_dim = config.size_or_none("v_head_dim")
    if v_head_dim is None:
        if hidden_size % heads:
            raise config.error("num_attention_heads", f"{heads} heads do not divide hidden_size {hidden_size}")
        v_head_dim = hidden_size // heads  # minicpm3
    return LatentAttention(
        hidden_size=hidden_size,
        num_attention_heads=heads,
        q_lora_rank=config.size_or_none("q_lora_rank"),
        kv_lora_rank=config.size("kv_lora_rank"),
        qk_nope_head_dim=config.size("qk_nope_head_dim"),
        qk_rope_head_dim=config.size("qk_rope_head_dim"),
        v_head_dim=v_head_dim,
        attention_bias=config.flag("attention_bias"),
        cached_tokens=patterns.tokens_kept(window),
    )


def indexed_attention(
    config: ConfigDocument, traits: Traits, index: int, window: patterns.Window = None
) -> LatentAttention:
    """The same with an indexer that chooses which tokens are looked at (deepseek_v32)."""
    return replace(
        latent_attention(config, traits, index),
        index_n_heads=config.size("index_n_heads"),
        index_head_dim=config.size("index_head_dim"),
        index_topk=config.size("index_topk"),
    )


def sometimes_indexed(
    config: ConfigDocument, traits: Traits, index: int, window: patterns.Window = None
) -> LatentAttention:
    """The same where `shared` layers take what the indexer of an earlier one chose (glm_moe_dsa)."""
    kind = _listed(config, "indexer_types", index)
    if kind is None:
        kind = _scheduled(config, index)
    if kind != "shared":
        return indexed_attention(config, traits, index)
    return replace(latent_attention(config, traits, index), index_topk=config.size("index_topk"))


def _scheduled(config: ConfigDocument, index: int) -> str:
    """As GlmMoeDsaConfig fills `indexer_types`, which older configs spell as a pattern or a frequency."""
    if config.is_a(str, "index_topk_pattern"):
        pattern = config.require(str, "index_topk_pattern")
        if len(pattern) != number_of_layers(config) or set(pattern) - set("FS"):
            raise config.error("index_topk_pattern", "expected an F or an S for each layer")
        return "shared" if pattern[index] == "S" else "full"
    kind = _listed(config, "index_topk_pattern", index)
    if kind is not None:
        return kind
    frequency, offset = config.get(int, "index_topk_freq"), config.get(int, "index_skip_topk_offset")
    behind = max(index - (2 if offset is None else offset) + 1, 0)
    return "shared" if behind % max(frequency or 1, 1) else "full"


def _listed(config: ConfigDocument, key: str, index: int) -> str | None:
    """What a list with one entry per layer says of this layer; None where the list is left out."""
    kinds = config.get(list, key)
    if not kinds:
        return None
    check_length(config, key, kinds, number_of_layers(config))
    if not isinstance(kinds[index], str):
        raise config.error(f"{key}[{index}]", "expected a string")
    kind: str = kinds[index]
    return kind


def is_sparse(config: ConfigDocument, index: int) -> bool:
    """Whether a layer has experts: by `mlp_layer_types`, or behind the first dense ones."""
    kind = _listed(config, "mlp_layer_types", index)
    if kind is not None:
        if kind not in ("dense", "sparse"):
            raise config.error(f"mlp_layer_types[{index}]", f"{kind!r} is neither dense nor sparse")
        return kind == "sparse"
    first = config.get(int, "first_k_dense_replace")
    every = config.size_or_none("moe_layer_freq") or 1
    return index >= (1 if first is None else first) and index % every == 0


def latent_mlp(
    config: ConfigDocument,
    traits: Traits,
    index: int,
    *,
    number: str = "n_routed_experts",
    shared_width: str = "moe_intermediate_size",
) -> DenseMLP | MoEMLP:
    """Dense layers first, then experts with shared ones beside them."""
    if config.get(int, number) is None or not is_sparse(config, index):
        return dense(config, traits, index)
    shared = count_of(config, "n_shared_experts")
    return replace(
        read_experts(config, traits, Experts(number=number)),
        shared_expert_intermediate_size=shared * config.size(shared_width) if shared else 0,
        # Classes that have no other method do not name it.
        correction_bias=config.get(str, "topk_method") in (None, "noaux_tc"),
    )


def _norm_behind_experts(config: ConfigDocument, index: int) -> tuple[Weight, ...]:
    sparse = is_sparse(config, index)
    return (vector("post mlp norm", config.size("hidden_size"), Component.NORM),) if sparse else ()


_DEEPSEEK: Final = Traits(read_mixer=latent_attention, read_mlp=latent_mlp)
_INDEXED_DEEPSEEK: Final = Traits(
    read_mixer=indexed_attention, read_mlp=latent_mlp, windows=patterns.never, kinds=(_INDEXED,)
)
_DENSE: Final = Traits(read_mixer=latent_attention, read_mlp=dense)


def _gated_query(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window = None) -> LatentAttention:
    config.size("q_lora_rank")
    return replace(indexed_attention(config, traits, index), gated_query=True)


def _gated_norms(config: ConfigDocument, index: int) -> tuple[Weight, ...]:
    """Two small matrices in the norm before attention, and in the one before experts (axk2)."""
    hidden, rank = config.size("hidden_size"), config.size("gated_norm_rank")
    norms = 2 if is_sparse(config, index) else 1
    return (
        Tensor(name="norm gate down", shape=(rank, hidden), count=norms, component=Component.NORM),
        Tensor(name="norm gate up", shape=(hidden, rank), count=norms, component=Component.NORM),
    )


def _hy_v4_attention(
    config: ConfigDocument, traits: Traits, index: int, window: patterns.Window = None
) -> LatentAttention:
    """With a sink for each head and a gate for each of its features; every fourth layer has an indexer."""
    kind = _listed(config, "indexer_types", index) or ("full" if index == 0 or index % 4 == 1 else "shared")
    part = (latent_attention if kind == "shared" else indexed_attention)(config, traits, index)
    gate = Linear(name="gate", out_features=part.v_size, in_features=part.hidden_size)
    return replace(part, gates=(gate,), others=(vector("sinks", part.num_attention_heads),))


def _read_longcat(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """Each layer is two of the usual ones, and experts beside the second (longcat_flash)."""
    # `num_hidden_layers` is a property of the config class, not in its attribute_map.
    config = replace(config, attribute_map={**config.attribute_map, "num_hidden_layers": "num_layers"})
    return read_decoder(config, architectures, _LONGCAT)


def _longcat_experts(config: ConfigDocument, traits: Traits, index: int) -> MoEMLP:
    """Beside the experts stand some that hand back what they get: rows of the router, and no weights."""
    zero = count_of(config, "zero_expert_num")
    part = read_experts(config, traits, Experts(number="n_routed_experts", correction_bias=True))
    bias = config.flag("router_bias")
    rows = Linear(
        name="router, zero experts",
        out_features=zero,
        in_features=part.hidden_size,
        bias=bias,
        component=Component.ROUTER,
    )
    more = (rows, vector("correction bias, zero experts", zero, Component.ROUTER)) if zero else ()
    return replace(part, router_bias=bias, others=more)


def _second_half(config: ConfigDocument, traits: Traits, index: int) -> tuple[Part, ...]:
    mlp = dense(config, traits, index)
    return (latent_attention(config, traits, index, patterns.unasked(config, 1)[0]), mlp, mlp)


_LONGCAT: Final = Traits(
    read_mixer=latent_attention, read_mlp=_longcat_experts, read_others=_second_half, norms_per_layer=4
)


def _kimi_delta_attention(hidden: int, heads: int, head_dim: int, kernel: int, *, gates: tuple[Linear, ...]) -> Block:
    """Linear attention with a delta rule and a gate for each channel (Kimi Linear, 2510.26692).

    Counted as attention: its tensors have the names of attention's.
    """
    size = heads * head_dim
    return Block(
        kind="kimi_delta_attention",
        component=Component.ATTENTION,
        weights=(
            *(Linear(name=name, out_features=size, in_features=hidden) for name in "qkv"),
            Linear(name="b", out_features=heads, in_features=hidden),
            *gates,
            Linear(name="o", out_features=hidden, in_features=size),
        ),
        others=(
            Tensor(name="conv1d", shape=(size, 1, kernel), count=3),
            vector("A_log", heads),
            vector("dt_bias", size),
            vector("o norm", head_dim),
        ),
        kept_states=(conv_state(3 * size, kernel), recurrent_state(heads, head_dim, head_dim)),
    )


def _read_kimi_linear(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """Published configs say in `linear_attn_config` what transformers has in fields of its own."""
    published = inner_config(config, "linear_attn_config")
    heads = published.size_or_none("num_heads") or config.size("linear_num_heads")
    head_dim = published.size_or_none("head_dim") or config.size("linear_head_dim")
    kernel = published.size_or_none("short_conv_kernel_size") or config.size("linear_conv_kernel_dim")
    hidden, size = config.size("hidden_size"), heads * head_dim
    delta = _kimi_delta_attention(
        hidden,
        heads,
        head_dim,
        kernel,
        gates=tuple(
            linear
            for name in ("f", "g")
            for linear in (
                Linear(name=f"{name}_a", out_features=head_dim, in_features=hidden),
                Linear(name=f"{name}_b", out_features=size, in_features=head_dim),
            )
        ),
    )
    full = frozenset(published.integers("full_attn_layers"))  # counted from 1

    def mixer(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> Part:
        kind = _listed(config, "layer_types", index)
        if kind is None and full:
            kind = "full_attention" if index + 1 in full else _LINEAR
        if kind is None:
            kind = "full_attention" if index and index % 4 == 0 else _LINEAR
        return delta if kind == _LINEAR else latent_attention(config, traits, index)

    read_mlp = partial(latent_mlp, number="num_local_experts")
    return read_decoder(config, architectures, Traits(read_mixer=mixer, read_mlp=read_mlp, kinds=(_LINEAR,)))


def _bailing_mixer(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> Part:
    """Every `layer_group_size`-th layer is latent attention with a gate for each head (Ling 3.0)."""
    kind = _listed(config, "layer_types", index)
    hidden = config.size("hidden_size")
    if kind is None:
        kind = _LINEAR if (index + 1) % config.size("layer_group_size") else "full_attention"
    if kind != _LINEAR:
        part = latent_attention(config, traits, index)
        return replace(part, gates=(Linear(name="g", out_features=part.num_attention_heads, in_features=hidden),))
    # What transformers writes has `linear_*` beside a `head_dim` that means something else.
    heads = config.size_or_none("linear_num_heads") or config.size("num_attention_heads")
    head_dim = config.size_or_none("linear_head_dim") or config.size("head_dim")
    kernel = config.size_or_none("linear_conv_kernel_dim") or config.size("short_conv_kernel_size")
    gates = tuple(Linear(name=name, out_features=heads * head_dim, in_features=hidden) for name in "fg")
    return _kimi_delta_attention(hidden, heads, head_dim, kernel, gates=gates)


def _dots3_mixer(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> Part:
    """Latent attention with gated heads; most layers have a window, and sizes of their own (dots3_note_text)."""
    per_layer = config.section("per_layer_config")
    kind = _listed(config, "layer_types", index)
    if kind is None:
        slides = config.get(bool, "use_sliding_window") is not False
        kind = _SLIDING if slides and index >= 2 and index % 4 != 1 else "full_attention"
    if kind == _SLIDING:
        config = _dots3_sliding(config) if per_layer is None else layer_config(config, index)
    elif per_layer is None and kind == "full_attention" and config.get(bool, "use_dsa") is not False:
        kind = _INDEXED
    part = (indexed_attention if kind == _INDEXED else latent_attention)(config, traits, index)
    part = replace(
        part,
        gates=(Linear(name="g", out_features=part.num_attention_heads, in_features=part.hidden_size),),
        others=(vector("k rope norm", part.qk_rope_head_dim),),
        index_dtype="fp32" if kind == _INDEXED else None,  # its rotary embedding is made in fp32
    )
    if kind != _SLIDING:
        return part
    return Block(
        kind="sliding_latent_attention",
        component=Component.ATTENTION,
        weights=part.linears,
        others=part.tensors,
        keeps=(replace(part, cached_tokens=_dots3_window(config)),),
    )


def _dots3_window(config: ConfigDocument) -> int:
    """As Dots3NoteTextConfig reads it."""
    return config.size_or_none("sliding_window") or config.size_or_none("sliding_window_size") or 512


def _dots3_mlp(config: ConfigDocument, traits: Traits, index: int) -> DenseMLP | MoEMLP:
    published = "moe_shared_expert_intermediate_size"
    width = "shared_experts_intermediate_size" if config.get(int, published) is None else published
    return latent_mlp(config, traits, index, shared_width=width)


def _dots3_sliding(config: ConfigDocument) -> ConfigDocument:
    """As Dots3NoteTextConfig reads the `swa_` fields of published configs."""
    sizes = {
        key: config.size_or_none(f"swa_{key}") or default
        for key, default in (
            *(("num_attention_heads", 64), ("q_lora_rank", 1024), ("kv_lora_rank", 1024)),
            *(("head_dim", 256), ("qk_nope_head_dim", 192), ("v_head_dim", 128)),
        )
    }
    rotating = config.size_or_none("swa_qk_rope_head_dim") or sizes["head_dim"] - sizes["qk_nope_head_dim"]
    return replace(config, data={**config.data, **sizes, "qk_rope_head_dim": rotating})


_TRAITS: Final[Mapping[str, Traits]] = {
    "deepseek_v2": replace(_DEEPSEEK, mlp_bias="mlp_bias"),
    "deepseek_v3": _DEEPSEEK,
    "kimi_k2": _DEEPSEEK,
    "glm4_moe_lite": _DEEPSEEK,
    "axk1": replace(_DEEPSEEK, layer_extras=_norm_behind_experts),
    "deepseek_v32": _INDEXED_DEEPSEEK,
    "glm_moe_dsa": replace(_INDEXED_DEEPSEEK, read_mixer=sometimes_indexed),
    "axk2": replace(_INDEXED_DEEPSEEK, read_mixer=_gated_query, layer_extras=_gated_norms),
    "hy_v4": replace(
        _INDEXED_DEEPSEEK,
        read_mixer=_hy_v4_attention,
        layer_extras=partial(hyper_connections, between_streams=False),
        extras=hyper_head,
    ),
    "dots3_note_text": Traits(read_mixer=_dots3_mixer, read_mlp=_dots3_mlp, kinds=(_INDEXED,)),
    "bailing_hybrid": Traits(
        read_mixer=_bailing_mixer, read_mlp=partial(latent_mlp, number="num_local_experts"), kinds=(_LINEAR,)
    ),
    "minicpm3": replace(_DENSE, mlp_bias="mlp_bias"),
    "youtu": _DENSE,
}

FAMILIES: Final[Mapping[str, Read]] = {
    **{model_type: partial(read_decoder, traits=traits) for model_type, traits in _TRAITS.items()},
    "longcat_flash": _read_longcat,
    "kimi_linear": _read_kimi_linear,
}
