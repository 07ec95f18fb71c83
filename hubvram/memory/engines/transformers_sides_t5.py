"""Kin of t5 that few ask for: what their classes do in their own way (transformers 5.23)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from hubvram.architecture.mlp import DenseMLP, MoEMLP
from hubvram.memory.engines.transformers_sides import T5, Program, program_of
from hubvram.memory.forward.encoder_decoder import is_playable
from hubvram.memory.forward.later import later
from hubvram.memory.forward.longt5 import play_longt5_encoder
from hubvram.memory.forward.modeling_code import with_traits
from hubvram.memory.forward.pix2struct import PATCHES, play_pix2struct_encoder
from hubvram.memory.forward.sides_code import Positions
from hubvram.memory.forward.switch import mask_padding
from hubvram.memory.forward.udop import play_udop_encoder, play_udop_step, reads_places

_PADDED: Final = Positions(padding=True)
_LONGT5: Final = replace(T5, widens_in_fp16=False, encoder=_PADDED, decoder=_PADDED, keeps_layer_before=True)
_PIX2STRUCT: Final = replace(_LONGT5, sound=PATCHES, head_inside=True)
_UDOP: Final = replace(T5, decoder=_PADDED)
_SWITCH: Final = replace(
    _LONGT5,
    code=with_traits(T5.code, experts=later("switch", "play_switch_experts")),
    keeps_layer_before=False,
    masks=mask_padding,
)

KNOWN: Final[Mapping[str, Program]] = {
    "longt5": program_of(_LONGT5)._replace(
        encode=partial(play_longt5_encoder, sides=_LONGT5),
        is_playable=partial(is_playable, blocks=frozenset({"local_attention", "transient_global_attention"})),
    ),
    "pix2struct": program_of(_PIX2STRUCT)._replace(encode=play_pix2struct_encoder),
    "udop": program_of(_UDOP)._replace(
        encode=partial(play_udop_encoder, sides=_UDOP),
        step=partial(play_udop_step, sides=_UDOP),
        is_playable=reads_places,
    ),
    "switch_transformers": program_of(_SWITCH)._replace(
        is_playable=partial(is_playable, mlps=(DenseMLP, MoEMLP)),
        loops=True,
    ),
}
