"""What is alive while a cache is packed, against the allocator's count in real forwards (fixtures/measurements)."""

from __future__ import annotations

from typing import Final

import pytest

from hubvram.architecture.attention import FullAttention
from hubvram.architecture.layers import Architecture
from hubvram.architecture.mlp import MoEMLP
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


_SCALARS: Final = 26
"""Bytes of numbers that kernels and caches make beside tensors: a scale's bounds, a mask's value, counters."""
_COUNTS: Final = 2 * 4
"""Of each expert, how many tokens chose it, and their sum with those before (integrations/moe.py)."""
_SCRATCH: Final = 1664
"""Of oneDNN, for a product of one token with V on the CPU, beyond the 8 bytes a score that a softmax in fp32 takes."""


def experts_of(architecture: Architecture) -> int:
    mlp = architecture.layers[-1].mlp
    return mlp.num_experts if isinstance(mlp, MoEMLP) else 0


def row_bytes(architecture: Architecture, attention: str) -> int:
    """Of the one token of a step: its hidden states, or its K and V, whichever is wider. A step is played without what
    packing leaves of it in between; and without the CPU's scratch at the product with V, beside what heads say."""
    mixer = architecture.layers[0].mixer
    assert isinstance(mixer, FullAttention)
    row = BATCH * 2 * max(architecture.hidden_size, mixer.k_size + mixer.v_size)
    return row + (BATCH * 2 * mixer.q_size + _SCRATCH if attention == "eager" else 0)


@pytest.mark.parametrize(
    ("record", "row"), ROWS, ids=[f"{row.model_type}-{row.attention}-{row.kind}" for _, row in ROWS]
)
def test_peaks_are_those_measured(record: Record, row: Row) -> None:
    """A prompt's to the byte, but for single numbers; a step's but for a row of its token."""
    architecture = architecture_of({"model_type": row.model_type, **record.config})
    prefill, decode = said(architecture, row, 2)
    assert 0 <= row.prefill_peak_bytes - prefill <= _SCALARS + _COUNTS * experts_of(architecture)
    spare = row_bytes(architecture, row.attention) + _SCALARS
    assert abs(row.decode_peak_bytes - decode) <= spare
    if row.anew_peak_bytes:
        _, anew = said(architecture, row, 128)
        assert abs(row.anew_peak_bytes - anew) <= spare
