"""Decoders with attention of their own kind: what their classes in transformers 5.23 do."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

from hubvram.memory.engines.transformers_code import Program
from hubvram.memory.forward.decoder import is_playable, play_decoder
from hubvram.memory.forward.later import later
from hubvram.memory.forward.modeling_code import FP32_ROUTER, LAYER_NORM, LLAMA, ModelingCode, Whole, with_traits

_trocr = partial(later, "trocr")
_DECODER: Final = Program(play=play_decoder, is_playable=is_playable)

KNOWN: Final[Mapping[str, tuple[ModelingCode, Program]]] = {
    "cpmant": (
        with_traits(LLAMA, norm_row_bytes=0),
        Program(play=later("cpmant", "play_cpmant"), is_playable=is_playable),
    ),
    "diffllama": (with_traits(LLAMA, attention=later("differential", "play_differential_attention")), _DECODER),
    "flint": (
        with_traits(
            FP32_ROUTER,
            makes_window_mask=True,
            attention=later("sinks_in_fp32", "play_flint_attention"),
        ),
        _DECODER,
    ),
    "hrm_text": (
        with_traits(LLAMA, norm_row_bytes=4, attention=later("cycles", "play_gated_attention")),
        Program(play=later("cycles", "play_cycles"), is_playable=is_playable),
    ),
    "reformer": (
        with_traits(LAYER_NORM, whole=Whole(position_rows=0)),  # It counts positions itself.
        Program(play=later("reformer", "play_reformer"), is_playable=later("reformer", "is_reformer")),
    ),
    "trocr": (
        with_traits(
            LAYER_NORM,
            softmax_in_fp32=False,
            positions=_trocr("positions_of_sequences"),
            attention=_trocr("play_by_head"),
            whole=Whole(all_logits=True, position_rows=0),  # TrOCRForCausalLM, around TrOCRDecoder
        ),
        Program(play=_trocr("play_trocr"), is_playable=_trocr("is_trocr_playable")),
    ),
    "xlm": (LAYER_NORM, Program(play=later("xlm", "play_xlm"), is_playable=is_playable)),
    "xlnet": (LAYER_NORM, Program(play=later("xlnet", "play_xlnet"), is_playable=later("xlnet", "is_xlnet_playable"))),
}
