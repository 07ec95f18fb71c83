"""Which layers look at a window only."""

from __future__ import annotations

from typing import Any

import pytest

from hubvram.architecture.attention import SlidingAttention
from hubvram.errors import ConfigError
from tests.samples import architecture_of


def windows(model_type: str, **values: Any) -> list[int | None]:
    """Layer by layer: its window, None for full attention."""
    architecture = architecture_of({"model_type": model_type, "num_hidden_layers": 4, "vocab_size": 100} | values)
    return [
        layer.mixer.sliding_window if isinstance(layer.mixer, SlidingAttention) else None
        for layer in architecture.layers
    ]


FULL = [None] * 4


@pytest.mark.parametrize("model_type", ["mistral", "mixtral", "phi3"])
def test_a_window_that_is_set_holds_everywhere(model_type: str) -> None:
    assert windows(model_type, sliding_window=16) == [16] * 4
    assert windows(model_type, sliding_window=None) == FULL


def test_what_is_left_out_is_the_default_of_the_model_type() -> None:
    # MistralConfig().sliding_window is 4,096; MixtralConfig() and Phi3Config() have none.
    assert windows("mistral") == [4096] * 4
    assert windows("mixtral") == FULL
    assert windows("phi3") == FULL


@pytest.mark.parametrize("model_type", ["qwen2", "qwen3"])
def test_qwen_windows_begin_at_a_layer_and_need_their_switch(model_type: str) -> None:
    values = {"sliding_window": 16, "max_window_layers": 3}
    assert windows(model_type, **values) == FULL
    assert windows(model_type, use_sliding_window=False, **values) == FULL
    assert windows(model_type, use_sliding_window=True, **values) == [None, None, None, 16]
    assert windows(model_type, use_sliding_window=True, sliding_window=16, max_window_layers=0) == [16] * 4
    # The default of max_window_layers is 28: none of four.
    assert windows(model_type, use_sliding_window=True, sliding_window=16) == FULL


def test_qwen3_moe_has_the_switch_and_no_first_layer() -> None:
    assert windows("qwen3_moe", sliding_window=16, max_window_layers=3) == FULL
    assert windows("qwen3_moe", sliding_window=16, max_window_layers=3, use_sliding_window=True) == [16] * 4


def test_gemma2_alternates() -> None:
    assert windows("gemma2", sliding_window=16) == [16, None, 16, None]


def test_gemma3_has_one_full_layer_in_six() -> None:
    assert windows("gemma3_text", num_hidden_layers=12, sliding_window=16) == [*[16] * 5, None] * 2


def test_gemma3_says_how_many() -> None:
    assert windows("gemma3_text", sliding_window=16, sliding_window_pattern=2) == [16, None, 16, None]
    assert windows("gemma3_text", sliding_window=16, sliding_window_pattern=1) == FULL
    with pytest.raises(ConfigError, match="sliding_window_pattern: 0 is not between"):
        windows("gemma3_text", sliding_window_pattern=0)


def test_gemma3_halves_a_window_that_reaches_both_ways() -> None:
    # Gemma3TextConfig.__post_init__: sliding_window // 2 + 1, exclusive bounds.
    assert windows("gemma3_text", sliding_window=512, use_bidirectional_attention=True) == [257] * 4
    # Also where the config lists its layers, as EmbeddingGemma's does.
    kinds = ["sliding_attention", "full_attention"] * 2
    values = {"layer_types": kinds, "sliding_window": 512, "use_bidirectional_attention": True}
    assert windows("gemma3_text", **values) == [257, None] * 2


@pytest.mark.parametrize("model_type", ["llama", "gemma", "gpt2", "gpt_neox"])
def test_the_rest_has_none(model_type: str) -> None:
    assert windows(model_type) == FULL


@pytest.mark.parametrize("model_type", ["mistral", "qwen2", "gemma2", "gemma3_text", "llama"])
def test_explicit_layer_types_win(model_type: str) -> None:
    kinds = ["full_attention", "full_attention", "sliding_attention", "full_attention"]
    values = {"layer_types": kinds, "sliding_window": 16, "use_sliding_window": True}
    assert windows(model_type, **values) == [None, None, 16, None]


def test_full_layers_need_no_window() -> None:
    assert windows("llama", layer_types=["full_attention"] * 4) == FULL


def test_sliding_layers_do() -> None:
    with pytest.raises(ConfigError, match="sliding_window: it is missing"):
        windows("llama", layer_types=["sliding_attention"] * 4)


@pytest.mark.parametrize("number", [1, 3, 5])
def test_layer_types_of_another_length_are_refused(number: int) -> None:
    with pytest.raises(ConfigError, match=f"layer_types: it names {number} layers, num_hidden_layers is 4"):
        windows("gemma2", layer_types=["full_attention"] * number)


@pytest.mark.parametrize("kind", ["linear_attention", "mamba", "", "FULL_ATTENTION"])
def test_an_unknown_kind_of_layer_is_refused(kind: str) -> None:
    with pytest.raises(ConfigError, match=f"layer_types: '{kind}' is no kind of layer"):
        windows("gemma2", layer_types=["full_attention", "sliding_attention", kind, "full_attention"])


@pytest.mark.parametrize("window", [0, -1, "4096", 4096.5, True, 10**30])
def test_a_window_is_a_positive_integer(window: Any) -> None:
    with pytest.raises(ConfigError, match="sliding_window: "):
        windows("mistral", sliding_window=window)
