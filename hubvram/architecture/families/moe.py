"""Decoders with experts: attention of the usual kind, or something near it, and an MLP of which a token uses a part.

Most model types are a line in _TYPES: in what their layers differ from llama's, and what the fields are called
that describe their experts. The details were read from each model's `modeling_*.py` in transformers 5.23.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from hubvram.architecture import patterns
from hubvram.architecture.attention import FullAttention
from hubvram.architecture.families.decoder import (
    LAYERS_LIMIT,
    ReadMLP,
    Traits,
    attention,
    dense,
    fixed,
    read_decoder,
    switch,
    usual_fields,
)
from hubvram.architecture.families.interface import Read
from hubvram.architecture.layers import Architecture
from hubvram.architecture.mlp import MoEMLP
from hubvram.architecture.parts import Block, Linear, Part, Tensor, Weight, vector
from hubvram.checkpoint.components import Component
from hubvram.config.document import ConfigDocument
from hubvram.config.reader import inner_config

# ----------------------------------------------------------------------- which layers have experts

LayerRule = Callable[[ConfigDocument, int], Sequence[bool]]
"""(config, number of layers) -> for each layer, whether it has experts."""


def _everywhere(config: ConfigDocument, layers: int) -> Sequence[bool]:
    """Experts in every layer (mixtral)."""
    return [True] * layers


def _after(config: ConfigDocument, layers: int, *, dense_layers: str | int) -> Sequence[bool]:
    """Behind so many dense layers, or as many as a field says (glm4_moe)."""
    first = dense_layers if isinstance(dense_layers, int) else config.get(int, dense_layers) or 0
    return [index >= first for index in range(layers)]


def _in_steps(config: ConfigDocument, layers: int) -> Sequence[bool]:
    """In each `decoder_sparse_step`-th layer that is not among `mlp_only_layers`, if there are experts (qwen3_moe)."""
    if config.get(int, "num_experts") == 0:
        return [False] * layers
    step, without = config.size("decoder_sparse_step"), set(config.integers("mlp_only_layers"))
    return [(index + 1) % step == 0 and index not in without for index in range(layers)]


def _by_name(config: ConfigDocument, layers: int, *, usual: LayerRule) -> Sequence[bool]:
    """By `mlp_layer_types`, or the numbers that were `moe_layer_freq` before; else by the type's own rule."""
    kinds, key = config.strings("mlp_layer_types"), "mlp_layer_types"
    if not kinds and config.is_a(list, "moe_layer_freq"):
        key = "moe_layer_freq"
        kinds = tuple("sparse" if flag else "dense" for flag in config.integers(key))
    if not kinds:
        return usual(config, layers)
    _check_length(config, key, kinds, layers)
    unknown = sorted(set(kinds) - {"dense", "sparse"})
    if unknown:
        raise config.error(key, f"{unknown[0]!r} is neither dense nor sparse")
    return [kind == "sparse" for kind in kinds]


def _check_length(config: ConfigDocument, key: str, values: Sequence[object], layers: int) -> None:
    """Raises ConfigError for a list that does not have a value for each layer."""
    if len(values) != layers:
        raise config.error(key, f"it has {len(values)} values, num_hidden_layers is {layers}")


def _llama4_layers(config: ConfigDocument, layers: int) -> Sequence[bool]:
    """By `moe_layers`, else the last of every `interleave_moe_layer_step`."""
    if config.get(list, "moe_layers") is not None:
        chosen = set(config.integers("moe_layers"))
        return [index in chosen for index in range(layers)]
    step = config.size("interleave_moe_layer_step")
    return [(index + 1) % step == 0 for index in range(layers)]


def _ernie_layers(config: ConfigDocument, layers: int) -> Sequence[bool]:
    """From `moe_layer_start_index` to `moe_layer_end_index` (-1 for the last), each `moe_layer_interval`-th."""
    first, last = config.require(int, "moe_layer_start_index"), config.require(int, "moe_layer_end_index")
    last, step = layers - 1 if last == -1 else last, config.size("moe_layer_interval")
    return [(index + 1) % step == 0 and first <= index <= last for index in range(layers)]


