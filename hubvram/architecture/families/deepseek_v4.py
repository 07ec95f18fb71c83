"""DeepSeek-V4: K and V of several tokens in one, several residual streams, experts that the first layers hash to.

Details from its `modeling_*.py` in transformers 5.23.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from hubvram.architecture import patterns
from hubvram.architecture.attention import LatentAttention, SlidingAttention
from hubvram.architecture.families.decoder import Traits, dense, read_decoder
from hubvram.architecture.families.experts import ROUTED, with_experts
from hubvram.architecture.families.fields import changed, check_length, number_of_layers, section_of
from hubvram.architecture.families.hyper_connections import hyper_connections, hyper_head
from hubvram.architecture.families.interface import Read
from hubvram.architecture.layers import Architecture
from hubvram.architecture.mlp import MoEMLP
from hubvram.architecture.parts import Block, Linear, Part, Pool, Tensor, Weight, vector
from hubvram.checkpoint.components import Component
from hubvram.config.document import ConfigDocument

_SLIDING: Final = "sliding_attention"

_SPARSE: Final = "compressed_sparse_attention"

_HEAVY: Final = "heavily_compressed_attention"

_BY_RATIO: Final[Mapping[int, str]] = {0: _SLIDING, 4: _SPARSE, 128: _HEAVY}

_TOKENS_PER_ENTRY: Final[Mapping[str, int]] = {_SPARSE: 4, _HEAVY: 128}


def _read_deepseek_v4(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """One KV head for all, compressed over several tokens; several residual streams; routing of the first by token."""
    number = number_of_layers(config)
    kinds = _v4_kinds(config, number)
    hashed = _v4_hashed(config, number)

    def read_mixer(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> Part:
        return _v4_attention(config, kinds[index])

    traits = with_experts(changed(config, layer_types=list(kinds)), replace(_V4, read_mixer=read_mixer), _V4_EXPERTS)
    read_scored = traits.read_mlp

    def read_mlp(config: ConfigDocument, traits: Traits, index: int) -> Part | None:
        mlp = read_scored(config, traits, index)
        return replace(mlp, correction_bias=False) if index in hashed and isinstance(mlp, MoEMLP) else mlp

    found = read_decoder(changed(config, layer_types=list(kinds)), architectures, replace(traits, read_mlp=read_mlp))
    return replace(found, rotary_dim=_v4_rotated(config))


def _v4_rotated(config: ConfigDocument) -> int:
    """How many of a head's dimensions rotate: so many, or a share of them."""
    rotated = config.size_or_none("qk_rope_head_dim")
    share = config.get(float, "partial_rotary_factor")
    return rotated or int(config.size("head_dim") * (_ROTATED_SHARE if share is None else share))


def _v4_kinds(config: ConfigDocument, layers: int) -> tuple[str, ...]:
    """By `layer_types`, or how many tokens a layer makes one of; else two heavily compressed ones, then by turns."""
    key = "layer_types" if config.strings("layer_types") else "compress_ratios"
    ratios = () if key == "layer_types" else config.integers(key)
    unknown = sorted(set(ratios) - _BY_RATIO.keys())
    if unknown:
        raise config.error(key, f"{unknown[0]} tokens in one is no kind of layer that this model type has")
    kinds = config.strings("layer_types") or tuple(_BY_RATIO[ratio] for ratio in ratios)
    if not kinds:
        return (_HEAVY, _HEAVY, *(_SPARSE if index % 2 else _HEAVY for index in range(max(layers - 2, 0))))[:layers]
    check_length(config, key, kinds[:layers], layers)
    return kinds[:layers]


def _v4_hashed(config: ConfigDocument, layers: int) -> frozenset[int]:
    """Layers where the token, and no score, decides on the experts: by `mlp_layer_types`, else the first few."""
    kinds = config.strings("mlp_layer_types")
    if not kinds:
        first = config.get(int, "num_hash_layers")
        return frozenset(range(min(3 if first is None else first, layers)))
    check_length(config, "mlp_layer_types", kinds[:layers], layers)
    unknown = sorted(set(kinds) - {"hash_moe", "moe"})
    if unknown:
        raise config.error("mlp_layer_types", f"{unknown[0]!r} is neither moe nor hash_moe")
    return frozenset(index for index, kind in enumerate(kinds) if kind == "hash_moe")


