"""Any encoder and any decoder as one: those pairs that were run (transformers 5.23)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from hubvram.architecture.layers import Architecture, Stack
from hubvram.memory.engines import transformers_code
from hubvram.memory.engines.transformers_attention import attention_of
from hubvram.memory.engines.transformers_encoders import ENCODERS
from hubvram.memory.engines.transformers_sides import BART, SIDES, Program
from hubvram.memory.forward.encoder_decoder import is_playable
from hubvram.memory.forward.pair import is_projected, play_pair_step
from hubvram.memory.forward.run import Run
from hubvram.memory.forward.sides_code import Attended, BothSides, Positions
from hubvram.memory.forward.tape import Peak, Share
from hubvram.memory.forward.trocr import mix_by_head

_BERT: Final = replace(BART, decoder=Positions(inside=True), keeps_attended=Attended.SUM, adds_logits_bias=False)

_DECODERS: Final[Mapping[str, BothSides]] = {
    **dict.fromkeys(("bert", "bert-generation", "roberta", "xlm-roberta", "camembert"), _BERT),
    "bart": replace(BART, adds_logits_bias=False),
    "gpt2": replace(BART, keeps_attended=Attended.SAID, adds_logits_bias=False),
    "mbart": replace(SIDES["mbart"], adds_logits_bias=False),
    "trocr": replace(BART, decoder=Positions(rows=Share.SEQUENCE), adds_logits_bias=False, mix=mix_by_head),
}
_RUN: Final[Mapping[str, frozenset[tuple[str, str]]]] = {
    "encoder-decoder": frozenset(
        {
            *((name, name) for name in ("bert", "bert-generation", "roberta", "xlm-roberta", "camembert")),
            *((name, "gpt2") for name in ("bert", "roberta")),
        }
    ),
    "speech-encoder-decoder": frozenset({("wav2vec2", name) for name in ("bart", "bert", "mbart")}),
    "vision-encoder-decoder": frozenset(
        {("vit", "trocr"), ("deit", "trocr"), ("donut-swin", "mbart"), ("swin", "gpt2")}
        | {("vit", name) for name in ("bert", "roberta", "gpt2")}
    ),
}
"""Model type -> encoders and decoders that were run together."""


def _encode(run: Run, stack: Stack) -> tuple[Peak, ...]:
    """As the encoder's type runs alone, with the attention that it takes here."""
    assert stack.alone is not None
    attention = attention_of(stack.alone.model_type, run.attention)
    waveform = stack.alone.waveform
    tokens = waveform.adapted(run.tokens)[0] if waveform else run.tokens
    *peaks, _ = transformers_code.play(stack.alone, replace(run.sizes, tokens=tokens, attention=attention))
    return tuple(peaks)


def _step(run: Run, architecture: Architecture, *, copies_logits: bool) -> tuple[Peak, ...]:
    stack, decoder = architecture.encoder, architecture.decoder_type
    assert stack is not None and stack.model_type is not None and decoder is not None
    read = ENCODERS[stack.model_type][1] if stack.waveform is None else None
    sides = _DECODERS[decoder]
    own = Run(replace(run.sizes, attention=attention_of(decoder, run.attention)), sides.code)
    return play_pair_step(own, architecture, sides, read, copies_logits=copies_logits)


def _is_playable(architecture: Architecture) -> bool:
    """Whether both were run together. Not where the decoder computes its positions: the class cannot be loaded with
    such ones, whose table is made where nothing has values (TrOCRSinusoidalPositionalEmbedding). Nor where an adapter's
    output, whose channels come first, is projected: whether it is copied for that, the kernel decides."""
    stack = architecture.encoder
    if stack is None or stack.alone is None or not architecture.learned_positions:
        return False
    if stack.waveform and stack.waveform.adapter and is_projected(architecture):
        return False
    known = (stack.alone.model_type, architecture.decoder_type) in _RUN[architecture.model_type]
    return known and transformers_code.knows(_without_adapter(stack.alone)) and is_playable(architecture)


def _without_adapter(encoder: Architecture) -> Architecture:
    """As it is known alone: its adapter is played here too."""
    return replace(encoder, extras=tuple([weight for weight in encoder.extras if weight.name != "adapter"]))


KNOWN: Final[Mapping[str, Program]] = dict.fromkeys(
    _RUN, Program(code=BART.code, encode=_encode, step=_step, is_playable=_is_playable)
)
