"""What the encoders of sound of transformers 5.23 do in their own way: those whose peaks are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from hubvram.architecture.layers import Architecture
from hubvram.memory.engines.transformers_code import Program
from hubvram.memory.forward.encoder_code import EncoderCode, Until
from hubvram.memory.forward.gated_positions import attend_gated
from hubvram.memory.forward.modeling_code import LAYER_NORM, ModelingCode, with_traits
from hubvram.memory.forward.speech import SpeechCode, play_speech

_OWN_TYPE: Final = with_traits(LAYER_NORM, softmax_in_fp32=False)
_LAYER: Final = EncoderCode(
    normed=Until.PROJECTED,
    mlp_normed=Until.PROJECTED,
    qkv=Until.PROJECTED,
    said=Until.PROJECTED,
    projected=Until.ADDED,
    inner=Until.PROJECTED,
)
"""Attention makes O itself, and one variable is residual, sum and normed in turn (modeling_wav2vec2.py)."""


def _is_playable(architecture: Architecture) -> bool:
    """Without convolutions behind the layers, which make the sequence shorter."""
    return architecture.waveform is not None and all(weight.name != "adapter" for weight in architecture.extras)


def _speech(code: SpeechCode) -> tuple[ModelingCode, Program]:
    return _OWN_TYPE, Program(play=partial(play_speech, code=code), is_playable=_is_playable)


KNOWN: Final[Mapping[str, tuple[ModelingCode, Program]]] = {
    "wav2vec2": _speech(SpeechCode(layers=_LAYER, quantizes=True)),
    "wavlm": _speech(SpeechCode(layers=replace(_LAYER, attend=attend_gated))),
    "unispeech": _speech(SpeechCode(layers=_LAYER, quantizes=True, projects_before=False)),
    **dict.fromkeys(("unispeech-sat", "data2vec-audio"), _speech(SpeechCode(layers=_LAYER))),
    "hubert": _speech(SpeechCode(layers=_LAYER, returns_features=False)),
}
"""Model type -> how it computes, and its program."""