# ----------------------------------------------------------------------------------- the experts


@dataclass(frozen=True, slots=True, kw_only=True)
class Experts:
    """What a model type's experts are like: the fields that say it, and what its code fixes."""

    number: str = "num_experts"
    chosen: str = "num_experts_per_tok"
    """The field that says how many a token takes, in all layers or in each."""
    width: str = "moe_intermediate_size"
    shared_number: str | None = None
    """The field with the number of shared experts, each as wide as the others."""
    shared_width: str | None = None
    """The field with the width of all shared experts together."""
    shared_gate: bool = False
    bias: bool = False
    router_bias: bool = False
    correction_bias: bool = False
    layers: LayerRule = _everywhere
    others: tuple[Callable[[ConfigDocument], Weight], ...] = ()


def read_moe(config: ConfigDocument, architectures: tuple[str, ...], traits: Traits, experts: Experts) -> Architecture:
    """The architecture of a decoder with experts; `traits.read_mlp` reads its dense layers. Raises ConfigError."""
    return read_decoder(config, architectures, with_experts(config, traits, experts))


def with_experts(config: ConfigDocument, traits: Traits, experts: Experts) -> Traits:
    """The same with experts in the layers that have some."""
    config = usual_fields(config, traits)
    number = _layers(config)
    sparse = experts.layers(config, number)
    chosen = _for_each_layer(config, experts.chosen, number) if any(sparse) else ()

    def read_mlp(config: ConfigDocument, traits: Traits, index: int) -> Part | None:
        if not sparse[index]:
            return dense_mlp(config, traits, index)
        return _moe(config, traits, experts, chosen[index])

    dense_mlp = traits.read_mlp
    return replace(traits, read_mlp=read_mlp)


def _layers(config: ConfigDocument) -> int:
    return config.size("num_hidden_layers", largest=LAYERS_LIMIT)


def _for_each_layer(config: ConfigDocument, key: str, layers: int) -> Sequence[int]:
    """A number for all layers, or a list of them (hunyuan_v1_moe)."""
    if not config.is_a(list, key):
        return [config.size(key)] * layers
    values = config.integers(key)
    _check_length(config, key, values, layers)
    outside = next((value for value in values if not 0 < value <= _LARGEST), None)
    if outside is not None:
        raise config.error(key, f"{outside} is not between 1 and {_LARGEST:,}")
    return values


_LARGEST: Final = 2**20
"""More experts or heads than any layer has."""


def _moe(config: ConfigDocument, traits: Traits, experts: Experts, chosen: int) -> MoEMLP:
    number, width = config.size(experts.number), config.size(experts.width)
    if chosen > number:
        raise config.error(experts.chosen, f"{chosen} of {number} experts cannot be chosen")
    shared_width = width * _count(config, experts.shared_number) + _count(config, experts.shared_width)
    return MoEMLP(
        hidden_size=config.size("hidden_size"),
        num_experts=number,
        num_experts_per_tok=chosen,
        moe_intermediate_size=width,
        hidden_act=config.require(str, traits.activation),
        expert_bias=experts.bias,
        shared_expert_intermediate_size=shared_width,
        shared_expert_bias=switch(config, traits.mlp_bias),
        shared_expert_gate=experts.shared_gate,
        router_bias=experts.router_bias,
        correction_bias=experts.correction_bias,
        others=tuple(read(config) for read in experts.others),
    )


def _count(config: ConfigDocument, key: str | None) -> int:
    """A number of things that may be 0 or null."""
    if key is None:
        return 0
    value = config.get(int, key)
    return config.size(key) if value else 0


def _dense_of(*fields: str) -> ReadMLP:
    """Dense layers have a width of their own: the first of these fields that is not null."""

    def read_mlp(config: ConfigDocument, traits: Traits, index: int) -> Part:
        widths = (config.size_or_none(field) for field in fields)
        width = next((width for width in widths if width is not None), None) or config.size(fields[-1])
        return replace(dense(config, traits, index), intermediate_size=width)

    return read_mlp


# ------------------------------------------------------------------------------------- attention


