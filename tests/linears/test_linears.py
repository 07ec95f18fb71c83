"""What packed linears are said to allocate is what their tools' code does allocate, by the committed record.

`python -m tests.linears --run` makes it, so that neither torch nor the tools are needed.
"""

from __future__ import annotations

import pytest

from tests.linears.record import Row, recorded, said_bytes

ROWS = recorded()

_ON_THE_HOST = 10
"""Bytes of a threshold and its 16-bit copy, which stay on the host where tensors are on a GPU."""


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.scheme}-{row.dtype}-{row.tokens}-{row.in_features}")
def test_what_is_allocated_is_what_is_said(row: Row) -> None:
    assert row.peak_bytes - said_bytes(row) in (0, _ON_THE_HOST if row.scheme == "int8-bnb" else 0)


def test_every_way_is_recorded_in_both_types() -> None:
    assert {row.scheme for row in ROWS} == {"nf4", "nf4-dq", "int8-bnb", "hqq4"}
    assert all({row.dtype for row in ROWS if row.scheme == scheme} == {"bf16", "fp16"} for scheme in ("nf4", "hqq4"))
    # Few tokens and many, of which bitsandbytes treats each in its own way on every GPU.
    assert {row.tokens for row in ROWS if row.scheme == "nf4"} == {1, 4, 2000}
