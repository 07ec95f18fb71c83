"""Reconciliation with what well-known repos publish. Extra: runs where their headers are at hand."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest

from hubvram.architecture.families import described
from hubvram.architecture.reconcile import Status
from hubvram.checkpoint.packing import METHODS
from hubvram.checkpoint.tensors import Checkpoint
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


def is_packed(repo: str) -> bool:
    """Whether a repo is quantized by a method whose tensors are not unpacked yet."""
    method = corpus_config(repo).quantization_method
    # Some name it in hf_quant_config.json only.
    return method not in (None, *METHODS) or (method is None and repo in corpus_repos("hf_quant_config.json"))


EXACT = [repo for repo in known_repos() if not is_packed(repo)]
PACKED = [repo for repo in known_repos() if is_packed(repo)]


def read(repo: str) -> Model:
    return read_model(corpus_source(repo))


def as_published(repo: str, checkpoint: Checkpoint, total: int) -> int:
    """The count on the basis on which the Hub made it: for most, all elements that are stored."""
    basis = manifest()[repo]["equal_basis"] or "raw sum of elements"
    scalars = sum(tensor.shape == () for tensor in checkpoint.tensors)
    floats = checkpoint.by_dtype().get("F32")
    return {
        "raw sum of elements": checkpoint.elements,
        "0-dim tensors counted as 0": checkpoint.elements - scalars,
        "without F32 tensors": checkpoint.elements - (floats.elements if floats else 0),
        "mxfp4 blocks x2, scales dropped": total,
    }[basis]


def test_there_is_something_to_compare_with() -> None:
    assert len(EXACT) >= 128
    assert len(PACKED) >= 11


@pytest.mark.parametrize("repo", corpus_repos("headers.json.xz"))
def test_every_repo_that_names_its_type_has_a_family(repo: str) -> None:
    if repo in corpus_repos("config.json") and corpus_config(repo).model_type is not None:
        assert repo in known_repos()


@pytest.mark.parametrize("repo", EXACT)
def test_published_models_are_reconciled(repo: str) -> None:
    model = read(repo)
    compared, published = model.reconciliation, manifest()[repo]["published_params_total"]
    assert model.checkpoint is not None
    assert compared.status is Status.RECONCILED, compared.differences
    assert compared.difference == 0
    assert compared.scope == "all"
    assert sum(compared.by_component.values()) == compared.total
    # For a few repos the Hub's total is not known; of Kimi-K2, nobody knows how it was made.
    if published is not None and repo != "moonshotai/Kimi-K2-Instruct":
        assert as_published(repo, model.checkpoint, compared.total) == published


def test_a_second_copy_of_the_weights_is_left_out() -> None:
    repo = "mistralai/Mistral-7B-Instruct-v0.3"
    source = corpus_source(repo)
    model = read_model(source)
    assert "consolidated.safetensors" in source.files
    assert model.checkpoint is not None
    assert "consolidated.safetensors" not in model.checkpoint.files
    assert model.reconciliation.total == 7_248_023_552


@pytest.mark.parametrize("repo", PACKED)
def test_quantized_models_are_said_to_be(repo: str) -> None:
    model = read(repo)
    compared = model.reconciliation
    assert compared.status is Status.QUANTIZED
    assert compared.difference is None
    assert compared.total == sum(compared.by_component.values())
    assert any(note.startswith("quantized (") for note in model.notes)


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
