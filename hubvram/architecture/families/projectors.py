"""Projectors: what makes tokens of the text model out of what a tower says. All of it counts as projector."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from hubvram.architecture.attention import BidirectionalAttention, CrossAttention
from hubvram.architecture.families.decoder import LAYERS_LIMIT, Traits, attention, dense, switch
from hubvram.architecture.layers import Layer, Stack
from hubvram.architecture.mlp import DenseMLP
from hubvram.architecture.parts import Linear, Norms, Tensor, Weight, vector
from hubvram.checkpoint.components import Component
from hubvram.config.document import ConfigDocument
from hubvram.config.reader import inner_config


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """The configs that a projector is between, and the one around both."""

    whole: ConfigDocument
    text: ConfigDocument
    tower: ConfigDocument

    @property
    def text_size(self) -> int:
        return self.text.size("hidden_size")

    @property
    def tower_size(self) -> int:
        return self.tower.size("hidden_size")


ReadProjector = Callable[[Ends], Stack]


def projector(ends: Ends, *weights: Weight, layers: tuple[Layer, ...] = ()) -> Stack:
    """A projector of these weights."""
    return Stack(
        name=Component.PROJECTOR.value,
        hidden_size=ends.text_size,
        layers=layers,
        extras=weights,
        component=Component.PROJECTOR,
    )


def norm(size: int, *, bias: bool = True) -> tuple[Weight, ...]:
    """A norm of what comes from the tower."""
    return vector("norm", size), *((vector("norm bias", size),) if bias else ())


def two_linears(inner: int, into: int, out: int, *, bias: bool = True) -> tuple[Linear, ...]:
    """A small MLP."""
    return (
        Linear(name="up", out_features=inner, in_features=into, bias=bias),
        Linear(name="down", out_features=out, in_features=inner, bias=bias),
    )


def gated_mlp(inner: int, into: int, out: int) -> tuple[Linear, ...]:
    """A small MLP with a gate, without biases."""
    return (
        Linear(name="gate", out_features=inner, in_features=into),
        Linear(name="up", out_features=inner, in_features=into),
        Linear(name="down", out_features=out, in_features=inner),
    )


def one_linear(ends: Ends, *, bias: bool = True, out: str | None = None, into: str = "hidden_size") -> Stack:
    """One matrix, from the tower's field `into` to the text model's width or the whole config's field `out`."""
    size = ends.whole.size(out) if out else ends.text_size
    return projector(ends, Linear(name="projection", out_features=size, in_features=ends.tower.size(into), bias=bias))


def llava(ends: Ends, *, normed: bool = False, newline: bool = False) -> Stack:
    """An MLP over the tower's layers that are looked at, perhaps behind a norm; perhaps a token that ends a row."""
    layers = max(1, len(ends.whole.one_or_more("vision_feature_layer")))
    into, out = layers * ends.tower_size, ends.text_size
    bias = normed or ends.whole.flag("multimodal_projector_bias")
    return projector(
        ends,
        *(norm(into) if normed else ()),
        *two_linears(out, into, out, bias=bias),
        *((vector("newline", out),) if newline else ()),
    )


def mistral3(ends: Ends) -> Stack:
    """Squares of patches are merged to one of the same width, then an MLP."""
    hidden, out, bias = ends.tower_size, ends.text_size, ends.whole.flag("multimodal_projector_bias")
    layers = max(1, len(ends.whole.one_or_more("vision_feature_layer")))
    merged = hidden * ends.whole.size("spatial_merge_size") ** 2
    return projector(
        ends,
        *norm(hidden, bias=False),
        Linear(name="merge", out_features=hidden, in_features=merged),
        *two_linears(out, layers * hidden, out, bias=bias),
    )


def gemma3(ends: Ends) -> Stack:
    """A norm and one matrix."""
    size = ends.tower_size
    matrix = Linear(name="projection", out_features=ends.text_size, in_features=size)
    return projector(ends, *norm(size, bias=False), matrix)


def shuffled(ends: Ends) -> Stack:
    """One matrix over squares of `scale_factor` patches a side (idefics3)."""
    into = ends.tower_size * ends.whole.size("scale_factor") ** 2
    return projector(ends, Linear(name="projection", out_features=ends.text_size, in_features=into))