def _v4_attention(config: ConfigDocument, kind: str) -> Block:
    """Q from a latent, one head that is both K and V, an output in groups."""
    hidden, heads, size = config.size("hidden_size"), config.size("num_attention_heads"), config.size("head_dim")
    latent, groups, group_rank = config.size("q_lora_rank"), config.size("o_groups"), config.size("o_lora_rank")
    if heads * size % groups:
        raise config.error("o_groups", f"{groups} does not divide the {heads * size} features of all heads")
    linears, tensors = _compressor(config, kind, size)
    return Block(
        kind=kind,
        component=Component.ATTENTION,
        weights=(
            Linear(name="q a", out_features=latent, in_features=hidden),
            Linear(name="q b", out_features=heads * size, in_features=latent),
            Linear(name="kv", out_features=size, in_features=hidden),
            Linear(name="o a", out_features=group_rank, in_features=heads * size // groups, count=groups),
            Linear(name="o b", out_features=hidden, in_features=groups * group_rank),
            *linears,
        ),
        others=(vector("q norm", latent), vector("kv norm", size), vector("sinks", heads), *tensors),
        keeps=(_window(config, kind, hidden, heads, size),),
        pools=_pools(config, kind, size),
    )


def _window(config: ConfigDocument, kind: str, hidden: int, heads: int, size: int) -> Part:
    """Tokens within the window: K and V, or one tensor that is both, as a latent is."""
    tokens = config.size("sliding_window")
    if kind == _SLIDING:
        return SlidingAttention(
            hidden_size=hidden,
            num_attention_heads=heads,
            num_key_value_heads=1,
            head_dim=size,
            sliding_window=tokens,
        )
    return LatentAttention(
        hidden_size=hidden,
        num_attention_heads=heads,
        q_lora_rank=None,
        kv_lora_rank=size,
        qk_nope_head_dim=size,
        qk_rope_head_dim=0,
        v_head_dim=size,
        cached_tokens=tokens,
    )


def _pools(config: ConfigDocument, kind: str, size: int) -> tuple[Pool, ...]:
    """Entries of many tokens, or of few; those are chosen by an indexer, which has its own."""
    if kind == _SLIDING:
        return ()
    tokens = _rates(config).size(kind)
    if kind == _HEAVY:
        return (Pool(tokens_per_entry=tokens, entry_size=size, overlap=1),)
    sizes = (size, config.size("index_head_dim"))
    return tuple(Pool(tokens_per_entry=tokens, entry_size=entry_size, overlap=2) for entry_size in sizes)


def _rates(config: ConfigDocument) -> ConfigDocument:
    """How many tokens make an entry, by kind of layer."""
    return replace(section_of(config, "compress_rates"), defaults=_TOKENS_PER_ENTRY)


def _compressor(config: ConfigDocument, kind: str, size: int) -> tuple[tuple[Linear, ...], tuple[Weight, ...]]:
    """What makes one KV entry of several tokens; sparse attention has an indexer, which has one for itself."""
    if kind == _SLIDING:
        return (), ()
    if kind == _HEAVY:
        return _pooling(config, "compressor", kind, size, overlap=1)
    hidden, heads, index_size = config.size("hidden_size"), config.size("index_n_heads"), config.size("index_head_dim")
    linears, tensors = _pooling(config, "compressor", kind, size, overlap=2)
    index_linears, index_tensors = _pooling(config, "index", kind, index_size, overlap=2)
    own = (
        Linear(name="index q", out_features=heads * index_size, in_features=config.size("q_lora_rank")),
        Linear(name="index weights", out_features=heads, in_features=hidden),
    )
    return (*linears, *index_linears, *own), (*tensors, *index_tensors)


def _pooling(
    config: ConfigDocument, name: str, kind: str, size: int, *, overlap: int
) -> tuple[tuple[Linear, ...], tuple[Weight, ...]]:
    out, hidden = overlap * size, config.size("hidden_size")
    linears = tuple(Linear(name=f"{name} {part}", out_features=out, in_features=hidden) for part in ("kv", "gate"))
    positions = Tensor(name=f"{name} positions", shape=(_rates(config).size(kind), out))
    return linears, (positions, vector(f"{name} norm", size))


_ROTATED_SHARE: Final = 0.125

_V4: Final = Traits(
    read_mlp=dense,
    mlp_bias="mlp_bias",
    kinds=(_SPARSE, _HEAVY),
    layer_extras=partial(hyper_connections, between_streams=True),
    extras=hyper_head,
    rotary_tables=2,
)

_V4_EXPERTS: Final = replace(ROUTED, shared_number=None, shared_width="moe_intermediate_size")

FAMILIES: Final[Mapping[str, Read]] = {"deepseek_v4": _read_deepseek_v4}
