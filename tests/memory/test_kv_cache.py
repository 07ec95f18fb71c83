"""The KV cache, by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubvram.architecture.attention import FullAttention, SlidingAttention
from hubvram.memory.kv_cache import held_tokens, kv_cache_bytes, prefill_excess_bytes, token_bytes
from tests.samples import MEASURED, architecture_of, attention_of, fixture_architecture, small_llama

FULL = FullAttention(hidden_size=64, num_attention_heads=4, num_key_value_heads=2, head_dim=16)
SLIDING = SlidingAttention(hidden_size=64, num_attention_heads=4, num_key_value_heads=2, head_dim=16, sliding_window=10)


def test_a_token_is_k_and_v_of_all_kv_heads() -> None:
    # 2 (K and V) x 2 heads x 16 x 2 bytes
    assert token_bytes(FULL, 2) == 128
    assert token_bytes(FULL, 1) == 64
    assert token_bytes(SLIDING, 2) == 128


@pytest.mark.parametrize(("tokens", "held"), [(1, 1), (9, 9), (10, 10), (11, 10), (10_000, 10)])
def test_a_sliding_layer_holds_its_window(tokens: int, held: int) -> None:
    assert held_tokens(SLIDING, tokens) == held
    assert held_tokens(FULL, tokens) == tokens


@pytest.mark.parametrize(
    ("named", "held"),
    [
        # transformers' cache has the window that a config names, though llama's class does not look at it.
        ({"sliding_window": 10}, 10),
        ({"attention_chunk_size": 10}, 10),
        ({"sliding_window": None, "attention_chunk_size": 10}, 10),
        # Its slice of one window less one is all of it.
        ({"sliding_window": 1}, 25),
        # No number that a window could be.
        ({"sliding_window": 0}, 25),
        ({"sliding_window": False}, 25),
        ({"sliding_window": "x"}, 25),
    ],
)
def test_a_window_that_a_class_does_not_know(named: dict[str, object], held: int) -> None:
    for layer in small_llama(**named).layers:
        assert type(layer.mixer) is FullAttention
        assert held_tokens(layer.mixer, 25) == held


def test_a_latent_has_such_a_window_too() -> None:
    # A latent of 16 and 4 rotated features, in 2 bytes each.
    sizes = {"hidden_size": 64, "num_attention_heads": 4, "vocab_size": 10, "num_hidden_layers": 2, "kv_lora_rank": 16}
    heads = {"qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 12, "intermediate_size": 8}
    latent = architecture_of({"model_type": "minicpm3", "q_lora_rank": 24, "sliding_window": 10} | sizes | heads)
    assert kv_cache_bytes(latent, tokens=25, batch_size=3, element_bytes=2) == 3 * 2 * 10 * 20 * 2


def test_keys_and_values_that_are_repeated_before_they_are_cached() -> None:
    assert token_bytes(replace(FULL, cached_heads=4), 2) == 2 * token_bytes(FULL, 2)


def test_llama_70b_at_8192_tokens() -> None:
    # 2 x 80 layers x 8 KV heads x 128 x 8,192 tokens x 2 bytes
    architecture = fixture_architecture("meta-llama--Llama-3.1-70B")
    assert kv_cache_bytes(architecture, tokens=8192, batch_size=1, element_bytes=2) == 2_684_354_560


@pytest.mark.parametrize(
    ("name", "tokens", "batch_size", "element_bytes", "cache_bytes"),
    [
        # 2 x 32 x 8 x 128 x 8,192 x 2: one GiB.
        ("meta-llama--Llama-3.1-8B", 8192, 1, 2, 2**30),
        # 2 x 32 x 32 x 96 x 4,096 x 2; its window of 2,047 tokens holds in all layers.
        ("microsoft--Phi-3-mini-4k-instruct", 4096, 1, 2, 2 * 32 * 32 * 96 * 2047 * 2),
        # A window of 4,096 in all 32 layers.
        ("mistralai--Mistral-7B-v0.1", 32_768, 2, 2, 2 * (2 * 32 * 8 * 128 * 4096 * 2)),
        # 22 layers with 512 tokens, 4 with all; one KV head of 256.
        ("google--gemma-3-1b-it", 32_768, 1, 2, (22 * 512 + 4 * 32_768) * 2 * 256 * 2),
        # 13 layers with 4,096 tokens, 13 with all; 4 KV heads of 256, in fp32.
        ("google--gemma-2-2b", 8192, 3, 4, 3 * (13 * 4096 + 13 * 8192) * 2 * 4 * 256 * 4),
        # As many KV heads as heads.
        ("openai-community--gpt2", 1024, 1, 4, 2 * 12 * 768 * 1024 * 4),
        # An fp8 cache is half as large.
        ("meta-llama--Llama-3.1-70B", 131_072, 1, 1, 80 * 2 * 1024 * 131_072),
    ],
)
def test_published_models(name: str, tokens: int, batch_size: int, element_bytes: int, cache_bytes: int) -> None:
    architecture = fixture_architecture(name)
    found = kv_cache_bytes(architecture, tokens=tokens, batch_size=batch_size, element_bytes=element_bytes)
    assert found == cache_bytes


def test_after_prefill_sliding_layers_still_hold_the_whole_prompt() -> None:
    # Layers 1 and 3 of 4 slide (gemma2), with 2 KV heads of 16: 128 bytes a token. 25 tokens, 10 kept.
    sizes = {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 10}
    gemma = architecture_of({"model_type": "gemma2", "num_hidden_layers": 4, "sliding_window": 10} | sizes)
    assert kv_cache_bytes(gemma, tokens=25, batch_size=3, element_bytes=2) == 3 * 128 * (2 * 25 + 2 * 10)
    assert prefill_excess_bytes(gemma, tokens=25, batch_size=3, element_bytes=2) == 3 * 128 * 2 * 15
    assert prefill_excess_bytes(gemma, tokens=10, batch_size=3, element_bytes=2) == 0


def test_full_layers_hold_nothing_in_excess() -> None:
    assert prefill_excess_bytes(small_llama(), tokens=1000, batch_size=1, element_bytes=2) == 0


each_fixture = st.sampled_from(MEASURED)
tokens_ = st.integers(1, 200_000)
batches = st.integers(1, 64)


@given(name=each_fixture, tokens=tokens_, batch_size=batches)
def test_a_cache_is_exactly_linear_in_the_batch(name: str, tokens: int, batch_size: int) -> None:
    architecture = fixture_architecture(name)
    one = kv_cache_bytes(architecture, tokens=tokens, batch_size=1, element_bytes=2)
    assert kv_cache_bytes(architecture, tokens=tokens, batch_size=batch_size, element_bytes=2) == batch_size * one


@given(name=each_fixture, tokens=tokens_, more=st.integers(0, 5000))
def test_a_cache_never_shrinks_with_its_context(name: str, tokens: int, more: int) -> None:
    architecture = fixture_architecture(name)
    for measure in (kv_cache_bytes, prefill_excess_bytes):
        before = measure(architecture, tokens=tokens, batch_size=1, element_bytes=2)
        assert measure(architecture, tokens=tokens + more, batch_size=1, element_bytes=2) >= before


@given(name=each_fixture, tokens=tokens_)
def test_cache_and_excess_are_the_whole_prompt(name: str, tokens: int) -> None:
    """After prefill every layer holds every token, whatever its kind."""
    architecture = fixture_architecture(name)
    held = sum(
        measure(architecture, tokens=tokens, batch_size=1, element_bytes=2)
        for measure in (kv_cache_bytes, prefill_excess_bytes)
    )
    assert held == tokens * sum(2 * attention_of(layer).k_size * 2 for layer in architecture.layers)


@given(name=each_fixture, tokens=tokens_)
def test_bytes_follow_the_precision(name: str, tokens: int) -> None:
    architecture = fixture_architecture(name)
    eight, sixteen, thirty_two = (
        kv_cache_bytes(architecture, tokens=tokens, batch_size=1, element_bytes=element_bytes)
        for element_bytes in (1, 2, 4)
    )
    assert (2 * eight, 4 * eight) == (sixteen, thirty_two)
