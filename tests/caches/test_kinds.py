"""The other kinds of cache against what real ones held (fixtures/cache_kinds.json), to the byte."""

from __future__ import annotations

from typing import Final

import pytest

from hubvram.architecture.layers import Architecture
from hubvram.errors import UnsupportedOptionError
from hubvram.memory.cache_packings import PACKINGS
from hubvram.memory.engines.transformers_caches import Kept, check_cache
from hubvram.memory.quantized_cache import Step, quantized_bytes
from tests.caches.kind_records import BOTH_STATIC, KINDS, OWN, REFUSED, STATIC, STEPS, kinds_of, recorded
from tests.caches.record import BATCH, RUNS, TOKENS
from tests.caches.record import recorded as recorded_dynamic
from tests.samples import architecture_of, workload_of

RECORDS: Final = recorded()
CONFIGS: Final = {name: record.config for name, record in recorded_dynamic().items()}


_FAILS: Final = 'deepseek_v3 {"sliding_window":8,"layer_types"'
"""A config that nobody publishes: with windows here and there, this class fails in a static cache's masks."""


def static_said(architecture: Architecture, *, both_sides: bool) -> list[int]:
    found = []
    encoder = architecture.encoder
    source = TOKENS if both_sides and encoder is not None and encoder.source_tokens is None else 0
    for tokens, made in BOTH_STATIC if both_sides else STATIC:
        slots = source + tokens + made - 1  # the last token that is made is not read
        workload = workload_of(slots, input_tokens=source or tokens, batch_size=BATCH, cache="static")
        kept = Kept(architecture=architecture, workload=workload, held_bytes=2, computed_bytes=2)
        first, (last,) = kept.after_prefill(), kept.while_decoding()
        assert first == last
        found.append(first.kv_cache_bytes + first.state_bytes)
    return found


def packed_said(architecture: Architecture, kind: str) -> list[int]:
    first, *_ = STEPS
    steps: tuple[Step, ...] = (
        Step(packed=first),
        Step(packed=first, waiting=1),
        Step(packed=first, waiting=127),
        Step(packed=first + 128),
        Step(packed=first + 128, waiting=1),
    )
    if kind == "fp8":  # where none waits
        steps = tuple(Step(packed=step.packed + step.waiting) for step in steps)
    packing = PACKINGS[kind]
    return [quantized_bytes(architecture, packing, step, batch_size=BATCH, element_bytes=2) for step in steps]


def is_refused(architecture: Architecture, kind: str) -> bool:
    try:
        check_cache(architecture, workload_of(8, cache=kind))
    except UnsupportedOptionError:
        return True
    return False


def test_every_run_is_recorded() -> None:
    assert RECORDS.keys() == RUNS.keys()
    assert all(tuple(found) == kinds_of(name) for name, found in RECORDS.items())
    shown = {kind: sum(isinstance(found.get(kind), list) for found in RECORDS.values()) for kind in KINDS}
    assert shown["static"] >= 280 and all(shown[kind] >= 150 for kind in PACKINGS)


@pytest.mark.parametrize("name", RECORDS)
def test_a_cache_of_each_kind_holds_what_is_said(name: str) -> None:
    architecture, run = architecture_of(CONFIGS[name]), RUNS[name]
    for kind, found in RECORDS[name].items():
        fails = found in (REFUSED, OWN) and not (kind == "static" and name.startswith(_FAILS))
        assert is_refused(architecture, kind) == fails, kind
        if isinstance(found, list):
            said = static_said(architecture, both_sides=run.both_sides)
            assert (said if kind == "static" else packed_said(architecture, kind)) == found, kind
