"""Two gemmas as one model: what their classes do in their own way (transformers 5.23)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

from hubvram.memory.engines.transformers_sides import Program
from hubvram.memory.forward.modeling_code import LLAMA, with_traits
from hubvram.memory.forward.two_gemmas import TwoGemmas, is_playable, play_encoder, play_step


def _program(gemmas: TwoGemmas) -> Program:
    return Program(
        code=with_traits(LLAMA, norm_row_bytes=4, norms_projections=True),
        encode=partial(play_encoder, gemmas=gemmas),
        step=partial(play_step, gemmas=gemmas),
        is_playable=is_playable,
    )


KNOWN: Final[Mapping[str, Program]] = {
    "t5gemma": _program(TwoGemmas(scales_apart=True, marks_padding=True)),
    "t5gemma2": _program(TwoGemmas(turns_by_kind=True, masks_windows=True)),
}
