"""Quantized files whose weights are counted one by one: FP8 in blocks (DeepSeek-V3), MXFP4 (gpt-oss)."""

from __future__ import annotations

import json

import pytest

from hubvram.architecture.reconcile import Reconciliation, Status, reconcile
from hubvram.checkpoint.components import Component
from hubvram.checkpoint.packing import unpack
from hubvram.checkpoint.tensors import Kind, TensorInfo
from hubvram.inspection import read_model
from hubvram.memory.weights import stored_weights
from tests.samples import CORPUS, checkpoint_of, corpus_source, llama_tensors, needs_corpus, small_llama

SMALL = small_llama()
MTP_BLOCK = "model.layers.2."  # behind the last of two layers


def compare(extra: dict[str, str] | None = None, *, method: str = "fp8") -> Reconciliation:
    """A small llama as FP8 files have it: matrices of layers in F8, with one F32 scale each."""
    shapes, dtypes = llama_tensors(SMALL), {}
    for name in [name for name in shapes if name.endswith("_proj.weight")]:
        dtypes[name] = "F8_E4M3"
        shapes[f"{name}_scale_inv"], dtypes[f"{name}_scale_inv"] = (1, 1), "F32"
    for name, dtype in (extra or {}).items():
        shapes[name], dtypes[name] = (2, 3), dtype
    return reconcile(checkpoint_of(shapes, dtypes), SMALL, quantization_method=method)


def test_fp8_weights_are_parameters_and_their_scales_are_not() -> None:
    compared = compare()
    assert (compared.status, compared.difference) == (Status.RECONCILED, 0)
    assert compared.total == SMALL.parameters
    (scales,) = compared.not_counted
    assert (scales.what, scales.parameters, scales.stored_bytes) == ("scales", 2 * 7, 2 * 7 * 4)


def test_scales_stay_in_memory() -> None:
    shapes = llama_tensors(SMALL)
    shapes["model.layers.0.mlp.up_proj.weight_scale_inv"] = (1, 1)
    checkpoint = checkpoint_of(shapes)
    compared = reconcile(checkpoint, SMALL, quantization_method="fp8")
    assert compared.not_counted and compared.not_loaded == ()
    assert stored_weights(checkpoint, compared, None).component.size_bytes == checkpoint.stored_bytes


def test_scales_of_a_block_that_is_not_loaded_are_not_loaded_either() -> None:
    compared = compare({f"{MTP_BLOCK}eh_proj.weight": "F8_E4M3", f"{MTP_BLOCK}eh_proj.weight_scale_inv": "F32"})
    assert compared.status is Status.RECONCILED
    assert [item.parameters for item in compared.accounted] == [6]
    assert [item.stored_bytes for item in compared.not_loaded] == [6 * 4, 6]


@pytest.mark.parametrize("method", ["awq", "gptq", "bitsandbytes", "compressed-tensors"])
def test_other_methods_stay_packed(method: str) -> None:
    compared = compare(method=method)
    assert (compared.status, compared.difference) == (Status.QUANTIZED, None)
    assert compared.total == SMALL.parameters


@pytest.mark.parametrize(("name", "dtype"), [("qweight", "I32"), ("weight_blocks", "U8")])
def test_what_a_method_does_not_have_stays_packed(name: str, dtype: str) -> None:
    assert compare({f"model.layers.0.mlp.up_proj.{name}": dtype}).status is Status.QUANTIZED


def test_a_missing_matrix_is_missed_in_fp8_too() -> None:
    shapes = llama_tensors(SMALL)
    del shapes["model.layers.1.mlp.up_proj.weight"]
    compared = reconcile(checkpoint_of(shapes), SMALL, quantization_method="fp8")
    assert (compared.status, dict(compared.differences)) == (Status.UNRECONCILED, {Component.MLP: -64 * 96})


def test_mxfp4_holds_two_weights_in_a_byte() -> None:
    experts = "model.layers.0.mlp.experts."
    found = unpack(
        [
            Kind(
                name=f"{experts}{name}",
                dtype=dtype,
                shape=shape,
                component=Component.EXPERTS,
                members=[TensorInfo(name=f"{experts}{name}", dtype=dtype, shape=shape, stored_bytes=0, file="")],
            )
            for name, dtype, shape in (
                # gpt-oss-20b: 32 experts, 2880 inputs in 90 groups of 32.
                ("down_proj_blocks", "U8", (32, 2880, 90, 16)),
                ("down_proj_scales", "U8", (32, 2880, 90)),
                ("down_proj_bias", "BF16", (32, 2880)),
            )
        ],
        "mxfp4",
    )
    assert found is not None
    assert [kind.parameters for kind in found.parameters] == [32 * 2880 * 2880, 32 * 2880]
    assert [kind.name for kind in found.scales] == [f"{experts}down_proj_scales"]


@needs_corpus
@pytest.mark.parametrize(
    ("repo", "scales"),
    [
        # Scales are what is stored beside the parameters; where the Hub adds them up, its total has both.
        ("deepseek-ai/DeepSeek-V3", 41_540_496),
        ("Qwen/Qwen3-8B-FP8", 423_936),
        ("Qwen/Qwen3-30B-A3B-FP8", 1_824_768),
        ("MiniMaxAI/MiniMax-M2.5", 13_880_064),
        ("openai/gpt-oss-20b", 0),
    ],
)
def test_published_files_reconcile_with_the_totals_of_the_hub(repo: str, scales: int) -> None:
    rows = json.loads((CORPUS / "manifest.json").read_text(encoding="utf-8"))
    published = next(row["published_params_total"] for row in rows if row["repo"] == repo)
    compared = read_model(corpus_source(repo)).reconciliation
    assert (compared.status, compared.difference) == (Status.RECONCILED, 0)
    assert compared.total + scales == published


@needs_corpus
@pytest.mark.parametrize(
    ("repo", "active"),
    [
        # README_WEIGHTS.md: 36.6 B "including 0.9B for the output Head" (an earlier revision: 36.7 B), so that the
        # input embedding, of which a token reads one row, is not among them.
        ("deepseek-ai/DeepSeek-V3", 36.6),
        # Model card: "3.6B active parameters".
        ("openai/gpt-oss-20b", 3.6),
    ],
)
def test_published_active_parameters_leave_the_input_embedding_out(repo: str, active: float) -> None:
    model = read_model(corpus_source(repo))
    assert round(model.active_without_input_embedding / 1e9, 1) == active
    assert round(model.active_parameters / 1e9, 1) > active
