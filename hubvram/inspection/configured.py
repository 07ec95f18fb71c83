"""What config.json says of a run: the attention that it asks for, and whether a cache is kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Final

from hubvram.errors import UnsupportedOptionError
from hubvram.inspection.model import Model
from hubvram.memory.engines import ENGINES
from hubvram.memory.workload import Attention, Workload

_IMPLEMENTATIONS: Final = {
    "eager": Attention.EAGER,
    "sdpa": Attention.SDPA,
    "flash_attention_2": Attention.FLASH,
    "flash_attention_3": Attention.FLASH,
}
"""transformers' names of them."""


def as_configured(model: Model, workload: Workload) -> Workload:
    """With the attention that config.json asks for, where nobody else does and the class has it."""
    named = _configured(model)
    if model.architecture is None or named is None or workload.attention is not Attention.AUTO:
        return workload
    with suppress(UnsupportedOptionError):
        return replace(workload, attention=ENGINES[workload.engine].resolve_attention(model.architecture, named))
    return workload


def configured_notes(model: Model, workload: Workload) -> Iterator[str]:
    """Where it is not as in most repos."""
    config, architecture, engine = model.config, model.architecture, ENGINES[workload.engine]
    if config is None or architecture is None:
        return
    if engine.knows_activations(architecture) and workload.attention is _configured(model):
        yield (
            f"config.json asks for {workload.attention} attention, which runs unless the call asks for another "
            "(--attention)"
        )
    if engine.generates(architecture) and False in (
        config.whole.data.get("use_cache"),
        config.text.data.get("use_cache"),
    ):
        yield (
            "config.json says use_cache: false; the cache is counted all the same, as generate() keeps one where "
            "generation_config.json or the call asks for it, and computes all tokens anew at every step where not"
        )


def _configured(model: Model) -> Attention | None:
    return _IMPLEMENTATIONS.get(model.config.attn_implementation or "") if model.config is not None else None
