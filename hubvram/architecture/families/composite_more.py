"""Further models of several parts: their text models, and what stands between these and the towers.

Read as those of composite.py are. Details from each model's `modeling_*.py` in transformers 5.23.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from hubvram.architecture import patterns
from hubvram.architecture.attention import CrossAttention, FullAttention
from hubvram.architecture.families import dense, projectors, towers_more
from hubvram.architecture.families.composite import Composite, read_composite
from hubvram.architecture.families.decoder import (
    LAYERS_LIMIT,
    Traits,
    attention,
    changed,
    experts,
    fixed,
    layer_config,
    read_decoder,
)
from hubvram.architecture.families.decoder import dense as dense_mlp
from hubvram.architecture.families.interface import Read
from hubvram.architecture.families.latent import is_sparse, latent_attention, latent_mlp
from hubvram.architecture.families.projectors import Ends, norm, projector, two_linears
from hubvram.architecture.families.towers import read_tower, sides
from hubvram.architecture.families.towers_more import linear
from hubvram.architecture.layers import Architecture, Stack
from hubvram.architecture.mlp import DenseMLP, MoEMLP
from hubvram.architecture.parts import Linear, Part, Tensor, Weight
from hubvram.checkpoint.components import Component
from hubvram.config.document import ConfigDocument
from hubvram.config.reader import inner_config

# ---------------------------------------------------------------------------------------- projectors


def _gemma4(ends: Ends, *, into: str = "hidden_size") -> Stack:
    """One matrix, behind a norm without weights."""
    return projector(ends, linear("projection", ends.text_size, ends.tower.size(into), bias=False))


def _size(config: ConfigDocument, *names: str) -> int:
    """A size under the first of these names that the config has."""
    return next((size for name in names[:-1] if (size := config.size_or_none(name))), None) or config.size(names[-1])


def _kimi(ends: Ends) -> Stack:
    """A norm of each patch, and an MLP over `merge_kernel_size` of them."""
    height, width = sides(ends.tower, "merge_kernel_size")
    size = _size(ends.tower, "vt_hidden_size", "hidden_size")
    merged = size * height * width
    normed = ends.tower.size_or_none("mm_hidden_size") or ends.whole.size("projection_hidden_size")
    return projector(ends, *norm(normed), *two_linears(merged, merged, ends.text_size))


def _phi4(ends: Ends, *, mlps: int = 1, rate: str | None = None) -> Stack:
    """An MLP, or one for what is only heard and one for what is seen too."""
    out, into = ends.text_size, ends.tower_size * (ends.tower.size(rate) if rate else 1)
    return projector(ends, *two_linears(out, into, out) * mlps)


def _ernie(ends: Ends) -> Stack:
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


def _molmo2_layers(adapter: ConfigDocument) -> tuple[int, ...]:
    """Which of the tower's layers are looked at."""
    return adapter.integers("vit_layers") or adapter.integers("vision_feature_layer") or (24, 18)


def _molmo2(ends: Ends) -> Stack:
    """A few patches are pooled by attention over several layers' features, then a gated MLP."""
    adapter = inner_config(ends.whole, "adapter_config")
    hidden, head_dim, bias = adapter.size("hidden_size"), adapter.size("head_dim"), adapter.flag("attention_bias")
    into = hidden * len(_molmo2_layers(adapter))
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


def _minicpm(ends: Ends) -> Stack:
    """Squares of two by two patches are merged `merger_times` times, each time by an MLP behind a norm."""
    hidden, merged = ends.tower_size, 4 * ends.tower_size
    times = ends.whole.size("merger_times", largest=LAYERS_LIMIT)
    step: tuple[Weight, ...] = (*norm(merged), *two_linears(merged, merged, hidden))
    return projector(ends, *step * (times - 1), *norm(merged), *two_linears(merged, merged, ends.text_size))


def _nemotron_omni(ends: Ends) -> Stack:
    """A norm and an MLP over squares of patches."""
    share = ends.whole.get(float, "downsample_ratio")
    if share is None or not 1 / 1024 <= share <= 1:
        raise ends.whole.error("downsample_ratio", f"{share} is not between 1/1024 and 1")
    into = ends.whole.size("vision_hidden_size") * int(1 / share) ** 2
    mlp = two_linears(ends.whole.size("projector_hidden_size"), into, ends.text_size, bias=False)
    final = norm(ends.whole.size("vision_hidden_size")) if ends.text.get(int, "num_nextn_predict_layers") else ()
    return projector(ends, *final, *norm(into, bias=False), *mlp)


