"""Inkling and Inkling-2: attention with relative positions, and convolutions in and around it.

Convolutions run in fp32, and what they keep is fp32. Details from each model's `modeling_*.py` in transformers 5.23.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from hubvram.architecture import patterns
from hubvram.architecture.attention import FullAttention, SlidingAttention
from hubvram.architecture.families.decoder import Traits, dense
from hubvram.architecture.families.experts import ROUTED, after, by_name, read_moe
from hubvram.architecture.families.fields import changed, count_of, number_of_layers
from hubvram.architecture.families.hybrid import HYBRID, Hybrid, listed, read_hybrid
from hubvram.architecture.families.interface import Read
from hubvram.architecture.layers import Architecture
from hubvram.architecture.parts import Block, Linear, Part, State, Tensor, Weight, vector
from hubvram.checkpoint.components import Component
from hubvram.config.document import ConfigDocument

_HYBRID_SLIDING: Final = "hybrid_sliding"


def _relative(
    config: ConfigDocument, traits: Traits, index: int, _: patterns.Window, *, prefix: str, extent: str
) -> Block:
    """Attention with relative positions, and convolutions of K and V, whose last inputs are cached too."""
    hidden, kernel, rank = config.size("hidden_size"), config.size("conv_kernel_size"), config.size("d_rel")
    window = config.size("sliding_window") if prefix else None
    heads, head_dim = config.size(f"{prefix}num_attention_heads"), config.size(f"{prefix}head_dim")
    kv_size = config.size(f"{prefix}num_key_value_heads") * head_dim
    scales = window is None and config.get(int, "log_scaling_n_floor") is not None
    rows = {"q": heads * head_dim, "k": kv_size, "v": kv_size, "relative": heads * rank}
    return Block(
        kind="scaled_relative_attention" if scales else "relative_attention",
        component=Component.ATTENTION,
        weights=(
            *(Linear(name=name, out_features=size, in_features=hidden) for name, size in rows.items()),
            Linear(name="o", out_features=hidden, in_features=heads * head_dim),
        ),
        others=(
            Tensor(name="convolution", shape=(kv_size, 1, kernel), count=2, component=Component.SSM),
            Tensor(name="norm", shape=(head_dim,), count=2),
            Tensor(name="relative positions", shape=(rank, config.size(extent))),
        ),
        keeps=(_cached(config, window, prefix),),
        kept_states=_convolved(kv_size, hidden, kernel),
    )


def _cached(config: ConfigDocument, window: int | None, prefix: str) -> FullAttention:
    """Attention with the same K and V."""
    make = FullAttention if window is None else partial(SlidingAttention, sliding_window=window)
    return make(
        hidden_size=config.size("hidden_size"),
        num_attention_heads=config.size(f"{prefix}num_attention_heads"),
        num_key_value_heads=config.size(f"{prefix}num_key_value_heads"),
        head_dim=config.size(f"{prefix}head_dim"),
    )


def _convolved(kv_size: int, hidden: int, kernel: int) -> tuple[State, ...]:
    """The last inputs of the convolutions of K, V, and what attention and MLP say."""
    return tuple(State(name="conv", shape=(size, kernel), dtype="fp32") for size in (kv_size, kv_size, hidden, hidden))


def _inkling_layers(config: ConfigDocument, layers: int) -> Sequence[str]:
    """A window in the layers of `local_layer_ids`, else in all but each sixth."""
    if config.get(list, "local_layer_ids") is not None:
        local = set(config.integers("local_layer_ids"))
        return [_HYBRID_SLIDING if index in local else HYBRID for index in range(layers)]
    return [_HYBRID_SLIDING if (index + 1) % 6 else HYBRID for index in range(layers)]


def _around(config: ConfigDocument, index: int) -> tuple[Weight, ...]:
    """Convolutions behind attention and MLP."""
    shape = (config.size("hidden_size"), 1, config.size("conv_kernel_size"))
    return (Tensor(name="convolution", shape=shape, count=2, component=Component.SSM),)


def _read_inkling(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """Where the file has `dense_intermediate_size`, its `intermediate_size` is the experts'."""
    width = config.size_or_none("dense_intermediate_size")
    if width is not None:
        config = changed(config, moe_intermediate_size=config.size("intermediate_size"), intermediate_size=width)
    return read_hybrid(config, architectures, _INKLING)


def _shared_rows(config: ConfigDocument) -> Weight:
    """The router weighs the shared experts too."""
    shape = (count_of(config, "n_shared_experts"), config.size("hidden_size"))
    return Tensor(name="shared rows", shape=shape, component=Component.ROUTER)


def _router_scale(config: ConfigDocument) -> Weight:
    return vector("scale", 1, Component.ROUTER)


def _embedding_norm(config: ConfigDocument) -> tuple[Weight, ...]:
    return (vector("embedding norm", config.size("hidden_size"), Component.NORM),)


def _mlp_scale(config: ConfigDocument) -> tuple[Weight, ...]:
    return (vector("scale", 1),)


_INKLING: Final = Hybrid(
    kinds=listed(_inkling_layers),
    mixers={
        HYBRID: partial(_relative, prefix="", extent="rel_extent"),
        _HYBRID_SLIDING: partial(_relative, prefix="swa_", extent="sliding_window"),
    },
    traits=Traits(
        read_mlp=dense,
        mlp_extras=_mlp_scale,
        layer_extras=_around,
        extras=_embedding_norm,
        rotary=False,
    ),
    experts=replace(
        ROUTED,
        layers=partial(by_name, usual=partial(after, dense_layers="dense_mlp_idx")),
        others=(_shared_rows, _router_scale),
    ),
)


# ---------------------------------------------------------------------------------------- inkling-2


_HYBRID: Final = ("hybrid", "hybrid_sliding")


def _read_inkling2(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """Attention with relative positions, convolutions around it, and earlier layers' outputs mixed into its input."""
    number = number_of_layers(config)
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
    found = read_moe(config, architectures, traits, replace(ROUTED, shared_number=None))
    return replace(found, layers_per_block=config.size("n_layers_per_attn_res_block"))


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
        keeps=(_cached(config, config.size("sliding_window_size") if sliding else None, prefix),),
        kept_states=_convolved(kv_size, hidden, kernel),
    )


FAMILIES: Final[Mapping[str, Read]] = {"inkling_text": _read_inkling, "inkling2_text": _read_inkling2}
