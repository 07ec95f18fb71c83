"""What can be asked of a model, and what cannot."""

from __future__ import annotations

import pytest

from hubvram.errors import UsageError
from hubvram.memory.workload import Attention, Workload
from tests.samples import workload_of


def test_defaults() -> None:
    workload = Workload(context_tokens=10, input_tokens=10)
    assert (workload.batch_size, workload.kv_cache_dtype, workload.attention) == (1, None, Attention.AUTO)


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_batch_has_a_sequence(batch_size: int) -> None:
    with pytest.raises(UsageError, match="a batch of"):
        workload_of(10, batch_size=batch_size)


@pytest.mark.parametrize(("context", "prompt"), [(0, 0), (-1, 1), (1, 0), (10, -5)])
def test_a_context_has_a_token(context: int, prompt: int) -> None:
    with pytest.raises(UsageError, match="at least one token"):
        workload_of(context, input_tokens=prompt)


def test_the_prompt_is_a_part_of_the_context() -> None:
    assert workload_of(10, input_tokens=10).input_tokens == 10
    with pytest.raises(UsageError, match="an input of 8,193 tokens does not fit a context of 8,192"):
        workload_of(8192, input_tokens=8193)
