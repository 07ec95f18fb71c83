"""Kin of bart that few ask for: what their classes do in their own way (transformers 5.23)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from math import inf
from typing import Final

from hubvram.architecture.mlp import DenseMLP, MoEMLP
from hubvram.memory.engines.transformers_sides import BART, Program, program_of
from hubvram.memory.forward.big_bird import padded_to_blocks, play_bigbird_encoder, play_blocks
from hubvram.memory.forward.encoder_decoder import is_playable
from hubvram.memory.forward.later import later
from hubvram.memory.forward.longformer import padded, play_led_encoder, play_longformer
from hubvram.memory.forward.modeling_code import with_traits
from hubvram.memory.forward.pegasus_x import play_pegasus_x_encoder
from hubvram.memory.forward.run import BOOL_BYTES, Run
from hubvram.memory.forward.sides_code import BothSides, Positions
from hubvram.memory.forward.tape import Share, Tensor

# One row less than m2m_100's: the padding's token, behind which positions begin, is 0.
_SEAMLESS: Final = replace(
    BART, adds_logits_bias=False, decoder=Positions(rows=Share.SEQUENCE), grows_table=True, spare_rows=1
)


def _mask_without_rows(run: Run) -> Tensor | None:
    """Of the mask that it is given, whether or not something is padded (modeling_fsmt.py, invert_mask)."""
    source = run.sizes.source_tokens or run.tokens
    return run.tensor("mask, inverted", source, element_bytes=BOOL_BYTES) if run.sizes.by_generate else None


_SIDES: Final[Mapping[str, BothSides]] = {
    "fsmt": replace(
        BART,
        keeps_probabilities=False,
        adds_logits_bias=False,
        decoder=Positions(rows=Share.SEQUENCE, embeddings=False),
        grows_table=True,
        spare_rows=0,
        masks_from=inf,
        queries_last=True,
        masks=_mask_without_rows,
    ),
    **dict.fromkeys(("seamless_m4t", "seamless_m4t_v2"), _SEAMLESS),
}

_LED: Final = replace(
    BART,
    keeps_probabilities=False,
    masks_from=2,
    attends=play_longformer,
    padded=padded,
    decoder=Positions(rows=Share.ALL),
    encoder=Positions(rows=Share.ALL),
)
_PEGASUS_X: Final = replace(BART, adds_logits_bias=False, decoder=Positions(rows=Share.ALL, padding=True))

_NLLB_MOE: Final = replace(
    BART,
    code=with_traits(BART.code, experts=later("nllb_moe", "play_nllb_experts")),
    adds_logits_bias=False,
    decoder=Positions(rows=Share.SEQUENCE),
    grows_table=True,
)
_BIG_BIRD: Final = replace(BART, encoder=Positions(embeddings=False), attends=play_blocks, padded=padded_to_blocks)

KNOWN: Final[Mapping[str, Program]] = {
    **{model_type: program_of(sides) for model_type, sides in _SIDES.items()},
    "led": program_of(_LED)._replace(
        encode=partial(play_led_encoder, sides=_LED),
        is_playable=partial(is_playable, blocks=frozenset({"longformer_attention"})),
    ),
    "bigbird_pegasus": program_of(_BIG_BIRD)._replace(
        encode=partial(play_bigbird_encoder, sides=_BIG_BIRD),
        is_playable=partial(is_playable, blocks=frozenset({"block_sparse_attention"})),
    ),
    "nllb-moe": program_of(_NLLB_MOE)._replace(is_playable=partial(is_playable, mlps=(DenseMLP, MoEMLP))),
    "pegasus_x": program_of(_PEGASUS_X)._replace(
        encode=play_pegasus_x_encoder,
        is_playable=partial(is_playable, blocks=frozenset({"global_local_attention"})),
    ),
}
