"""What configurations say of packed weights, by the fields of each tool, and what is refused."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubvram.config.quantization import UNNAMED, Group, QuantizationSettings, settings_of_file
from hubvram.config.quantization_files import HF_QUANT_CONFIG, QUANTO_MAP, SIDE_FILES, may_have_settings
from hubvram.errors import ConfigError
from tests.samples import config_of


def settings_of(section: Any, key: str = "quantization_config") -> QuantizationSettings:
    found = config_of({key: section}).quantization
    assert found is not None
    return found


def of_file(content: Any, file: str) -> QuantizationSettings | None:
    return settings_of_file(json.dumps(content).encode(), "test/model", file)


def test_nothing_is_said() -> None:
    assert config_of({}).quantization is None
    assert config_of({"quantization_config": None, "quantization": "none"}).quantization is None


def test_gptq_and_awq() -> None:
    gptq = settings_of({"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": True})
    assert (gptq.method, gptq.bits, gptq.group_size, gptq.file) == ("gptq", 4, 128, "config.json")
    awq = settings_of({"quant_method": "awq", "w_bit": 4, "q_group_size": -1, "modules_to_not_convert": ["gate"]})
    assert (awq.bits, awq.group_size, awq.kept_modules) == (4, None, ("gate",))


def test_bitsandbytes_writes_both_and_means_one() -> None:
    section = {
        "quant_method": "bitsandbytes",
        "load_in_8bit": True,
        "load_in_4bit": False,
        "bnb_4bit_quant_type": "nf4",
    }
    assert settings_of(section).bits == 8
    assert settings_of(section | {"load_in_8bit": False, "load_in_4bit": True}).bits == 4
    assert settings_of(section | {"llm_int8_skip_modules": None}).kept_modules == ()


@pytest.mark.parametrize(("named", "found"), [("bfloat16", "bf16"), ("float16", "fp16"), (None, "fp32"), ("odd", None)])
def test_bitsandbytes_computes_in_fp32_unless_told_otherwise(named: str | None, found: str | None) -> None:
    section = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_compute_dtype": named}
    assert settings_of(section).compute_dtype == found
    assert settings_of(section | {"load_in_4bit": False, "load_in_8bit": True}).compute_dtype is None


COMPRESSED = {
    "quant_method": "compressed-tensors",
    "format": "pack-quantized",
    "config_groups": {
        "group_0": {"targets": ["Linear"], "weights": {"num_bits": 4, "group_size": 128, "type": "int"}},
        "group_1": {"targets": ["re:.*down"], "weights": {"num_bits": 8, "group_size": None, "type": "int"}},
        "group_2": {"targets": ["Linear"], "weights": {"num_bits": 4, "group_size": 128, "type": "int"}},
    },
    "ignore": ["lm_head"],
    "kv_cache_scheme": {"num_bits": 8, "type": "float"},
    "sparsity_config": {},
}


@pytest.mark.parametrize("key", ["quantization_config", "compression_config"])
def test_groups_of_modules(key: str) -> None:
    found = settings_of(COMPRESSED, key)
    assert found.groups == (Group(bits=4, group_size=128), Group(bits=8))
    assert (found.bits, found.group_size, found.format) == (None, None, "pack-quantized")
    assert (found.kept_modules, found.kv_cache_dtype) == (("lm_head",), "fp8")


def test_those_of_the_text_model_inside() -> None:
    """Kimi-K2.5 has them there."""
    config = config_of({"model_type": "kimi_k25", "text_config": {"quantization_config": COMPRESSED}})
    assert config.quantization is not None
    assert (config.quantization_method, config.quantization.kv_cache_dtype) == ("compressed-tensors", "fp8")


def test_hqq_has_sizes_for_scales_that_are_none_of_weights() -> None:
    params = {"weight_quant_params": {"nbits": 4, "group_size": 64}, "scale_quant_params": {"nbits": 8}, "axis": 1}
    assert settings_of({"quant_method": "hqq", "quant_config": params}).groups == (Group(bits=4, group_size=64),)
    by_layer = {"self_attn.q_proj": params, "mlp.up_proj": {"weight_quant_params": {"nbits": 2, "group_size": 16}}}
    found = settings_of({"quant_method": "hqq", "quant_config": by_layer, "skip_modules": ["lm_head"]})
    assert set(found.groups) == {Group(bits=4, group_size=64), Group(bits=2, group_size=16)}


def test_torchao_names_a_type() -> None:
    data = {"group_size": 32, "weight_dtype": {"_data": "int4", "_type": "torch.dtype"}}
    section = {"quant_method": "torchao", "quant_type": {"default": {"_data": data, "_type": "IntxWeightOnlyConfig"}}}
    assert settings_of(section).bits == 4
    assert settings_of({"quant_method": "torchao", "quant_type": "int8_weight_only"}).groups == ()


def test_mlx_has_them_under_a_name_of_its_own() -> None:
    found = settings_of({"group_size": 64, "bits": 4}, "quantization")
    assert (found.method, found.bits, found.group_size) == ("mlx", 4, 64)


def test_exl2_has_a_mean() -> None:
    assert settings_of({"quant_method": "exl2", "bits": 4.25}).bits == 4.25


def test_a_method_without_a_name() -> None:
    assert settings_of({}).method == UNNAMED


@pytest.mark.parametrize(
    ("said", "dtype"),
    [
        ({"kv_cache_scheme": {"num_bits": 8, "type": "int"}}, "int8"),
        ({"kv_cache_scheme": "NVFP4"}, "nvfp4"),
        ({"kv_cache_scheme": "static"}, "fp8"),
        ({"kv_cache_quant_algo": "FP8"}, "fp8"),
        ({"kv_cache_quant_algo": None}, None),
        ({"kv_cache_scheme": None}, None),
        ({"kv_cache_scheme": {}}, None),
        ({"kv_cache_scheme": {"num_bits": 10**300}}, None),
        ({"kv_cache_scheme": {"num_bits": 4, "type": "float"}}, "fp4"),
        ({"kv_cache_scheme": "None"}, None),
        ({"kv_cache_scheme": "auto"}, None),
        ({"kv_cache_quant_algo": ""}, None),
        ({"kv_cache_quant_algo": "fp-8"}, None),
    ],
)
def test_the_kv_cache(said: dict[str, Any], dtype: str | None) -> None:
    assert settings_of({"quant_method": "fp8", **said}).kv_cache_dtype == dtype


# ------------------------------------------------------------------------------------- side files


def test_modelopt_alone() -> None:
    """hf_quant_config.json of nvidia/Llama-3.1-70B-Instruct-FP8."""
    quantization = {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8", "exclude_modules": ["lm_head"]}
    found = of_file(
        {"producer": {"name": "modelopt", "version": "0.23.0"}, "quantization": quantization}, HF_QUANT_CONFIG
    )
    assert found == QuantizationSettings(
        method="modelopt", file=HF_QUANT_CONFIG, format="FP8", kept_modules=("lm_head",), kv_cache_dtype="fp8"
    )
    assert of_file({"producer": {}}, HF_QUANT_CONFIG) is None


@pytest.mark.parametrize(
    ("content", "file", "method"),
    [
        # TheBloke/Llama-2-7B-Chat-GPTQ and -AWQ, before they had a quant_method.
        ({"bits": 4, "group_size": 128, "damp_percent": 0.1, "desc_act": False}, "quantize_config.json", "gptq"),
        ({"zero_point": True, "q_group_size": 128, "w_bit": 4, "version": "GEMM"}, "quant_config.json", "awq"),
        ({"bits": 4, "group_size": 128, "quant_method": "awq"}, "quantize_config.json", "awq"),
    ],
)
def test_files_of_the_first_tools(content: dict[str, Any], file: str, method: str) -> None:
    found = of_file(content, file)
    assert found is not None
    assert (found.method, found.bits, found.group_size, found.file) == (method, 4, 128, file)


def test_quanto_names_the_type_of_each_module() -> None:
    found = of_file({"a": {"weights": "qint4"}, "b": {"weights": "qfloat8_e4m3fn", "activations": "none"}}, QUANTO_MAP)
    assert found is not None
    assert (found.method, set(found.groups)) == ("quanto", {Group(bits=4), Group(bits=8)})


@pytest.mark.parametrize("config", [b'{"quantization_config": {}}', b'{"text_config":{"compression_config":null}}'])
def test_a_config_with_settings_needs_no_other_file(config: bytes) -> None:
    assert may_have_settings(config)
    assert not may_have_settings(b'{"hidden_size": 64}')


# ---------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ({"quant_method": 3}, "quant_method"),
        ({"bits": "four"}, "bits"),
        ({"bits": float("nan")}, "bits"),
        ({"bits": 0}, "bits"),
        ({"bits": float("inf")}, "bits"),
        ({"group_size": 1.5}, "group_size"),
        ({"group_size": 2**60}, "group_size"),
        ({"group_size": 10**400}, "group_size"),
        ({"ignore": 3}, "ignore"),
        ({"modules_to_not_convert": [1]}, r"modules_to_not_convert\[0\]"),
        ({"config_groups": []}, "config_groups"),
        ({"config_groups": {"group_0": {"weights": 4}}}, "config_groups.group_0.weights"),
        ({"config_groups": {"group_0": {"weights": {"num_bits": "x"}}}}, "config_groups.group_0.weights.num_bits"),
        ({"load_in_4bit": 1}, "load_in_4bit"),
        ({"kv_cache_scheme": 8}, "kv_cache_scheme"),
        ({"kv_cache_scheme": True}, "kv_cache_scheme"),
        ({"kv_cache_scheme": {"num_bits": "x"}}, "kv_cache_scheme.num_bits"),
    ],
)
def test_a_wrong_value_is_left_out_and_named(section: Any, key: str) -> None:
    found = settings_of({"quant_method": "gptq", **section})
    (misread,) = found.misread
    assert re.match(rf"quantization_config\.{key}: ", misread) and len(misread) < 200
    assert (found.groups, found.kept_modules, found.kv_cache_dtype) == ((), (), None)


def test_what_is_meant_is_taken() -> None:
    found = settings_of({"bits": "4", "group_size": 128.0, "ignore": "lm_head", "kv_cache_scheme": {"num_bits": "8"}})
    assert (found.groups, found.misread) == ((Group(bits=4, group_size=128),), ())
    assert (found.kept_modules, found.kv_cache_dtype) == (("lm_head",), "fp8")
    assert repr(found.bits) == "4"


def test_a_section_that_is_none_is_a_fault_of_config_json() -> None:
    with pytest.raises(ConfigError, match="quantization_config: expected an object"):
        settings_of([])


def test_as_many_groups_as_tools_write() -> None:
    def groups(number: int) -> dict[str, Any]:
        return {f"group_{i}": {"weights": {"num_bits": 4, "group_size": 1 + i % number}} for i in range(1000)}

    assert len(settings_of({"config_groups": groups(64)}).groups) == 64
    with pytest.raises(ConfigError, match=r"quantization_config\.config_groups: more than 64 different"):
        settings_of({"config_groups": groups(65)})


def test_long_words_are_cut() -> None:
    found = settings_of({"quant_method": "g" * 4000, "format": "f" * 4000})
    assert len(found.method) == len(found.format or "") == 60
    (misread,) = settings_of({"config_groups": {"g" * 4000: {"weights": 3}}}).misread
    assert len(misread) == 160
    assert len(settings_of({"quant_config": {str(i): {"weight_quant_params": 3} for i in range(99)}}).misread) == 8


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b"[" * 100_000, b'{"quantization": 3}', b'{"a": 3}'])
@pytest.mark.parametrize("file", SIDE_FILES)
def test_a_file_that_is_none_of_theirs_is_refused_or_says_nothing(content: bytes, file: str) -> None:
    try:
        settings_of_file(content, "test/model", file)
    except ConfigError as error:
        assert file in str(error)


KEYS = st.sampled_from(
    ("quant_method", "bits", "group_size", "config_groups", "weights", "quant_config", "quant_type", "default", "_data")
) | st.sampled_from(("weight_quant_params", "kv_cache_scheme", "num_bits", "ignore", "quantized_layers", "format"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 2**70) | st.floats() | st.sampled_from(("gptq", "int4", "", "FP8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(KEYS, JSON, max_size=5), st.sampled_from(SIDE_FILES))
def test_random_values_are_read_or_refused(section: dict[str, Any], file: str) -> None:
    def from_config() -> QuantizationSettings | None:
        return settings_of(section)

    def from_file() -> QuantizationSettings | None:
        return of_file({"quantization": section, **section}, file)

    for read in (from_config, from_file):
        try:
            found = read()
        except ConfigError as error:
            assert error.reason
        else:
            assert found is None or all(group.bits is None or 0 < group.bits <= 64 for group in found.groups)
