"""What the classes of transformers 5.23 do in their own way: decoders with experts that few ask for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

from hubvram.memory.engines.transformers_code import Program
from hubvram.memory.forward.decoder import is_playable, play_decoder
from hubvram.memory.forward.later import later
from hubvram.memory.forward.modeling_code import FP32_ROUTER, LAYER_NORM, LLAMA, ModelingCode, with_traits
from hubvram.memory.forward.rotation import halves_in_fp32

_looped, _two_kinds, _longcat, _jetmoe = (
    partial(later, module) for module in ("looped_experts", "experts_for_images", "longcat", "jetmoe")
)
_indexed, _hyper, _zaya, _beam, _doge = (
    partial(later, module) for module in ("indexed", "hyper_connected", "zaya", "beam", "cross_domain")
)
_inkling, _inkling2 = (partial(later, module) for module in ("inkling", "inkling2"))

_DECODER: Final = Program(play=play_decoder, is_playable=is_playable)

KNOWN: Final[Mapping[str, tuple[ModelingCode, Program]]] = {
    "axk2": (
        with_traits(
            FP32_ROUTER,
            norm_bytes=10,  # What is normed, and its gate and what that leaves, in fp32 (AXK2GatedRMSNorm).
            latent_attention=_indexed("play_attention_with_gated_query"),
            always_masks=True,
        ),
        Program(play=play_decoder, is_playable=_indexed("is_gated_query_playable")),
    ),
    "bailing_hybrid": (
        with_traits(FP32_ROUTER, decays_in_fp32=False),
        Program(play=play_decoder, is_playable=later("gated_latent", "is_gated_playable")),
    ),
    "beam": (
        with_traits(
            FP32_ROUTER,
            gating_in_fp32=(3, 1),
            rotary_in_fp32=True,
            rotation=halves_in_fp32,
            attention=_beam("play_beam_attention"),
            logits_in_fp32=True,
            capped_logit_bytes=10,  # As they were, in fp32, and a part of each.
        ),
        Program(play=_beam("play_beam"), is_playable=is_playable),
    ),
    "dbrx": (
        with_traits(
            LAYER_NORM, attention=_looped("play_dbrx_attention"), experts=_looped("play_dbrx_experts"), loops=True
        ),
        _DECODER,
    ),
    "doge": (
        with_traits(
            LLAMA,
            always_masks=True,
            attention=later("dynamic_mask", "play_dynamic_attention"),
            experts=_doge("play_cross_domain"),
        ),
        Program(play=_doge("play_doge"), is_playable=_doge("is_doge_playable")),
    ),
    "ernie4_5_vl_moe_text": (
        with_traits(
            LLAMA,
            rotary_in_fp32=True,
            rotation=halves_in_fp32,
            shared_expert_first=True,
            router_logits_in_fp32=True,
            rotary_per_sequence=True,
        ),
        Program(play=_two_kinds("play_text_alone"), is_playable=_two_kinds("is_playable_alone"), plays_linears=True),
    ),
    "hy_v4": (
        with_traits(
            FP32_ROUTER,
            logit_copies=2,  # One, in fp32: as is its head,
            hidden_beside_head=2,  # and what that reads.
            always_masks=True,
            softmax_in_fp32=False,
            score_copies=3,
            sink_columns=1,
            gate_copies=4,
        ),
        Program(play=_hyper("play_hyper_connected"), is_playable=_hyper("is_hyper_connected_playable")),
    ),
    "inkling_text": (
        with_traits(
            LLAMA,
            router_logits_in_fp32=True,
            makes_full_mask=True,
            rotates=False,
            experts=_inkling("play_inkling_experts"),
        ),
        Program(play=_inkling("play_inkling"), is_playable=_inkling("is_inkling_playable")),
    ),
    "inkling2_text": (
        with_traits(
            FP32_ROUTER,
            gating_in_fp32=(5, 2),
            makes_window_mask=True,
            makes_full_mask=True,
            logits_in_fp32=True,
            capped_logit_bytes=12,  # Beside them a part of each, and its tangent.
            rotates=False,
        ),
        Program(play=_inkling2("play_inkling2"), is_playable=_inkling2("is_inkling2_playable")),
    ),
    "jetmoe": (
        with_traits(LLAMA, experts=_jetmoe("play_jetmoe_experts")),
        Program(play=_jetmoe("play_jetmoe"), is_playable=_jetmoe("is_jetmoe_playable")),
    ),
    "longcat_flash": (
        with_traits(LLAMA, experts=_looped("play_longcat_experts"), loops=True),
        Program(play=_longcat("play_longcat"), is_playable=_longcat("is_longcat_playable")),
    ),
    "step3p5": (
        with_traits(LLAMA, norm_row_bytes=4, joins_rotated=True, experts=_looped("play_step3p5_experts"), loops=True),
        _DECODER,
    ),
    "zaya": (LLAMA, Program(play=_zaya("play_zaya"), is_playable=_zaya("is_zaya_playable"))),
}
"""Model type -> how it computes, and its program."""