def cohere(ends: Ends, *, normed: bool = False) -> Stack:
    """An MLP over squares of `downsample_factor` patches a side, whose first half gates the second."""
    into, out = ends.tower_size * ends.whole.size("downsample_factor") ** 2, ends.text_size
    inner = ends.whole.size_or_none("alignment_intermediate_size") or out
    return projector(
        ends,
        *(norm(into) if normed else ()),
        Linear(name="gate and up", out_features=inner, in_features=into, bias=True),
        Linear(name="down", out_features=out, in_features=inner // 2, bias=True),
    )


def lfm2_vl(ends: Ends) -> Stack:
    """An MLP over squares of `downsample_factor` patches a side, perhaps behind a norm."""
    into = ends.tower_size * ends.whole.size("downsample_factor") ** 2
    inner, bias = ends.whole.size("projector_hidden_size"), ends.whole.flag("projector_bias")
    return projector(
        ends,
        *(norm(into) if ends.whole.flag("projector_use_layernorm") else ()),
        *two_linears(inner, into, ends.text_size, bias=bias),
    )


def mlp(ends: Ends, *, bias: bool | str = True) -> Stack:
    """An MLP (deepseek_vl)."""
    bias = switch(ends.whole, bias)
    return projector(ends, *two_linears(ends.text_size, ends.tower_size, ends.text_size, bias=bias))


def got_ocr2(ends: Ends) -> Stack:
    """Two convolutions and a matrix."""
    channels, out = ends.tower.size("output_channels"), ends.text_size
    return projector(
        ends,
        Tensor(name="conv1", shape=(2 * channels, channels, 3, 3)),
        Tensor(name="conv2", shape=(out, 2 * channels, 3, 3)),
        Linear(name="projection", out_features=out, in_features=out, bias=True),
    )


def ovis2(ends: Ends) -> Stack:
    """A table of visual words."""
    words, width = ends.tower.size("vocab_size"), ends.whole.size("hidden_size")
    return projector(ends, Tensor(name="visual words", shape=(words, width)))


def aria(ends: Ends) -> Stack:
    """Learned queries that look at the patches, through matrices before those of the attention; then an MLP."""
    size, out = ends.tower_size, ends.text_size
    by_patches = ends.whole.section("projector_patch_to_query_dict") or {"4900": 256}  # AriaConfig.__post_init__
    numbers = [number for number in by_patches.values() if isinstance(number, int)]
    queries = ends.whole.size_or_none("max_value_projector_patch_to_query_dict") or max(numbers, default=1)
    return projector(
        ends,
        Tensor(name="queries", shape=(queries, size)),
        Linear(name="q k v", out_features=size, in_features=size, count=3),
        Linear(name="inner q k v o", out_features=size, in_features=size, bias=True, count=4),
        Linear(name="o", out_features=size, in_features=size, bias=True),
        Tensor(name="norm", shape=(size,), count=3),
        Tensor(name="norm bias", shape=(size,), count=3),
        *two_linears(out, size, out, bias=False),
    )


def kosmos2(ends: Ends) -> Stack:
    """A matrix, then learned queries that look at what it makes."""
    out = ends.text_size
    return projector(
        ends,
        Linear(name="projection", out_features=out, in_features=ends.tower_size, bias=True),
        Tensor(name="queries", shape=(ends.whole.size("latent_query_num"), out)),
        Linear(name="q k v o", out_features=out, in_features=out, bias=True, count=4),
    )


_QFORMER: Final = Traits(read_mlp=dense, qkv_bias=True, o_bias=True, mlp_bias=True, norm_bias=True, gated=False)


def qformer(ends: Ends, *, embeds: bool = False, field: str = "qformer_config") -> Stack:
    """BERT's layers over learned queries, every few of which look at the patches too, and a matrix (BLIP-2).

    Where it reads the instruction too, each layer has one MLP for the text and one for the queries, and it may have
    embeddings of its own (InstructBLIP).
    """
    config = inner_config(ends.whole, field)
    hidden, text = config.size("hidden_size"), embeds or config.flag("use_qformer_text_input")
    every = config.size("cross_attention_frequency")
    looks = partial(CrossAttention, encoder_hidden_size=config.size("encoder_hidden_size"))

    def layer(index: int) -> Layer:
        crosses = index % every == 0
        parts = (attention(config, _QFORMER, index, None, make=looks),) if crosses else ()
        return Layer(
            mixer=attention(config, _QFORMER, index, None, make=BidirectionalAttention),
            mlp=dense(config, _QFORMER, index),
            norms=Norms(count=2 + crosses + text, hidden_size=hidden, bias=True),
            others=(*parts, *((dense(config, _QFORMER, index),) if text else ())),
            pre_norm=False,
        )

    rows = (config.size("vocab_size"), config.size("max_position_embeddings")) if embeds else ()
    return projector(
        ends,
        Tensor(name="queries", shape=(ends.whole.size("num_query_tokens"), hidden)),
        *(Tensor(name="embedding", shape=(number, hidden)) for number in rows),
        *norm(hidden),
        Linear(name="projection", out_features=ends.text_size, in_features=hidden, bias=True),
        layers=tuple(layer(index) for index in range(config.size("num_hidden_layers", largest=LAYERS_LIMIT))),
    )


def internvl(ends: Ends) -> Stack:
    """A norm and an MLP over squares of patches, `downsample_ratio` of whose side is left."""
    ratio = ends.whole.get(float, "downsample_ratio")
    ratio = 0.5 if ratio is None else ratio
    if not 1 / 1024 <= ratio <= 1:
        raise ends.whole.error("downsample_ratio", f"{ratio} is not between 1/1024 and 1")
    into, out = ends.tower_size * int(1 / ratio) ** 2, ends.text_size
    return projector(ends, *norm(into), *two_linears(out, into, out))


def idefics2(ends: Ends) -> Stack:
    """A gated MLP, then learned latents that look at what it makes in a few layers (a perceiver)."""
    out = ends.text_size
    perceiver = inner_config(ends.whole, "perceiver_config")
    hidden = perceiver.size("hidden_size")
    layer = Layer(
        mixer=CrossAttention(
            hidden_size=hidden,
            num_attention_heads=perceiver.size("resampler_n_heads"),
            num_key_value_heads=perceiver.size("num_key_value_heads"),
            head_dim=perceiver.size("resampler_head_dim"),
            encoder_hidden_size=hidden,
        ),
        mlp=DenseMLP(hidden_size=hidden, intermediate_size=4 * hidden, hidden_act=perceiver.require(str, "hidden_act")),
        norms=Norms(count=3, hidden_size=hidden),
    )
    return projector(
        ends,
        *gated_mlp(ends.text.size("intermediate_size"), ends.tower_size, out),
        Tensor(name="latents", shape=(perceiver.size("resampler_n_latents"), hidden)),
        *norm(hidden, bias=False),
        layers=(layer,) * perceiver.size("resampler_depth", largest=LAYERS_LIMIT),
    )


def merger(
    ends: Ends,
    *,
    width: str = "hidden_size",
    out: str | None = "out_hidden_size",
    norm_bias: bool = True,
    deep: bool = False,
) -> Stack:
    """An MLP over squares of `spatial_merge_size` patches; `deep`: one more for each layer that is looked at (qwen)."""
    size = ends.tower.size(width)
    merged = size * ends.tower.size("spatial_merge_size") ** 2
    mlp = two_linears(merged, merged, ends.tower.size(out) if out else ends.text_size)
    weights: tuple[Weight, ...] = (*norm(size, bias=norm_bias), *mlp)
    for _ in ends.tower.integers("deepstack_visual_indexes")[:LAYERS_LIMIT] if deep else ():
        weights += (*norm(merged), *mlp)
    return projector(ends, *weights)


def glm4v(ends: Ends, *, channels: str | None = None) -> Stack:
    """A matrix, a norm and a gated MLP behind the tower's downsampling, as wide as the tower's or `channels` times."""
    size = ends.tower.size("out_hidden_size")
    inner = size * ends.tower.size(channels) if channels else ends.tower.size("intermediate_size")
    return projector(
        ends,
        Linear(name="projection", out_features=size, in_features=size),
        *norm(size),
        *gated_mlp(inner, size, size),
    )


def frames(ends: Ends, *, wider: int = 1, bias: bool = False) -> Stack:
    """An MLP `wider` than the text model, over as many frames as make intermediate_size (voxtral)."""
    out = ends.text_size
    return projector(ends, *two_linears(wider * out, ends.tower.size("intermediate_size"), out, bias=bias))


qwen2_vl = partial(merger, width="embed_dim", out="hidden_size")
qwen2_5_vl = partial(merger, norm_bias=False)
qwen3_vl = partial(merger, deep=True)


def hyperclovax(ends: Ends) -> Stack:
    """A matrix behind the tower's own merger."""
    merged, size = qwen2_5_vl(ends), ends.tower.size("out_hidden_size")
    last = Linear(name="projection", out_features=ends.text_size, in_features=size, bias=True)
    return projector(ends, *merged.extras, last)
