"""What tools never leave out, taken from what they wrote: a note says so, and nothing else changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from hubvram.architecture.reconcile import Status
from hubvram.inspection import Model, read_model
from tests.quantized import SampleSource, sample_model, samples

Tensor = tuple[str, tuple[int, ...]]


def changed(name: str, change: Callable[[str, Tensor], Tensor | None], **section: Any) -> Model:
    """A sample with its tensors changed (None leaves one out), and its settings."""
    sample = samples()[name]
    tensors = {it: new for it, tensor in sample.tensors.items() if (new := change(it, tensor)) is not None}
    config = sample.files["config.json"]
    if section:
        config = {**config, "quantization_config": {**config["quantization_config"], **section}}
    return read_model(SampleSource(replace(sample, tensors=tensors, files={**sample.files, "config.json": config})))


def new_notes(model: Model, name: str) -> list[str]:
    """Those that the sample itself has not, and that count nothing."""
    known = set(sample_model(name).notes)
    return [note for note in model.notes if note not in known and not note.startswith("stored, but not counted")]


def without(ending: str) -> Callable[[str, Tensor], Tensor | None]:
    return lambda name, tensor: None if name.endswith(ending) else tensor


def emptied(ending: str) -> Callable[[str, Tensor], Tensor | None]:
    return lambda name, tensor: (tensor[0], (0,)) if name.endswith(ending) else tensor


@pytest.mark.parametrize(("name", "ending"), [("fp8-block", "weight_scale_inv"), ("quanto-int4", "._shift")])
def test_scales_that_are_missing(name: str, ending: str) -> None:
    model = changed(name, without(ending))
    assert model.reconciliation.status is Status.RECONCILED
    (note,) = [note for note in new_notes(model, name) if "scales" in note]
    assert note.startswith("14 tensors (model.layers.0.")
    assert note.endswith(" are packed without all the scales that such files have")


@pytest.mark.parametrize(("name", "ending"), [("gptq-4b-g128", "qzeros"), ("bnb-nf4", "absmax"), ("bnb-int8", "SCB")])
def test_scales_that_are_empty(name: str, ending: str) -> None:
    model = changed(name, emptied(ending))
    assert model.reconciliation.status is Status.RECONCILED
    (note,) = new_notes(model, name)
    assert note.startswith("14 tensors (model.layers.0.")
    assert note.endswith(" are empty, where scales or zeros of packed weights should be")


def test_gptq_needs_no_zeros() -> None:
    assert new_notes(changed("gptq-4b-g128", without("qzeros")), "gptq-4b-g128") == []


@pytest.mark.parametrize("name", sorted(samples()))
def test_what_tools_write_has_no_flaws(name: str) -> None:
    facts = sample_model(name).quantization
    assert facts is not None and facts.flaws == ()


@pytest.mark.parametrize("name", ["gptq-4b-g128", "awq-gemm"])
def test_groups_of_another_size_than_declared(name: str) -> None:
    model = changed(name, lambda _, tensor: tensor, group_size=64)
    assert model.reconciliation.status is Status.RECONCILED
    (note,) = new_notes(model, name)
    # 512 / 128
    assert note.startswith("config.json declares groups of 64, the files have 4 for 512 inputs (model.layers.0.")
    assert new_notes(changed(name, lambda _, tensor: tensor, group_size=-1), name) == []


def int4_as_eight(scheme: Mapping[str, Any]) -> dict[str, Any]:
    return {group: {**it, "weights": {**it["weights"], "num_bits": 8}} for group, it in scheme.items()}


def test_bits_that_are_wrong_in_all_components_alike() -> None:
    name = "ct-w4a16-g128"
    groups = samples()[name].files["config.json"]["quantization_config"]["config_groups"]
    model = changed(name, lambda _, tensor: tensor, config_groups=int4_as_eight(groups))
    assert model.reconciliation.status is Status.UNRECONCILED
    note = (
        "config.json declares 8 bits a weight: with 4 the files would hold what config.json derives, so that the "
        "declared bits may be wrong"
    )
    assert note in model.notes
    lacking = changed(name, without("layers.1.mlp.up_proj.weight_packed"), config_groups=int4_as_eight(groups))
    assert note not in lacking.notes


def test_columns_that_are_too_many() -> None:
    """As many as a layout of another kernel has; the index beside them is none of its."""

    def doubled(name: str, tensor: Tensor) -> Tensor:
        dtype, shape = tensor
        return (dtype, (shape[0], 2 * shape[1])) if name.endswith("qweight") else tensor

    model = changed("gptq-4b-g128", doubled)
    assert model.reconciliation.status is Status.UNRECONCILED
    assert any(note.startswith("NOT reconciled: the files hold attention +") for note in model.notes)
