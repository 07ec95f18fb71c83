"""The kinds of cache in an answer: which are refused, what they add to, and laws."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hubvram.dtypes import CACHES
from hubvram.errors import UnsupportedOptionError, UsageError
from hubvram.inspection import Inspection, inspect_model
from hubvram.inspection.notes import workload_notes
from hubvram.memory.cache_packings import PACKINGS
from hubvram.memory.engines.transformers_caches import check_cache
from tests.samples import architecture_of, fixture_model, small_llama, workload_of

LLAMA = "meta-llama--Llama-3.1-8B"
GEMMA = "google--gemma-3-1b-it"
MAMBA = "state-spaces--mamba-130m-hf"
T5 = "google-t5--t5-small"

kinds = st.sampled_from(sorted(CACHES))


def inspection(name: str, cache: str, context: int, *, input_tokens: int | None = None, batch: int = 1) -> Inspection:
    workload = workload_of(context, input_tokens=input_tokens, batch_size=batch, cache=cache)
    return inspect_model(fixture_model(name), workload, ("bf16",))


def test_all_kinds_side_by_side() -> None:
    # 1 GiB in 16 bit; 4.5 bits of 16 where packed in 4 with scales.
    held = {kind: inspection(LLAMA, kind, 8192).estimates[0].size_of("kv_cache") for kind in CACHES}
    assert held["dynamic"] == held["static"] == 2**30
    assert held["fp8"] == 2**29
    assert held["quanto-int4"] == held["hqq-int4"] == 2**30 * 9 // 32
    assert {kind: inspection(LLAMA, kind, 8).estimates[0].kv_cache_dtype for kind in CACHES} == {
        **dict.fromkeys(("dynamic", "static"), "bf16"),
        "fp8": "fp8",
        **{kind: kind.rpartition("-")[2] for kind in CACHES if "-" in kind},
    }


def test_a_static_cache_has_room_from_the_start() -> None:
    short, long = (inspection(GEMMA, "static", 8192, input_tokens=tokens).estimates[0] for tokens in (1, 8192))
    # 22 layers of 512 tokens and 4 of all, one head of 256.
    assert short.size_of("kv_cache") == long.size_of("kv_cache") == (22 * 512 + 4 * 8192) * 2 * 256 * 2
    assert short.is_complete
    assert any("without torch.compile" in note for note in inspection(GEMMA, "static", 100).notes)
    unknown = inspection(T5, "static", 100)
    assert not unknown.estimates[0].is_complete
    assert any("static cache are not known" in note for note in unknown.notes)


def test_states_stand_apart() -> None:
    (estimate,) = inspection(MAMBA, "static", 100).estimates
    # 24 layers: 1,536 channels of 16 states in fp32, and the last 4 of them in 16 bit.
    assert estimate.size_of("state") == 24 * (1536 * 16 * 4 + 1536 * 4 * 2)
    assert estimate.size_of("kv_cache") == 0
    assert estimate.total_bytes == sum(component.size_bytes for component in estimate.components)


@pytest.mark.parametrize(
    ("name", "cache", "word"),
    [(GEMMA, "quanto-int4", "full attention"), (MAMBA, "fp8", "full attention"), (T5, "hqq-int4", "encoder")],
)
def test_what_is_refused(name: str, cache: str, word: str) -> None:
    with pytest.raises(UnsupportedOptionError, match=word) as caught:
        inspection(name, cache, 64)
    assert "--cache takes dynamic, static for it" in str(caught.value.hint)


def test_types_of_their_own_have_one_kind() -> None:
    minimax = architecture_of({"model_type": "minimax"})
    for kind in CACHES:
        if kind == "dynamic":
            check_cache(minimax, workload_of(8, cache=kind))
            continue
        with pytest.raises(UnsupportedOptionError, match="way of its own"):
            check_cache(minimax, workload_of(8, cache=kind))


def test_a_packed_cache_has_a_precision_of_its_own() -> None:
    with pytest.raises(UsageError, match="cannot be fp8 too"):
        workload_of(8, cache="quanto-int4", kv_cache_dtype="fp8")
    assert workload_of(8, cache="static", kv_cache_dtype="fp8").cache == "static"


def test_another_precision_is_said_to_be_another_engines() -> None:
    workload = workload_of(64, kv_cache_dtype="fp8")
    notes = inspect_model(fixture_model(LLAMA), workload, ("bf16",)).notes
    assert any("--cache fp8" in note for note in notes)


@pytest.mark.parametrize("model_type", ["reformer", "prophetnet", "bart"])
def test_another_engines_precision_where_fp8_is_refused(model_type: str) -> None:
    """Layers that are blocks, a decoder of several streams, and an encoder."""
    architecture = architecture_of({"model_type": model_type, "is_decoder": True})
    notes = tuple(workload_notes(architecture, workload_of(64, kv_cache_dtype="fp8")))
    assert any("where that is not fp8, another engine would keep them so" in note for note in notes)
    assert not any("--cache fp8" in note for note in notes)


def test_an_input_that_cannot_be_packed_is_noted() -> None:
    # Two heads of 16: two tokens are a group.
    noted = {
        tokens: any(
            "refuses" in note for note in workload_notes(small_llama(), workload_of(tokens, cache="quanto-int4"))
        )
        for tokens in (7, 8)
    }
    assert noted == {7: True, 8: False}


def test_decoding_unpacks_a_layer() -> None:
    """Behind a short prompt the last step needs most: K and V of one layer, unpacked, and joined to what waits."""
    (estimate,) = inspection(LLAMA, "quanto-int4", 131_072, input_tokens=1000).estimates
    (decode,) = (instant for instant in estimate.instants if instant.name == "decode")
    assert estimate.peak == "decode" and "in the cache of a layer" in decode.explanation
    # 131,072 tokens, 1,016 x 128 of them behind the prompt: 24 wait; those before are packed anew at the step before.
    packed, tokens, width = 131_048, 131_048, 2 * 1024
    joined = 2 * width * (packed - 128 + tokens)
    work = (2 * 2 + 1 + 2 * 2 / 64) * 1024 * tokens  # of V, while it is packed anew
    assert decode.activations_bytes == pytest.approx(joined + work, rel=0.01)


@example(kind="hqq-int1", name=LLAMA, prompt=230, decoded=128, more=0, batch=1)  # the largest with buffers alone
@given(
    kind=kinds,
    name=st.sampled_from((LLAMA, "openai-community--gpt2", "deepseek-ai--DeepSeek-V3")),
    prompt=st.integers(1, 500),
    decoded=st.integers(0, 500),
    more=st.integers(0, 20),
    batch=st.integers(1, 3),
)
def test_more_never_takes_less(kind: str, name: str, prompt: int, decoded: int, more: int, batch: int) -> None:
    context = prompt + decoded
    (found,) = inspection(name, kind, context, input_tokens=prompt, batch=batch).estimates
    (longer,) = inspection(name, kind, context + more, input_tokens=prompt, batch=batch).estimates
    (wider,) = inspection(name, kind, context, input_tokens=prompt, batch=batch + 1).estimates
    assert found.total_bytes <= longer.total_bytes
    assert found.total_bytes <= wider.total_bytes
    assert found.total_bytes == sum(component.size_bytes for component in found.components)
    if kind in PACKINGS and found.instants:
        peak = next(instant for instant in found.instants if instant.name == found.peak)
        alive = [instant.total_bytes + instant.buffers_bytes for instant in found.instants]
        assert peak.total_bytes + peak.buffers_bytes == max(alive)
        of_sequences = sum(map(found.size_of, ("kv_cache", "state", "activations", "outputs")))
        assert of_sequences == max(instant.total_bytes for instant in found.instants)
