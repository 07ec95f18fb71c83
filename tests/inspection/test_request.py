"""What a model may be asked, from Python."""

from __future__ import annotations

from typing import Any

import pytest

from hubvram.errors import UsageError
from hubvram.hardware.accelerators import find_accelerator
from hubvram.inspection import inspect, request_of
from hubvram.memory.workload import Attention


@pytest.mark.parametrize(
    "options",
    [
        {"precisions": [4]},
        {"batch_size": "2"},
        {"batch_size": True},
        {"context": 1.5},
        {"context": float("nan")},
        {"context": True},
        {"input_tokens": "8"},
        {"kv_cache_dtype": 8},
        {"attention": "nope"},
        {"attention": None},
        {"accelerators": ["h99"]},
        {"headers": None},
        {"timeout_seconds": "5"},
        {"revision": "a\0b"},
    ],
)
def test_what_makes_no_sense_is_a_usage_error(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        inspect("gpt2", **options)


def test_names_are_read_as_people_write_them() -> None:
    request = request_of(
        precisions=["INT4", "bf16", "int4 "],
        attention="eager",
        kv_cache_dtype="FP8",
        context=" MAX",
        accelerators=["h100"],
    )
    assert request.precisions == ("int4", "bf16")
    assert (request.attention, request.kv_cache_dtype, request.context) == (Attention.EAGER, "fp8", "max")
    assert request.accelerators == (find_accelerator("h100"),)
