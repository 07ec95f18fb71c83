"""Totals over a checkpoint's tensors."""

from __future__ import annotations

import pytest

from hubvram.checkpoint.tensors import Checkpoint, DtypeTotal, TensorInfo


def tensor(name: str, dtype: str, shape: tuple[int, ...], stored_bytes: int) -> TensorInfo:
    return TensorInfo(name=name, dtype=dtype, shape=shape, stored_bytes=stored_bytes, file="x")


@pytest.mark.parametrize(("shape", "elements"), [((), 1), ((0,), 0), ((3, 0, 5), 0), ((7,), 7), ((2, 3, 4), 24)])
def test_elements(shape: tuple[int, ...], elements: int) -> None:
    assert tensor("a", "U8", shape, elements).elements == elements


def test_no_tensors() -> None:
    empty = Checkpoint(tensors=(), files=())
    assert (empty.stored_bytes, empty.elements, empty.by_dtype()) == (0, 0, {})


def test_totals_by_dtype_are_the_largest_first() -> None:
    checkpoint = Checkpoint(
        tensors=[
            tensor("a", "F32", (), 4),
            tensor("b", "BF16", (4,), 8),
            tensor("c", "F4", (6,), 3),
            tensor("d", "BF16", (2, 2), 8),
            tensor("e", "BOOL", (3,), 3),
        ],
        files=("x",),
    )
    assert list(checkpoint.by_dtype().items()) == [
        ("BF16", DtypeTotal(elements=8, stored_bytes=16)),
        ("F32", DtypeTotal(elements=1, stored_bytes=4)),
        ("BOOL", DtypeTotal(elements=3, stored_bytes=3)),
        ("F4", DtypeTotal(elements=6, stored_bytes=3)),
    ]
    assert (checkpoint.elements, checkpoint.stored_bytes) == (18, 26)
