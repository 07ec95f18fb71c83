"""Projectors behind vision towers. Details from each model's `modeling_*.py` in transformers 5.23."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Final

from hubvram.architecture.attention import CrossAttention
from hubvram.architecture.families.fields import LAYERS_LIMIT, first_size
from hubvram.architecture.families.projectors import Ends, gated_mlp, norm, projector, two_linears
from hubvram.architecture.families.towers import sides
from hubvram.architecture.families.weights import linear
from hubvram.architecture.layers import Layer, Stack
from hubvram.architecture.mlp import DenseMLP
from hubvram.architecture.parts import Norms, Tensor, Weight, vector
from hubvram.checkpoint.components import Component
from hubvram.config.document import ConfigDocument
from hubvram.config.reader import inner_config


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
        linear("merge", hidden, merged, bias=False),
        *two_linears(out, layers * hidden, out, bias=bias),
    )


def gemma3(ends: Ends) -> Stack:
    """A norm and one matrix."""
    size = ends.tower_size
    matrix = linear("projection", ends.text_size, size, bias=False)
    return projector(ends, *norm(size, bias=False), matrix)


def shuffled(ends: Ends) -> Stack:
    """One matrix over squares of `scale_factor` patches a side (idefics3)."""
    into = ends.tower_size * ends.whole.size("scale_factor") ** 2
    return projector(ends, linear("projection", ends.text_size, into, bias=False))


def cohere(ends: Ends, *, normed: bool = False) -> Stack:
    """An MLP over squares of `downsample_factor` patches a side, whose first half gates the second."""
    into, out = ends.tower_size * ends.whole.size("downsample_factor") ** 2, ends.text_size
    inner = ends.whole.size_or_none("alignment_intermediate_size") or out
    return projector(
        ends,
        *(norm(into) if normed else ()),
        linear("gate and up", inner, into),
        linear("down", out, inner // 2),
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


def got_ocr2(ends: Ends) -> Stack:
    """Two convolutions and a matrix."""
    channels, out = ends.tower.size("output_channels"), ends.text_size
    return projector(
        ends,
        Tensor(name="conv1", shape=(2 * channels, channels, 3, 3)),
        Tensor(name="conv2", shape=(out, 2 * channels, 3, 3)),
        linear("projection", out, out),
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
        linear("q k v", size, size, count=3, bias=False),
        linear("inner q k v o", size, size, count=4),
        linear("o", size, size),
        Tensor(name="norm", shape=(size,), count=3),
        Tensor(name="norm bias", shape=(size,), count=3),
        *two_linears(out, size, out, bias=False),
    )


def kosmos2(ends: Ends) -> Stack:
    """A matrix, then learned queries that look at what it makes."""
    out = ends.text_size
    return projector(
        ends,
        linear("projection", out, ends.tower_size),
        Tensor(name="queries", shape=(ends.whole.size("latent_query_num"), out)),
        linear("q k v o", out, out, count=4),
    )


def _patches_in_one(config: ConfigDocument) -> int:
    """How many patches become one, by the share of a square's side that is left."""
    share = config.get(float, "downsample_ratio")
    share = 0.5 if share is None else share
    if not 1 / 1024 <= share <= 1:
        raise config.error("downsample_ratio", f"{share} is not between 1/1024 and 1")
    return int(1 / share) ** 2


def internvl(ends: Ends) -> Stack:
    """A norm and an MLP over squares of patches."""
    into, out = ends.tower_size * _patches_in_one(ends.whole), ends.text_size
    return projector(ends, *norm(into), *two_linears(out, into, out))


def nemotron_omni(ends: Ends) -> Stack:
    """A norm and an MLP over squares of patches."""
    size = ends.whole.size("vision_hidden_size")
    into = size * _patches_in_one(ends.whole)
    mlp = two_linears(ends.whole.size("projector_hidden_size"), into, ends.text_size, bias=False)
    final = norm(size) if ends.text.get(int, "num_nextn_predict_layers") else ()
    return projector(ends, *final, *norm(into, bias=False), *mlp)


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


qwen2_vl = partial(merger, width="embed_dim", out="hidden_size")

