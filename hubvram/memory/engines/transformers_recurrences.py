"""Decoders that remember by a recurrence of their own kind: what their classes in transformers 5.23 do."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

from hubvram.memory.engines.transformers_code import Program
from hubvram.memory.forward.decoder import is_playable, play_decoder
from hubvram.memory.forward.later import later
from hubvram.memory.forward.modeling_code import LAYER_NORM, LLAMA, ModelingCode, with_traits

_classic, _griffin, _rwkv, _xlstm = (partial(later, module) for module in ("classic", "griffin", "rwkv", "xlstm"))

_DECODER: Final = Program(play=play_decoder, is_playable=is_playable)

KNOWN: Final[Mapping[str, tuple[ModelingCode, Program]]] = {
    "recurrent_gemma": (
        with_traits(
            LLAMA,
            norm_row_bytes=4,
            scales_embeddings=True,
            logit_copies=3,
            positions=_classic("position_ids"),
            attention=_griffin("play_griffin_attention"),
            hidden_beside_mlp=1,
        ),
        _DECODER,
    ),
    "xlstm": (
        with_traits(LLAMA, norm_row_bytes=4, counts_positions=False),
        Program(play=_xlstm("play_xlstm"), is_playable=_xlstm("is_xlstm")),
    ),
    "zamba": (with_traits(LLAMA, copies_embeddings=True), _DECODER),
    "rwkv": (
        with_traits(LAYER_NORM, counts_positions=False),
        Program(play=_rwkv("play_rwkv"), is_playable=_rwkv("is_rwkv")),
    ),
}
