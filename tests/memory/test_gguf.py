"""GGUF files as weights of a model: which models have a figure, and why others have none."""

from __future__ import annotations

import pytest

from hubvram.hardware.accelerators import find_accelerator
from hubvram.inspection import Model, inspect, inspector, weights_of
from hubvram.memory.weights import NoWeights, Weights
from tests.samples import fixture_model

GIB = 2**30


@pytest.mark.parametrize(
    ("name", "mixture", "published_bytes"),
    [
        # The size of the file that bartowski published, its header of 7.8 MB with the tokenizer included.
        ("meta-llama--Llama-3.1-8B", "q4_k_m", 4_920_739_232),
    ],
)
def test_a_published_file(name: str, mixture: str, published_bytes: int) -> None:
    weights = weights_of(fixture_model(name), mixture)
    assert isinstance(weights, Weights)
    assert 0 < published_bytes - weights.component.size_bytes < 8 * 2**20
    assert (weights.precision, weights.scheme, weights.compute_dtype) == (mixture, f"gguf-{mixture}", "bf16")
    assert "llama.cpp" in weights.description and "llama.cpp" in weights.component.note


def test_what_has_no_figure_has_a_reason() -> None:
    weights = weights_of(fixture_model("state-spaces--mamba-130m-hf"), "q4_k_m")
    assert isinstance(weights, NoWeights)
    assert "mamba" in weights.reason


def test_the_reason_is_a_note() -> None:
    found = inspect("google-t5/t5-small", precisions=["q8_0", "bf16"])
    assert [estimate.precision for estimate in found.estimates] == ["bf16"]
    ((precision, reason),) = found.unknown
    assert precision == "q8_0"
    assert any(note.startswith("q8_0: ") and note.endswith(reason) for note in found.notes)
    budget = find_accelerator("80GiB")
    gates = {
        precisions: inspect("google-t5/t5-small", precisions=precisions, accelerators=[budget]).gate
        for precisions in (("q8_0",), ("q8_0", "q4_0"))
    }
    assert set(gates.values()) == {None}, "what is not known is not said to fit"


def test_a_tower_is_a_file_of_its_own() -> None:
    weights = weights_of(fixture_model("Qwen--Qwen2-VL-7B-Instruct"), "f16")
    assert isinstance(weights, Weights)
    assert "mmproj" in weights.component.note


def test_drafting_blocks_are_in_the_file_and_not_in_memory() -> None:
    """GLM-4.5: one of 93 layers drafts; without it, F16 is what bf16 is but for norms and routers in F32."""
    model = fixture_model("zai-org--GLM-4.5")
    f16, bf16 = weights_of(model, "f16"), weights_of(model, "bf16")
    assert isinstance(f16, Weights) and isinstance(bf16, Weights)
    assert abs(f16.component.size_bytes / bf16.component.size_bytes - 1) < 0.001
    assert "multi-token prediction" in f16.component.note


def test_the_longest_context_weighs_each_file_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    weigh = inspector.weights_of

    def watched(model: Model, precision: str) -> Weights | NoWeights:
        asked.append(precision)
        return weigh(model, precision)

    monkeypatch.setattr(inspector, "weights_of", watched)
    found = inspect("meta-llama/Llama-3.1-8B", precisions=["q4_k_m"], context="fit", accelerators=["rtx-4090"])
    assert found.workload.context_tokens > 8192
    assert asked == ["q4_k_m"]
