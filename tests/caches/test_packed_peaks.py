"""What is alive while a cache is packed, against the allocator's count in real forwards (fixtures/measurements)."""

from __future__ import annotations

from typing import Final

import pytest

from hubvram.architecture.layers import Architecture
from hubvram.memory.engines.transformers import TRANSFORMERS
from hubvram.memory.forward.run import ID_BYTES
from hubvram.memory.workload import Attention
from tests.caches.packed_records import BATCH, KINDS, MODELS, PROMPT, Record, Row, recorded
from tests.samples import architecture_of, workload_of

RECORDS: Final = recorded()
ROWS: Final = [(record, row) for record in RECORDS for row in record.rows]


def said(architecture: Architecture, row: Row, decoded: int) -> tuple[int, int]:
    """(prefill, decode) of a generation, without ids, which the measured forwards were handed from outside."""
    workload = workload_of(
        PROMPT + decoded,
        input_tokens=PROMPT,
        batch_size=BATCH,
        cache=row.kind,
        attention=Attention(row.attention),
    )
    moments = TRANSFORMERS.instants(architecture, workload, element_bytes=2, cache_element_bytes=2)
    found = {moment.name: moment.total_bytes for moment in moments}
    buffers = max(moment.buffers_bytes for moment in moments)
    ids = [ID_BYTES * BATCH * tokens for tokens in (PROMPT, PROMPT + decoded)]
    prefill = max(found["prefill"], found["prefill-logits"]) + buffers
    return prefill - ids[0], max(found["decode"], found["decode-logits"]) - ids[1]


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
