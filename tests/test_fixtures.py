"""The bundled models: what they store, and what they reconcile to, is what was published."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hubvram.architecture.reconcile import Status
from hubvram.architecture.stored import MTP
from hubvram.checkpoint.components import Component
from hubvram.memory.weights import STORED
from tests.samples import FIXTURES, NAMES, attention_of, fixture_architecture, fixture_model


def expected(name: str) -> Any:
    return json.loads((FIXTURES / "models" / name / "expected.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_totals_are_the_published_ones(name: str) -> None:
    model, published = fixture_model(name), expected(name)
    assert model.checkpoint is not None
    counted = model.reconciliation.total if published["published_total_is_logical"] else model.checkpoint.elements
    assert counted == published["published_total"]
    assert model.reconciliation.total == published["parameters"]


@pytest.mark.parametrize("name", NAMES)
def test_every_fixture_is_reconciled_to_the_last_parameter(name: str) -> None:
    compared = fixture_model(name).reconciliation
    assert compared.status is Status.RECONCILED
    assert compared.difference == 0
    assert compared.differences == {}
    assert compared.scope == "all"
    assert sum(compared.by_component.values()) == compared.total
    assert all(compared.by_component.values()), "a component without parameters is left out"
    assert compared.derived is not None
    assert compared.derived + sum(item.parameters for item in compared.accounted) == compared.total


@pytest.mark.parametrize("name", NAMES)
def test_what_is_stored_is_counted_or_named(name: str) -> None:
    model = fixture_model(name)
    assert model.checkpoint is not None
    beside = model.reconciliation.not_counted
    if not expected(name)["published_total_is_logical"]:
        assert model.checkpoint.elements == model.reconciliation.total + sum(item.parameters for item in beside)
    # Scales stay in memory, but for those of blocks that do not.
    left_out = [item for item in model.reconciliation.accounted if item.what in ("not used", MTP)]
    not_loaded = (*(item for item in beside if item.what != "scales"), *left_out)
    assert model.stored.component.size_bytes == model.checkpoint.stored_bytes - sum(
        item.stored_bytes for item in not_loaded
    )
    for item in not_loaded:
        assert any(item.what in note for note in model.notes)


@pytest.mark.parametrize("name", [name for name in NAMES if expected(name)["published_file_bytes"]])
def test_the_published_file_size_is_met(name: str) -> None:
    """Tensor data, headers and their lengths, to the byte.

    Two headers were written in another way: gpt2's without the padding to 8, Qwen2.5-72B's with the tensors in
    another order, so that its offsets have fewer digits (352 bytes in 37 files).
    """
    other_text = {"openai-community--gpt2": 61, "Qwen--Qwen2.5-72B": 352}
    assert fixture_model(name).listed_bytes == expected(name)["published_file_bytes"] + other_text.get(name, 0)


@pytest.mark.parametrize("name", NAMES)
def test_layers_have_their_indices_once(name: str) -> None:
    architecture = fixture_architecture(name)
    ranges = sorted(pair for group in architecture.groups() for pair in group.indices)
    assert [index for first, last in ranges for index in range(first, last + 1)] == list(
        range(architecture.num_hidden_layers)
    )
    layers = sum(group.count * group.layer.parameters for group in architecture.groups())
    outside = architecture.embedding_parameters + architecture.final_norm.parameters + architecture.head_parameters
    outside += sum(part.parameters for part in (*architecture.extras, *architecture.stacks))
    assert layers + outside == architecture.parameters


def test_there_are_enough_fixtures() -> None:
    assert len(NAMES) >= 14


@pytest.mark.parametrize("name", NAMES)
def test_fixtures_are_small_and_complete(name: str) -> None:
    files = {path.name: path.stat().st_size for path in (FIXTURES / "models" / name).iterdir()}
    assert set(files) == {"config.json", "expected.json", "headers.json"}
    assert sum(files.values()) < 12_000


# -------------------------------------------------------------------- figures that were published


def test_llama_70b_by_component() -> None:
    compared = fixture_model("meta-llama--Llama-3.1-70B").reconciliation
    assert compared.total == 70_553_706_496
    assert compared.by_component == {
        Component.EMBEDDING: 1_050_673_152,  # 128,256 x 8,192
        Component.ATTENTION: 12_079_595_520,  # 80 x 8,192 x (8,192 + 1,024 + 1,024 + 8,192)
        Component.MLP: 56_371_445_760,  # 80 x 3 x 8,192 x 28,672
        Component.NORM: 1_318_912,  # (80 x 2 + 1) x 8,192
        Component.HEAD: 1_050_673_152,
    }


def test_llama_70b_has_one_kind_of_layer() -> None:
    (group,) = fixture_architecture("meta-llama--Llama-3.1-70B").groups()
    assert (group.count, group.indices) == (80, ((0, 79),))
    assert group.layer.parameters == 855_654_400
    mixer = attention_of(group.layer)
    assert (mixer.kind, mixer.q_size, mixer.k_size, mixer.v_size, mixer.o_size) == (
        "full_attention",
        8192,
        1024,
        1024,
        8192,
    )
    assert group.layer.mlp is not None
    assert (group.layer.mlp.kind, group.layer.mlp.linears[0].out_features) == ("dense", 28_672)


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        # "uses only 12.9B active parameters": mistral.ai/news/mixtral-of-experts
        ("mistralai--Mixtral-8x7B-v0.1", "12.9"),
        # "Number of Paramaters (Activated): 3.3B", cut, not rounded: model card of Qwen3-30B-A3B.
        ("Qwen--Qwen3-30B-A3B", "3.3"),
    ],
)
def test_active_parameters(name: str, billions: str) -> None:
    active = fixture_model(name).active_parameters / 1e9
    assert billions in (f"{active:.1f}", f"{active:.3f}"[:3])


@pytest.mark.parametrize(
    ("name", "active"),
    [
        # Mixtral: 46,702,792,704 - 32 layers x 6 unused experts x 3 x 4,096 x 14,336
        ("mistralai--Mixtral-8x7B-v0.1", 46_702_792_704 - 32 * 6 * 3 * 4096 * 14_336),
        # Qwen3: 30,532,122,624 - 48 layers x 120 unused experts x 3 x 2,048 x 768
        ("Qwen--Qwen3-30B-A3B", 30_532_122_624 - 48 * 120 * 3 * 2048 * 768),
    ],
)
def test_active_parameters_exactly(name: str, active: int) -> None:
    model = fixture_model(name)
    assert model.active_parameters == active
    assert model.architecture is not None
    # Both have a head of their own, so that the embedding is only looked up.
    embedding = model.architecture.vocab_size * model.architecture.hidden_size
    assert model.active_without_input_embedding == active - embedding


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        # "Number of Paramaters (Non-Embedding)" of the Qwen model cards.
        ("Qwen--Qwen2.5-0.5B", "0.36"),
        ("Qwen--Qwen3-0.6B", "0.44"),
        ("Qwen--Qwen3-30B-A3B", "29.9"),
    ],
)
def test_parameters_without_embeddings(name: str, billions: str) -> None:
    compared = fixture_model(name).reconciliation
    embeddings = compared.by_component[Component.EMBEDDING] + compared.by_component.get(Component.HEAD, 0)
    decimals = len(billions.partition(".")[2])
    assert f"{(compared.total - embeddings) / 1e9:.{decimals}f}" == billions


def test_active_without_the_embedding_is_what_cards_call_non_embedding() -> None:
    # Model card of Qwen3-0.6B: "Number of Paramaters (Non-Embedding): 0.44B"; its head is the embedding.
    assert fixture_model("Qwen--Qwen3-0.6B").active_without_input_embedding == 596_049_920 - 151_936 * 1024
    # gpt2: neither the 50,257 tokens' nor the 1,024 positions' embedding.
    assert fixture_model("openai-community--gpt2").active_without_input_embedding == 124_439_808 - 51_281 * 768


def test_buffers_of_old_checkpoints_are_named() -> None:
    pythia = fixture_model("EleutherAI--pythia-160m").reconciliation
    # 12 masks of 2,048 x 2,048, and 12 masked values of one element; 12 x 8 rotary frequencies.
    assert sum(item.parameters for item in pythia.not_counted) == 212_654_688 - 162_322_944
    assert {item.what for item in pythia.not_counted} >= {"causal masks", "rotary frequencies"}
    (masks,) = fixture_model("openai-community--gpt2").reconciliation.not_counted
    assert (masks.what, masks.parameters, masks.tensors) == ("causal masks", 12 * 1024 * 1024, 12)


def test_a_head_stored_beside_its_tied_embedding_counts_once() -> None:
    (head,) = fixture_model("Qwen--Qwen3-0.6B").reconciliation.not_counted
    assert (head.what, head.parameters, head.tensors) == ("tied head, stored again", 151_936 * 1024, 1)
    assert head.stored_bytes == 2 * 151_936 * 1024


def test_stored_precisions() -> None:
    stored = {name: fixture_model(name).stored for name in NAMES}
    assert all(weights.precision == STORED for weights in stored.values())
    assert stored["meta-llama--Llama-3.1-70B"].scheme == "bf16"
    assert stored["meta-llama--Llama-3.1-70B"].component.size_bytes == 141_107_412_992
    assert stored["google--gemma-2-2b"].scheme == "fp32"
    assert stored["openai-community--gpt2"].compute_dtype == "fp32"
