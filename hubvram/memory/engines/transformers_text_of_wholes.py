"""Text models that exist only inside wholes, and that few ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hubvram.memory.engines.transformers_code import Program
from hubvram.memory.forward.modeling_code import LLAMA, ModelingCode
from hubvram.memory.forward.text_only import is_playable as is_text_playable
from hubvram.memory.forward.text_only import play_text_only

KNOWN: Final[Mapping[str, tuple[ModelingCode, Program]]] = {
    "mllama_text_model": (LLAMA, Program(play=play_text_only, is_playable=is_text_playable, plays_linears=True)),
}
