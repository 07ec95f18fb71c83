"""What hubvram says about a saved model: the outcome of one step of the walk."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from hubvram.architecture.families import architecture_of
from hubvram.architecture.reconcile import Reconciliation
from hubvram.checkpoint.tensors import Checkpoint, TensorInfo
from hubvram.config.reader import parse_config
from hubvram.errors import HubvramError
from hubvram.inspection.understanding import understand

_FILE = "model.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How far one model type is understood."""

    status: str
    parameters: int
    scope: str = "all"
    why: str = ""
    by_default: bool = False
    """Whether a config that says nothing but its type is derived to the same parameters, by the table of defaults."""


def reconciliation_of(config: Mapping[str, Any], tensors: Iterable[tuple[str, str, Iterable[int]]]) -> Reconciliation:
    """The comparison of a config with tensors (name, dtype, shape)."""
    stored = tuple(
        TensorInfo(name=name, dtype=dtype, shape=tuple(shape), stored_bytes=4 * prod(shape), file=_FILE)
        for name, dtype, shape in tensors
    )
    read = parse_config(json.dumps(config).encode(), str(config.get("model_type")))
    return understand(read, Checkpoint(tensors=stored, files=(_FILE,)))[0]


def outcome_of(config: Mapping[str, Any], tensors: Iterable[tuple[str, str, Iterable[int]]]) -> Outcome:
    """The same in short, where a config that is refused is an outcome too."""
    tensors = list(tensors)
    try:
        found = reconciliation_of(config, tensors)
    except HubvramError as error:
        return Outcome(status="refused", parameters=sum(prod(shape) for _, _, shape in tensors), why=str(error))
    differences = ", ".join(f"{component} {number:+,}" for component, number in found.differences.items())
    return Outcome(status=found.status.value, parameters=found.total, scope=found.scope, why=differences)


def parameters_by_default(model_type: str) -> int | None:
    """What hubvram derives from `{"model_type": ...}` alone; None where that is not enough."""
    try:
        architecture = architecture_of(parse_config(json.dumps({"model_type": model_type}).encode(), model_type))
    except HubvramError:
        return None
    return None if architecture is None else architecture.parameters
