"""config.json as a whole: its bytes, its parts, what it says about the repo."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubvram.config.reader import ModelConfig, parse_config
from hubvram.errors import ConfigError
from tests.samples import SMALL_LLAMA, config_of


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is not JSON"),
        (b"{", "it is not JSON"),
        (b"<!DOCTYPE html>", "it is not JSON"),
        (b"[]", "it is not a JSON object"),
        (b'"llama"', "it is not a JSON object"),
        (b"null", "it is not a JSON object"),
        (b'{"a": "\xff"}', "it is not UTF-8"),
        (b"[" * 200_000, "it is nested too deeply"),
        (b'{"a":' * 200_000, "it is nested too deeply"),
    ],
)
def test_what_is_no_config_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        parse_config(content, "org/name")
    assert caught.value.file == "config.json"


@given(st.binary(max_size=200))
def test_random_bytes_are_read_or_refused(content: bytes) -> None:
    try:
        parse_config(content, "org/name")
    except ConfigError as error:
        assert error.model_id == "org/name"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text("ab", max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=5), inner, max_size=3),
    max_leaves=5,
)
FIELDS = ("model_type", "architectures", "dtype", "torch_dtype", "quantization_config", "text_config", "hidden_size")


@given(st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4))
def test_random_values_are_read_or_refused_by_name(data: dict[str, Any]) -> None:
    try:
        config_of(data)
    except ConfigError as error:
        assert any(field in error.reason for field in FIELDS)


def test_a_plain_config() -> None:
    config = config_of({**SMALL_LLAMA, "architectures": ["LlamaForCausalLM"], "torch_dtype": "bfloat16"})
    assert config == ModelConfig(
        model_type="llama",
        architectures=("LlamaForCausalLM",),
        dtype="bf16",
        quantization=None,
        whole=config.text,
        text=config.text,
        text_model_type="llama",
    )
    assert not config.is_nested
    assert config.text.size("hidden_size") == 64


def test_an_empty_config_says_nothing() -> None:
    config = config_of({})
    assert (config.model_type, config.text_model_type, config.architectures) == (None, None, ())
    assert (config.dtype, config.quantization_method, config.is_nested) == (None, None, False)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model_type", 3),
        ("architectures", "LlamaForCausalLM"),
        ("architectures", [1]),
        ("dtype", 16),
        ("torch_dtype", {}),
        ("quantization_config", "awq"),
        ("text_config", []),
    ],
)
def test_a_wrong_type_is_named(field: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"config\.json: {field}(\[0\])?: expected"):
        config_of({field: value})


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ({"torch_dtype": "bfloat16"}, "bf16"),
        ({"dtype": "float16"}, "fp16"),
        ({"dtype": "float32", "torch_dtype": "float16"}, "fp32"),
        ({"torch_dtype": "torch.float64"}, "fp64"),
        ({"torch_dtype": "auto"}, None),
        ({"torch_dtype": None}, None),
        ({"text_config": {"dtype": "bfloat16"}}, "bf16"),
    ],
)
def test_dtype_under_its_new_and_its_old_name(values: dict[str, Any], dtype: str | None) -> None:
    assert config_of(values).dtype == dtype


@pytest.mark.parametrize(
    ("values", "method"),
    [
        ({}, None),
        ({"quantization_config": None}, None),
        ({"quantization_config": {"quant_method": "awq", "bits": 4}}, "awq"),
        ({"quantization_config": {"load_in_4bit": True}}, "a method that quantization_config does not name"),
        ({"text_config": {"quantization_config": {"quant_method": "fp8"}}}, "fp8"),
    ],
)
def test_quantization_is_noticed(values: dict[str, Any], method: str | None) -> None:
    assert config_of(values).quantization_method == method


def test_the_text_model_of_a_larger_one() -> None:
    config = config_of(
        {"model_type": "gemma3", "text_config": {"model_type": "gemma3_text", "hidden_size": 2560}, "vision_config": {}}
    )
    assert config.is_nested
    assert (config.model_type, config.text_model_type) == ("gemma3", "gemma3_text")
    assert config.text.size("hidden_size") == 2560
    # Its own defaults stand behind it: Gemma3TextConfig().vocab_size.
    assert config.text.size("vocab_size") == 262_208


def test_an_error_in_the_text_model_has_its_path() -> None:
    config = config_of({"model_type": "llava", "text_config": {"model_type": "llama", "num_hidden_layers": "many"}})
    with pytest.raises(ConfigError, match=r"config\.json: text_config\.num_hidden_layers: expected an integer"):
        config.text.size("num_hidden_layers")


def test_a_text_section_beside_the_dimensions_is_not_the_model() -> None:
    config = config_of({"model_type": "llama", "hidden_size": 64, "text_config": {"hidden_size": 1}})
    assert not config.is_nested
    assert config.text.size("hidden_size") == 64


def test_numbers_that_json_cannot_write_are_refused_where_they_matter() -> None:
    config = parse_config(b'{"hidden_size": NaN, "vocab_size": Infinity}', "org/name")
    with pytest.raises(ConfigError, match="hidden_size: expected an integer, found nan"):
        config.text.size("hidden_size")


def test_a_number_of_very_many_digits_is_not_json_to_us() -> None:
    # Python refuses to parse integers of more than 4,300 digits.
    with pytest.raises(ConfigError, match="a number of thousands of digits"):
        parse_config(b'{"hidden_size": ' + b"9" * 5000 + b"}", "org/name")


def test_a_byte_order_mark_is_not_json() -> None:
    with pytest.raises(ConfigError, match="it is not JSON"):
        parse_config(b"\xef\xbb\xbf" + json.dumps(dict(SMALL_LLAMA)).encode(), "org/name")
