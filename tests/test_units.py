"""Quantities as people write and read them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubvram import units
from hubvram.errors import UsageError


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("25769803776", 25_769_803_776),
        ("24GiB", 25_769_803_776),
        ("24GB", 24_000_000_000),
        ("24 gib", 25_769_803_776),
        (" 24GiB ", 25_769_803_776),
        ("143156MiB", 143_156 * 1_048_576),
        ("1_000b", 1_000),
        ("1kB", 1_000),
        ("1KiB", 1_024),
        ("2tb", 2_000_000_000_000),
        ("2TiB", 2_199_023_255_552),
        # 79.11 x 2^30 = 84,943,715,696.64: whole bytes, rounded down.
        ("79.11GiB", 84_943_715_696),
        ("0.5GiB", 536_870_912),
    ],
)
def test_sizes(text: str, size_bytes: int) -> None:
    assert units.parse_size(text) == size_bytes


@pytest.mark.parametrize(("text", "tokens"), [("8192", 8192), ("8k", 8192), ("128K", 131_072), ("1m", 1_048_576)])
def test_tokens(text: str, tokens: int) -> None:
    assert units.parse_tokens(text) == tokens


@pytest.mark.parametrize("text", ["", "GiB", "-1GiB", "1e9", "24 Gi", "24 GiB free", "1.GiB", ".5GiB", "0x10", "nan"])
def test_what_is_no_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        units.parse_size(text)
    assert repr(text) in caught.value.problem
    assert "24GiB" in caught.value.hint


@pytest.mark.parametrize("text", ["8kb", "8 tokens", "max", "8GiB"])
def test_what_is_no_number_of_tokens_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="number of tokens"):
        units.parse_tokens(text)


@pytest.mark.parametrize("text", ["0", "0GiB", "0.0000000001kb", "9223372036854775808", "99999999999999TiB"])
def test_sizes_out_of_range_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="out of range"):
        units.parse_size(text)


@pytest.mark.parametrize("text", ["1", "24", "1048575"])
def test_a_bare_number_that_is_no_amount_of_memory_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        units.parse_size(text)
    assert caught.value.hint == f"write {text}GiB"


@pytest.mark.parametrize("text", ["8,192", "8_192", " 8192 ", "8k", "8K"])
def test_lengths_are_read_as_they_are_printed(text: str) -> None:
    assert units.parse_tokens(text) == 8192


@pytest.mark.parametrize("text", ["1.5", "\u0663", "99999999999"])
def test_lengths_that_are_none(text: str) -> None:
    with pytest.raises(UsageError):
        units.parse_tokens(text)


@given(st.integers(2**20, 2**63 - 1))
def test_plain_bytes_are_read_without_loss(size_bytes: int) -> None:
    assert units.parse_size(str(size_bytes)) == size_bytes


@given(st.integers(1, 10**9))
def test_binary_and_decimal_units_differ_as_defined(number: int) -> None:
    assert units.parse_size(f"{number}GiB") == number * 2**30
    assert units.parse_size(f"{number}GB") == number * 10**9


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (141_107_412_992, "131.42 GiB"),
        (2**30, "1.00 GiB"),
        (107_374_182, "0.10 GiB"),  # a tenth of a GiB, and one byte less:
        (107_374_181, "102.4 MiB"),
        (104_857, "0.1 MiB"),
        (104_856, "104,856 bytes"),
        (0, "0 bytes"),
        (5 * 2**40, "5,120.00 GiB"),
    ],
)
def test_sizes_are_shown_in_one_family_of_units(size_bytes: int, text: str) -> None:
    assert units.size(size_bytes) == text


def test_gib_takes_decimals() -> None:
    # 70 billion parameters at 4, 2, 1 and half a byte: the figures that everyone starts from.
    assert [units.gib(70 * 10**9 * bits // 8, 1) for bits in (32, 16, 8, 4)] == ["260.8", "130.4", "65.2", "32.6"]
    assert units.gib(141_107_412_992) == "131.42"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (70_553_706_496, "70.55 B"),
        (855_654_400, "855.65 M"),
        (16_384, "16,384"),
        (999_999, "999,999"),
        (1_000_000, "1.00 M"),
        (1_026_000_000_000, "1.03 T"),
        (0, "0"),
    ],
)
def test_counts(number: int, text: str) -> None:
    assert units.count(number) == text


@pytest.mark.parametrize(
    ("indices", "expected"),
    [([], ()), ([7], ((7, 7),)), ([0, 1, 2, 5], ((0, 2), (5, 5))), ([0, 2, 4], ((0, 0), (2, 2), (4, 4)))],
)
def test_ranges(indices: list[int], expected: tuple[tuple[int, int], ...]) -> None:
    assert units.ranges(indices) == expected


@given(st.sets(st.integers(0, 200)))
def test_ranges_hold_exactly_their_indices(indices: set[int]) -> None:
    found = units.ranges(sorted(indices))
    assert [index for first, last in found for index in range(first, last + 1)] == sorted(indices)
    assert all(last + 1 < first for (_, last), (first, _) in pairwise(found))