qwen2_5_vl = partial(merger, norm_bias=False)

qwen3_vl = partial(merger, deep=True)


def hyperclovax(ends: Ends) -> Stack:
    """A matrix behind the tower's own merger."""
    merged, size = qwen2_5_vl(ends), ends.tower.size("out_hidden_size")
    last = linear("projection", ends.text_size, size)
    return projector(ends, *merged.extras, last)


def glm4v(ends: Ends, *, channels: str | None = None) -> Stack:
    """A matrix, a norm and a gated MLP behind the tower's downsampling, as wide as the tower's or `channels` times."""
    size = ends.tower.size("out_hidden_size")
    inner = size * ends.tower.size(channels) if channels else ends.tower.size("intermediate_size")
    return projector(
        ends,
        linear("projection", size, size, bias=False),
        *norm(size),
        *gated_mlp(inner, size, size),
    )


def gemma4(ends: Ends, *, into: str = "hidden_size") -> Stack:
    """One matrix, behind a norm without weights."""
    return projector(ends, linear("projection", ends.text_size, ends.tower.size(into), bias=False))


def kimi(ends: Ends) -> Stack:
    """A norm of each patch, and an MLP over `merge_kernel_size` of them."""
    height, width = sides(ends.tower, "merge_kernel_size")
    size = first_size(ends.tower, "vt_hidden_size", "hidden_size")
    merged = size * height * width
    normed = ends.tower.size_or_none("mm_hidden_size") or ends.whole.size("projection_hidden_size")
    return projector(ends, *norm(normed), *two_linears(merged, merged, ends.text_size))


def ernie(ends: Ends) -> Stack:
    """Squares of patches are merged, then pairs of frames, each by an MLP with a norm; then a matrix and a norm."""
    out, square = ends.text_size, ends.tower_size * ends.tower.size("spatial_merge_size") ** 2
    frames = square * ends.tower.size("temporal_merge_size")
    return projector(
        ends,
        *two_linears(square, square, square),
        *norm(square),
        *two_linears(square, frames, square),
        *norm(square),
        linear("projection", out, square),
        *norm(out, bias=False),
    )


def molmo2_layers(adapter: ConfigDocument) -> tuple[int, ...]:
    """Which of the tower's layers are looked at."""
    return adapter.integers("vit_layers") or adapter.integers("vision_feature_layer") or (24, 18)


def molmo2(ends: Ends) -> Stack:
    """A few patches are pooled by attention over several layers' features, then a gated MLP."""
    adapter = inner_config(ends.whole, "adapter_config")
    hidden, head_dim, bias = adapter.size("hidden_size"), adapter.size("head_dim"), adapter.flag("attention_bias")
    into = hidden * len(molmo2_layers(adapter))
    heads, kv_heads = adapter.size("num_attention_heads") * head_dim, adapter.size("num_key_value_heads") * head_dim
    inner, mlp_bias = adapter.size("intermediate_size"), adapter.flag("mlp_bias")
    return projector(
        ends,
        linear("q", heads, into, bias=bias),
        linear("k v", kv_heads, into, bias=bias, count=2),
        linear("o", hidden, heads, bias=bias),
        linear("gate up", inner, hidden, bias=mlp_bias, count=2),
        linear("down", adapter.size("text_hidden_size"), inner, bias=False),
    )


def minicpm(ends: Ends) -> Stack:
    """Squares of two by two patches are merged `merger_times` times, each time by an MLP behind a norm."""
    hidden, merged = ends.tower_size, 4 * ends.tower_size
    times = ends.whole.size("merger_times", largest=LAYERS_LIMIT)
    step: tuple[Weight, ...] = (*norm(merged), *two_linears(merged, merged, hidden))
    return projector(ends, *step * (times - 1), *norm(merged), *two_linears(merged, merged, ends.text_size))


