"""The KV cache, by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubvram.architecture.attention import CrossAttention, FullAttention, LatentAttention, SlidingAttention
from hubvram.memory.kv_cache import (
    held_tokens,
    knows_cache,
    kv_cache_bytes,
    prefill_excess_bytes,
    state_bytes,
    token_bytes,
)
from tests.samples import MEASURED, architecture_of, fixture_architecture, small_llama

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


def _only_grows(name: str) -> bool:
    architecture = fixture_architecture(name)
    parts = [part for layer in architecture.layers for part in layer.parts]
    return not any(part.states or isinstance(part, CrossAttention) for part in parts)


growing = st.sampled_from([name for name in MEASURED if _only_grows(name)])


@given(name=growing, tokens=tokens_)
def test_cache_and_excess_are_the_whole_prompt(name: str, tokens: int) -> None:
    """After prefill every layer holds every token, whatever its kind."""
    architecture = fixture_architecture(name)
    held = sum(
        measure(architecture, tokens=tokens, batch_size=1, element_bytes=2)
        for measure in (kv_cache_bytes, prefill_excess_bytes)
    )
    mixers = [layer.mixer for layer in architecture.layers if layer.mixer is not None]
    assert held == tokens * sum(token_bytes(mixer, 2) for mixer in mixers)


@given(name=growing, tokens=tokens_)
def test_bytes_follow_the_precision(name: str, tokens: int) -> None:
    architecture = fixture_architecture(name)
    eight, sixteen, thirty_two = (
        kv_cache_bytes(architecture, tokens=tokens, batch_size=1, element_bytes=element_bytes)
        for element_bytes in (1, 2, 4)
    )
    assert (2 * eight, 4 * eight) == (sixteen, thirty_two)


# ------------------------------------------------------------------- what does not grow with tokens


def cached(
    config: dict[str, object],
    tokens: int,
    *,
    batch_size: int = 1,
    element_bytes: int = 2,
    input_tokens: int | None = None,
) -> int:
    architecture = architecture_of(config)
    assert knows_cache(architecture)
    sizes = {"batch_size": batch_size, "element_bytes": element_bytes}
    of_tokens = kv_cache_bytes(architecture, tokens=tokens, input_tokens=input_tokens, **sizes)
    return of_tokens + state_bytes(architecture, **sizes)


MAMBA2: Final = {
    # state-spaces/mamba2-2.7b
    **{"model_type": "mamba2", "hidden_size": 2560, "num_hidden_layers": 64, "num_heads": 80, "head_dim": 64},
    **{"state_size": 128, "n_groups": 1, "conv_kernel": 4, "expand": 2},
}


def test_a_state_space_keeps_its_state_in_fp32_and_inputs_of_its_convolution() -> None:
    # 64 layers: 80 heads x 64 x 128 states of 4 bytes, and the last 4 of 5120 + 2 x 128 channels in 2 bytes
    recurrent, conv = 64 * 80 * 64 * 128 * 4, 64 * (5120 + 256) * 4 * 2
    assert cached(MAMBA2, 1) == cached(MAMBA2, 100_000) == recurrent + conv
    assert cached(MAMBA2, 7, batch_size=3) == 3 * (recurrent + conv)
    assert cached(MAMBA2, 7, element_bytes=4) == recurrent + 2 * conv


def test_a_cache_in_few_bits_is_one_of_tokens_not_of_states() -> None:
    # Where tokens are kept in fp8, a state keeps the types that the model computes in.
    assert kv_cache_bytes(architecture_of(MAMBA2), tokens=7, batch_size=1, element_bytes=1) == 0
    hybrid = architecture_of(
        {"model_type": "qwen3_next", "num_hidden_layers": 4, "num_experts": 4, "num_experts_per_tok": 2}
    )
    # One layer of 4 attends, with 2 heads of 256 for K and for V.
    assert kv_cache_bytes(hybrid, tokens=1000, batch_size=1, element_bytes=1) == 1000 * 2 * 2 * 256


def test_a_hybrid_keeps_both() -> None:
    # Qwen3-Next-80B: 48 layers, 12 of them attend. 32 heads of 128 x 128; convolutions over 2 x 2048 + 4096, 4 long.
    states = 36 * (32 * 128 * 128 * 4 + 8192 * 4 * 2)
    assert cached({"model_type": "qwen3_next", "num_hidden_layers": 48}, 96) == states + 96 * 12 * 2 * 2 * 256 * 2
    assert states + 96 * 12 * 2 * 2 * 256 * 2 == 76.5 * 2**20


# -------------------------------------------------------------------------------------- both sides

T5_LARGE: Final = {
    **{"model_type": "t5", "d_model": 1024, "d_ff": 4096, "d_kv": 64, "num_heads": 16, "num_layers": 24},
    **{"num_decoder_layers": 24, "vocab_size": 32128},
}


def test_the_input_is_the_encoders_and_the_rest_is_decoded() -> None:
    # 24 layers, K and V of 16 heads of 64 in 2 bytes
    token = 24 * 2 * 16 * 64 * 2
    assert cached(T5_LARGE, 576, batch_size=2, input_tokens=512) == 2 * token * (512 + 64)
    # The decoder starts from a token of its own.
    assert cached(T5_LARGE, 512, input_tokens=512) == cached(T5_LARGE, 512) == token * (512 + 1)


def test_whisper_always_hears_as_much() -> None:
    whisper = {"model_type": "whisper", "d_model": 384, "decoder_layers": 4, "decoder_attention_heads": 6}
    whisper |= {"encoder_layers": 4, "encoder_attention_heads": 6, "max_source_positions": 1500}
    token = 4 * 2 * 384 * 2
    assert cached(whisper, 64, input_tokens=1) == cached(whisper, 64, input_tokens=64) == token * (1500 + 64)


def test_a_class_without_a_cache() -> None:
    assert cached({"model_type": "openai-gpt"}, 512) == 0


def test_an_indexer_that_keeps_its_keys_in_fp32() -> None:
    part = LatentAttention(
        hidden_size=64,
        num_attention_heads=4,
        q_lora_rank=24,
        kv_lora_rank=16,
        qk_nope_head_dim=8,
        qk_rope_head_dim=4,
        v_head_dim=12,
        index_n_heads=2,
        index_head_dim=8,
    )
    assert token_bytes(part, 2) == 2 * (16 + 4 + 8)
    assert token_bytes(replace(part, index_dtype="fp32"), 2) == 2 * (16 + 4) + 4 * 8


def test_an_indexer_of_blocks_keeps_its_own_keys() -> None:
    # 5 tokens x (a full layer of K and V of 2 heads x 16; a sparse one with 8 features more) x 2 bytes
    config = {
        **{"model_type": "minimax_m3_vl_text", "num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4},
        **{"num_key_value_heads": 2, "head_dim": 16, "index_n_heads": 2, "index_head_dim": 8},
        "layer_types": ["full_attention", "minimax_m3_sparse"],
    }
    assert kv_cache_bytes(architecture_of(config), tokens=5, batch_size=1, element_bytes=2) == 5 * (64 + 64 + 8) * 2
