"""Models of several parts, one entry per type: vision-language, audio-language, and those that see and hear.

Details from each model's `modeling_*.py` in transformers 5.23.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from hubvram.architecture.families import dense
from hubvram.architecture.families import projectors_audio as audio
from hubvram.architecture.families import projectors_vision as vision
from hubvram.architecture.families.composite import Composite, Tied, read_composite
from hubvram.architecture.families.decoder import read_decoder
from hubvram.architecture.families.fields import changed, number_of_layers
from hubvram.architecture.families.interface import Read
from hubvram.architecture.families.multimodal_text import GIT
from hubvram.architecture.families.projectors import ReadProjector, mlp, one_linear, qformer
from hubvram.architecture.layers import Architecture
from hubvram.config.document import ConfigDocument
from hubvram.config.reader import inner_config


def _sees(
    projector: ReadProjector, tied: Tied = Tied.OUTER, *, has_head: bool = False, outer_head: bool = False
) -> Composite:
    towers = (("vision_config", projector),)
    return Composite(towers=towers, tied=tied, has_head=has_head, outer_head=outer_head)


def _hears(projector: ReadProjector) -> Composite:
    return Composite(towers=(("audio_config", projector),), tied=Tied.INNER)


def _read_molmo2(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """Released files call the tower `vit_config`, and hold its layers up to the last one that is looked at."""
    tower = config.section("vit_config")
    if config.section("vision_config") is None and tower is not None:
        config = changed(config, vision_config=tower)
        number = number_of_layers(inner_config(config, "vision_config"))
        seen = (layer % number for layer in vision.molmo2_layers(inner_config(config, "adapter_config")))
        config = changed(config, vision_config={**tower, "num_hidden_layers": max(seen) + 1})
    return read_composite(config, architectures, _MOLMO2)


def _read_nemotron_omni(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """It may hear, with a Parakeet that is built without biases where its config says nothing of them."""
    sound = config.section("audio_config") or config.section("sound_config")
    towers = _NEMOTRON_OMNI.towers
    if sound is not None:
        sound = {"attention_bias": False, **sound, "model_type": "parakeet_encoder"}
        config, towers = changed(config, audio_config=sound), (*towers, ("audio_config", audio.nemotron_sound))
    return read_composite(config, architectures, replace(_NEMOTRON_OMNI, towers=towers))


_MOLMO2: Final = _sees(vision.molmo2)

_NEMOTRON_OMNI: Final = _sees(vision.nemotron_omni)

_MINICPM: Final = _sees(vision.minicpm)

_GRANITE_SPEECH: Final = Composite(towers=(("encoder_config", audio.granite_speech),))

_COMPOSITES: Final[Mapping[str, Composite]] = {
    "llava": _sees(vision.llava, Tied.EITHER),
    "llava_next": _sees(partial(vision.llava, newline=True)),
    "llava_next_video": _sees(partial(vision.llava, newline=True), Tied.EITHER),
    "llava_onevision": _sees(partial(vision.llava, newline=True), Tied.EITHER),
    "vipllava": _sees(partial(vision.llava, normed=True)),
    "mistral3": _sees(vision.mistral3),
    "gemma3": _sees(vision.gemma3),
    "shieldgemma2": _sees(vision.gemma3, Tied.EITHER),
    "paligemma": _sees(partial(one_linear, out="projection_dim")),
    "idefics2": _sees(vision.idefics2),
    "idefics3": _sees(vision.shuffled),
    "smolvlm": _sees(vision.shuffled),
    "mllama": _sees(partial(one_linear, into="vision_output_dim"), Tied.INNER),
    "qwen2_vl": _sees(vision.qwen2_vl, Tied.EITHER),
    "qwen2_5_vl": _sees(vision.qwen2_5_vl, Tied.EITHER),
    "qwen3_vl": _sees(vision.qwen3_vl),
    "qwen3_vl_moe": _sees(vision.qwen3_vl),
    "qwen2_5_omni_thinker": Composite(
        towers=(("audio_config", None), ("vision_config", vision.qwen2_5_vl)),
    ),
    "qwen3_omni_moe_thinker": Composite(
        towers=(("audio_config", None), ("vision_config", vision.qwen3_vl)),
    ),
    "hyperclovax_vision_v2": _sees(vision.hyperclovax),
    "qwen3_5": _sees(vision.merger),
    "qwen3_5_moe": _sees(vision.merger),
    "internvl": _sees(vision.internvl),
    "internvl_chat": _sees(vision.internvl, Tied.INNER, has_head=True),
    "glm4v": _sees(vision.glm4v, Tied.EITHER),
    "glm46v": _sees(vision.glm4v),
    "glmga": _sees(vision.glm4v),
    "exaone4_5": _sees(vision.qwen2_5_vl),
    "qianfan_ocr": _sees(vision.internvl),
    "glm4v_moe": _sees(vision.glm4v, Tied.EITHER),
    "glm_ocr": _sees(partial(vision.glm4v, channels="in_channels"), Tied.EITHER),
    "lfm2_vl": _sees(vision.lfm2_vl),
    "paddleocr_vl": _sees(partial(vision.merger, out=None), Tied.EITHER),
    "video_llama_3": _sees(mlp, Tied.EITHER),
    "llama4": _sees(partial(one_linear, bias=False, into="vision_output_dim"), Tied.INNER),
    "aya_vision": _sees(partial(vision.cohere, normed=True)),
    "cohere2_vision": _sees(vision.cohere),
    "got_ocr2": _sees(vision.got_ocr2),
    "lighton_ocr": _sees(vision.mistral3),
    "ovis2": _sees(vision.ovis2, outer_head=True),
    "deepseek_vl": _sees(mlp),
    "janus": _sees(mlp),
    "video_llava": Composite(towers=(("vision_config", None), ("vision_config", vision.llava))),
    "aria": _sees(vision.aria),
    "blip-2": _sees(qformer, Tied.INNER),
    "instructblip": _sees(partial(qformer, embeds=True), Tied.INNER),
    "instructblipvideo": _sees(partial(qformer, embeds=True), Tied.INNER),
    "kosmos-2": _sees(vision.kosmos2),
    "qwen2_audio": _hears(one_linear),
    "voxtral": _hears(audio.frames),
    "glmasr": _hears(partial(audio.frames, wider=2, bias=True)),
    "audioflamingo3": _hears(partial(mlp, bias="projector_bias")),
    "musicflamingo": _hears(partial(mlp, bias="projector_bias")),
    "gemma4": Composite(
        towers=(("vision_config", vision.gemma4), ("audio_config", partial(vision.gemma4, into="output_proj_dims"))),
        optional=True,
    ),
    "kimi_k25": _sees(vision.kimi),
    "phi4_multimodal": Composite(
        towers=(
            ("vision_config", audio.phi4),
            ("audio_config", partial(audio.phi4, mlps=2, rate="downsample_rate")),
        ),
        read_text=dense.FAMILIES["phi3"],
    ),
    "ernie4_5_vl_moe": _sees(vision.ernie),
    "minicpmv4_6": _MINICPM,
    "minicpmv4_7": _MINICPM,
    "minicpm_ocr": _MINICPM,
    "granite_docling": _sees(vision.granite_docling),
    "git": Composite(towers=(("vision_config", vision.git),), read_text=partial(read_decoder, traits=GIT)),
    "fuyu": Composite(towers=(), beside=vision.fuyu),
    "gemma4_unified": Composite(
        towers=(
            ("vision_config", partial(vision.gemma4, into="output_proj_dims")),
            ("audio_config", partial(vision.gemma4, into="audio_embed_dim")),
        ),
        optional=True,
    ),
    "lfm3_vl": _sees(vision.lfm3),
    "minimax_m3_vl": _sees(vision.minimax_m3),
    "step3p7": _sees(vision.step3),
    "inkling2": Composite(towers=(("vision_config", None),)),
    "pp_chart2table": _sees(vision.got_ocr2),
    "deepseek_vl_hybrid": Composite(
        towers=(("vision_config", None), ("high_res_vision_config", None)), beside=vision.deepseek_hybrid
    ),
    "moss_transcribe_diarize": Composite(towers=(("audio_config", audio.moss),)),
    "qwen3_asr": Composite(towers=(("audio_config", audio.qwen3_asr),)),
    "voxtral_realtime": Composite(towers=(("audio_config", audio.voxtral_realtime),), hears_along="downsample_factor"),
    "granite_speech": _GRANITE_SPEECH,
    "granite_speech_plus": _GRANITE_SPEECH,
}

FAMILIES: Final[Mapping[str, Read]] = {
    **{model_type: partial(read_composite, composite=composite) for model_type, composite in _COMPOSITES.items()},
    "molmo2": _read_molmo2,
    "nemotron_h_omni": _read_nemotron_omni,
}
COMPOSITES: Final = frozenset(FAMILIES)
"""Types that are read only where the family of their text model is known."""
