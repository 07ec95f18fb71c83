"""Every name that --dtype accepts."""

from __future__ import annotations

import pytest

from hubvram.dtypes import PRECISION_BITS
from hubvram.errors import UsageError
from hubvram.quantization.precisions import ALIASES, check_precision, described, is_gguf, nominal_bits, normal_precision


@pytest.mark.parametrize("name", ["int3", "", "stored", "int4-g64", "Q4_K_M", "q4_k_xl"])
def test_an_unknown_precision_says_where_the_known_ones_are(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_precision(name)
    assert repr(name) in caught.value.problem
    assert "hubvram dtypes" in caught.value.hint


def test_every_name_is_described_and_none_twice() -> None:
    rows = list(described())
    names = [name for name, _, _ in rows]
    assert len(names) == len(set(names))
    assert {*PRECISION_BITS, "nf4", "awq", "q4_k_m", "iq4_xs", "q8_0"} <= set(names)
    for name, bits, text in rows:
        check_precision(name)
        assert nominal_bits(name) == bits == PRECISION_BITS.get(name, bits)
        assert text and "\n" not in text


def test_llama_quantizes_short_names_are_understood() -> None:
    assert [normal_precision(name) for name in ("Q4_K", " q3_k", "Q5_K_S", "INT4")] == [
        "q4_k_m",
        "q3_k_m",
        "q5_k_s",
        "int4",
    ]
    for name in ALIASES:
        check_precision(normal_precision(name))


def test_gguf_is_what_is_no_scheme() -> None:
    assert is_gguf("q4_k_m") and not is_gguf("int4") and not is_gguf("nonsense")