def granite_docling(ends: Ends) -> Stack:
    """Squares of patches, and smaller ones where an image is dense, on ways of their own; then a matrix."""
    tower = ends.tower
    out, scale, hidden = tower.size("out_hidden_size"), tower.size("scale_factor"), ends.tower_size
    seen = tower.integers("deepstack_visual_indexes") or _GRANITE_DOCLING_LAYERS
    weights: tuple[Weight, ...] = ()
    for side in (scale, scale // 2) if tower.flag("use_fine_route") else (scale,):
        merged = hidden * side**2
        deep: tuple[Weight, ...] = (*norm(merged), *two_linears(out, merged, out))
        weights += (linear("projection", out, merged, bias=False), *deep * min(len(seen), LAYERS_LIMIT))
    inner = ends.whole.size_or_none("density_router_hidden_size")
    routes: tuple[Weight, ...] = ()
    if inner is not None:
        routes = (linear("share", 1, hidden), *norm(hidden), *two_linears(inner, hidden, 1))
    middle = linear("mixing", out, out, bias=False)
    return projector(ends, *norm(hidden), *weights, *norm(out), middle, *norm(out), *routes)


_GRANITE_DOCLING_LAYERS: Final = (3, 7, 10)  # GraniteDoclingVisionConfig.__post_init__


def lfm3(ends: Ends) -> Stack:
    """A norm of each patch, and an MLP over squares of them."""
    into, bias = ends.tower_size * ends.tower.size("spatial_merge_size") ** 2, ends.whole.flag("projector_bias")
    inner = ends.whole.size("projector_hidden_size")
    return projector(ends, *norm(ends.tower_size), *two_linears(inner, into, ends.text_size, bias=bias))


def minimax_m3(ends: Ends) -> Stack:
    """An MLP for each patch, and one over squares of what that makes."""
    inner, out = ends.whole.size("projector_hidden_size"), ends.text_size
    merged = out * ends.tower.size("spatial_merge_size") ** 2
    return projector(ends, *two_linears(inner, ends.tower_size, out), *two_linears(inner, merged, out))


def step3(ends: Ends) -> Stack:
    """A matrix, behind a tower that makes four times its width."""
    bias = ends.whole.flag("projector_bias")
    into = 4 * first_size(ends.tower, "width", "hidden_size")
    return projector(ends, linear("projection", ends.text_size, into, bias=bias))


def git(ends: Ends) -> Stack:
    """A matrix and a norm; for films, a learned vector for each picture."""
    out, size = ends.text_size, ends.tower_size
    pictures = ends.whole.size_or_none("num_image_with_embedding") or 0
    films = (Tensor(name="times", shape=(pictures, size)),) if pictures else ()
    return projector(ends, linear("projection", out, size), *norm(out), *films)


def fuyu(whole: ConfigDocument, text: ConfigDocument) -> tuple[Stack, ...]:
    """A matrix over a patch's pixels, and no tower."""
    height, width = sides(whole, "patch_size")
    ends = Ends(whole=whole, text=text, tower=whole)
    return (projector(ends, linear("projection", ends.text_size, height * width * whole.size("num_channels"))),)


def deepseek_hybrid(whole: ConfigDocument, text: ConfigDocument) -> tuple[Stack, ...]:
    """Convolutions behind the tower for details, which the middle of that tower goes through too; then an MLP."""
    fine, coarse = inner_config(whole, "high_res_vision_config"), inner_config(whole, "vision_config")
    channels, out = fine.size("output_channels"), text.size("hidden_size")
    ends = Ends(whole=whole, text=text, tower=coarse)
    convolutions = (
        Tensor(name="conv1", shape=(channels, fine.size("hidden_size"), 1, 1)),
        Tensor(name="conv2", shape=(channels, channels, 3, 3)),
        Tensor(name="norms", shape=(channels,), count=4),
        Tensor(name="conv3", shape=(2 * channels, channels, 3, 3)),
        Tensor(name="conv4", shape=(4 * channels, 2 * channels, 3, 3)),
        Tensor(name="share of the middle", shape=(1,)),
    )
    behind = replace(projector(ends, *convolutions), name=Component.VISION.value, component=Component.VISION)
    return behind, projector(
        ends,
        linear("coarse", out // 2, coarse.size("hidden_size")),
        linear("fine", out // 2, 4 * channels),
        linear("projection", out, out),
    )
