"""Models of several parts: a text model, a vision or audio tower, a projector between them.

The text model is read by the family of its own type; a table says where the towers' configs stand and how the
projector behind each is read. A tower of a type that nobody reads is left out: reconciliation then
accounts for it as stored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import partial
from typing import Final

from hubvram.architecture import patterns
from hubvram.architecture.attention import CrossAttention
from hubvram.architecture.families import projectors, towers_more, towers_sound
from hubvram.architecture.families.decoder import (
    Traits,
    attention,
    dense,
    experts_behind_dense,
    read_decoder,
    some_experts,
)
from hubvram.architecture.families.interface import Read
from hubvram.architecture.families.projectors import Ends, ReadProjector
from hubvram.architecture.families.towers import TOWERS, read_tower
from hubvram.architecture.layers import Architecture, Stack
from hubvram.architecture.parts import Part, Tensor, Weight
from hubvram.checkpoint.components import Component
from hubvram.config.document import ConfigDocument
from hubvram.config.reader import inner_config, text_of


class Tied(Enum):
    """Which `tie_word_embeddings` a model's class goes by."""

    OUTER = auto()
    """That of the whole config."""
    EITHER = auto()
    """The text model's too, where the whole says false."""
    INNER = auto()
    """The text model's alone, which has its head inside."""


ReadStacks = Callable[[ConfigDocument, ConfigDocument], tuple[Stack, ...]]
"""(the whole config, the text model's) -> stacks beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Composite:
    """What is beside the text model of one model type."""

    towers: tuple[tuple[str, ReadProjector | None], ...]
    """The config field of a tower, and how to read the projector behind it."""
    tied: Tied = Tied.OUTER
    has_head: bool = False
    """Whether there is a head whatever the class is called (InternVLChatModel)."""
    outer_head: bool = False
    """Whether the whole config says how large the head is."""
    optional: bool = False
    """Whether a tower is there only where the file has a config for it."""
    read_text: Read | None = None
    """How the text model is read, where it has no type of its own."""
    beside: ReadStacks | None = None
    """Further stacks: a projector without a tower before it."""


def _vision(
    projector: ReadProjector, tied: Tied = Tied.OUTER, *, has_head: bool = False, outer_head: bool = False
) -> Composite:
    towers = (("vision_config", projector),)
    return Composite(towers=towers, tied=tied, has_head=has_head, outer_head=outer_head)


def _audio(projector: ReadProjector) -> Composite:
    return Composite(towers=(("audio_config", projector),), tied=Tied.INNER)


def read_composite(config: ConfigDocument, architectures: tuple[str, ...], composite: Composite) -> Architecture:
    """The text model's architecture, with the stacks beside it. Raises ConfigError."""
    text = text_of(config)
    read_text = composite.read_text or _family_of(text)
    architecture = read_text(text, () if composite.has_head else architectures)
    fields = (
        (field, read) for field, read in composite.towers if not composite.optional or config.section(field) is not None
    )
    stacks = [stack for field, read in fields for stack in _stacks(config, text, field, read)]
    if composite.beside is not None:
        stacks += composite.beside(config, text)
    head, tied = architecture.head, _is_tied(config, architecture, composite)
    if composite.outer_head and head is not None and not tied:
        head = replace(head, out_features=config.size("vocab_size"), in_features=config.size("hidden_size"))
    return replace(
        architecture,
        head=head,
        tie_word_embeddings=tied,
        stacks=(*architecture.stacks, *stacks),
    )


def _family_of(text: ConfigDocument) -> Read:
    # The families of text models are in files beside this one, which their common table imports.
    from hubvram.architecture.families import FAMILIES

    read = FAMILIES.get(text.model_type or "")
    if read is None or (isinstance(read, partial) and read.func is read_composite):
        raise text.error("model_type", f"{text.model_type!r} is not one that hubvram understands yet")
    return read


_TOWERS: Final = {**TOWERS, **towers_more.TOWERS, **towers_sound.TOWERS}


def _stacks(config: ConfigDocument, text: ConfigDocument, field: str, read: ReadProjector | None) -> tuple[Stack, ...]:
    document = inner_config(config, field)
    tower = read_tower(document, _TOWERS)
    if tower is None:
        return ()
    return (tower,) if read is None else (tower, read(Ends(whole=config, text=text, tower=document)))


