"""The arithmetic of loading step by step, by hand."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubvram.memory.engines.transformers_steps import natural
from hubvram.memory.estimate import Basis
from hubvram.memory.loading import Step, kept_bytes, known, not_known, peak_one_by_one, peak_read_ahead

PLAIN = Step(10, 10, 10)
JOINED = Step(6, 6, 12)
PACKED = Step(8, 2, 10)


@pytest.mark.parametrize(
    ("steps", "one_by_one", "read_ahead"),
    [
        ([], 0, 0),
        ([PLAIN, PLAIN], 20, 20),
        # 10 are there when 12 are at work; 10 more come later, or lie there already.
        ([PLAIN, JOINED, PLAIN], 26, 32),
        ([JOINED, PLAIN, PLAIN], 26, 32),
        ([PLAIN, PLAIN, JOINED], 32, 32),
        # Packing frees: 10, then 2 + 10. All read at once are 16, and 18 while the first becomes 2 of 10.
        ([PACKED, PACKED], 12, 18),
    ],
)
def test_peaks(steps: list[Step], one_by_one: int, read_ahead: int) -> None:
    assert (peak_one_by_one(steps), peak_read_ahead(steps)) == (one_by_one, read_ahead)


def _step(read: int, kept: int, more: int) -> Step:
    return Step(read, kept, max(read, kept) + more)


@given(st.lists(st.builds(_step, *(st.integers(0, 1000) for _ in range(3)))))
def test_reading_ahead_never_takes_less_and_all_that_is_kept_is_there_in_the_end(steps: list[Step]) -> None:
    low, high = peak_one_by_one(steps), peak_read_ahead(steps)
    assert kept_bytes(steps) <= low <= high
    for position in range(len(steps)):
        without = steps[:position] + steps[position + 1 :]
        assert peak_one_by_one(without) <= low
        assert peak_read_ahead(without) <= high


def test_figures() -> None:
    assert known(5, Basis.READ, "x").high_bytes == 5
    assert known(0, Basis.READ, "x", high_bytes=5).high_bytes == 5
    assert (not_known("x").low_bytes, not_known("x").basis) == (None, None)


NAMES = (
    *("lm_head.weight", "model.embed_tokens.weight", "model.norm.weight", "model.layers.2.mlp.up_proj.weight"),
    *("model.layers.10.mlp.up_proj.weight", "model.layers.2.mlp.experts.10.w1.weight", "a.2.b", "a.b.2", "a", "a.2"),
    *("model.layers.2.mlp.experts.9.w2.weight", "ngram.shard_2.weight", "ngram.shard_11.weight", "ngram.shard.weight"),
    *("model.layers.2.mlp.experts.9.w13_weight", "h.3.attn.c_attn.weight", "x.007", "x.7a", "x."),
)


def test_names_are_ordered_as_transformers_does() -> None:
    core = pytest.importorskip("transformers.core_model_loading")
    assert sorted(NAMES, key=natural) == sorted(NAMES, key=core.dot_natural_key)


@given(st.lists(st.text(alphabet="a1.²٣", max_size=40)))
def test_names_that_somebody_made_up(names: list[str]) -> None:
    keys = sorted(map(natural, names))
    assert all(first <= second for first, second in pairwise(keys))


def test_numbers_of_thousands_of_digits() -> None:
    assert natural("a." + "9" * 10_000) > natural("a.8")
