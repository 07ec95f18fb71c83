"""`hubvram MODEL`: the JSON contract, the options, the exit codes."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path

import pytest

from tests.cli.support import run
from tests.hub import HubFile, LoopbackHub, safetensors_file
from tests.samples import SMALL_LLAMA, llama_tensors, small_llama

Capsys = pytest.CaptureFixture[str]
GIB = 2**30


def test_the_main_job(capsys: Capsys) -> None:
    found = run(capsys, "meta-llama/Llama-3.1-70B", "--dtype", "int4", "--json").json
    assert found["schema_version"] == 1
    assert found["model_id"] == "meta-llama/Llama-3.1-70B"
    assert found["model_type"] == "llama"
    assert found["architectures"] == ["LlamaForCausalLM"]
    assert found["library"] == "transformers"
    # The Hub's safetensors.total of the repo, in 30 files and 723 tensors of BF16.
    assert found["checkpoint"]["files"] == 30
    assert found["checkpoint"]["tensors"] == 723
    assert found["checkpoint"]["dtypes"] == {"BF16": {"elements": 70_553_706_496, "bytes": 141_107_412_992}}
    parameters = found["parameters"]
    assert parameters["total"] == parameters["active"] == parameters["derived"] == 70_553_706_496
    assert parameters["reconciled"] is True
    assert parameters["status"] == "reconciled"
    assert parameters["difference"] == 0
    assert parameters["by_component"] == {
        "embedding": 1_050_673_152,
        "attention": 12_079_595_520,
        "mlp": 56_371_445_760,
        "norm": 1_318_912,
        "head": 1_050_673_152,
    }
    (layers,) = found["architecture"]["layers"]
    assert layers["indices"] == [[0, 79]]
    assert layers["parameters_each"] == 855_654_400
    sizes = [layers["mixer"][f"{name}_size"] for name in "qkvo"]
    assert sizes == [8192, 1024, 1024, 8192]
    assert layers["mixer"]["kind"] == "full_attention"
    assert (layers["mixer"]["num_attention_heads"], layers["mixer"]["num_key_value_heads"]) == (64, 8)
    assert layers["mixer"]["head_dim"] == 128
    assert (layers["mlp"]["kind"], layers["mlp"]["intermediate_size"]) == ("dense", 28672)
    (estimate,) = found["estimates"]
    assert (estimate["precision"], estimate["scheme"]) == ("int4", "int4-g128")
    assert estimate["nominal_weight_bytes"] == 35_276_853_248
    assert estimate["rule_of_thumb_bytes"] == 42_332_223_897
    components = {component["name"]: component for component in estimate["components"]}
    # 2 (K and V) x 80 layers x 8 heads x 128 x 2 bytes x 8,192 tokens
    assert components["kv_cache"]["bytes"] == 2_684_354_560
    assert components["kv_cache"]["basis"] == "derived"
    assert components["runtime"]["basis"] == "assumed"
    assert components["runtime"]["low_bytes"] < components["runtime"]["bytes"] < components["runtime"]["high_bytes"]
    assert estimate["total_bytes"] == sum(component["bytes"] for component in estimate["components"])
    assert found["workload"] == {
        "engine": "transformers",
        "engine_version": "5.23",
        "context_tokens": 8192,
        "input_tokens": 8192,
        "batch_size": 1,
        "attention": "sdpa",
        "cache": "dynamic",
        "logits": "last",
        "padded": False,
        "gpus": 1,
    }


def test_without_a_precision_the_usual_ones_stand_side_by_side(capsys: Capsys) -> None:
    found = run(capsys, "gpt2", "--json").json
    assert [estimate["precision"] for estimate in found["estimates"]] == ["stored", "fp32", "bf16", "int8", "int4"]


def test_precisions_repeat_and_keep_their_order(capsys: Capsys) -> None:
    found = run(capsys, "gpt2", "--dtype", "int8", "--dtype", "FP16", "--dtype", "int8", "--json").json
    assert [estimate["precision"] for estimate in found["estimates"]] == ["int8", "fp16"]


@pytest.mark.parametrize(
    ("written", "tokens"), [("4096", 4096), ("4k", 4096), ("max", 131072), ("128k", 131072), (None, 8192)]
)
def test_context(capsys: Capsys, written: str | None, tokens: int) -> None:
    options = [] if written is None else ["--context", written]
    assert run(capsys, "meta-llama/Llama-3.1-8B", "--json", *options).json["workload"]["context_tokens"] == tokens


def test_a_short_model_shortens_the_default_context(capsys: Capsys) -> None:
    assert run(capsys, "gpt2", "--json").json["workload"]["context_tokens"] == 1024


def test_input_is_the_prompt_within_the_context(capsys: Capsys) -> None:
    found = run(capsys, "meta-llama/Llama-3.1-8B", "--context", "8k", "--input", "1k", "--dtype", "bf16", "--json").json
    assert found["workload"]["input_tokens"] == 1024
    cache = next(c["bytes"] for c in found["estimates"][0]["components"] if c["name"] == "kv_cache")
    assert cache == 2 * 32 * 8 * 128 * 2 * 8192  # 1 GiB: at the peak, all 8,192 tokens are there
    assert found["estimates"][0]["peak"] == "decode"


def test_kv_dtype_and_batch(capsys: Capsys) -> None:
    found = run(
        capsys, "meta-llama/Llama-3.1-8B", "--kv-dtype", "fp8", "--batch", "4", "--dtype", "bf16", "--json"
    ).json
    estimate = found["estimates"][0]
    cache = next(c["bytes"] for c in estimate["components"] if c["name"] == "kv_cache")
    assert cache == 4 * GIB // 2  # 1 GiB in bf16 per sequence, half of it in fp8
    assert estimate["kv_cache_dtype"] == "fp8"


def test_a_packed_cache(capsys: Capsys) -> None:
    options = ("meta-llama/Llama-3.1-8B", "--cache", "Quanto-int4", "--dtype", "bf16")
    found = run(capsys, *options, "--json").json
    assert found["workload"]["cache"] == "quanto-int4"
    (estimate,) = found["estimates"]
    (cache,) = (c["bytes"] for c in estimate["components"] if c["name"] == "kv_cache")
    assert cache == GIB * 9 // 32  # 4 bits of 16, and half a one of scales
    assert estimate["kv_cache_dtype"] == "int4"
    assert "quanto-int4 cache" in run(capsys, *options).stdout


def test_states_are_in_the_column_of_the_cache_and_apart_in_json(capsys: Capsys) -> None:
    options = ("state-spaces/mamba-130m-hf", "--batch", "1000", "--dtype", "fp32")
    components = {c["name"]: c["bytes"] for c in run(capsys, *options, "--json").json["estimates"][0]["components"]}
    # 24 layers: 1,536 channels of 16 states, and the last 4 of them, all in 4 bytes.
    assert components["state"] == 1000 * 24 * 1536 * (16 + 4) * 4
    assert "kv_cache" not in components
    report = run(capsys, *options).stdout
    assert "of the KV cache, 2.75 are states" in report
    # Beside the activations of 1,000 sequences there is room for one decimal.
    assert next(line for line in report.splitlines() if line.startswith("> fp32")).split()[3] == "2.7"


def test_eager_attention_costs_what_its_scores_cost(capsys: Capsys) -> None:
    def activations(attention: str) -> int:
        found = run(capsys, "meta-llama/Llama-3.1-8B", "--attention", attention, "--dtype", "bf16", "--json").json
        return next(int(c["bytes"]) for c in found["estimates"][0]["components"] if c["name"] == "activations")

    # 10 bytes per score (bf16 scores, their fp32 copy, the fp32 softmax) x 32 heads x 8,192 squared
    assert activations("eager") > 10 * 32 * 8192**2 > activations("sdpa")
    assert activations("flash") == activations("sdpa")


def test_layers_lists_each_layer(capsys: Capsys) -> None:
    report = run(capsys, "google/gemma-3-1b-it", "--layers").stdout
    assert sum(line.startswith("  layer ") for line in report.splitlines()) == 26
    assert report.count("window of") == 22


@pytest.mark.parametrize(
    ("options", "exit_code"),
    [
        (("--dtype", "int4", "--gpu", "l40s"), 0),
        (("--dtype", "int4", "--gpu", "rtx-5090"), 1),
        (("--gpu", "h100"), 1),  # without --dtype the stored precision decides, int4 would fit
        (("--gpu", "h100", "--dtype", "int4", "--dtype", "bf16"), 1),  # any of them fails
        (("--dtype", "int4", "--max-vram", "48GiB"), 0),
        (("--dtype", "int4", "--max-vram", "40GB"), 1),
        (("--dtype", "int4", "--gpu", "48GiB"), 0),
        (("--dtype", "int4", "--gpu", "h100", "--max-vram", "24GiB"), 1),
    ],
)
def test_gates(capsys: Capsys, options: tuple[str, ...], exit_code: int) -> None:
    ran = run(capsys, "meta-llama/Llama-3.1-70B", *options)
    assert ran.exit_code == exit_code
    assert ran.stderr == ""


def test_fit_is_judged_by_the_high_end(capsys: Capsys) -> None:
    found = run(capsys, "meta-llama/Llama-3.1-70B", "--dtype", "int4", "--json").json
    high, middle = found["estimates"][0]["total_high_bytes"], found["estimates"][0]["total_bytes"]
    assert run(capsys, "meta-llama/Llama-3.1-70B", "--dtype", "int4", "--max-vram", str(high)).exit_code == 0
    assert run(capsys, "meta-llama/Llama-3.1-70B", "--dtype", "int4", "--max-vram", str(middle)).exit_code == 1


def test_context_fit_is_the_longest_that_fits(capsys: Capsys) -> None:
    options = ("meta-llama/Llama-3.1-70B", "--dtype", "int4", "--gpu", "l40s")
    longest = run(capsys, *options, "--context", "fit", "--json").json["workload"]["context_tokens"]
    assert 8192 < longest < 131072
    assert run(capsys, *options, "--context", str(longest)).exit_code == 0
    assert run(capsys, *options, "--context", str(longest + 1)).exit_code == 1


def test_an_unknown_model_type_gets_exact_weights_and_no_invented_cache(capsys: Capsys, hub: LoopbackHub) -> None:
    model = safetensors_file({"encoder.block.0.weight": ("F16", (1000, 500)), "scale": ("F32", (7,))})
    hub.add_repo("org/new", {"config.json": b'{"model_type": "brand_new"}', "model.safetensors": model})
    found = run(capsys, "org/new", "--json")
    assert found.exit_code == 0
    assert found.json["parameters"]["total"] == 500_007
    assert found.json["parameters"]["status"] == "unknown-architecture"
    assert found.json["architecture"] is None
    stored = found.json["estimates"][0]
    assert [component["name"] for component in stored["components"]] == ["weights", "runtime"]
    assert stored["components"][0]["bytes"] == 1_000_028
    assert stored["complete"] is False
    assert any("brand_new" in note for note in found.json["notes"])
    report = run(capsys, "org/new").stdout
    assert "?" in report
    # What cannot be known cannot pass a gate; what is known can fail it.
    assert run(capsys, "org/new", "--gpu", "h100").exit_code == 3
    assert run(capsys, "org/new", "--max-vram", "1MiB").exit_code == 1


def test_a_gated_repo_is_answered_from_what_is_public(capsys: Capsys, hub: LoopbackHub) -> None:
    model = safetensors_file({"w": ("BF16", (1000, 1000))})
    hub.add_repo(
        "org/gated",
        {"config.json": b"{}", "model.safetensors": model},
        gated="manual",
        safetensors_summary={"parameters": {"BF16": 1_000_000}, "total": 1_000_000},
        config={"model_type": "llama", "architectures": ["LlamaForCausalLM"]},
    )
    ran = run(capsys, "org/gated", "--json")
    assert ran.exit_code == 0
    assert ran.json["parameters"]["total"] == 1_000_000
    assert ran.json["parameters"]["status"] == "no-headers"
    assert ran.json["architectures"] == ["LlamaForCausalLM"]
    assert ran.json["estimates"][0]["components"][0]["bytes"] == 2_000_000
    assert any("gated" in note and "hf auth login" in note for note in ran.json["notes"])
    assert "gated" in run(capsys, "org/gated").stdout


def test_a_gated_repo_with_a_snapshot_is_answered_from_it_and_compared(
    capsys: Capsys, hub: LoopbackHub, fixtures: Path
) -> None:
    from hubvram.sources.snapshot import SnapshotSource

    repo_id = "meta-llama/Llama-3.1-8B"
    source = SnapshotSource(repo_id, fixtures / repo_id.replace("/", "--"))
    files = {
        path: HubFile(b"", size_bytes=file.size_bytes or 0)
        for path, file in source.files.items()
        if path.endswith(".safetensors")
    }
    hub.add_repo(repo_id, {"config.json": b"{}", **files}, gated="manual")
    found = run(capsys, repo_id, "--json").json
    assert found["parameters"]["total"] == 8_030_261_248
    assert any("gated and no token" in note and "snapshot" in note for note in found["notes"])
    assert any("agree" in note for note in found["notes"])


def test_a_local_folder(capsys: Capsys, tmp_path: Path) -> None:
    model = safetensors_file({"w": ("F32", (10, 10))})
    (tmp_path / "model.safetensors").write_bytes(model.data)
    with (tmp_path / "model.safetensors").open("ab") as stream:
        stream.truncate(model.size)
    found = run(capsys, str(tmp_path), "--json").json
    assert found["parameters"]["total"] == 100
    assert found["revision"] is None
    assert any("config.json" in note for note in found["notes"])


def test_stdout_is_data_alone(capsys: Capsys) -> None:
    ran = run(capsys, "gpt2", "--json")
    json.loads(ran.stdout)
    assert ran.stderr == ""


def test_version_and_module(capsys: Capsys) -> None:
    from hubvram import __version__

    assert run(capsys, "--version").stdout == f"hubvram {__version__}\n"


def test_inspect_may_be_spelled_out_and_no_argument_means_help(capsys: Capsys) -> None:
    assert run(capsys, "inspect", "gpt2", "--json").json["model_id"] == "openai-community/gpt2"
    helped = run(capsys)
    assert helped.exit_code == 0
    assert helped.stdout == run(capsys, "--help").stdout
    assert "--dtype" in helped.stdout


def test_gpus_lists_the_table(capsys: Capsys) -> None:
    from hubvram.hardware.accelerators import ACCELERATORS

    report = run(capsys, "gpus").stdout
    for accelerator in ACCELERATORS.values():
        assert accelerator.name in report
        assert accelerator.source_url in report


@pytest.mark.parametrize(
    ("headers", "ground", "requests"), [("always", "headers", 4), ("auto", "hub_totals", 2), ("NEVER", "hub_totals", 2)]
)
def test_headers_are_read_or_not(capsys: Capsys, hub: LoopbackHub, headers: str, ground: str, requests: int) -> None:
    shapes = llama_tensors(small_llama())
    total = sum(prod(shape) for shape in shapes.values())
    hub.add_repo(
        "org/small",
        {
            "config.json": json.dumps(dict(SMALL_LLAMA)).encode(),
            "model.safetensors": safetensors_file({name: ("BF16", shape) for name, shape in shapes.items()}),
        },
        safetensors_summary={"parameters": {"BF16": total}, "total": total},
    )
    found = run(capsys, "org/small", "--headers", headers, "--json").json
    assert (found["parameters"]["ground"], found["parameters"]["total"]) == (ground, total)
    assert found["parameters"]["reconciled"] is (ground == "headers")
    assert len(hub.requests) == requests


def test_a_model_that_is_nothing_without_its_headers(capsys: Capsys, hub: LoopbackHub) -> None:
    hub.add_repo("org/new", {"model.safetensors": safetensors_file({"w": ("F16", (10, 10))})})
    ran = run(capsys, "org/new", "--headers", "never")
    assert (ran.exit_code, ran.stdout) == (3, "")
    assert "hubvram org/new --headers always" in ran.stderr
    assert run(capsys, "org/new", "--headers", "always").exit_code == 0


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf"])
def test_a_time_limit_that_is_none(capsys: Capsys, seconds: str) -> None:
    ran = run(capsys, "gpt2", "--timeout", seconds)
    assert ran.exit_code == 2
    assert "--timeout" in ran.stderr
