"""Loading of published models, by arithmetic of their dimensions; and what is not known, with the reason."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from hubvram.inspection import Headers, inspect_model, read_model
from hubvram.memory.engines.transformers_loading import DIRECT, THROUGH_CPU
from hubvram.memory.loading import Figure, Loading
from hubvram.sources.local import LocalSource
from tests.quantized import Sample, SampleSource, sample_model
from tests.samples import SMALL_LLAMA, fixture_model, llama_tensors, small_llama, workload_of


def loading(name: str, precision: str = "stored") -> tuple[int, Loading]:
    """(bytes of the weights, the rest) of a bundled model."""
    found = inspect_model(fixture_model(name), workload_of(64), (precision,))
    return found.estimates[0].size_of("weights"), found.loadings[0]


def figures(loading: Loading) -> dict[str, tuple[int | None, int | None]]:
    found = {f"{way.name} {what}": getattr(way, what) for way in loading.ways for what in ("host", "gpu_peak")}
    return {name: (figure.low_bytes, figure.high_bytes) for name, figure in found.items()}


# 4096 x 14336 in bf16, for each of 8 experts a gate and an up, and a down: merged in each of 32 layers.
GATES_AND_UPS = 8 * 2 * 4096 * 14336 * 2
DOWNS = GATES_AND_UPS // 2
# After the last gates and ups: downs, the norm behind attention (w1 is before w2 and w3), Q, K, V, O, the last norm.
# Names: block_sparse_moe.experts < block_sparse_moe.gate < input_layernorm < post_attention_layernorm < self_attn.
BEHIND = DOWNS + 2 * (8 * 4096 + 3 * 4096 + 2 * 4096 * 4096 + 2 * 1024 * 4096)


def test_experts_are_merged_beside_themselves() -> None:
    weight_bytes, found = loading("mistralai--Mixtral-8x7B-v0.1")
    file_bytes = found.download.low_bytes
    assert file_bytes is not None and 0 < file_bytes - weight_bytes < 2**20
    assert figures(found) == {
        "direct host": (0, file_bytes),
        "direct gpu_peak": (weight_bytes + GATES_AND_UPS - BEHIND, weight_bytes + GATES_AND_UPS),
        # Both stacks lie beside what they are joined to, before downs of the last layer are made.
        "through_cpu host": (
            31 * (GATES_AND_UPS + DOWNS) + 2 * GATES_AND_UPS,
            31 * (GATES_AND_UPS + DOWNS) + 2 * GATES_AND_UPS + file_bytes,
        ),
        "through_cpu gpu_peak": (weight_bytes, weight_bytes),
    }
    assert "1.75 GiB more while model.layers.0.block_sparse_moe.experts.0.w1.weight" in found.ways[0].gpu_peak.note


def test_a_dense_model_needs_no_more_than_its_weights_and_no_host_memory() -> None:
    weight_bytes, found = loading("meta-llama--Llama-3.1-8B")
    file_bytes = found.download.low_bytes
    assert weight_bytes == 2 * 8_030_261_248
    gpu, host = (weight_bytes, weight_bytes), (0, file_bytes)
    assert figures(found) == {
        **{"direct host": host, "direct gpu_peak": gpu},
        **{"through_cpu host": host, "through_cpu gpu_peak": gpu},
    }
    assert [way.call for way in found.ways] == [
        'from_pretrained(..., device_map="cuda")',
        'from_pretrained(...).to("cuda")',
    ]


def test_another_type_is_made_on_the_cpu() -> None:
    weight_bytes, found = loading("meta-llama--Llama-3.1-8B", "fp32")
    file_bytes = found.download.low_bytes or 0
    embedding, up = 4 * 128_256 * 4096, 4 * 4096 * 14336
    assert weight_bytes == 4 * 8_030_261_248
    assert figures(found) == {
        # The largest: embedding and head, then matrices of MLPs, four threads at once.
        "direct host": (embedding, 2 * embedding + 2 * up + file_bytes),
        "direct gpu_peak": (weight_bytes, weight_bytes),
        "through_cpu host": (weight_bytes, weight_bytes + file_bytes),
        "through_cpu gpu_peak": (weight_bytes, weight_bytes),
    }
    assert found.ways[0].call == 'from_pretrained(..., dtype="float32", device_map="cuda")'


def test_packing_while_loading_takes_the_matrix_in_16_bit_beside() -> None:
    weight_bytes, found = loading("meta-llama--Llama-3.1-8B", "nf4-onload")
    # After the last up: Q, K, V, O in 4 bit with scales and tables, two norms in bf16.
    behind = (2 * 4096 * 4096 + 2 * 1024 * 4096) * 9 // 16 + 4 * 64 + 2 * 2 * 4096
    peak = weight_bytes + 2 * 4096 * 14336 + 64 + 4 - behind
    assert [way.name for way in found.ways] == [DIRECT]
    assert figures(found)["direct gpu_peak"] == (peak, peak)
    assert "load_in_4bit=True" in found.ways[0].call
    # LLM.int8 has it twice on the GPU, and as bf16 and fp16 on the CPU.
    weight_bytes, found = loading("meta-llama--Llama-3.1-8B", "int8-bnb-onload")
    behind = 2 * 4096 * 4096 + 2 * 1024 * 4096 + 4 * (2 * 4096 + 2 * 1024) + 2 * 2 * 4096
    assert figures(found)["direct gpu_peak"][0] == weight_bytes + 2 * 2 * 4096 * 14336 - behind
    assert found.ways[0].host.low_bytes == 2 * 2 * 4096 * 14336


def test_fp8_is_taken_as_it_is_and_experts_are_merged() -> None:
    weight_bytes, found = loading("deepseek-ai--DeepSeek-V3")
    merged = 256 * 2 * 2048 * 7168
    low, high = figures(found)["direct gpu_peak"]
    assert [way.name for way in found.ways] == [DIRECT]
    assert high == weight_bytes + merged and low is not None
    # Behind the last of them: attention (187 M parameters in FP8) and shared experts; not the block for drafts.
    assert merged - 0.3e9 < low - weight_bytes < merged


def test_mxfp4_is_not_known_with_its_kernels_and_is_without() -> None:
    _, found = loading("openai--gpt-oss-20b")
    assert figures(found) == {"direct host": (None, None), "direct gpu_peak": (None, None)}
    assert "--dtype bf16" in found.ways[0].gpu_peak.note
    weight_bytes, found = loading("openai--gpt-oss-20b", "bf16")
    # Of gates and ups: for 32 weights 16 bytes and an exponent, that again in 32 bit, the bf16; and of both halves'
    # indices the 32-bit and 64-bit ones and their values at once.
    rows = 32 * 5760 * 2880 // 32
    working = rows * (16 + 1 + 4 + 64 + 16 * (4 + 8 + 2)) + 32
    low, high = figures(found)["direct gpu_peak"]
    assert high == weight_bytes + working - 64 * rows and low is not None and weight_bytes < low < high
    assert found.ways[0].call.endswith(
        'dtype="bfloat16", quantization_config=Mxfp4Config(dequantize=True), device_map="cuda")'
    )


@pytest.mark.parametrize("precision", ["int4", "awq", "q4_k_m", "nvfp4"])
def test_files_of_another_repo(precision: str) -> None:
    weight_bytes, found = loading("meta-llama--Llama-3.1-8B", precision)
    assert found.download.low_bytes == found.disk.low_bytes == weight_bytes
    assert figures(found)["direct gpu_peak"] == (None, None)


@pytest.mark.parametrize(
    ("sample", "is_known"),
    [
        *(("bnb-nf4", True), ("bnb-int8-tied", True), ("bnb-nf4-qwen3moe", True), ("bnb-old-nf4-qwen3moe", False)),
        *(("fp8-block", True), ("fp8-block-mixtral", True), ("modelopt-fp8", False), ("ct-fp8-dynamic", False)),
        *(("awq-gemm", False), ("gptq-4b-g128", False), ("hqq-old-4b-g64", False), ("ct-w4a16-g128", False)),
        *(("quanto-int4", False), ("torchao-int8wo", False)),
    ],
)
def test_which_methods_are_known(sample: str, *, is_known: bool) -> None:
    model = sample_model(sample)
    (found,) = inspect_model(model, workload_of(8), ("stored",)).loadings
    assert (found.ways[0].gpu_peak.low_bytes is not None) == is_known
    assert found.ways[0].gpu_peak.note


def test_the_stored_type_is_asked_for_where_config_json_names_another() -> None:
    tensors = {name: ("F32", shape) for name, shape in llama_tensors(small_llama()).items()}
    config = {**SMALL_LLAMA, "torch_dtype": "bfloat16"}
    files = {"config.json": config}
    sample = Sample(name="x", writer="", parameters=0, kept=(), files=files, tensors=tensors)
    found = inspect_model(read_model(SampleSource(sample)), workload_of(8), ("stored", "bf16")).loadings
    assert [each.ways[0].call for each in found] == [
        'from_pretrained(..., dtype="float32", device_map="cuda")',
        'from_pretrained(..., dtype="bfloat16", device_map="cuda")',
    ]


def folder_of(folder: Path, sizes: dict[str, int], **config: Any) -> LocalSource:
    (folder / "config.json").write_text(json.dumps({**SMALL_LLAMA, "torch_dtype": "bfloat16", **config}))
    for name, size_bytes in sizes.items():
        (folder / name).touch()
        os.truncate(folder / name, size_bytes)
    return LocalSource(folder)


def of_folder(source: LocalSource, headers: Headers = Headers.ALWAYS) -> Loading:
    return inspect_model(read_model(source, headers=headers), workload_of(8), ("stored",)).loadings[0]


# 2 x 100 x 64, and in each of 2 layers 64 x (64 + 32 + 32 + 64) + 3 x 64 x 96 + 2 x 64; 64.
PARAMETERS = 2 * 6_400 + 2 * (64 * 192 + 3 * 6_144 + 128) + 64


def test_pickles_may_hold_a_tied_head_twice(tmp_path: Path) -> None:
    sizes = {"pytorch_model.bin": 2 * PARAMETERS}
    found = of_folder(folder_of(tmp_path, sizes, tie_word_embeddings=True))
    whole = 2 * (PARAMETERS - 6_400)
    assert figures(found)["direct gpu_peak"] == (whole, whole + 2 * 6_400)
    assert found.download.low_bytes == 0 and "this machine" in found.download.note
    assert found.disk.low_bytes == 2 * PARAMETERS + (tmp_path / "config.json").stat().st_size


def test_what_needs_headers(tmp_path: Path) -> None:
    source = folder_of(tmp_path, {"model.safetensors": 2 * PARAMETERS + 3_000})
    assert figures(of_folder(source, Headers.NEVER))["direct gpu_peak"] == (2 * PARAMETERS, 2 * PARAMETERS)
    experts = {"model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 2}
    source = folder_of(tmp_path, {}, **experts)
    assert "headers" in of_folder(source, Headers.NEVER).ways[0].gpu_peak.note


def test_a_file_that_transformers_does_not_look_for(tmp_path: Path) -> None:
    source = folder_of(tmp_path, {"weights.safetensors": 2 * PARAMETERS + 3_000})
    found = of_folder(source, Headers.NEVER)
    assert found.ways[0].gpu_peak.low_bytes is None
    assert "model.safetensors" in found.ways[0].gpu_peak.note


@pytest.mark.parametrize("way", [DIRECT, THROUGH_CPU])
def test_figures_have_their_ground(way: str) -> None:
    for name in ("mistralai--Mixtral-8x7B-v0.1", "google--gemma-2-2b", "openai-community--gpt2"):
        for precision in ("stored", "fp32", "fp16"):
            weight_bytes, found = loading(name, precision)
            chosen = next(each for each in found.ways if each.name == way)
            for figure in (found.download, found.disk, chosen.host, chosen.gpu_peak):
                assert isinstance(figure, Figure) and figure.basis is not None and figure.note
                assert figure.low_bytes is not None and figure.high_bytes is not None
                assert figure.low_bytes <= figure.high_bytes
            assert chosen.gpu_peak.low_bytes is not None and chosen.gpu_peak.low_bytes >= weight_bytes
