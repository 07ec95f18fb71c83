"""What a report knows of packed weights, and what it says where configuration and tensors differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from benchmarks.corpus import beginning_of
from hubvram.architecture.reconcile import Status
from hubvram.checkpoint.components import Component
from hubvram.inspection import Headers, Model, inspect_model, read_model
from hubvram.reports.contract import as_json
from hubvram.reports.packed import packed_line
from hubvram.reports.terminal import render
from tests.contract import conforms
from tests.quantized import Sample, SampleSource, sample_model, samples
from tests.samples import SMALL_LLAMA, llama_tensors, small_llama, workload_of


def model_of(tensors: Mapping[str, tuple[str, tuple[int, ...]]], config: Mapping[str, Any], side: Any = None) -> Model:
    """`side`: the content of hf_quant_config.json."""
    files = {"config.json": config} if side is None else {"config.json": config, "hf_quant_config.json": side}
    sample = Sample(name="made", writer="", parameters=0, kept=(), tensors=tensors, files=files)
    return read_model(SampleSource(sample))


def fp8_llama(config: Mapping[str, Any] = SMALL_LLAMA, *, dtype: str = "F8_E4M3", side: Any = None) -> Model:
    tensors: dict[str, tuple[str, tuple[int, ...]]] = {}
    for name, shape in llama_tensors(small_llama()).items():
        tensors[name] = (dtype if "_proj" in name else "BF16", shape)
        if "_proj" in name and dtype != "BF16":
            tensors[f"{name}_scale"] = ("F32", (shape[0], 1))
    return model_of(tensors, config, side)


def disagreements(model: Model) -> list[str]:
    return [note for note in model.notes if not note.startswith(("stored, but not counted", "accounted for"))]


def stating(**section: Any) -> dict[str, Any]:
    return {**SMALL_LLAMA, "quantization_config": section}


def test_what_is_said_and_stored_is_no_matter_for_a_note() -> None:
    assert disagreements(fp8_llama(stating(quant_method="compressed-tensors"))) == []


def test_nothing_is_said() -> None:
    model = fp8_llama()
    assert disagreements(model) == ["no configuration says that weights are packed; by the tensors it is fp8-channel"]
    assert model.quantization is not None
    assert (model.quantization.method, model.quantization.declared) == ("fp8", None)


def test_nothing_is_packed() -> None:
    model = fp8_llama(stating(quant_method="awq"), dtype="BF16")
    assert disagreements(model) == ["config.json declares 'awq', and no tensor is packed"]
    assert model.reconciliation.status is Status.RECONCILED
    assert model.quantization is not None
    assert (model.quantization.packed_parameters, model.quantization.label) == (0, None)


def test_another_method_is_said() -> None:
    note = "config.json declares 'awq', the tensors are packed as fp8-channel: the tensors decide"
    assert disagreements(fp8_llama(stating(quant_method="awq"))) == [note]


def test_fewer_bits_are_said() -> None:
    """torchao stores 4-bit integers in bytes."""
    model = sample_model("torchao-intx4")
    assert disagreements(model) == ["config.json declares 4 bits a weight, the files hold 8: the tensors decide"]


def test_settings_beside_config_json() -> None:
    side = {"quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}}
    model = fp8_llama(side=side)
    assert model.quantization is not None and model.quantization.declared is not None
    assert (model.quantization_method, model.quantization.declared.file) == ("modelopt", "hf_quant_config.json")
    assert disagreements(model) == [
        "hf_quant_config.json declares a KV cache in fp8: vLLM and TensorRT-LLM keep it so, transformers in 16 bit; "
        "--kv-dtype fp8 shows what 8 bits make of it"
    ]


@pytest.mark.parametrize(
    "config",
    [
        {**SMALL_LLAMA, "quantization_config": None},
        {**SMALL_LLAMA, "text_config": {"quantization_config": None}},
        {**SMALL_LLAMA, "text_config": {"quantization_config": {"quant_method": "awq"}}},  # not where it is read
    ],
)
def test_a_section_that_says_nothing_hides_no_file(config: dict[str, Any]) -> None:
    model = fp8_llama(config, side={"quantization": {"quant_algo": "FP8"}})
    assert (model.quantization_method, disagreements(model)) == ("modelopt", [])


@pytest.mark.parametrize("side", ["garbage", {"quantization": 3}])
def test_a_file_that_is_none_of_the_tools_ends_nothing(side: Any) -> None:
    model = fp8_llama(dtype="BF16", side=side)
    assert (model.reconciliation.status, model.quantization) == (Status.RECONCILED, None)
    (note,) = disagreements(model)
    assert note.startswith("hf_quant_config.json is left out: ")


def test_settings_that_make_no_sense_end_nothing() -> None:
    section = {"quant_method": "compressed-tensors", "bits": "eight", "kv_cache_scheme": True}
    model = fp8_llama(stating(**section))
    assert model.reconciliation.status is Status.RECONCILED
    assert disagreements(model) == [
        "settings in config.json that make no sense are left out: "
        "quantization_config.bits: a number is expected, found 'eight'; "
        "quantization_config.kv_cache_scheme: expected a string, found True"
    ]


def test_some_of_the_tensors_are_packed_otherwise() -> None:
    gptq, nf4 = samples()["gptq-4b-g128"], samples()["bnb-nf4"]
    second = {name: tensor for name, tensor in nf4.tensors.items() if ".layers.1." in name}
    first = {name: tensor for name, tensor in gptq.tensors.items() if ".layers.1." not in name}
    model = model_of({**first, **second}, gptq.files["config.json"])
    assert "config.json declares 'gptq', some tensors are packed as nf4: the tensors decide" in model.notes


def test_the_type_of_what_stays_is_no_row() -> None:
    """The row of a dtype is the model with nothing packed."""
    model = sample_model("hqq-old-4b-g64")
    assert "what is not packed is fp32 in the files, config.json asks for fp16" in model.notes
    assert not any("row of --dtype" in note for note in model.notes)


def test_a_second_file_is_not_read_where_config_json_says_it() -> None:
    model = fp8_llama(stating(quant_method="fp8"), side="not read")
    assert model.quantization_method == "fp8"


def test_a_layout_that_nobody_checked_is_labelled() -> None:
    architecture = small_llama()
    tensors: dict[str, tuple[str, tuple[int, ...]]] = {}
    for name, (out, *into) in llama_tensors(architecture).items():
        module = name.removesuffix(".weight")
        if not into or "_proj" not in name:
            tensors[name] = ("BF16", (out, *into))
            continue
        tensors[f"{module}.weight"] = ("U32", (out, into[0] // 8))
        tensors |= {f"{module}.{ending}": ("BF16", (out, into[0] // 32)) for ending in ("scales", "biases")}
    model = model_of(tensors, {**SMALL_LLAMA, "quantization": {"bits": 4, "group_size": 32}})
    assert (model.reconciliation.status, model.reconciliation.total) == (Status.RECONCILED, architecture.parameters)
    assert disagreements(model) == ["how mlx packs weights is read by the shapes of its tensors; nobody checked it"]


def test_without_headers_only_what_is_said_is_known() -> None:
    model = read_model(SampleSource(samples()["awq-gemm"]), headers=Headers.NEVER)
    assert model.quantization is not None and model.quantization.declared is not None
    assert (model.quantization_method, model.quantization.declared.bits) == ("awq", 4)
    facts = model.quantization
    assert (facts.layouts, facts.packed_bytes, facts.bits_per_weight, facts.label) == ((), None, None, None)
    assert packed_line(facts) == ""


def test_an_unknown_type_is_read_by_logical_shapes() -> None:
    config = {**samples()["awq-gemm"].files["config.json"], "model_type": "never_heard_of"}
    model = model_of(samples()["awq-gemm"].tensors, config)
    assert model.reconciliation.status is Status.SHAPE_MATCHED
    assert model.reconciliation.total == samples()["awq-gemm"].parameters
    # bitsandbytes shows no shapes, but counts all the same.
    config = {**samples()["bnb-nf4"].files["config.json"], "model_type": "never_heard_of"}
    model = model_of(samples()["bnb-nf4"].tensors, config)
    assert model.reconciliation.status is Status.UNKNOWN_ARCHITECTURE
    assert model.reconciliation.total == samples()["bnb-nf4"].parameters
    assert any("its shapes show no dimensions" in note for note in model.notes)


@pytest.mark.parametrize("name", ["modelopt-nvfp4-mlp", "fp8-block-odd320"])
def test_what_stays(name: str) -> None:
    """Attention in the first; in the second the MLP, whose width no block divides."""
    facts = sample_model(name).quantization
    assert facts is not None
    kept = {it.component: (it.parameters, it.of) for it in facts.kept}
    whole = Component.ATTENTION if name == "modelopt-nvfp4-mlp" else Component.MLP
    other = Component.MLP if whole is Component.ATTENTION else Component.ATTENTION
    assert set(kept) == {Component.EMBEDDING, Component.HEAD, Component.NORM, whole}
    assert kept[whole][0] == kept[whole][1]
    assert f"{whole.value}, " in packed_line(facts) or f"{whole.value} stay" in packed_line(facts)
    assert other.value not in packed_line(facts)


def test_the_reports_have_it() -> None:
    found = inspect_model(sample_model("awq-gemm"), workload_of(64))
    text = render(found)
    # 1,142,784 bytes of tensors for 1,444,608 parameters; 2 x 512 x 256 of embedding and head, five norms of 256, and
    # biases of attention: 2 x (256 + 128 + 128 + 256).
    assert "stored awq 4-bit, 1.1 MiB: 6.33 bits per weight (packed ones 4.16 with scales)" in " ".join(text.split())
    assert "llama, 1 safetensors file, awq 4-bit, " in text
    answer = as_json(found)
    conforms(answer)
    assert answer["quantization"] == {
        "method": "awq",
        "declared_in": "config.json",
        "declared_format": None,
        "declared_bits": 4,
        "declared_group_size": 128,
        "declared_kv_cache_dtype": None,
        "layouts": [{"name": "awq", "checked": "writer", "parameters": 1179648, "bytes": 589824}],
        "unknown_tensors": 0,
        "packed_parameters": 1179648,
        "packed_bytes": 612864,
        "bits_per_packed_weight": 4.15625,
        "bits_per_weight": 8 * 1142784 / 1444608,
        "kept": [
            {"component": "embedding", "parameters": 131072, "of": 131072},
            {"component": "attention", "parameters": 1536, "of": 394752},
            {"component": "norm", "parameters": 1280, "of": 1280},
            {"component": "head", "parameters": 131072, "of": 131072},
        ],
    }


@pytest.mark.parametrize("name", sorted(samples())[::7])
def test_every_kind_of_answer_conforms(name: str) -> None:
    conforms(as_json(inspect_model(sample_model(name), workload_of(64))))


def test_a_made_file_is_as_long_as_its_tensors() -> None:
    beginning = beginning_of({"a": ("U8", (3,))})
    assert beginning.file_bytes == len(beginning.data) + 3
