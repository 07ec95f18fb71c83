"""Decoders that exist only beside towers, and that few ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hubvram.memory.engines.transformers_code import Program
from hubvram.memory.forward.decoder import is_playable
from hubvram.memory.forward.later import later
from hubvram.memory.forward.modeling_code import LAYER_NORM, LLAMA, ModelingCode, with_traits
from hubvram.memory.forward.text_only import is_text_playable, play_text_only

KNOWN: Final[Mapping[str, tuple[ModelingCode, Program]]] = {
    "mllama_text_model": (LLAMA, Program(play=play_text_only, is_playable=is_text_playable, plays_linears=True)),
    "kosmos_2_text_model": (
        with_traits(
            LAYER_NORM,
            softmax_in_fp32=False,
            counts_positions=False,
            masks=later("kosmos2", "masks"),
            norms_inside=True,
        ),
        Program(play=later("kosmos2", "play_kosmos2"), is_playable=is_playable),
    ),
    "git": (
        with_traits(LAYER_NORM, counts_positions=False),
        Program(play=later("git", "play_git"), is_playable=is_playable),
    ),
    "moshi": (
        with_traits(
            LLAMA,
            norm_row_bytes=4,
            norm_fp32_row_bytes=0,
            positions=later("classic", "position_ids"),
            attention=later("moshi", "play_moshi_attention"),
        ),
        Program(play=later("moshi", "play_moshi"), is_playable=is_playable),
    ),
    "voxtral_realtime_text": (
        LLAMA,
        Program(play=later("hearing", "play_hearing"), is_playable=later("hearing", "is_hearing_playable")),
    ),
}
