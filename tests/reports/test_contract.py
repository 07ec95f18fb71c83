"""The JSON contract, checked over every fixture: sums, types, and no field missing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hubvram.hardware.accelerators import ACCELERATORS
from hubvram.inspection import inspect_model, read_model
from hubvram.memory.workload import Workload
from hubvram.reports.contract import as_json
from hubvram.sources.snapshot import SnapshotSource, snapshot_folders
from tests.contract import conforms

FOLDERS = snapshot_folders()
HOPPER = {
    accelerator.usable_bytes
    for accelerator in ACCELERATORS.values()
    if accelerator.label[0] in "HB" or "5090" in accelerator.label
}
TOP = [
    *("schema_version", "model_id", "revision", "requested_revision", "model_type", "architectures", "library"),
    *("checkpoint", "parameters", "quantization", "architecture", "workload", "estimates", "notes"),
]


@pytest.mark.parametrize("repo_id", FOLDERS)
def test_the_contract_holds(repo_id: str) -> None:
    model = read_model(SnapshotSource(repo_id, FOLDERS[repo_id]))
    found = inspect_model(model, Workload(context_tokens=400, input_tokens=300, batch_size=2))
    answer: dict[str, Any] = json.loads(json.dumps(as_json(found, explain=True)))
    conforms(answer)
    assert list(answer) == TOP
    parameters = answer["parameters"]
    assert sum(parameters["by_component"].values()) == parameters["total"]
    assert parameters["derived"] + sum(item["parameters"] for item in parameters["accounted"]) == parameters["total"]
    without = parameters["active"] - parameters["by_component"]["embedding"]
    assert parameters["active_without_input_embedding"] == without < parameters["active"] <= parameters["total"]
    layers = [index for group in answer["architecture"]["layers"] for index in _expanded(group["indices"])]
    assert sorted(layers) == list(range(answer["architecture"]["num_hidden_layers"]))
    for estimate in answer["estimates"]:
        components = estimate["components"]
        assert estimate["total_bytes"] == sum(component["bytes"] for component in components)
        assert estimate["total_low_bytes"] == sum(component["low_bytes"] for component in components)
        assert estimate["total_high_bytes"] == sum(component["high_bytes"] for component in components)
        assert all(component["bytes"] > 0 for component in components)
        nominal = estimate["nominal_weight_bytes"]
        assert estimate["rule_of_thumb_bytes"] == (None if nominal is None else nominal * 6 // 5)
        weight_bytes = components[0]["bytes"]
        for way in estimate["loading"]["ways"]:
            assert way["gpu_peak"]["low_bytes"] is None or way["gpu_peak"]["low_bytes"] >= weight_bytes
        assert estimate["loading"]["disk"]["low_bytes"] > 0
        for fit in estimate["fits"]:
            # With no GPU in mind the workspace is 32 MiB at most; before Hopper it is 8,519,680 bytes.
            spared = fit["headroom_bytes"] - (fit["usable_bytes"] - estimate["total_high_bytes"])
            assert spared == (0 if fit["usable_bytes"] in HOPPER else 32 * 2**20 - 8_519_680), fit
            fits = fit["headroom_bytes"] >= 0
            assert fit["fits"] is (None if fits and not estimate["complete"] else fits)


def _expanded(ranges: list[list[int]]) -> list[int]:
    return [index for first, last in ranges for index in range(first, last + 1)]
