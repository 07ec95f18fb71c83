"""transformers as an engine: the moments of a generation, and the attention that runs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubvram.errors import UnsupportedOptionError
from hubvram.memory.engines.transformers import TRANSFORMERS as engine
from hubvram.memory.estimator import peak_of
from hubvram.memory.workload import Attention
from tests.samples import MEASURED, architecture_of, fixture_architecture, small_llama, workload_of


@pytest.mark.parametrize("model_type", ["llama", "gemma2", "qwen3_moe", "gpt2", "phi3"])
def test_auto_is_sdpa_unless_the_class_does_not_support_it(model_type: str) -> None:
    architecture = architecture_of({"model_type": model_type})
    # modeling_gemma2.py: `_supports_sdpa = False  # sdpa does not support softcapping`
    expected = Attention.EAGER if model_type == "gemma2" else Attention.SDPA
    assert engine.resolve_attention(architecture, Attention.AUTO) is expected
    assert engine.resolve_attention(architecture, expected) is expected


def test_an_unsupported_attention_names_the_others() -> None:
    with pytest.raises(UnsupportedOptionError) as caught:
        engine.resolve_attention(architecture_of({"model_type": "gemma2"}), Attention.SDPA)
    assert caught.value.problem == "gemma2 does not run with sdpa attention in transformers 5.23"
    assert caught.value.hint == "--attention takes eager, flash for it"


def test_the_moments_of_a_generation() -> None:
    moments = engine.instants(small_llama(), workload_of(100, input_tokens=60), element_bytes=2, cache_element_bytes=2)
    assert [instant.name for instant in moments] == ["prefill", "prefill-logits", "decode", "decode-logits"]
    # 2 layers, 128 bytes a token in each; 60 tokens after prefill, 100 at the end.
    assert [instant.kv_cache_bytes for instant in moments] == [2 * 128 * 60] * 2 + [2 * 128 * 100] * 2
    # 100 logits in bf16, and again in fp32.
    assert [instant.outputs_bytes for instant in moments] == [0, 600, 0, 600]
    assert all(instant.explanation for instant in moments)


def test_the_cache_may_have_a_precision_of_its_own() -> None:
    sixteen, eight = (
        engine.instants(small_llama(), workload_of(100), element_bytes=2, cache_element_bytes=element_bytes)
        for element_bytes in (2, 1)
    )
    for before, after in zip(sixteen, eight, strict=True):
        assert after.kv_cache_bytes * 2 == before.kv_cache_bytes
        assert after.activations_bytes == before.activations_bytes


def test_a_base_model_has_no_logits() -> None:
    base = small_llama(architectures=["LlamaModel"])
    moments = engine.instants(base, workload_of(100), element_bytes=2, cache_element_bytes=2)
    assert [instant.outputs_bytes for instant in moments] == [0, 0, 0, 0]


@given(name=st.sampled_from(MEASURED), tokens=st.integers(1, 20_000), batch_size=st.integers(1, 32))
def test_the_peak_is_the_largest_moment(name: str, tokens: int, batch_size: int) -> None:
    workload = workload_of(tokens, batch_size=batch_size)
    moments = engine.instants(fixture_architecture(name), workload, element_bytes=2, cache_element_bytes=2)
    peak = peak_of(moments)
    assert peak in moments
    assert peak.total_bytes == max(instant.total_bytes for instant in moments)


def test_a_short_prompt_and_a_long_answer_peak_in_decoding() -> None:
    llama = fixture_architecture("meta-llama--Llama-3.1-8B")

    def peak(context_tokens: int, input_tokens: int) -> str:
        workload = workload_of(context_tokens, input_tokens=input_tokens)
        return peak_of(engine.instants(llama, workload, element_bytes=2, cache_element_bytes=2)).name

    assert peak(8192, 8192) == "prefill"
    assert peak(8192, 16) == "decode"
    # After one token there is nothing but its logits: 128,256 x 6 bytes.
    assert peak(1, 1).endswith("logits")
