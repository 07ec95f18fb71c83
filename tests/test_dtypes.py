"""Storage types and nominal sizes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubvram import dtypes

LLAMA_70B = 70_553_706_496


@pytest.mark.parametrize(
    ("precision", "weight_bytes"),
    # Llama-3.1-70B's parameters x 4, 2, 1, 1, 0.5 bytes.
    [
        ("fp32", 282_214_825_984),
        ("fp16", 141_107_412_992),
        ("bf16", 141_107_412_992),
        ("fp8", 70_553_706_496),
        ("int8", 70_553_706_496),
        ("int4", 35_276_853_248),
    ],
)
def test_nominal_bytes_of_llama_70b(precision: str, weight_bytes: int) -> None:
    assert dtypes.nominal_weight_bytes(LLAMA_70B, dtypes.PRECISION_BITS[precision]) == weight_bytes


def test_an_odd_number_of_four_bit_weights_takes_a_whole_byte_more() -> None:
    assert [dtypes.nominal_weight_bytes(number, 4) for number in (0, 1, 2, 3)] == [0, 1, 1, 2]


def test_rule_of_thumb() -> None:
    # 35,276,853,248 x 1.2 = 42,332,223,897.6
    assert dtypes.rule_of_thumb_bytes(35_276_853_248) == 42_332_223_897


@given(st.integers(0, 10**13))
def test_more_bits_never_take_less(parameters: int) -> None:
    sizes = [dtypes.nominal_weight_bytes(parameters, bits) for bits in sorted(dtypes.PRECISION_BITS.values())]
    assert sizes == sorted(sizes)


def test_bits_agree_with_the_reference_writer() -> None:
    numpy = pytest.importorskip("numpy", reason="numpy, which the reference writer needs, is not installed")
    from safetensors.numpy import save

    names = set()
    for numpy_name in ("bool", "u1", "i1", "i2", "u2", "f2", "i4", "u4", "f4", "f8", "i8", "u8", "c8"):
        content = save({"x": numpy.zeros(3, dtype=numpy_name)})
        entry = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["x"]
        start, end = entry["data_offsets"]
        assert 3 * dtypes.SAFETENSORS_BITS[entry["dtype"]] == 8 * (end - start)
        names.add(entry["dtype"])
    assert len(names) == 13


def test_tables_name_the_same_precisions() -> None:
    assert set(dtypes.TORCH_NAMES.values()) == set(dtypes.COMPUTE_BYTES) == set(dtypes.COMPUTE_DTYPES.values())
    assert set(dtypes.COMPUTE_DTYPES) <= set(dtypes.SAFETENSORS_BITS)
    for stored, name in dtypes.COMPUTE_DTYPES.items():
        assert dtypes.SAFETENSORS_BITS[stored] == 8 * dtypes.COMPUTE_BYTES[name]
    for name, element_bytes in dtypes.KV_CACHE_BYTES.items():
        assert dtypes.PRECISION_BITS[name] == 8 * element_bytes
