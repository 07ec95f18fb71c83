"""The options that say what is asked of a model, as a request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hubvram.cli.options import AttentionChoice, LogitsChoice

if TYPE_CHECKING:
    from hubvram.inspection import Request


def request_of(
    dtype: Sequence[str] | None,
    context: str | None,
    input_tokens: str | None,
    batch: int,
    kv_dtype: str | None,
    cache: str,
    attention: AttentionChoice,
    logits: LogitsChoice,
    padded: bool,
    engine: str,
    gpu: Sequence[str] | None,
    max_vram: str | None,
) -> Request:
    """Raises UsageError for what no model could be asked."""
    from hubvram.hardware.accelerators import find_accelerator, limit
    from hubvram.inspection import request_of as understood
    from hubvram.units import parse_size, parse_tokens

    accelerators = [find_accelerator(name) for name in gpu or ()]
    if max_vram is not None:
        accelerators.append(limit(parse_size(max_vram), f"a budget of {max_vram}"))
    return understood(
        precisions=dtype or (),
        context=context,
        input_tokens=None if input_tokens is None else parse_tokens(input_tokens),
        batch_size=batch,
        kv_cache_dtype=kv_dtype,
        cache=cache,
        attention=attention.value,
        logits=logits.value,
        padded=padded,
        engine=engine,
        accelerators=accelerators,
    )
