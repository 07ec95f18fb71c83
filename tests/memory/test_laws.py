"""Laws that hold for every family: more of anything never takes less, and the parts are the whole."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hubvram.architecture.families import FAMILIES
from hubvram.architecture.layers import Architecture
from hubvram.errors import ConfigError, UnsupportedOptionError
from hubvram.memory.engines import ENGINES
from hubvram.memory.engines.transformers_static import MEASURED
from hubvram.memory.estimate import Basis, MemoryEstimate
from hubvram.memory.estimator import estimate_memory
from hubvram.memory.workload import Attention, Workload
from hubvram.quantization.schemes import SCHEMES
from tests.peaks.both_sides_record import recorded
from tests.peaks.pairs import OF_TWO
from tests.peaks.record import type_of
from tests.samples import architecture_of, no_weights

_WANTED: Final = {"reformer": {"is_decoder": True}}
"""What the class with a head insists on."""


def _default(model_type: str) -> Architecture | None:
    """By the defaults of its type; None where those leave out what it needs."""
    try:
        return architecture_of({"model_type": model_type, **_WANTED.get(model_type, {})})
    except (ConfigError, AssertionError):
        return None


PAIRS: Final = {
    name: architecture_of({**record.config, "model_type": type_of(name)})
    for name, record in recorded().items()
    if type_of(name) in OF_TWO
}
"""An encoder and a decoder of two types each, small: their default is a pair that was not run."""
_ALONE: Final = {name: found for name in sorted(FAMILIES) if (found := _default(name)) is not None}
_STATIC: Final = " with a static cache"
ARCHITECTURES: Final = {
    **_ALONE,
    **PAIRS,
    **{name + _STATIC: _ALONE[name] for name in sorted(MEASURED & _ALONE.keys())},
}

OF_SEQUENCES: Final = ("kv_cache", "state", "activations", "outputs")

DECODES_PAIRS: Final = ("rwkv",)
"""Its decode step runs over each pair of sequences (forward/rwkv.py), which is less than a prompt that is longer than
there are sequences, and more than a shorter one."""

each_type = st.sampled_from(list(ARCHITECTURES))
tokens_ = st.integers(1, 20_000)
batch_ = st.integers(1, 64)
several_ = st.integers(2, 64)


def estimate_of(model_type: str, *, context: int, input_tokens: int, batch: int, dtype: str = "bf16") -> MemoryEstimate:
    """Of a model without weights. Workloads that a class cannot run are no examples."""
    architecture = ARCHITECTURES[model_type]
    cache = "static" if model_type.endswith(_STATIC) else "dynamic"
    workload = Workload(context_tokens=context, input_tokens=input_tokens, batch_size=batch, cache=cache)
    try:
        ENGINES[workload.engine].check(architecture, workload)
    except UnsupportedOptionError:
        assume(False)
    return estimate_memory(no_weights(dtype), architecture, workload)


def totals(estimate: MemoryEstimate) -> tuple[int, int, int]:
    return estimate.total_low_bytes, estimate.total_bytes, estimate.total_high_bytes


def assert_not_less(after: MemoryEstimate, before: MemoryEstimate) -> None:
    assert all(more >= less for more, less in zip(totals(after), totals(before), strict=True))


def test_most_families_are_here() -> None:
    assert len(ARCHITECTURES) > 0.9 * len(FAMILIES)


@given(model_type=each_type, tokens=tokens_, more=tokens_, batch=batch_)
def test_a_longer_prompt_never_takes_less(model_type: str, tokens: int, more: int, batch: int) -> None:
    before, after = (
        estimate_of(model_type, context=each, input_tokens=each, batch=batch) for each in (tokens, tokens + more)
    )
    assert_not_less(after, before)


@given(model_type=each_type, prompt=tokens_, new=tokens_, more=tokens_, batch=batch_)
def test_a_longer_answer_never_takes_less(model_type: str, prompt: int, new: int, more: int, batch: int) -> None:
    before, after = (
        estimate_of(model_type, context=prompt + each, input_tokens=prompt, batch=batch) for each in (new, new + more)
    )
    assert_not_less(after, before)


@given(model_type=each_type, tokens=tokens_, batch=several_, times=st.integers(2, 9))
def test_what_several_sequences_hold_is_exactly_linear_in_the_batch(
    model_type: str, tokens: int, batch: int, times: int
) -> None:
    if model_type in DECODES_PAIRS:
        assume(batch * times <= tokens)
    few, many = (
        estimate_of(model_type, context=tokens, input_tokens=tokens, batch=each) for each in (batch, batch * times)
    )
    for name in OF_SEQUENCES:
        assert many.size_of(name) == times * few.size_of(name)
    # What all share is hidden behind what sequences hold elsewhere, the more of them there are.
    assert many.size_of("buffers") <= few.size_of("buffers")
    assert many.size_of("runtime") == few.size_of("runtime")


@given(model_type=each_type, tokens=tokens_)
def test_one_sequence_alone_never_takes_more_than_half_of_two(model_type: str, tokens: int) -> None:
    """Less where two are copied for a product, and one is read where it is (Run.is_alone)."""
    one, two = (
        sum(found.size_of(name) for name in OF_SEQUENCES)
        for batch in (1, 2)
        for found in [estimate_of(model_type, context=tokens, input_tokens=tokens, batch=batch)]
    )
    assert 2 * one <= two


@given(model_type=each_type, tokens=tokens_, batch=batch_)
def test_a_wider_type_never_takes_less(model_type: str, tokens: int, batch: int) -> None:
    sixteen, thirty_two = (
        estimate_of(model_type, context=tokens, input_tokens=tokens, batch=batch, dtype=dtype)
        for dtype in ("bf16", "fp32")
    )
    # In eager attention 16-bit scores have a 32-bit copy, which 32-bit ones need not: 10 bytes to 8. Pixels and
    # sound come in 32 bits, and are copied where they are to be 16.
    engine, architecture = ENGINES["transformers"], ARCHITECTURES[model_type]
    if (
        engine.resolve_attention(architecture, Attention.AUTO) is Attention.EAGER
        or architecture.image
        or architecture.encoder
    ):
        # The peak may be while nothing is cached yet, so at the end.
        cached = [
            found.instants[-1].kv_cache_bytes if found.instants else found.size_of("kv_cache")
            for found in (thirty_two, sixteen)
        ]
        assert cached[0] >= cached[1]
    else:
        assert_not_less(thirty_two, sixteen)


@given(model_type=each_type, tokens=tokens_, batch=batch_)
def test_components_are_the_whole_and_only_assumed_ones_have_a_range(model_type: str, tokens: int, batch: int) -> None:
    found = estimate_of(model_type, context=tokens, input_tokens=tokens, batch=batch)
    assert found.total_bytes == sum(component.size_bytes for component in found.components)
    for component in found.components:
        assert component.low_bytes <= component.size_bytes <= component.high_bytes
        assert component.basis is Basis.ASSUMED or component.low_bytes == component.high_bytes
    spread = [component.high_bytes - component.low_bytes for component in found.components]
    assert found.total_high_bytes - found.total_low_bytes == sum(spread)


@pytest.mark.parametrize("model_type", list(ARCHITECTURES))
def test_more_bits_never_take_less(model_type: str) -> None:
    architecture = ARCHITECTURES[model_type]
    sizes = [
        SCHEMES[name].weigh(architecture, architecture.parameters).size_bytes
        for name in ("int4", "int8", "bf16", "fp32")
    ]
    assert sizes == sorted(sizes)
