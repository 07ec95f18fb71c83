"""What is alive while a cache is packed, against the allocator's count in real forwards (fixtures/measurements)."""

from __future__ import annotations

from typing import Final

import pytest

from hubvram.architecture.layers import Architecture
from hubvram.memory.engines.transformers import TRANSFORMERS
from hubvram.memory.estimate import Instant
from hubvram.memory.forward.run import ID_BYTES
from hubvram.memory.workload import Attention
from tests.caches.packed_records import BATCH, KINDS, MODELS, PROMPT, Record, Row, recorded
from tests.samples import architecture_of, workload_of

RECORDS: Final = recorded()
ROWS: Final = [(record, row) for record in RECORDS for row in record.rows]


def said(architecture: Architecture, row: Row, decoded: int) -> tuple[int, int]:
    """(prefill, decode) of a generation, as far as forwards alone make it: the measured ones had no `generate()`."""
    workload = workload_of(
        PROMPT + decoded,
        input_tokens=PROMPT,
        batch_size=BATCH,
        cache=row.kind,
        attention=Attention(row.attention),
    )
    moments = TRANSFORMERS.instants(architecture, workload, element_bytes=2, cache_element_bytes=2)
    found = {moment.name: forward_bytes(moment) for moment in moments}
    return max(found["prefill"], found["prefill-logits"]), max(found["decode"], found["decode-logits"])


def forward_bytes(moment: Instant) -> int:
    """Without ids, mask, and logits of the token before; positions, and what is made of them, once."""
    given = {"token ids, mask, and ids of all tokens", "fp32 logits of the token before"}
    held_bytes = sum(
        held.size_bytes // (BATCH if held.what in ("cos and sin", "embedded positions") else 1)
        for held in moment.held
        if held.what not in {*given, "position ids"}
    )
    tokens = 1 if moment.name.startswith("decode") else PROMPT
    return moment.kv_cache_bytes + moment.state_bytes + held_bytes + ID_BYTES * tokens


def test_all_are_recorded() -> None:
    assert [row.kind for _, row in ROWS] == [*KINDS] * (2 * len(MODELS))


@pytest.mark.parametrize(
    ("record", "row"), ROWS, ids=[f"{row.model_type}-{row.attention}-{row.kind}" for _, row in ROWS]
)
def test_peaks_are_those_measured(record: Record, row: Row) -> None:
    """To the byte in prefill, but for kernels' own; a step's single token is not modelled in full."""
    architecture = architecture_of({"model_type": row.model_type, **record.config})
    prefill, decode = said(architecture, row, 2)
    assert prefill == pytest.approx(row.prefill_peak_bytes, rel=0.00001)
    assert decode == pytest.approx(row.decode_peak_bytes, rel=0.0035)
    if row.anew_peak_bytes:
        _, anew = said(architecture, row, 128)
        assert anew == pytest.approx(row.anew_peak_bytes, rel=0.0015)
