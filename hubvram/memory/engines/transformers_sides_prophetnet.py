"""prophetnet: what its classes do in their own way (transformers 5.23)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hubvram.memory.engines.transformers_sides import BART, Program
from hubvram.memory.forward.prophetnet import is_playable, play_prophetnet_encoder, play_prophetnet_step

KNOWN: Final[Mapping[str, Program]] = {
    "prophetnet": Program(
        code=BART.code,
        encode=play_prophetnet_encoder,
        step=play_prophetnet_step,
        is_playable=is_playable,
    )
}