def _sinks(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> FullAttention:
    """A learned logit for each head, which takes what attention no token gets (gpt_oss)."""
    return _with_sinks(attention(config, traits, index, window))


def _with_sinks(mixer: FullAttention) -> FullAttention:
    return replace(mixer, others=(vector("sinks", mixer.num_attention_heads),))


def _gated(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> FullAttention:
    """A matrix of its own makes a gate for each feature of each head (afmoe)."""
    mixer = attention(config, traits, index, window)
    return replace(mixer, gate_size=mixer.q_size)


def _gated_with_bias(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> FullAttention:
    """The same, with one bias for each head (beam)."""
    mixer = _gated(config, traits, index, window)
    return replace(mixer, others=(vector("gate bias", mixer.num_attention_heads),))


def _full_where(is_full: Callable[[int, int], bool]) -> patterns.WindowRule:
    """A window in all layers but some; (index, number of layers) -> whether a layer has none."""

    def rule(config: ConfigDocument, layers: int) -> patterns.Windows:
        window = config.size_or_none("sliding_window")
        return [None if is_full(index, layers) else window for index in range(layers)]

    return rule


def _chunked_where_rotary(config: ConfigDocument, layers: int) -> patterns.Windows:
    """By `no_rope_layers` (0 for a layer without rotary positions), else all but each `no_rope_layer_interval`-th."""
    rotary: Sequence[int] = config.integers("no_rope_layers")
    if not rotary:
        interval = config.size("no_rope_layer_interval")
        rotary = [(index + 1) % interval for index in range(layers)]
    _check_length(config, "no_rope_layers", rotary, layers)
    return [patterns.Chunk(config.size("attention_chunk_size")) if flag else None for flag in rotary]


def _from_max_window_layers(config: ConfigDocument, layers: int) -> patterns.Windows:
    """A window that is not null holds from layer `max_window_layers` on (dots1)."""
    first, window = config.require(int, "max_window_layers"), config.size_or_none("sliding_window")
    return [window if index >= first else None for index in range(layers)]


def _behind_dense(config: ConfigDocument, layers: int) -> patterns.Windows:
    """Each `sliding_window_pattern`-th layer is full, counted anew behind the dense ones (cohere2_moe)."""
    first = min(_count(config, "first_k_dense_replace"), layers)
    before, behind = config.size("prefix_dense_sliding_window_pattern"), config.size("sliding_window_pattern")
    places = (*((index, before) for index in range(first)), *((index, behind) for index in range(layers - first)))
    window = config.size_or_none("sliding_window")
    return [window if (index + 1) % pattern else None for index, pattern in places]


def _every_global_layer(config: ConfigDocument, layers: int) -> patterns.Windows:
    """Each `global_attn_every_n_layers`-th layer is full (afmoe)."""
    pattern = config.size("global_attn_every_n_layers")
    return _full_where(lambda index, _: (index + 1) % pattern == 0)(config, layers)


# ----------------------------------------------------------------- types with a reader of their own


def _with(config: ConfigDocument, **values: Any) -> ConfigDocument:
    """The config with other values."""
    return replace(config, data={**config.data, **values})


def _section(config: ConfigDocument, key: str) -> ConfigDocument:
    """A nested object, empty where absent."""
    data = config.section(key) or {}
    return ConfigDocument(model_id=config.model_id, data=data, path=f"{config.path}{key}.")


def _dbrx_values(config: ConfigDocument) -> Mapping[str, Any]:
    """What the nested configs say, under the usual names."""
    attn, ffn = inner_config(config, "attn_config"), inner_config(config, "ffn_config")
    return {
        "num_key_value_heads": attn.size("kv_n_heads"),
        "num_experts": ffn.size("moe_num_experts"),
        "num_experts_per_tok": ffn.size("moe_top_k"),
        "moe_intermediate_size": ffn.size("ffn_hidden_size"),
        "hidden_act": "silu",
    }


def _read_mimo(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """Layers with a window have other heads, by fields of their own or twice the usual KV heads, and sinks."""
    own = config.integers("hybrid_layer_pattern")
    if own and not config.strings("layer_types"):
        config = _with(config, layer_types=["sliding_attention" if flag else "full_attention" for flag in own])
    size = config.size_or_none("sliding_window_size")
    if size is not None:  # its code counts the query beside the window
        config = _with(config, sliding_window=size + 1)
    sliding = _with(
        config,
        **{key: config.size_or_none(f"swa_{key}") or config.size(key) for key in ("num_attention_heads", *_HEAD_SIZES)},
        num_key_value_heads=config.size_or_none("swa_num_key_value_heads") or 2 * config.size("num_key_value_heads"),
    )

    def read_mixer(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> FullAttention:
        own = config if window is None else sliding
        mixer = replace(attention(own, traits, index, window), v_head_dim=own.size("v_head_dim"))
        sinks = config.get(bool, "add_full_attention_sink_bias" if window is None else "add_swa_attention_sink_bias")
        return _with_sinks(mixer) if sinks or (sinks is None and window is not None) else mixer

    return read_moe(config, architectures, replace(_MIMO, read_mixer=read_mixer), _MIMO_EXPERTS)


_HEAD_SIZES: Final = ("head_dim", "v_head_dim")


def _read_laguna(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """Each layer may have another number of heads; a gate for each of them, or for each of their features."""
    number = _layers(config)
    own = config.is_a(list, "num_attention_heads_per_layer")
    heads = _for_each_layer(config, "num_attention_heads_per_layer" if own else "num_attention_heads", number)
    each = config.require(str, "gating") == "per-head" if config.is_a(str, "gating") else config.flag("gating")

    def read_mixer(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> FullAttention:
        mixer = attention(config, traits, index, window)
        if heads[index] % mixer.num_key_value_heads:
            raise config.error(
                f"num_attention_heads_per_layer[{index}]",
                f"{mixer.num_key_value_heads} KV heads do not divide {heads[index]} heads",
            )
        mixer = replace(mixer, num_attention_heads=heads[index])
        return replace(mixer, gate_size=mixer.num_attention_heads if each else mixer.q_size)

    return read_moe(config, architectures, replace(_LAGUNA, read_mixer=read_mixer), _LAGUNA_EXPERTS)


def _read_minimax(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """Every other layer has lightning attention: linear, with a state for each head (MiniMax-01, 2501.08313)."""
    number = _layers(config)
    kinds = config.strings("layer_types") or ("full_attention", _LINEAR) * (number // 2 + 1)

    def read_mixer(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> Part:
        mixer = attention(config, traits, index, window)
        if kinds[index] != _LINEAR:
            return mixer
        hidden, size = mixer.hidden_size, mixer.q_size
        return Block(
            kind="lightning_attention",
            component=Component.ATTENTION,  # as its tensors are named
            weights=(
                Linear(name="qkv", out_features=3 * size, in_features=hidden),
                Linear(name="gate", out_features=size, in_features=hidden),
                Linear(name="o", out_features=hidden, in_features=size),
            ),
            others=(vector("norm", size),),
        )

    traits = Traits(read_mlp=dense, read_mixer=read_mixer, kinds=(_LINEAR,))
    return read_moe(config, architectures, traits, _LOCAL)


_LINEAR: Final = "linear_attention"


def _read_minimax_m3(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """Some layers choose the blocks of tokens that they look at, by an indexer with a cache of its own."""
    number = _layers(config)
    legacy = _section(config, "sparse_attention_config")
    for key, old in (("index_n_heads", "sparse_num_index_heads"), ("index_head_dim", "sparse_index_dim")):
        if legacy.size_or_none(old) is not None:
            config = _with(config, **{key: legacy.size(old)})
    flags = legacy.integers("sparse_attention_freq")
    if flags and not config.strings("layer_types"):
        config = _with(config, layer_types=[_M3_SPARSE if flag else "full_attention" for flag in flags])
    kinds = config.strings("layer_types") or ("full_attention",) * number

    def read_mixer(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> Part:
        mixer = attention(config, traits, index, window)
        return _indexed(config, mixer) if kinds[index] == _M3_SPARSE else mixer

    return read_moe(config, architectures, replace(_M3, read_mixer=read_mixer), _M3_EXPERTS)


_M3_SPARSE: Final = "minimax_m3_sparse"


def _indexed(config: ConfigDocument, mixer: FullAttention) -> Block:
    heads, size, hidden = config.size("index_n_heads"), config.size("index_head_dim"), mixer.hidden_size
    return Block(
        kind="block_sparse_attention",
        component=Component.ATTENTION,
        weights=(
            *mixer.linears,
            Linear(name="index q", out_features=heads * size, in_features=hidden),
            Linear(name="index k", out_features=size, in_features=hidden),
        ),
        others=(*mixer.tensors, vector("index q norm", size), vector("index k norm", size)),
    )


def _jetmoe_attention(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> Block:
    """A mixture of attention heads (2210.05144): experts make the queries, and what comes out of them."""
    hidden, size = config.size("hidden_size"), config.size("num_key_value_heads") * config.size("head_dim")
    number, chosen = config.size("num_local_experts"), config.size("num_experts_per_tok")
    one_expert = 2 * size * hidden
    return Block(
        kind="mixture_of_attention_heads",
        component=Component.EXPERTS,
        weights=(
            Linear(name="k v", out_features=2 * size, in_features=hidden, component=Component.ATTENTION),
            Linear(name="q", out_features=size, in_features=hidden, count=number),
            Linear(name="o", out_features=hidden, in_features=size, count=number),
        ),
        others=(
            vector("bias", hidden),
            Linear(name="router", out_features=number, in_features=hidden, component=Component.ROUTER),
        ),
        inactive=max(number - chosen, 0) * one_expert,
    )


def _jetmoe_bias(config: ConfigDocument) -> Weight:
    return vector("bias", config.size("hidden_size"), Component.MLP)


def _exaone_windows(config: ConfigDocument, layers: int) -> patterns.Windows:
    """Each `sliding_window_pattern`-th layer is full; as letters, those with a G and the last."""
    if not config.is_a(str, "sliding_window_pattern"):
        return patterns.by_pattern_of_four(config, layers)
    letters = config.require(str, "sliding_window_pattern")
    if set(letters) != {"L", "G"} and set(letters) != {"L"}:
        raise config.error("sliding_window_pattern", "its letters are not L and G")
    return _full_where(lambda index, number: letters[index % len(letters)] == "G" or index == number - 1)(
        config, layers
    )


# ------------------------------------------------------------------------------------ deepseek-v4

_SLIDING: Final = "sliding_attention"
_SPARSE: Final = "compressed_sparse_attention"
_HEAVY: Final = "heavily_compressed_attention"
_BY_RATIO: Final[Mapping[int, str]] = {0: _SLIDING, 4: _SPARSE, 128: _HEAVY}
_TOKENS_PER_ENTRY: Final[Mapping[str, int]] = {_SPARSE: 4, _HEAVY: 128}


def _read_deepseek_v4(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """One KV head for all, compressed over several tokens; several residual streams; routing of the first by token."""
    number = _layers(config)
    kinds = _v4_kinds(config, number)
    hashed = _v4_hashed(config, number)

    def read_mixer(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> Part:
        return _v4_attention(config, kinds[index])

    traits = with_experts(_with(config, layer_types=list(kinds)), replace(_V4, read_mixer=read_mixer), _V4_EXPERTS)
    read_scored = traits.read_mlp

    def read_mlp(config: ConfigDocument, traits: Traits, index: int) -> Part | None:
        mlp = read_scored(config, traits, index)
        return replace(mlp, correction_bias=False) if index in hashed and isinstance(mlp, MoEMLP) else mlp

    return read_decoder(_with(config, layer_types=list(kinds)), architectures, replace(traits, read_mlp=read_mlp))


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
    _check_length(config, key, kinds[:layers], layers)
    return kinds[:layers]


def _v4_hashed(config: ConfigDocument, layers: int) -> frozenset[int]:
    """Layers where the token, and no score, decides on the experts: by `mlp_layer_types`, else the first few."""
    kinds = config.strings("mlp_layer_types")
    if not kinds:
        first = config.get(int, "num_hash_layers")
        return frozenset(range(min(3 if first is None else first, layers)))
    _check_length(config, "mlp_layer_types", kinds[:layers], layers)
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
    )


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
    rates = replace(_section(config, "compress_rates"), defaults=_TOKENS_PER_ENTRY)
    out, hidden = overlap * size, config.size("hidden_size")
    linears = tuple(Linear(name=f"{name} {part}", out_features=out, in_features=hidden) for part in ("kv", "gate"))
    positions = Tensor(name=f"{name} positions", shape=(rates.size(kind), out))
    return linears, (positions, vector(f"{name} norm", size))


def _hyper_connections(config: ConfigDocument, index: int) -> tuple[Weight, ...]:
    """What mixes the residual streams before and behind attention and MLP (2409.19606)."""
    streams = config.size("hc_mult")
    rows = (2 + streams) * streams
    return (
        Tensor(name="hc fn", shape=(rows, streams * config.size("hidden_size")), count=2, component=Component.OTHER),
        Tensor(name="hc base", shape=(rows,), count=2, component=Component.OTHER),
        Tensor(name="hc scale", shape=(3,), count=2, component=Component.OTHER),
    )


def _hyper_head(config: ConfigDocument) -> tuple[Weight, ...]:
    """What makes one stream of them at the end."""
    streams = config.size("hc_mult")
    return (
        Tensor(name="hc fn", shape=(streams, streams * config.size("hidden_size")), component=Component.OTHER),
        vector("hc base", streams, Component.OTHER),
        vector("hc scale", 1, Component.OTHER),
    )


# -------------------------------------------------------------------------------------- inkling-2

_HYBRID: Final = ("hybrid", "hybrid_sliding")


def _read_inkling2(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """Attention with relative positions, convolutions around it, and earlier layers' outputs mixed into its input."""
    number = _layers(config)
    kinds = config.strings("layer_types") or tuple(_HYBRID[(index + 1) % 6 != 0] for index in range(number))

    def read_mixer(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> Part:
        return _inkling2_attention(config, sliding=kinds[index] == _HYBRID[1])

    def layer_extras(config: ConfigDocument, index: int) -> tuple[Weight, ...]:
        hidden, full = config.size("hidden_size"), kinds[index] == _HYBRID[0]
        convolution = (hidden, 1, config.size("conv_kernel_size"))
        queries = 1 + ((3 if full else 1) if index else 0)
        return (
            Tensor(name="convolution", shape=convolution, count=2, component=Component.SSM),
            Tensor(name="query of earlier outputs", shape=(hidden,), count=queries, component=Component.OTHER),
            *((Tensor(name="norm", shape=(hidden,), count=2, component=Component.NORM),) if full else ()),
        )

    def extras(config: ConfigDocument) -> tuple[Weight, ...]:
        hidden = config.size("hidden_size")
        return (
            vector("embedding norm", hidden, Component.NORM),
            vector("query of earlier outputs", hidden, Component.OTHER),
        )

    traits = Traits(
        read_mlp=dense, read_mixer=read_mixer, kinds=_HYBRID, layer_extras=layer_extras, extras=extras, rotary=False
    )
    return read_moe(config, architectures, traits, replace(_ROUTED, shared_number=None))


def _inkling2_attention(config: ConfigDocument, *, sliding: bool) -> Block:
    prefix = "swa_" if sliding else ""
    heads, size = config.size(f"{prefix}num_attention_heads"), config.size(f"{prefix}head_dim")
    hidden, relative, kernel = config.size("hidden_size"), config.size("d_rel"), config.size("conv_kernel_size")
    kv_heads = config.size(f"{prefix}num_key_value_heads")
    kv_size, extent = kv_heads * size, config.size("sliding_window_size" if sliding else "rel_extent")
    rows = {"q": heads * size, "k": kv_size, "v": kv_size, "relative": heads * relative, "gate": heads * size}
    dynamic = Linear(
        name="convolution", out_features=kv_heads * kernel, in_features=hidden, count=2, component=Component.SSM
    )
    return Block(
        kind="relative_attention",
        component=Component.ATTENTION,
        weights=(
            *(Linear(name=name, out_features=out, in_features=hidden) for name, out in rows.items()),
            Linear(name="sinks", out_features=heads, in_features=hidden),
            Linear(name="o", out_features=hidden, in_features=heads * size),
        ),
        others=(
            Tensor(name="convolution", shape=(kv_size, 1, kernel), count=2, component=Component.SSM),
            *(() if sliding else (dynamic,)),
            Tensor(name="relative positions", shape=(relative, extent)),
            Tensor(name="q scale", shape=(heads, size)),
            Tensor(name="relative scale", shape=(heads, relative)),
        ),
    )


# ------------------------------------------------------------------------------------- the tables

_PLAIN: Final = Traits(read_mlp=dense)
_BIASED: Final = Traits(read_mlp=dense, qkv_bias="attention_bias", o_bias="attention_bias")
_NORMED: Final = replace(_BIASED, qk_norm=True)

_LOCAL: Final = Experts(number="num_local_experts", width="intermediate_size")
_WIDE: Final = Experts(width="intermediate_size")
_ROUTED: Final = Experts(number="n_routed_experts", shared_number="n_shared_experts", correction_bias=True)

_MIMO: Final = Traits(
    read_mlp=dense,
    windows=_full_where(lambda index, _: index == 0 or (index + 1) % 6 == 0),
    qkv_bias="attention_bias",
    partial_rotary_key="partial_rotary_factor",
    partial_rotary_default=0.334,
    rotary_tables=2,
)
_MIMO_EXPERTS: Final = Experts(
    number="n_routed_experts", correction_bias=True, layers=partial(_by_name, usual=partial(_after, dense_layers=1))
)
_LAGUNA: Final = replace(
    _NORMED, partial_rotary_key="partial_rotary_factor", partial_rotary_default=0.5, rotary_tables=2
)
_LAGUNA_EXPERTS: Final = Experts(
    shared_width="shared_expert_intermediate_size",
    correction_bias=True,
    layers=partial(_by_name, usual=partial(_after, dense_layers=1)),
)
_M3: Final = Traits(
    read_mlp=_dense_of("dense_intermediate_size"),
    kinds=(_M3_SPARSE,),
    qk_norm=True,
    rotary_key="rotary_dim",
)
_M3_EXPERTS: Final = replace(
    _LOCAL,
    shared_width="shared_intermediate_size",
    correction_bias=True,
    layers=partial(_by_name, usual=_everywhere),
)
_V4: Final = Traits(
    read_mlp=dense,
    mlp_bias="mlp_bias",
    kinds=(_SPARSE, _HEAVY),
    layer_extras=_hyper_connections,
    extras=_hyper_head,
    rotary_tables=2,
)
_V4_EXPERTS: Final = replace(_ROUTED, shared_number=None, shared_width="moe_intermediate_size")

_TYPES: Final[Mapping[str, tuple[Traits, Experts]]] = {
    "olmoe": (replace(_NORMED, qk_norm_all_heads=True), _WIDE),
    "flex_olmo": (replace(_NORMED, qk_norm_all_heads=True, pre_norm=False), _WIDE),
    "gpt_oss": (
        replace(_BIASED, read_mixer=_sinks, windows=patterns.every_other),
        replace(_LOCAL, bias=True, router_bias=True),
    ),
    "minimax_m2": (
        replace(_PLAIN, qk_norm=True, qk_norm_all_heads=True, rotary_key="rotary_dim"),
        replace(_LOCAL, correction_bias=True),
    ),
    "llama4_text": (
        replace(_BIASED, read_mlp=_dense_of("intermediate_size_mlp"), windows=_chunked_where_rotary),
        replace(_LOCAL, shared_width="intermediate_size", layers=_llama4_layers),
    ),
    "dbrx": (replace(_PLAIN, values=_dbrx_values, fused_qkv=True), Experts()),
    "ernie4_5_moe": (
        Traits(read_mlp=dense, qkv_bias="use_bias", o_bias="use_bias", mlp_bias="use_bias", head_bias="use_bias"),
        Experts(shared_number="moe_num_shared_experts", correction_bias=True, layers=_ernie_layers),
    ),
    "exaone_moe": (
        replace(_PLAIN, qk_norm=True, windows=_exaone_windows),
        Experts(
            shared_number="num_shared_experts",
            correction_bias=True,
            layers=partial(_by_name, usual=partial(_after, dense_layers="first_k_dense_replace")),
        ),
    ),
    "dots1": (
        replace(_NORMED, windows=_from_max_window_layers),
        replace(_ROUTED, layers=partial(_after, dense_layers="first_k_dense_replace")),
    ),
    "hunyuan_v1_moe": (_NORMED, replace(_WIDE, shared_width="intermediate_size")),
    "mellum": (replace(_NORMED, rotary_tables=2), Experts(layers=partial(_by_name, usual=_everywhere))),
    "granitemoe_swa": (
        replace(_BIASED, read_mixer=_sinks, windows=patterns.all_but_every_fourth_from_first),
        replace(_LOCAL, shared_width="shared_intermediate_size"),
    ),
    "cohere2_moe": (
        replace(
            _BIASED,
            read_mlp=_dense_of("prefix_dense_intermediate_size", "intermediate_size"),
            windows=_behind_dense,
            parallel=True,
        ),
        replace(
            _WIDE,
            shared_number="num_shared_experts",
            layers=partial(_by_name, usual=partial(_after, dense_layers="first_k_dense_replace")),
        ),
    ),
    "afmoe": (
        replace(_NORMED, read_mixer=_gated, windows=_every_global_layer, norms_per_layer=4),
        Experts(
            shared_number="num_shared_experts",
            correction_bias=True,
            layers=partial(_after, dense_layers="num_dense_layers"),
        ),
    ),
    "aria_text": (
        replace(_BIASED, mlp_bias="mlp_bias"),
        Experts(
            number="moe_num_experts",
            chosen="moe_topk",
            width="intermediate_size",
            shared_number="moe_num_shared_experts",
        ),
    ),
    "beam": (
        replace(
            _NORMED,
            read_mixer=_gated_with_bias,
            windows=_full_where(lambda index, number: (index + 1) % 6 == 0 or index == number - 1),
            norms_per_layer=4,
        ),
        Experts(correction_bias=True, layers=partial(_by_name, usual=partial(_after, dense_layers=3))),
    ),
    "hy_v3": (
        replace(_NORMED, mlp_bias="mlp_bias"),
        Experts(
            shared_number="num_shared_experts",
            correction_bias=True,
            layers=partial(_by_name, usual=partial(_after, dense_layers=1)),
        ),
    ),
    "jetmoe": (
        replace(_PLAIN, read_mixer=_jetmoe_attention, activation="activation_function"),
        replace(_LOCAL, others=(_jetmoe_bias,)),
    ),
    "solar_open": (replace(_PLAIN, qkv_bias="attention_bias"), _ROUTED),
    "flint": (
        replace(
            _NORMED,
            read_mixer=_sinks,
            windows=_full_where(lambda index, number: index < 2 or index % 4 == 1 or index == number - 1),
            values=fixed(mlp_only_layers=[0, 1]),
        ),
        Experts(shared_width="shared_expert_intermediate_size", layers=_in_steps),
    ),
    "kolibri1": (
        replace(_PLAIN, qk_norm=True, windows=patterns.all_but_every_fifth, norms_per_layer=4),
        Experts(shared_width="shared_expert_intermediate_size", correction_bias=True),
    ),
}

FAMILIES: Final[Mapping[str, Read]] = {
    "mimo_v2_flash": _read_mimo,
    "laguna": _read_laguna,
    "minimax": _read_minimax,
    "minimax_m3_vl_text": _read_minimax_m3,
    "deepseek_v4": _read_deepseek_v4,
    "inkling2_text": _read_inkling2,
    **{
        model_type: partial(read_moe, traits=traits, experts=experts)
        for model_type, (traits, experts) in _TYPES.items()
    },
}
