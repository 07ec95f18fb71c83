"""The answer as a whole: its components, and the laws that hold for every model and workload."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hubvram.errors import UnsupportedOptionError
from hubvram.inspection import weights_of
from hubvram.memory.engines.transformers import TRANSFORMERS
from hubvram.memory.estimate import Basis, MemoryEstimate
from hubvram.memory.estimator import estimate_memory
from hubvram.memory.weights import STORED, Weights
from hubvram.memory.workload import Attention, Workload
from tests.samples import NAMES, fixture_architecture, fixture_model, workload_of

PRECISIONS: Final = (STORED, "fp32", "fp16", "bf16", "fp8", "int8", "int4", "nf4-dq", "int8-bnb", "hqq4")
PER_SEQUENCE: Final = ("kv_cache", "state", "activations", "outputs")
SHARED: Final = ("weights", "buffers", "runtime")

each_fixture = st.sampled_from(NAMES)
each_precision = st.sampled_from(PRECISIONS)
tokens_ = st.integers(1, 40_000)
batches = st.integers(1, 64)
attentions = st.sampled_from([Attention.AUTO, Attention.EAGER, Attention.FLASH])


def kind(name: str, attention: Attention) -> Attention:
    """What is asked for, or what the class takes by itself where it does not have that (mamba has none at all)."""
    try:
        return TRANSFORMERS.resolve_attention(fixture_architecture(name), attention)
    except UnsupportedOptionError:
        return Attention.AUTO


def estimate(name: str, precision: str, workload: Workload) -> MemoryEstimate:
    model = fixture_model(name)
    weights = weights_of(model, precision)
    assert isinstance(weights, Weights)
    if name == "google-t5--t5-small" and workload.attention is Attention.FLASH:
        workload = replace(workload, attention=Attention.AUTO)  # Its class knows no other than that and eager.
    return estimate_memory(weights, model.architecture, workload)


def test_llama_70b_in_int4() -> None:
    found = estimate("meta-llama--Llama-3.1-70B", "int4", workload_of(8192))
    assert found.nominal_weight_bytes == 35_276_853_248
    assert found.rule_of_thumb_bytes == 42_332_223_897
    assert found.size_of("kv_cache") == 2_684_354_560
    assert (found.scheme, found.compute_dtype, found.kv_cache_dtype) == ("int4-g128", "bf16", "bf16")
    assert [component.name for component in found.components] == [
        "weights",
        "kv_cache",
        "activations",
        "runtime",
    ]
    # At the peak, the MLP of prefill, there are no logits. Each token's id twice, mask, position, 2 x 128 of cos
    # and sin in bf16.
    assert found.peak == "prefill"
    assert found.size_of("activations") == 8192 * (2 * (4 * 8192 + 3 * 28_672) + 4 * 8 + 512)
    assert found.size_of("outputs") == found.size_of("buffers") == 0


@pytest.mark.parametrize(
    ("kv_cache_dtype", "cache_bytes"), [("fp32", 2**31), ("fp16", 2**30), ("bf16", 2**30), ("fp8", 2**29)]
)
def test_the_cache_in_other_precisions(kv_cache_dtype: str, cache_bytes: int) -> None:
    found = estimate("meta-llama--Llama-3.1-8B", "bf16", workload_of(8192, kv_cache_dtype=kv_cache_dtype))
    assert found.kv_cache_dtype == kv_cache_dtype
    assert found.size_of("kv_cache") == cache_bytes


def test_the_cache_is_as_the_model_computes() -> None:
    by_precision = {
        precision: estimate("openai-community--gpt2", precision, workload_of(64)) for precision in PRECISIONS[:7]
    }
    assert {precision: found.kv_cache_dtype for precision, found in by_precision.items()} == {
        STORED: "fp32",
        "fp32": "fp32",
        "fp16": "fp16",
        "bf16": "bf16",
        "fp8": "bf16",
        "int8": "bf16",
        "int4": "bf16",
    }


def test_an_attention_that_the_class_refuses_is_an_error() -> None:
    with pytest.raises(UnsupportedOptionError):
        estimate("google--gemma-2-2b", "bf16", workload_of(64, attention=Attention.SDPA))


def test_weights_that_stay_fp32_beside_fp16() -> None:
    """google-t5/t5-small has 60,506,624 parameters; 12 x 512 x 2,048 of them take four bytes where others take two."""
    by_precision = {precision: estimate("google-t5--t5-small", precision, workload_of(64)) for precision in PRECISIONS}
    assert by_precision["bf16"].size_of("weights") == 60_506_624 * 2
    assert by_precision["fp16"].size_of("weights") == 60_506_624 * 2 + 12 * 512 * 2048 * 2
    assert "12,582,912 of the parameters stay fp32" in by_precision["fp16"].components[0].note


def test_without_an_architecture_there_is_no_cache() -> None:
    model = fixture_model("openai-community--gpt2")
    found = estimate_memory(model.stored, None, workload_of(64))
    assert not found.is_complete
    assert [component.name for component in found.components] == ["weights", "runtime"]
    assert (found.kv_cache_dtype, found.peak, found.instants) == (None, None, ())


def test_grounds() -> None:
    # One token: its logits are the peak.
    found = estimate("meta-llama--Llama-3.1-8B", STORED, workload_of(1))
    assert {component.name: component.basis for component in found.components} == {
        "weights": Basis.READ,
        "kv_cache": Basis.DERIVED,
        "activations": Basis.DERIVED,
        "outputs": Basis.DERIVED,
        "runtime": Basis.ASSUMED,
    }


# ------------------------------------------------------------------------------------------ laws


@given(name=each_fixture, precision=each_precision, tokens=tokens_, batch_size=batches, attention=attentions)
def test_components_sum_to_the_total(
    name: str, precision: str, tokens: int, batch_size: int, attention: Attention
) -> None:
    found = estimate(name, precision, workload_of(tokens, batch_size=batch_size, attention=kind(name, attention)))
    names = [component.name for component in found.components]
    assert len(names) == len(set(names))
    assert set(names) <= {*PER_SEQUENCE, *SHARED, "unpacked"}
    assert found.total_bytes == sum(found.size_of(part) for part in names)
    for component in found.components:
        assert 0 <= component.low_bytes <= component.size_bytes <= component.high_bytes
        assert (component.low_bytes == component.high_bytes) == (component.basis is not Basis.ASSUMED)
    assert found.total_low_bytes <= found.total_bytes <= found.total_high_bytes


@given(name=each_fixture, precision=each_precision, tokens=tokens_, batch_size=batches, attention=attentions)
def test_the_components_are_those_of_the_largest_moment(
    name: str, precision: str, tokens: int, batch_size: int, attention: Attention
) -> None:
    found = estimate(name, precision, workload_of(tokens, batch_size=batch_size, attention=kind(name, attention)))
    assume(found.is_complete)
    sequences = sum(found.size_of(part) for part in PER_SEQUENCE)
    assert sequences == max(instant.total_bytes for instant in found.instants)
    # With what all of them share, the total is that of the moment that is named.
    (peak,) = (instant for instant in found.instants if instant.name == found.peak)
    most = peak.total_bytes + peak.buffers_bytes
    assert most == max(instant.total_bytes + instant.buffers_bytes for instant in found.instants)
    assert sequences + found.size_of("buffers") == most


@given(
    name=each_fixture,
    precision=each_precision,
    context=tokens_,
    prompt=tokens_,
    batch_size=batches,
    attention=attentions,
)
def test_doubling_the_batch_doubles_what_is_per_sequence(
    name: str, precision: str, context: int, prompt: int, batch_size: int, attention: Attention
) -> None:
    once, twice = (
        estimate(
            name,
            precision,
            workload_of(context, input_tokens=min(prompt, context), batch_size=number, attention=kind(name, attention)),
        )
        for number in (2 * batch_size, 4 * batch_size)  # one sequence alone may take less than half of two
    )
    for part in PER_SEQUENCE:
        assert twice.size_of(part) == 2 * once.size_of(part)
    # What all share is hidden behind what more sequences hold elsewhere.
    assert twice.size_of("buffers") <= once.size_of("buffers")
    assert twice.size_of("runtime") == once.size_of("runtime")


@given(
    name=each_fixture,
    precision=each_precision,
    tokens=tokens_,
    more=st.integers(0, 5000),
    batch_size=batches,
    attention=attentions,
)
def test_memory_never_shrinks_with_the_context(
    name: str, precision: str, tokens: int, more: int, batch_size: int, attention: Attention
) -> None:
    """Where all of the context is prompt, and where the prompt stays what it was."""
    before = estimate(name, precision, workload_of(tokens, batch_size=batch_size, attention=kind(name, attention)))
    for prompt in (tokens, tokens + more):
        workload = workload_of(
            tokens + more, input_tokens=prompt, batch_size=batch_size, attention=kind(name, attention)
        )
        assert estimate(name, precision, workload).total_bytes >= before.total_bytes


@given(
    name=each_fixture,
    precision=each_precision,
    tokens=tokens_,
    batch_size=batches,
    more=st.integers(0, 10),
    attention=attentions,
)
def test_memory_never_shrinks_with_the_batch(
    name: str, precision: str, tokens: int, batch_size: int, more: int, attention: Attention
) -> None:
    before, after = (
        estimate(name, precision, workload_of(tokens, batch_size=number, attention=kind(name, attention))).total_bytes
        for number in (batch_size, batch_size + more)
    )
    assert after >= before


@pytest.mark.parametrize("name", NAMES)
def test_more_bits_never_take_less(name: str) -> None:
    by_bits = [
        estimate(name, precision, workload_of(64)).size_of("weights")
        for precision in ("int4", "int8", "fp8", "bf16", "fp16", "fp32")
    ]
    assert by_bits == sorted(by_bits)


@given(name=each_fixture, precision=each_precision, tokens=tokens_)
def test_a_smaller_cache_precision_never_takes_more(name: str, precision: str, tokens: int) -> None:
    totals = [
        estimate(name, precision, workload_of(tokens, kv_cache_dtype=dtype)).total_bytes
        for dtype in ("fp8", "bf16", "fp16", "fp32")
    ]
    assert totals == sorted(totals)


@given(name=each_fixture, tokens=tokens_, batch_size=batches)
def test_eager_attention_never_takes_less_than_flash(name: str, tokens: int, batch_size: int) -> None:
    """From as many tokens on as its scores outweigh what a fused kernel keeps: 10 H S against 4 a + 2 G d."""
    if tokens < 2048 or kind(name, Attention.FLASH) is not Attention.FLASH:
        return
    eager, flash = (
        estimate(name, "bf16", workload_of(tokens, batch_size=batch_size, attention=kind(name, attention))).total_bytes
        for attention in (Attention.EAGER, Attention.FLASH)
    )
    assert eager >= flash