def _nemotron_sound(ends: Ends) -> Stack:
    """A norm and an MLP, whose shape the tower's config says."""
    inner, bias = ends.tower.size("projection_hidden_size"), ends.tower.flag("projection_bias")
    size = ends.tower_size
    return projector(ends, *norm(size, bias=False), *two_linears(inner, size, ends.text_size, bias=bias))


def _fuyu(whole: ConfigDocument, text: ConfigDocument) -> tuple[Stack, ...]:
    """A matrix over a patch's pixels, and no tower."""
    height, width = sides(whole, "patch_size")
    ends = Ends(whole=whole, text=text, tower=whole)
    return (projector(ends, linear("projection", ends.text_size, height * width * whole.size("num_channels"))),)


def _granite_speech(ends: Ends) -> Stack:
    """A Q-Former over a window of frames, each of whose queries stands for `downsample_rate` of them."""
    rate, window = ends.whole.size("downsample_rate"), ends.whole.size("window_size")
    whole = changed(ends.whole, num_query_tokens=window // rate)
    return projectors.qformer(replace(ends, whole=whole), field="projector_config")


def _granite_docling(ends: Ends) -> Stack:
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


def _moss(ends: Ends) -> Stack:
    """An MLP over `audio_merge_size` frames, and a norm."""
    out, into = ends.text_size, ends.tower_size * ends.whole.size("audio_merge_size")
    return projector(ends, *two_linears(out, into, out, bias=ends.whole.flag("projector_bias")), *norm(out))


def _qwen3_asr(ends: Ends) -> Stack:
    """An MLP, whose width the tower's config says."""
    size = ends.tower_size
    return projector(ends, *two_linears(size, size, ends.tower.size("output_dim")))


def _voxtral_realtime(ends: Ends) -> Stack:
    """An MLP over `downsample_factor` frames."""
    out, into = ends.text_size, ends.tower_size * ends.whole.size("downsample_factor")
    return projector(ends, *two_linears(out, into, out, bias=False))


def _lfm3(ends: Ends) -> Stack:
    """A norm of each patch, and an MLP over squares of them."""
    into, bias = ends.tower_size * ends.tower.size("spatial_merge_size") ** 2, ends.whole.flag("projector_bias")
    inner = ends.whole.size("projector_hidden_size")
    return projector(ends, *norm(ends.tower_size), *two_linears(inner, into, ends.text_size, bias=bias))


def _minimax_m3(ends: Ends) -> Stack:
    """An MLP for each patch, and one over squares of what that makes."""
    inner, out = ends.whole.size("projector_hidden_size"), ends.text_size
    merged = out * ends.tower.size("spatial_merge_size") ** 2
    return projector(ends, *two_linears(inner, ends.tower_size, out), *two_linears(inner, merged, out))


def _step3(ends: Ends) -> Stack:
    """A matrix, behind a tower that makes four times its width."""
    bias = ends.whole.flag("projector_bias")
    into = 4 * _size(ends.tower, "width", "hidden_size")
    return projector(ends, linear("projection", ends.text_size, into, bias=bias))


def _deepseek_hybrid(whole: ConfigDocument, text: ConfigDocument) -> tuple[Stack, ...]:
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


# --------------------------------------------------------------------------------------- text models


def _ernie_width(config: ConfigDocument, which: int) -> int:
    """Width of the experts for text (0), or for images (1)."""
    widths = config.integers("moe_intermediate_size") or (1536, 512)
    if len(widths) != 2 or not all(0 < width <= 2**48 for width in widths):
        raise config.error("moe_intermediate_size", f"expected two sizes, found {list(widths)[:4]}")
    return widths[which]


def _ernie_experts(config: ConfigDocument, traits: Traits, index: int, which: int) -> MoEMLP:
    width = _ernie_width(config, which)
    config = changed(config, moe_intermediate_size=width)
    return replace(experts(config, traits, index, width="moe_intermediate_size"), correction_bias=True)


def _ernie_mlp(config: ConfigDocument, traits: Traits, index: int) -> DenseMLP | MoEMLP:
    """Experts for text, with shared ones beside them, behind a dense layer."""
    if not is_sparse(config, index):
        return dense_mlp(config, traits, index)
    shared = (config.get(int, "moe_num_shared_experts") or 0) * _ernie_width(config, 0)
    return replace(
        _ernie_experts(config, traits, index, 0),
        shared_expert_intermediate_size=max(shared, 0),
        shared_expert_bias=config.flag("use_bias"),
    )


def _ernie_others(config: ConfigDocument, traits: Traits, index: int) -> tuple[Part, ...]:
    """Experts of their own for images, of which a token of text takes none."""
    if not is_sparse(config, index):
        return ()
    return (replace(_ernie_experts(config, traits, index, 1), num_experts_per_tok=0),)


_ERNIE: Final = Traits(
    read_mlp=_ernie_mlp,
    read_others=_ernie_others,
    qkv_bias="use_bias",
    o_bias="use_bias",
    mlp_bias="use_bias",
)
_MOLMO2: Final = Traits(read_mlp=dense_mlp, qkv_bias="attention_bias", qk_norm=True, fused_qkv=False)


def _read_molmo2_text(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """Its embedding has rows for further tokens that the head does not predict."""
    whole_norms = config.get(str, "qk_norm_type") == "olmo"
    traits = replace(_MOLMO2, qk_norm_all_heads=whole_norms, pre_norm=not config.flag("norm_after"))
    architecture = read_decoder(config, architectures, traits)
    further = config.get(int, "additional_vocab_size") or 0
    if further < 0:
        raise config.error("additional_vocab_size", f"{further} is negative")
    return replace(architecture, vocab_size=architecture.vocab_size + further)


def _read_molmo2(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """Released files call the tower `vit_config`, and hold its layers up to the last one that is looked at."""
    tower = config.section("vit_config")
    if config.section("vision_config") is None and tower is not None:
        config = changed(config, vision_config=tower)
        number = inner_config(config, "vision_config").size("num_hidden_layers", largest=LAYERS_LIMIT)
        seen = (layer % number for layer in _molmo2_layers(inner_config(config, "adapter_config")))
        config = changed(config, vision_config={**tower, "num_hidden_layers": max(seen) + 1})
    return read_composite(config, architectures, _MOLMO2_PARTS)


def _read_nemotron_omni(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """It may hear, with a Parakeet that is built without biases where its config says nothing of them."""
    sound = config.section("audio_config") or config.section("sound_config")
    towers = _NEMOTRON_OMNI.towers
    if sound is not None:
        sound = {"attention_bias": False, **sound, "model_type": "parakeet_encoder"}
        config, towers = changed(config, audio_config=sound), (*towers, ("audio_config", _nemotron_sound))
    return read_composite(config, architectures, replace(_NEMOTRON_OMNI, towers=towers))


def _mistral4_mlp(config: ConfigDocument, traits: Traits, index: int) -> DenseMLP | MoEMLP:
    """DeepSeek's, whose router keeps no bias for each expert."""
    mlp = latent_mlp(config, traits, index)
    return replace(mlp, correction_bias=False) if isinstance(mlp, MoEMLP) else mlp


def _time_scales(config: ConfigDocument, index: int) -> tuple[Weight, ...]:
    """What the delay of the transcript does to the norm before the MLP, by a matrix of low rank."""
    hidden, other = config.size("hidden_size"), Component.OTHER
    matrix = Linear(name="delay", out_features=_DELAY_RANK, in_features=hidden, component=other, count=2)
    return (matrix,)


_DELAY_RANK: Final = 32  # VoxtralRealtimeTextAdaRmsNorm

_STEP3_NAMES: Final = {
    "num_key_value_heads": "num_attention_groups",
    "n_routed_experts": "moe_num_experts",
    "num_experts_per_tok": "moe_top_k",
    "share_expert_dim": "share_expert_dims",
}


def _step3_attention(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> FullAttention:
    """Layers with a window may have a number of heads of their own; a gate for each head, or for each feature."""
    local = layer_config(config, index)
    heads = config.size_or_none("num_sliding_attention_heads")
    if config.section("per_layer_config") is None and window is not None and heads is not None:
        local = changed(config, num_attention_heads=heads)
    mixer = attention(local, traits, index, window)
    by_head = not config.is_a(str, "gating") or config.require(str, "gating") == "per-head"
    return replace(mixer, gate_size=mixer.num_attention_heads if by_head else mixer.q_size)


def _step3_mlp(config: ConfigDocument, traits: Traits, index: int) -> DenseMLP | MoEMLP:
    """Experts with a shared one, by default behind three dense layers."""
    if not is_sparse(config, index):
        return dense_mlp(config, traits, index)
    found = experts(config, traits, index, width="moe_intermediate_size", number="n_routed_experts")
    return replace(found, shared_expert_intermediate_size=config.size("share_expert_dim"), correction_bias=True)


_STEP3: Final = Traits(
    read_mlp=_step3_mlp,
    read_mixer=_step3_attention,
    qkv_bias="attention_bias",
    o_bias="attention_bias",
    mlp_bias="mlp_bias",
    qk_norm=True,
    values=fixed(first_k_dense_replace=3),
    rotary_tables=2,
)


def _read_step3(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """Released files have names of their own, and lists that go on for the blocks behind the last layer."""
    number = config.size("num_hidden_layers", largest=LAYERS_LIMIT)
    values = {usual: config.data[name] for usual, name in _STEP3_NAMES.items() if config.data.get(name) is not None}
    for key in ("layer_types", "mlp_layer_types"):
        values[key] = list(config.strings(key))[:number] or None
    if values["mlp_layer_types"] is None and config.data.get("moe_layers_enum") is not None:
        sparse = _layers_in(config, "moe_layers_enum")
        values["mlp_layer_types"] = ["sparse" if index in sparse else "dense" for index in range(number)]
    other = config.section("attention_other_setting") or {}
    if config.size_or_none("num_sliding_attention_heads") is None and "num_attention_heads" in other:
        values["num_sliding_attention_heads"] = other["num_attention_heads"]
    return read_decoder(changed(config, **values), architectures, _STEP3)


def _layers_in(config: ConfigDocument, key: str) -> frozenset[int]:
    """Numbers of layers, as a list or in a string."""
    if not config.is_a(str, key):
        return frozenset(config.integers(key))
    parts = [part.strip() for part in config.require(str, key).split(",")]
    if not all(part.isascii() and part.isdigit() and len(part) < 9 for part in parts if part):
        raise config.error(key, "expected numbers between commas")
    return frozenset(int(part) for part in parts if part)


def _git(ends: Ends) -> Stack:
    """A matrix and a norm; for films, a learned vector for each picture."""
    out, size = ends.text_size, ends.tower_size
    pictures = ends.whole.size_or_none("num_image_with_embedding") or 0
    films = (Tensor(name="times", shape=(pictures, size)),) if pictures else ()
    return projector(ends, linear("projection", out, size), *norm(out), *films)


_GIT: Final = Traits(
    read_mlp=dense_mlp,
    qkv_bias=True,
    o_bias=True,
    mlp_bias=True,
    norm_bias=True,
    gated=False,
    pre_norm=False,  # the last norm is that of the embeddings
    head_bias=True,
    learned_positions="max_position_embeddings",
)


def _pix2struct_mixer(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> FullAttention:
    """T5's, with relative positions in a table of the first layer."""
    shape = (config.size("relative_attention_num_buckets"), config.size("num_attention_heads"))
    others = () if index else (Tensor(name="relative positions", shape=shape),)
    return replace(attention(config, traits, index, None), others=others)


def _pix2struct_cross(config: ConfigDocument, traits: Traits, index: int, *, width: int) -> tuple[Part, ...]:
    return (attention(config, traits, index, None, make=partial(CrossAttention, encoder_hidden_size=width)),)


def _read_pix2struct(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """T5's decoder over an encoder of patches."""
    text, vision = inner_config(config, "text_config"), inner_config(config, "vision_config")
    width = vision.size("hidden_size")
    cross = partial(_pix2struct_cross, width=width)
    traits = Traits(
        read_mlp=dense_mlp,
        read_mixer=_pix2struct_mixer,
        read_others=cross,
        norms_per_layer=3,
        activation="dense_act_fn",
        rotary=False,
    )
    decoder = read_decoder(changed(text, intermediate_size=text.size("d_ff")), architectures, traits)
    encoder = read_tower(vision, towers_more.TOWERS)
    return replace(
        decoder,
        model_type=config.model_type or decoder.model_type,
        tie_word_embeddings=config.flag("tie_word_embeddings"),
        stacks=() if encoder is None else (replace(encoder, name="encoder", component=None),),
    )


_MOLMO2_PARTS: Final = Composite(towers=(("vision_config", _molmo2),))
_NEMOTRON_OMNI: Final = Composite(towers=(("vision_config", _nemotron_omni),))
_MINICPM: Final = Composite(towers=(("vision_config", _minicpm),))
_GRANITE_SPEECH: Final = Composite(towers=(("encoder_config", _granite_speech),))

_COMPOSITES: Final[Mapping[str, Composite]] = {
    "gemma4": Composite(
        towers=(("vision_config", _gemma4), ("audio_config", partial(_gemma4, into="output_proj_dims"))), optional=True
    ),
    "kimi_k25": Composite(towers=(("vision_config", _kimi),)),
    "phi4_multimodal": Composite(
        towers=(
            ("vision_config", _phi4),
            ("audio_config", partial(_phi4, mlps=2, rate="downsample_rate")),
        ),
        read_text=dense.FAMILIES["phi4_multimodal"],
    ),
    "ernie4_5_vl_moe": Composite(towers=(("vision_config", _ernie),)),
    "minicpmv4_6": _MINICPM,
    "minicpmv4_7": _MINICPM,
    "minicpm_ocr": _MINICPM,
    "granite_docling": Composite(towers=(("vision_config", _granite_docling),)),
    "git": Composite(towers=(("vision_config", _git),), read_text=partial(read_decoder, traits=_GIT)),
    "fuyu": Composite(towers=(), beside=_fuyu),
    "gemma4_unified": Composite(
        towers=(
            ("vision_config", partial(_gemma4, into="output_proj_dims")),
            ("audio_config", partial(_gemma4, into="audio_embed_dim")),
        ),
        optional=True,
    ),
    "lfm3_vl": Composite(towers=(("vision_config", _lfm3),)),
    "minimax_m3_vl": Composite(towers=(("vision_config", _minimax_m3),)),
    "step3p7": Composite(towers=(("vision_config", _step3),)),
    "inkling2": Composite(towers=(("vision_config", None),)),
    "pp_chart2table": Composite(towers=(("vision_config", projectors.got_ocr2),)),
    "deepseek_vl_hybrid": Composite(
        towers=(("vision_config", None), ("high_res_vision_config", None)), beside=_deepseek_hybrid
    ),
    "moss_transcribe_diarize": Composite(towers=(("audio_config", _moss),)),
    "qwen3_asr": Composite(towers=(("audio_config", _qwen3_asr),)),
    "voxtral_realtime": Composite(towers=(("audio_config", _voxtral_realtime),)),
    "granite_speech": _GRANITE_SPEECH,
    "granite_speech_plus": _GRANITE_SPEECH,
}

FAMILIES: Final[Mapping[str, Read]] = {
    "ernie4_5_vl_moe_text": partial(read_decoder, traits=_ERNIE),
    "granite_docling_text": dense.FAMILIES["granite"],
    "molmo2_text": _read_molmo2_text,
    "step3p5": _read_step3,
    "mistral4": partial(read_decoder, traits=Traits(read_mixer=latent_attention, read_mlp=_mistral4_mlp)),
    "voxtral_realtime_text": partial(
        read_decoder,
        traits=Traits(read_mlp=dense_mlp, layer_extras=_time_scales, windows=patterns.wherever_set),
    ),
    "molmo2": _read_molmo2,
    "pix2struct": _read_pix2struct,
    "nemotron_h_omni": _read_nemotron_omni,
    **{model_type: partial(read_composite, composite=composite) for model_type, composite in _COMPOSITES.items()},
}
COMPOSITES: Final = frozenset(_COMPOSITES) | {"molmo2", "nemotron_h_omni"}