def _is_tied(config: ConfigDocument, text: Architecture, composite: Composite) -> bool:
    """As the whole config says; where the file does not say it there, as the text model's does.

    transformers' default for the whole (true for several types) does not count: it ties no head that is in the files
    with values of its own, and those that came without a word on it have one.
    """
    outer = config.get(bool, "tie_word_embeddings") if "tie_word_embeddings" in config.data else None
    if outer is None or composite.tied is Tied.INNER or (composite.tied is Tied.EITHER and not outer):
        return text.tie_word_embeddings
    return outer


_QWEN2_VL_TEXT: Final = Traits(read_mlp=dense, windows=patterns.from_max_window_layers, qkv_bias=True)
_QWEN3_VL_TEXT: Final = Traits(read_mlp=dense, qkv_bias="attention_bias", o_bias="attention_bias", qk_norm=True)


def _mllama_layers(config: ConfigDocument) -> tuple[int, ...]:
    """Layers that look at the image, as MllamaTextConfig.__post_init__ has them."""
    return config.integers("cross_attention_layers") or (3, 8, 13, 18, 23, 28, 33, 38)


def _mllama_mixer(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> Part:
    """Attention to the text, or to the image alone."""
    if index not in _mllama_layers(config):
        return attention(config, traits, index, window)
    make = partial(CrossAttention, encoder_hidden_size=config.size("hidden_size"))
    return attention(config, replace(traits, qk_norm=True), index, None, make=make)


def _mllama_gates(config: ConfigDocument, index: int) -> tuple[Weight, ...]:
    gates = Tensor(name="gate", shape=(1,), count=2, component=Component.ATTENTION)
    return (gates,) if index in _mllama_layers(config) else ()


def _read_mllama_text(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """Its embedding has rows for 8 special tokens that the head does not predict."""
    traits = Traits(read_mlp=dense, read_mixer=_mllama_mixer, layer_extras=_mllama_gates, tied=False)
    architecture = read_decoder(config, architectures, traits)
    return replace(architecture, vocab_size=architecture.vocab_size + 8)


_KOSMOS_2_TEXT: Final = Traits(
    read_mlp=dense,
    names={"intermediate_size": "ffn_dim"},
    qkv_bias=True,
    o_bias=True,
    mlp_bias=True,
    norm_bias=True,
    gated=False,
    activation="activation_function",
    rotary=False,
    attention_extras=lambda config: projectors.norm(config.size("hidden_size")),
    mlp_extras=lambda config: projectors.norm(config.size("intermediate_size")),
)

_TEXT_MODELS: Final[Mapping[str, Traits]] = {
    "qwen2_vl_text": _QWEN2_VL_TEXT,
    "qwen2_5_vl_text": _QWEN2_VL_TEXT,
    "qwen2_5_omni_text": _QWEN2_VL_TEXT,
    "qwen3_vl_text": _QWEN3_VL_TEXT,
    "qwen3_omni_moe_text": replace(_QWEN3_VL_TEXT, read_mlp=some_experts, uneven_heads=True),
    "qwen3_vl_moe_text": replace(_QWEN3_VL_TEXT, read_mlp=some_experts),
    "glm4v_text": Traits(
        read_mlp=dense,
        qkv_bias=True,
        fused_mlp=True,
        norms_per_layer=4,
        partial_rotary_key="partial_rotary_factor",
    ),
    "glm_ocr_text": Traits(read_mlp=dense, fused_mlp=True, norms_per_layer=4),
    "paddleocr_vl_text": Traits(read_mlp=dense, qkv_bias="use_bias", o_bias="use_bias", mlp_bias="use_bias"),
    "kosmos_2_text_model": _KOSMOS_2_TEXT,
    "glm4v_moe_text": Traits(
        read_mlp=experts_behind_dense,
        qkv_bias="attention_bias",
        uneven_heads=True,
        partial_rotary_key="partial_rotary_factor",
        partial_rotary_default=0.5,
    ),
}

_COMPOSITES: Final[Mapping[str, Composite]] = {
    "llava": _vision(projectors.llava, Tied.EITHER),
    "llava_next": _vision(partial(projectors.llava, newline=True)),
    "llava_next_video": _vision(partial(projectors.llava, newline=True), Tied.EITHER),
    "llava_onevision": _vision(partial(projectors.llava, newline=True), Tied.EITHER),
    "vipllava": _vision(partial(projectors.llava, normed=True)),
    "mistral3": _vision(projectors.mistral3),
    "gemma3": _vision(projectors.gemma3),
    "shieldgemma2": _vision(projectors.gemma3, Tied.EITHER),
    "paligemma": _vision(partial(projectors.one_linear, out="projection_dim")),
    "idefics2": _vision(projectors.idefics2),
    "idefics3": _vision(projectors.shuffled),
    "smolvlm": _vision(projectors.shuffled),
    "mllama": _vision(partial(projectors.one_linear, into="vision_output_dim"), Tied.INNER),
    "qwen2_vl": _vision(projectors.qwen2_vl, Tied.EITHER),
    "qwen2_5_vl": _vision(projectors.qwen2_5_vl, Tied.EITHER),
    "qwen3_vl": _vision(projectors.qwen3_vl),
    "qwen3_vl_moe": _vision(projectors.qwen3_vl),
    "qwen2_5_omni_thinker": Composite(
        towers=(("audio_config", None), ("vision_config", projectors.qwen2_5_vl)),
    ),
    "qwen3_omni_moe_thinker": Composite(
        towers=(("audio_config", None), ("vision_config", projectors.qwen3_vl)),
    ),
    "hyperclovax_vision_v2": _vision(projectors.hyperclovax),
    "qwen3_5": _vision(projectors.merger),
    "qwen3_5_moe": _vision(projectors.merger),
    "internvl": _vision(projectors.internvl),
    "internvl_chat": _vision(projectors.internvl, Tied.INNER, has_head=True),
    "glm4v": _vision(projectors.glm4v, Tied.EITHER),
    "glm46v": _vision(projectors.glm4v),
    "glmga": _vision(projectors.glm4v),
    "exaone4_5": _vision(projectors.qwen2_5_vl),
    "qianfan_ocr": _vision(projectors.internvl),
    "glm4v_moe": _vision(projectors.glm4v, Tied.EITHER),
    "glm_ocr": _vision(partial(projectors.glm4v, channels="in_channels"), Tied.EITHER),
    "lfm2_vl": _vision(projectors.lfm2_vl),
    "paddleocr_vl": _vision(partial(projectors.merger, out=None), Tied.EITHER),
    "video_llama_3": _vision(projectors.mlp, Tied.EITHER),
    "llama4": _vision(partial(projectors.one_linear, bias=False, into="vision_output_dim"), Tied.INNER),
    "aya_vision": _vision(partial(projectors.cohere, normed=True)),
    "cohere2_vision": _vision(projectors.cohere),
    "got_ocr2": _vision(projectors.got_ocr2),
    "lighton_ocr": _vision(projectors.mistral3),
    "ovis2": _vision(projectors.ovis2, outer_head=True),
    "deepseek_vl": _vision(projectors.mlp),
    "janus": _vision(projectors.mlp),
    "video_llava": Composite(towers=(("vision_config", None), ("vision_config", projectors.llava))),
    "aria": _vision(projectors.aria),
    "blip-2": _vision(projectors.qformer, Tied.INNER),
    "instructblip": _vision(partial(projectors.qformer, embeds=True), Tied.INNER),
    "instructblipvideo": _vision(partial(projectors.qformer, embeds=True), Tied.INNER),
    "kosmos-2": _vision(projectors.kosmos2),
    "qwen2_audio": _audio(projectors.one_linear),
    "voxtral": _audio(projectors.frames),
    "glmasr": _audio(partial(projectors.frames, wider=2, bias=True)),
    "audioflamingo3": _audio(partial(projectors.mlp, bias="projector_bias")),
    "musicflamingo": _audio(partial(projectors.mlp, bias="projector_bias")),
}

FAMILIES: Final[Mapping[str, Read]] = {
    **{model_type: partial(read_decoder, traits=traits) for model_type, traits in _TEXT_MODELS.items()},
    "mllama_text_model": _read_mllama_text,
    **{model_type: partial(read_composite, composite=composite) for model_type, composite in _COMPOSITES.items()},
}
COMPOSITES: Final = frozenset(_COMPOSITES)
"""Types that are read only where the family of their text model is known."""
