"""What a scheme says of a matrix is what its tool wrote (fixtures/quantized/README.md)."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import pytest

from hubvram.dtypes import SAFETENSORS_BITS
from hubvram.quantization.schemes import SCHEMES
from tests.quantized import samples

WRITTEN = {
    "awq-gemm": "awq",
    "gptq-4b-g128": "gptq",
    "gptq-4b-g128-odd320": "gptq",
    "ct-w4a16-g128": "w4a16",
    "ct-w4a16-mixtral": "w4a16",
    "bnb-nf4": "nf4",
    "bnb-old-nf4-qwen3moe": "nf4",
    "bnb-int8": "int8-bnb",
    "bnb-old-int8-mixtral": "int8-bnb",
    "fp8-block": "fp8-block",
    "ct-fp8-dynamic": "fp8-channel",
    "modelopt-nvfp4": "nvfp4",
    "ct-nvfp4-w4a4": "nvfp4",
    "ct-mxfp4a16": "mxfp4",
}
NESTED = {
    "bnb-nf4-odd37": "nf4-dq",
    "bnb-nf4-mixtral": "nf4-dq",
    "bnb-nf4-dq-odd704": "nf4-dq",
    "bnb-nf4-dq-tied": "nf4-dq",
    "bnb-old-nf4-dq-mixtral": "nf4-dq",
}
HQQ = {"hqq-old-4b-g64": "hqq4", "hqq-old-4b-odd37": "hqq4", "hqq-old-4b-mixtral": "hqq4"}


def shape_of(module: str, config: Mapping[str, Any]) -> tuple[int, int]:
    """(out, in) of a module of llama, mixtral or qwen3_moe, from its config."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    if ".experts." in module:
        inner = config.get("moe_intermediate_size") or inner
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    head_dim = config["head_dim"] or hidden // heads
    shapes = {
        **{"q_proj": (heads * head_dim, hidden), "o_proj": (hidden, heads * head_dim)},
        **dict.fromkeys(("k_proj", "v_proj"), (kv_heads * head_dim, hidden)),
        **dict.fromkeys(("gate_proj", "up_proj", "w1", "w3"), (inner, hidden)),
        **dict.fromkeys(("down_proj", "w2"), (hidden, inner)),
        "gate": (config.get("num_local_experts") or config.get("num_experts", 0), hidden),
    }
    return shapes[module.rpartition(".")[2]]


def modules_of(name: str) -> dict[str, dict[str, tuple[str, tuple[int, ...]]]]:
    """Quantized module -> its tensors: those of the modules that have more than a weight and a bias."""
    found: dict[str, dict[str, tuple[str, tuple[int, ...]]]] = {}
    for tensor, (dtype, shape) in samples()[name].tensors.items():
        module, _, rest = tensor.partition(".weight")
        if not rest:
            module, _, rest = tensor.rpartition(".")
            rest = "" if tensor.endswith(".weight") else rest
        found.setdefault(module, {})[rest] = (dtype, shape)
    return {module: parts for module, parts in found.items() if set(parts) - {"", "bias"}}


def size_of(parts: Mapping[str, tuple[str, tuple[int, ...]]], as_float16: tuple[str, ...] = ()) -> int:
    return sum(
        prod(shape) * (16 if rest in as_float16 else SAFETENSORS_BITS[dtype]) // 8
        for rest, (dtype, shape) in parts.items()
        if rest != "bias"
    )


@pytest.mark.parametrize(("name", "scheme"), WRITTEN.items())
def test_bytes_are_those_that_the_tool_wrote(name: str, scheme: str) -> None:
    modules = modules_of(name)
    assert len(modules) >= 8
    for module, parts in modules.items():
        assert SCHEMES[scheme].matrix(*shape_of(module, samples()[name].files["config.json"])) == size_of(parts), module


@pytest.mark.parametrize(("name", "scheme"), NESTED.items())
def test_nested_scales_are_exact_but_for_the_digits_of_a_number(name: str, scheme: str) -> None:
    modules = modules_of(name)
    assert len(modules) >= 8
    for module, parts in modules.items():
        derived = SCHEMES[scheme].matrix(*shape_of(module, samples()[name].files["config.json"]))
        assert derived is not None and abs(derived - size_of(parts)) <= 3, module


@pytest.mark.parametrize(("name", "scheme"), HQQ.items())
def test_hqq_keeps_its_scales_in_the_type_of_the_model(name: str, scheme: str) -> None:
    """These were written on a CPU, in 32 bit; a GPU's model has 16."""
    modules = modules_of(name)
    assert len(modules) >= 8
    for module, parts in modules.items():
        derived = SCHEMES[scheme].matrix(*shape_of(module, samples()[name].files["config.json"]))
        assert derived == size_of(parts, as_float16=("scale", "zero")), module


def test_in_memory_there_is_no_state() -> None:
    """What the storages of bitsandbytes' own parameters hold for 512 x 256 random weights (0.50.2, Params4bit and
    Int8Params, on a CPU): weights, scales, the table of 16 values; nested, the scales' own 8, their table of 256 and a
    mean; int8, a scale for each row."""
    assert SCHEMES["nf4-onload"].matrix(512, 256) == 65_536 + 8192 + 64 == 73_792
    assert SCHEMES["nf4-dq-onload"].matrix(512, 256) == 65_536 + 2048 + 64 + 4 + 32 + 1024 == 68_708
    assert SCHEMES["int8-bnb-onload"].matrix(512, 256) == 131_072 + 2048
