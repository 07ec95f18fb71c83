"""What is alive at the peak of a forward with a packed cache: the allocator's own count, of small models in bf16.

Needs torch, transformers, optimum-quanto and hqq: `python -m tests.caches peaks`. HQQ works in fp16 on a GPU and in
fp32 on the CPU; here it is told to work as on a GPU.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, Final

import torch
import transformers

from tests.caches.build import values_of
from tests.caches.kinds import packed_cache
from tests.caches.packed_records import BATCH, KINDS, MODELS, PROMPT, Row
from tests.peaks.runs import gathered_experts, model_with

_OPTIMIZE: Any = import_module("hqq.core.optimize")
_OPTIMIZE.float32 = torch.float16  # in which it improves zeros

_MARK: Final = "the forward that is measured"


def _peak(before: Callable[[], Any], run: Callable[[], Any]) -> int:
    """The largest sum of live bytes while `run` runs, those made in `before` counted too."""
    gc.collect()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        before()
        gc.collect()
        with torch.profiler.record_function(_MARK):
            run()
    events = sorted(profile.profiler.kineto_results.events(), key=lambda event: event.start_ns())
    began = next(event.start_ns() for event in events if event.name() == _MARK)
    total = peak = 0
    for event in events:
        if event.name() == "[memory]":
            total += event.nbytes()
            peak = max(peak, total) if event.start_ns() >= began else peak
    return peak


def _rows(model_type: str, config: dict[str, Any], attention: str) -> Iterator[Row]:
    model = model_with(model_type, config, attention)
    ids = torch.arange(BATCH * PROMPT).reshape(BATCH, PROMPT) % 100 + 3
    for kind in KINDS:
        caches: list[Any] = []

        def read(*lengths: int, kind: str = kind, caches: list[Any] = caches) -> None:
            caches[:] = [packed_cache(model, kind)]
            for tokens in lengths:
                step(tokens)

        def step(tokens: int = 1, caches: list[Any] = caches) -> None:
            model(input_ids=ids[:, :tokens], past_key_values=caches[0], use_cache=True, logits_to_keep=1)

        with torch.no_grad():
            prefill = _peak(read, lambda: step(PROMPT))
            with gathered_experts(model):
                caches.clear()
                decode = _peak(lambda: read(PROMPT, 1), step)
                caches.clear()
                anew = 0 if kind == "fp8" else _peak(lambda: read(PROMPT, 127), step)
        yield Row(
            model_type=model_type,
            attention=attention,
            kind=kind,
            prefill_peak_bytes=prefill,
            decode_peak_bytes=decode,
            anew_peak_bytes=anew,
        )


def rows_now() -> Iterator[tuple[dict[str, Any], list[Row]]]:
    """(config, rows) of each model."""
    transformers.logging.set_verbosity_error()
    for model_type, sizes in MODELS.items():
        config = values_of(model_type, {})
        config = {**config, **{key: size for key, size in sizes.items() if key in config}}
        yield config, [row for attention in ("sdpa", "eager") for row in _rows(model_type, config, attention)]
