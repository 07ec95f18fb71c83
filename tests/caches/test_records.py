"""The formulas against what real caches held (fixtures/caches.json), to the byte, without transformers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from hubvram.memory.kv_cache import knows_cache, kv_cache_bytes, prefill_excess_bytes
from tests.caches.record import RUNS, Record, recorded, said
from tests.samples import architecture_of

RECORDS = recorded()

UNKNOWN = {
    "vision-encoder-decoder": "how many positions an image has is known for encoders that see; this one does not",
}
"""Types without a figure, and why."""


def test_every_run_is_recorded() -> None:
    assert RECORDS.keys() == RUNS.keys()


@pytest.mark.parametrize("name", RECORDS)
def test_a_cache_holds_what_is_said(name: str) -> None:
    record, run = RECORDS[name], RUNS[name]
    architecture = architecture_of(record.config)
    assert knows_cache(architecture)
    assert list(said(architecture, both_sides=run.both_sides)) == expected(name, record)


@pytest.mark.parametrize("name", RECORDS)
def test_it_grows_with_the_context_and_is_linear_in_the_batch(name: str) -> None:
    architecture = architecture_of(RECORDS[name].config)
    lengths = (1, 2, 7, 8, 9, 127, 128, 129, 4096, 100_000)
    for measure in (kv_cache_bytes, prefill_excess_bytes):
        one, three = (
            [measure(architecture, tokens=tokens, batch_size=batch, element_bytes=2) for tokens in lengths]
            for batch in (1, 3)
        )
        assert one == sorted(one)
        assert three == [3 * held for held in one]
    with_input = [
        kv_cache_bytes(architecture, tokens=tokens, input_tokens=1, batch_size=1, element_bytes=2) for tokens in lengths
    ]
    assert with_input == sorted(with_input)


def expected(name: str, record: Record) -> list[int]:
    """What was measured, but for two types: what is said is what they hold at other steps."""
    first, *later = record.held_bytes
    if name == "deepseek_v4":
        # Room for 4 tokens is said, of which 4, 1 and 2 wait in the 12th to 14th step: 2 layers, a batch of 2, two
        # entries' values and weights, of 512 + 8 features, in bf16.
        later = [held + free * 2 * 2 * 2 * 2 * (512 + 8) * 2 for held, free in zip(later, (0, 3, 2), strict=True)]
    if name == "recurrent_gemma":
        # Until it decodes, convolutions keep an input less. 4 of 6 layers, 64 channels, a batch of 2, in bf16.
        first += 4 * 64 * 2 * 2
    return [first, *later]


@pytest.mark.parametrize("model_type", UNKNOWN)
def test_what_was_not_shown_has_no_figure(model_type: str) -> None:
    assert not knows_cache(architecture_of({"model_type": model_type, **CONFIGS.get(model_type, {})}))


CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "vision-encoder-decoder": {
        "encoder": {"model_type": "bert"},
        "decoder": {"model_type": "gpt2", "add_cross_attention": True},
    },
}
