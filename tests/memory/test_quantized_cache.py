"""Packed caches: their bytes by arithmetic, what is alive while they pack as it was measured, and laws."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubvram.memory.cache_packings import PACKINGS
from hubvram.memory.quantized_cache import (
    Step,
    has_full_attention_only,
    packs_whole_groups,
    quantized_bytes,
    steps,
)
from tests.samples import MEASURED, architecture_of, fixture_architecture, small_llama

LLAMA: Final = "meta-llama--Llama-3.1-8B"
# 32 layers, K and V of 8 heads of 128: elements of one token.
ELEMENTS: Final = 32 * 2 * 8 * 128


@pytest.mark.parametrize(
    ("kind", "bits"),
    [
        # So many bits for an element, and 2 x 16 for the scale and zero of 64 of them.
        ("fp8", 8),
        ("quanto-int4", 4 + 0.5),
        ("quanto-int2", 2 + 0.5),
        ("hqq-int8", 8 + 0.5),
        ("hqq-int4", 4 + 0.5),
        ("hqq-int3", 3.5 + 0.5),  # seven words of 32 bits for 64 elements
        ("hqq-int2", 2 + 0.5),
        ("hqq-int1", 1 + 0.5),
    ],
)
def test_bits_of_an_element(kind: str, bits: float) -> None:
    llama, step = fixture_architecture(LLAMA), Step(packed=8192)
    found = quantized_bytes(llama, PACKINGS[kind], step, batch_size=3, element_bytes=2)
    assert found == 3 * 8192 * ELEMENTS * bits / 8


def test_tokens_that_wait_are_in_16_bit() -> None:
    llama, packing = fixture_architecture(LLAMA), PACKINGS["quanto-int4"]
    packed, waiting = (
        quantized_bytes(llama, packing, step, batch_size=1, element_bytes=2)
        for step in (Step(packed=100), Step(packed=100, waiting=127))
    )
    assert waiting - packed == 127 * ELEMENTS * 2


def test_groups_that_are_left_over_take_a_row() -> None:
    # One layer, K and V of one head of 64: a token is a group of each. Three are a row of 64 bytes and half of one.
    one = small_llama(num_hidden_layers=1, num_key_value_heads=1, head_dim=64)
    found = quantized_bytes(one, PACKINGS["quanto-int4"], Step(packed=3), batch_size=1, element_bytes=2)
    assert found == 2 * (2 * 64 + 3 * 2 * 2)


@pytest.mark.parametrize(
    ("kind", "tokens", "batch_size", "fits"),
    [
        # A token has 32 features of K: two are a group.
        ("quanto-int4", 8, 1, True),
        ("quanto-int4", 7, 2, False),
        ("hqq-int4", 7, 2, True),
        ("hqq-int4", 7, 1, False),
        ("fp8", 7, 1, True),
    ],
)
def test_a_prompt_has_to_make_whole_groups(kind: str, tokens: int, batch_size: int, fits: bool) -> None:
    # As the tools refuse it: "Group size (64) must be a divisor of (224)"; "group_size should be divisble".
    assert packs_whole_groups(small_llama(), kind, tokens=tokens, batch_size=batch_size) == fits


def test_which_layers_are_packed() -> None:
    assert has_full_attention_only(small_llama())
    assert not has_full_attention_only(small_llama(sliding_window=8))
    assert not has_full_attention_only(architecture_of({"model_type": "qwen3_next"}))
    assert not has_full_attention_only(architecture_of({"model_type": "t5"}))


@given(
    kind=st.sampled_from(sorted(PACKINGS)),
    prompt=st.integers(1, 300),
    decoded=st.integers(0, 600),
    batch=st.integers(1, 4),
)
def test_the_fullest_step_is_among_those_named(kind: str, prompt: int, decoded: int, batch: int) -> None:
    """Against all steps up to there, each as the cache goes through it (QuantizedLayer.update)."""
    llama, packing = fixture_architecture(LLAMA), PACKINGS[kind]

    def held(step: Step) -> int:
        return quantized_bytes(llama, packing, step, batch_size=batch, element_bytes=2)

    packed, waiting, fullest = prompt, 0, held(Step(packed=prompt))
    for _ in range(decoded):
        waiting += 1
        if kind == "fp8" or waiting == 128:
            packed, waiting = packed + waiting, 0
        fullest = max(fullest, held(Step(packed=packed, waiting=waiting)))
    named = steps(packing, tokens=prompt + decoded, input_tokens=prompt)
    assert max(map(held, named)) == fullest
    assert held(named[0]) == held(Step(packed=packed, waiting=waiting))


@given(
    name=st.sampled_from([name for name in MEASURED if has_full_attention_only(fixture_architecture(name))]),
    tokens=st.integers(1, 100_000),
    more=st.integers(0, 1000),
    batch=st.integers(1, 8),
)
def test_fewer_bits_never_take_more(name: str, tokens: int, more: int, batch: int) -> None:
    architecture = fixture_architecture(name)

    def held(kind: str, tokens: int, batch_size: int) -> int:
        step = Step(packed=tokens)
        return quantized_bytes(architecture, PACKINGS[kind], step, batch_size=batch_size, element_bytes=2)

    by_bits = ("hqq-int1", "hqq-int2", "hqq-int3", "hqq-int4", "hqq-int8")
    found = [held(kind, tokens, batch) for kind in by_bits]
    assert found == sorted(found)
    for kind in PACKINGS:
        assert held(kind, tokens, batch) <= held(kind, tokens + more, batch) <= held(kind, tokens + more, batch + 1)
