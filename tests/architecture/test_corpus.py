"""Reconciliation with what well-known repos publish. Extra: runs where their headers are at hand."""

from __future__ import annotations

import json
import lzma
from functools import cache
from math import prod
from typing import Any

import pytest

from benchmarks.quantized import as_the_hub_counts
from hubvram.architecture.families import described
from hubvram.architecture.reconcile import Status
from hubvram.dtypes import SAFETENSORS_BITS
from hubvram.inspection import Model, read_model
from tests.samples import CORPUS, corpus_config, corpus_repos, corpus_source, needs_corpus

pytestmark = needs_corpus


@cache
def manifest() -> dict[str, Any]:
    return {row["repo"]: row for row in json.loads((CORPUS / "manifest.json").read_text(encoding="utf-8"))}


def known_repos() -> list[str]:
    """Repos with headers and a config that has a family."""
    repos = sorted(set(corpus_repos("headers.json.xz")) & set(corpus_repos("config.json")))
    return [repo for repo in repos if described(corpus_config(repo)) is not None]


def is_quantized(repo: str) -> bool:
    """Some say so in hf_quant_config.json only."""
    return corpus_config(repo).quantization is not None or repo in corpus_repos("hf_quant_config.json")


QUANTIZED = [repo for repo in known_repos() if is_quantized(repo)]


def read(repo: str) -> Model:
    return read_model(corpus_source(repo))


def test_there_is_something_to_compare_with() -> None:
    assert len(known_repos()) >= 139
    assert len(QUANTIZED) >= 21


@pytest.mark.parametrize("repo", corpus_repos("headers.json.xz"))
def test_every_repo_that_names_its_type_has_a_family(repo: str) -> None:
    if repo in corpus_repos("config.json") and corpus_config(repo).model_type is not None:
        assert repo in known_repos()


def assert_quantized(repo: str, model: Model) -> None:
    """What holds of all quantized repos, to the last byte."""
    facts, checkpoint = model.quantization, model.checkpoint
    assert facts is not None and checkpoint is not None
    assert facts.unknown_tensors == 0 and facts.packed_parameters and facts.packed_bytes
    headers = json.loads(lzma.decompress((CORPUS / "repos" / repo.replace("/", "__") / "headers.json.xz").read_bytes()))
    stored = [entry for tensors in headers.values() for name, entry in tensors.items() if name != "__metadata__"]
    data_bytes = sum(prod(shape) * SAFETENSORS_BITS[dtype] // 8 for dtype, shape in stored)
    assert checkpoint.stored_bytes == facts.stored_bytes == data_bytes
    assert facts.bits_per_weight == 8 * data_bytes / model.reconciliation.total
    assert facts.packed_parameters + sum(kept.parameters for kept in facts.kept) == model.reconciliation.total
    # The files say what their configuration says.
    assert not any("the tensors decide" in note or "no tensor is packed" in note for note in model.notes)


@pytest.mark.parametrize("repo", known_repos())
def test_published_models_are_reconciled(repo: str) -> None:
    model = read(repo)
    compared, published = model.reconciliation, manifest()[repo]["published_params_total"]
    assert compared.status is Status.RECONCILED, compared.differences
    assert compared.difference == 0
    assert compared.scope == "all"
    assert sum(compared.by_component.values()) == compared.total
    assert (model.quantization is not None) == is_quantized(repo)
    if model.quantization is not None:
        assert_quantized(repo, model)
    # For a few repos the Hub's total is not known; of Kimi-K2, nobody knows how it was made.
    if published is not None and repo != "moonshotai/Kimi-K2-Instruct":
        assert as_the_hub_counts(model, manifest()[repo]["equal_basis"]) == published


def test_a_second_copy_of_the_weights_is_left_out() -> None:
    repo = "mistralai/Mistral-7B-Instruct-v0.3"
    source = corpus_source(repo)
    model = read_model(source)
    assert "consolidated.safetensors" in source.files
    assert model.checkpoint is not None
    assert "consolidated.safetensors" not in model.checkpoint.files
    assert model.reconciliation.total == 7_248_023_552


@pytest.mark.parametrize(
    ("repo", "dtype"),
    [
        ("nvidia/Llama-3.1-70B-Instruct-FP8", "fp8"),
        ("nvidia/Qwen3-8B-NVFP4", "fp8"),
        ("RedHatAI/Meta-Llama-3.1-8B-Instruct-FP8", None),
        ("Qwen/Qwen2.5-7B-Instruct-AWQ", None),
    ],
)
def test_a_declared_kv_cache(repo: str, dtype: str | None) -> None:
    model = read(repo)
    assert model.quantization is not None and model.quantization.declared is not None
    assert model.quantization.declared.kv_cache_dtype == dtype
    assert any("--kv-dtype fp8" in note for note in model.notes) == (dtype is not None)


@pytest.mark.parametrize(
    ("repo", "plain"),
    [
        ("Qwen/Qwen2.5-7B-Instruct-AWQ", "Qwen/Qwen2.5-7B-Instruct"),
        ("Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4", "Qwen/Qwen2.5-7B-Instruct"),
        ("Qwen/Qwen2.5-7B-Instruct-GPTQ-Int8", "Qwen/Qwen2.5-7B-Instruct"),
        ("unsloth/Qwen2.5-7B-Instruct-bnb-4bit", "Qwen/Qwen2.5-7B-Instruct"),
        ("Qwen/Qwen3-8B-FP8", "Qwen/Qwen3-8B"),
        ("nvidia/Qwen3-8B-NVFP4", "Qwen/Qwen3-8B"),
        ("Qwen/Qwen3-30B-A3B-FP8", "Qwen/Qwen3-30B-A3B"),
        ("Qwen/Qwen3-30B-A3B-GPTQ-Int4", "Qwen/Qwen3-30B-A3B"),
    ],
)
def test_a_quantized_model_has_the_parameters_of_the_plain_one(repo: str, plain: str) -> None:
    assert read(repo).reconciliation.total == manifest()[plain]["published_params_total"]
