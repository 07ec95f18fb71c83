"""Run `generate()` of a small model, and measure: needs torch and transformers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import torch

from hubvram.memory.engines.transformers_buffers import buffers
from tests.generation.record import SHAPES, STATIC_SHAPES, Row, config_of, dtype_of
from tests.peaks.encoders import encoder_with, measured_encoder, variants_of
from tests.peaks.live import Live
from tests.peaks.on_a_gpu import as_on_a_gpu
from tests.peaks.prompted import PROMPTED
from tests.peaks.record import ENCODER_CODE, recorded, type_of, varied
from tests.peaks.runs import gathered_experts, model_with
from tests.samples import architecture_of


def measured(model: Any, row: Row, *, cache: str = "dynamic", explain: bool = False) -> Live:
    """One run. Buffers that no file holds count where classes make large ones."""
    shape = (row.batch_size, row.prompt_tokens)
    ids = torch.arange(row.batch_size * row.prompt_tokens).reshape(shape) % 100 + 3
    mask = torch.ones_like(ids)
    if row.padded:
        mask[0, : _hidden(row.prompt_tokens)] = 0
    has_buffers = bool(buffers(architecture_of(model.config.to_dict()), 2))
    live = Live([*model.parameters(), *(() if has_buffers else model.buffers())], explain=explain)
    live.start_with([ids, mask, *(model.buffers() if has_buffers else ())])
    # As on a GPU (generation/utils.py).
    model._optimize_model_for_decode = lambda: gathered_experts(model)
    if not row.new_tokens:
        with torch.no_grad(), as_on_a_gpu(), live:
            model(input_ids=ids, attention_mask=mask, use_cache=True)
        return live
    options: dict[str, Any] = {"max_new_tokens": row.new_tokens, "eos_token_id": None, "pad_token_id": 0}
    if cache != "dynamic":
        options["cache_implementation"] = cache
    with torch.no_grad(), as_on_a_gpu(), live:
        model.generate(ids, attention_mask=mask, do_sample=False, use_cache=True, **options)
    return live


def model_of(config: Mapping[str, Any], row: Row) -> Any:
    """In the type of its run. Raises ValueError for an attention that it does not have."""
    model_type = type_of(row.name)
    dtype = dtype_of(architecture_of({**config, "model_type": model_type}), row)
    return model_with(model_type, config, row.attention, dtype)


_CANNOT: Final = ("qwen2_5_omni_thinker", "qwen3_omni_moe_thinker", "recurrent_gemma", *PROMPTED)
"""Types whose own configs leave out what `generate()` needs; whose class keeps states in its modules, so that the first
run is another than the next; and wholes that insist on an image."""


def _hidden(prompt_tokens: int) -> int:
    """How many tokens of the shortest prompt are padding."""
    return prompt_tokens // 4


def rows_of(name: str, cache: str = "dynamic") -> Iterator[Row]:
    """All runs of one of tests/peaks' records; none where its class has no `generate()`, or not with such a cache."""
    model_type, config = type_of(name), recorded()[name].config
    if model_type in ENCODER_CODE and cache == "dynamic":
        yield from _padded_encoder(name, config)
        return
    for variant, batch_size, prompt_tokens, new_tokens in SHAPES if cache == "dynamic" else STATIC_SHAPES:
        for attention in ("sdpa", "eager"):
            row = Row(
                name=name,
                variant=variant,
                attention=attention,
                batch_size=batch_size,
                prompt_tokens=prompt_tokens,
                new_tokens=new_tokens,
                padded=False,
                peak_bytes=0,
            )
            try:
                model = model_of(config_of(config, row), row)
            except ValueError:
                continue
            if not hasattr(model, "generate") or model_type in _CANNOT:
                return
            for padded in (False, True) if new_tokens and _hidden(prompt_tokens) else (False,):
                run = replace(row, padded=padded)
                yield replace(run, peak_bytes=measured(model, run, cache=cache).peak.total_bytes)


def _padded_encoder(name: str, config: Mapping[str, Any]) -> Iterator[Row]:
    """A text encoder's forward over sequences of which one is padded; without, it is in tests/peaks."""
    if "masked-narrow" not in variants_of(type_of(name), config, "bf16"):
        return
    for attention in ("sdpa", "eager"):
        row = Row(
            name=name,
            variant="masked-narrow",
            attention=attention,
            batch_size=2,
            prompt_tokens=40,
            new_tokens=0,
            padded=True,
            peak_bytes=0,
        )
        try:
            model = encoder_with(type_of(name), varied(config, row.variant), attention)
        except ValueError:
            continue
        live = measured_encoder(model, row.batch_size, row.prompt_tokens, padded=True)
        yield replace(row, peak_bytes=live.peak.total_bytes)
