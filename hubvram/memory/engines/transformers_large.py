"""Large decoders, of which few are run whole on GPUs at hand: the newest of those with experts."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

from hubvram.memory.engines.transformers_code import Program
from hubvram.memory.forward.decoder import is_playable, play_decoder
from hubvram.memory.forward.later import later
from hubvram.memory.forward.modeling_code import FP32_ROUTER, LLAMA, ModelingCode, with_traits

_compressed, _dots3 = (partial(later, module) for module in ("compressed", "dots3"))

KNOWN: Final[Mapping[str, tuple[ModelingCode, Program]]] = {
    "deepseek_v4": (
        # Its norm's weights are fp32; gate and up are clamped (DeepseekV4RMSNorm, DeepseekV4MLP).
        with_traits(LLAMA, norm_bytes=10, norm_row_bytes=4, gate_copies=4, gated_copies=4),
        Program(play=_compressed("play_compressed"), is_playable=_compressed("is_compressed")),
    ),
    "dots3_note_text": (
        with_traits(
            FP32_ROUTER,
            rotary_in_fp32=True,
            positions=_dots3("positions"),
            masks=_dots3("masks"),
            latent_attention=later("indexed", "play_indexed_attention"),
        ),
        Program(play=play_decoder, is_playable=_dots3("is_dots3_playable")),
    ),
    # `gate * sigmoid(alpha * gate) * (up + 1)`, written out, of both clamped (MiniMaxM3VLDenseMLP).
    "minimax_m3_vl_text": (
        with_traits(
            LLAMA,
            norm_row_bytes=4,
            joins_rotated=True,
            gate_copies=5,
            gated_copies=7,
            shared_expert_first=True,
            routing_in_fp32=True,
        ),
        Program(play=play_decoder, is_playable=is_playable),
    ),
}
