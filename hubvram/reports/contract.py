"""The JSON that scripts rely on, schema_version 1: fields may be added, none is renamed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from hubvram.architecture.attention import FullAttention, LatentAttention
from hubvram.architecture.layers import Architecture, LayerGroup, Stack
from hubvram.architecture.mlp import DenseMLP, MoEMLP
from hubvram.architecture.parts import Part, Weight
from hubvram.architecture.stored import Item
from hubvram.checkpoint.components import Component
from hubvram.checkpoint.tensors import Checkpoint
from hubvram.checkpoint.totals import Totals
from hubvram.hardware.fit import Fit
from hubvram.inspection import Inspection, Model
from hubvram.memory.engines import ENGINES
from hubvram.memory.estimate import MemoryComponent, MemoryEstimate
from hubvram.reports import SCHEMA_VERSION

if TYPE_CHECKING:
    from hubvram.inspection.quantization import QuantizationFacts
    from hubvram.memory.loading import Figure, Loading


def as_json(found: Inspection, *, explain: bool = False) -> dict[str, Any]:
    """The whole answer. Sizes are in bytes, lengths in tokens. `explain` adds how each component comes about."""
    model = found.model
    return {
        "schema_version": SCHEMA_VERSION,
        "model_id": model.model_id,
        "revision": model.revision,
        "requested_revision": model.requested_revision,
        "model_type": model.model_type,
        "architectures": list(model.architectures),
        "library": model.library,
        "checkpoint": _checkpoint(model.checkpoint or model.totals),
        "parameters": _parameters(model),
        "quantization": _quantization(model.quantization) if model.quantization else None,
        "architecture": _architecture(model.architecture) if model.architecture else None,
        "workload": _workload(found),
        "estimates": [
            _estimate(estimate, fits, explain=explain) | loading
            for estimate, fits, loading in zip(found.estimates, found.fits, _loadings(found, explain), strict=True)
        ],
        "notes": list(found.notes),
    }


def _checkpoint(checkpoint: Checkpoint | Totals | None) -> dict[str, Any] | None:
    if checkpoint is None:
        return None
    tensors, by_dtype = None, checkpoint.by_dtype()
    if isinstance(checkpoint, Checkpoint):
        tensors = len(checkpoint.tensors)
    elif checkpoint.overcounts:
        by_dtype = {}
    return {
        "format": "safetensors",
        "files": len(checkpoint.files),
        "file_bytes": checkpoint.file_bytes,
        "tensors": tensors,
        "stored_bytes": checkpoint.stored_bytes,
        "dtypes": {
            dtype: {"elements": total.elements, "bytes": total.stored_bytes} for dtype, total in by_dtype.items()
        },
    }


def _parameters(model: Model) -> dict[str, Any]:
    compared = model.reconciliation
    return {
        "total": compared.total,
        "active": model.active_parameters,
        "active_without_input_embedding": model.active_without_input_embedding,
        "by_component": _in_order(compared.by_component),
        "derived": compared.derived,
        "accounted": [_item(item, "parameters") for item in compared.accounted],
        "not_counted": [_item(item, "elements") for item in compared.not_counted],
        "status": compared.status.value,
        "ground": compared.status.ground.value,
        "reconciled": compared.status == "reconciled",
        "difference": compared.difference,
        "differences": _in_order(compared.differences),
        "strangers": list(compared.strangers),
        "hub_total": compared.hub_total,
        "scope": compared.scope,
    }


def _quantization(facts: QuantizationFacts) -> dict[str, Any]:
    declared = facts.declared
    return {
        "method": facts.method,
        "declared_in": declared.file if declared else None,
        "declared_format": declared.format if declared else None,
        "declared_bits": declared.bits if declared else None,
        "declared_group_size": declared.group_size if declared else None,
        "declared_kv_cache_dtype": declared.kv_cache_dtype if declared else None,
        "layouts": [
            {
                "name": layout.name,
                "checked": layout.checked.value,
                "parameters": layout.parameters,
                "bytes": layout.stored_bytes,
            }
            for layout in facts.layouts
        ],
        "unknown_tensors": facts.unknown_tensors,
        "packed_parameters": facts.packed_parameters,
        "packed_bytes": facts.packed_bytes,
        "bits_per_packed_weight": facts.bits_per_packed_weight,
        "bits_per_weight": facts.bits_per_weight,
        "kept": [
            {"component": kept.component.value, "parameters": kept.parameters, "of": kept.of} for kept in facts.kept
        ],
    }


def _in_order(numbers: Mapping[Component, int]) -> dict[str, int]:
    return {component.value: numbers[component] for component in Component if component in numbers}


def _item(item: Item, unit: str) -> dict[str, Any]:
    return {
        "what": item.what,
        unit: item.parameters,
        "tensors": item.tensors,
        "bytes": item.stored_bytes,
        "rule": item.rule,
    }


def _architecture(architecture: Architecture) -> dict[str, Any]:
    return {
        "hidden_size": architecture.hidden_size,
        "vocab_size": architecture.vocab_size,
        "num_hidden_layers": architecture.num_hidden_layers,
        "max_position_embeddings": architecture.max_position_embeddings,
        "tie_word_embeddings": architecture.tie_word_embeddings,
        "head": architecture.head is not None,
        "layers": [_layers(group) for group in architecture.groups()],
        "extras": [_weight(weight) for weight in architecture.extras],
        "stacks": [_stack(stack) for stack in architecture.stacks],
    }


def _stack(stack: Stack) -> dict[str, Any]:
    return {
        "name": stack.name,
        "model_type": stack.model_type,
        "hidden_size": stack.hidden_size,
        "num_hidden_layers": len(stack.layers),
        "layers": [_layers(group) for group in stack.groups()],
        "extras": [_weight(weight) for weight in stack.extras],
        "parameters": stack.parameters,
    }


def _layers(group: LayerGroup) -> dict[str, Any]:
    layer = group.layer
    found: dict[str, Any] = {
        "indices": [list(pair) for pair in group.indices],
        "mixer": _part(layer.mixer),
        "mlp": _part(layer.mlp),
        "parameters_each": layer.parameters,
    }
    if layer.others:
        found["others"] = [_part(part) for part in layer.others]
    if layer.extras:
        found["extras"] = [_weight(weight) for weight in layer.extras]
    return found


_NAMED_BY_FIELDS: Final = (FullAttention, DenseMLP, MoEMLP)
"""Parts whose fields say it all; every other part lists its weights."""


def _part(part: Part | None) -> dict[str, Any] | None:
    if part is None:
        return None
    found = {"kind": part.kind, **_fields(part)}
    if isinstance(part, FullAttention | LatentAttention):
        found |= {"q_size": part.q_size, "k_size": part.k_size, "v_size": part.v_size, "o_size": part.o_size}
    if not isinstance(part, _NAMED_BY_FIELDS):
        found["weights"] = [_weight(weight) for weight in (*part.linears, *part.tensors)]
    return found | {"parameters": part.parameters}


def _fields(part: Part) -> dict[str, Any]:
    """config.json's own; hidden_size is the architecture's and would only be repeated."""
    fields = dataclasses.fields(part)  # type: ignore[arg-type]  # every part is a dataclass
    values = {field.name: getattr(part, field.name) for field in fields if field.name not in _NOT_SHOWN}
    return {name: value for name, value in values.items() if isinstance(value, bool | int | float | str)}


_NOT_SHOWN: Final = frozenset({"hidden_size", "kind", "component", "weights", "others"})


def _weight(weight: Weight) -> dict[str, Any]:
    found: dict[str, Any] = {"name": weight.name, "shape": list(weight.shape), "parameters": weight.parameters}
    return found | ({"count": weight.count} if weight.count > 1 else {})


def _workload(found: Inspection) -> dict[str, Any]:
    workload = found.workload
    return {
        "engine": workload.engine,
        "engine_version": ENGINES[workload.engine].version,
        "context_tokens": workload.context_tokens,
        "input_tokens": workload.input_tokens,
        "batch_size": workload.batch_size,
        "attention": found.attention.value if found.attention else None,
        "cache": workload.cache,
        "logits": workload.logits.value,
        "padded": workload.padded,
        "gpus": 1,
    }


def _component(component: MemoryComponent) -> dict[str, Any]:
    return {
        "name": component.name,
        "bytes": component.size_bytes,
        "low_bytes": component.low_bytes,
        "high_bytes": component.high_bytes,
        "basis": component.basis.value,
        "note": component.note,
    }


def _explanation(component: MemoryComponent) -> dict[str, Any]:
    terms = [{"what": term.what, "formula": term.formula, "bytes": term.size_bytes} for term in component.terms]
    return {"terms": terms, "source": component.source}


def _estimate(estimate: MemoryEstimate, fits: tuple[Fit, ...], *, explain: bool) -> dict[str, Any]:
    return {
        "precision": estimate.precision,
        "scheme": estimate.scheme,
        "scheme_description": estimate.scheme_description,
        "compute_dtype": estimate.compute_dtype,
        "kv_cache_dtype": estimate.kv_cache_dtype,
        "nominal_weight_bytes": estimate.nominal_weight_bytes,
        "rule_of_thumb_bytes": estimate.rule_of_thumb_bytes,
        "components": [
            _component(component) | (_explanation(component) if explain else {}) for component in estimate.components
        ],
        "complete": estimate.is_complete,
        "peak": estimate.peak,
        "instants": [
            {
                "name": instant.name,
                "kv_cache_bytes": instant.kv_cache_bytes,
                "state_bytes": instant.state_bytes,
                "activations_bytes": instant.activations_bytes,
                "outputs_bytes": instant.outputs_bytes,
                "buffers_bytes": instant.buffers_bytes,
                "unpacked_bytes": instant.unpacked_bytes,
            }
            for instant in estimate.instants
        ],
        "total_bytes": estimate.total_bytes,
        "total_low_bytes": estimate.total_low_bytes,
        "total_high_bytes": estimate.total_high_bytes,
        "fits": [
            {
                "accelerator": fit.accelerator.name,
                "count": 1,
                "usable_bytes": fit.accelerator.usable_bytes,
                "headroom_bytes": fit.headroom_bytes,
                "fits": fit.fits,
            }
            for fit in fits
        ],
    }


def _loadings(found: Inspection, explain: bool) -> list[dict[str, Any]]:
    """Of each estimate, on request: it takes longer to say than all the rest."""
    if not explain:
        return [{} for _ in found.estimates]
    return [{"loading": _loading(loading)} for loading in found.loadings]


def _loading(loading: Loading) -> dict[str, Any]:
    return {
        "download": _figure(loading.download),
        "disk": _figure(loading.disk),
        "ways": [
            {"name": way.name, "call": way.call, "host": _figure(way.host), "gpu_peak": _figure(way.gpu_peak)}
            for way in loading.ways
        ],
    }


def _figure(figure: Figure) -> dict[str, Any]:
    return {
        "low_bytes": figure.low_bytes,
        "high_bytes": figure.high_bytes,
        "basis": figure.basis.value if figure.basis else None,
        "note": figure.note,
    }
