"""Reconciliation: what config.json derives against what the files store, to the last parameter.

Reconciled means that total = derived + accounted in every component. `total` is logical: buffers, scales of
packed weights, and a head that repeats its tied embedding, are stored but are not parameters. What is in the
files beyond the architecture is accounted for by a rule with a name, or the model is not reconciled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache
from typing import Final

from hubvram.architecture.layers import Architecture
from hubvram.architecture.parts import Weight
from hubvram.checkpoint.components import (
    NEXT_SENTENCE,
    POOLER,
    Component,
    beside_head,
    buffer_kind,
    component_of,
)
from hubvram.checkpoint.packing import unpack
from hubvram.checkpoint.tensors import Checkpoint, TensorInfo


class Status(StrEnum):
    """On which ground the parameter count stands."""

    RECONCILED = "reconciled"
    SHAPE_MATCHED = "shape-matched"
    """Derived with the help of the tensors' names and shapes: equal, but not from config.json alone."""
    UNRECONCILED = "unreconciled"
    QUANTIZED = "quantized"
    """Tensors packed in a way that is not known: the count is the architecture's, not compared with the files."""
    UNKNOWN_ARCHITECTURE = "unknown-architecture"
    """Stored elements, counted; no family derives them."""
    DERIVED = "derived"
    """From config.json alone: there are no safetensors headers to compare with."""
    NO_HEADERS = "no-headers"
    """The Hub's own totals: the files could not be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A group of tensors that needs a word: what it is, how much, by which rule."""

    what: str
    parameters: int
    tensors: int
    stored_bytes: int
    rule: str
    is_loaded: bool = True
    """Whether transformers keeps it in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """The comparison, and the architecture as the files hold it (without a head that is not there)."""

    status: Status
    total: int
    by_component: Mapping[Component, int]
    architecture: Architecture | None = None
    derived: int | None = None
    accounted: tuple[Item, ...] = ()
    """Beyond the architecture, and counted; negative for what the config announces and the files lack."""
    not_counted: tuple[Item, ...] = ()
    """Stored, but no parameters."""
    differences: Mapping[Component, int] = field(default_factory=dict)
    """Component -> stored minus derived and accounted, where that is not zero."""
    scope: str = "all"

    @property
    def difference(self) -> int | None:
        """total - derived - accounted; None where nothing was compared."""
        if self.derived is None or self.status is Status.QUANTIZED:
            return None
        return self.total - self.derived - sum(item.parameters for item in self.accounted)

    @property
    def not_loaded(self) -> tuple[Item, ...]:
        """What is in the files, and not in memory once the model is loaded."""
        return tuple(item for item in (*self.not_counted, *self.accounted) if not item.is_loaded)

    @property
    def loaded_parameters(self) -> int:
        return self.total - sum(item.parameters for item in self.accounted if not item.is_loaded)


TOWERS: Final = (Component.VISION, Component.AUDIO, Component.PROJECTOR)


def reconcile(
    checkpoint: Checkpoint,
    architecture: Architecture | None,
    *,
    quantized: bool,
    quantization_method: str | None = None,
    by_shapes: bool = False,
) -> Reconciliation:
    """Compare. `by_shapes`: the architecture was derived with the help of the tensors."""
    parameters, not_counted = _split(checkpoint, architecture)
    unpacked = unpack(parameters, quantization_method) if quantization_method or not quantized else None
    if architecture is not None and unpacked is not None:
        parameters = unpacked.parameters
        not_counted += _scales(unpacked.scales, architecture)
    groups = _by_component(parameters, architecture)
    stored = {component: sum(tensor.elements for tensor in tensors) for component, tensors in groups.items()}
    if architecture is None:
        return Reconciliation(
            status=Status.UNKNOWN_ARCHITECTURE,
            total=sum(stored.values()),
            by_component=stored,
            not_counted=not_counted,
        )
    derived = architecture.parameters_by_component
    towers = [component for component in TOWERS if component in stored and component not in derived]
    accounted = [_tower(component, groups[component]) for component in towers]
    scope = "text" if towers else "all"
    if unpacked is None:
        return _quantized(architecture, stored, not_counted, scope, accounted)
    explained: dict[Component, int] = {component: stored[component] for component in towers}
    if Component.MTP in stored:
        accounted.append(_mtp(groups[Component.MTP]))
        explained[Component.MTP] = stored[Component.MTP]
    computed = [tensor for tensor in parameters if tensor.name.endswith(architecture.computed)]
    if computed:
        accounted.append(_item("computed positions", computed, "sinusoids: in some files, and computed without them"))
        explained[Component.EMBEDDING] = accounted[-1].parameters
    on_top, architecture = _on_top(architecture, groups.get(Component.HEAD, []), parameters)
    accounted += on_top
    explained[Component.HEAD] = sum(item.parameters for item in on_top)
    differences = {
        component: difference
        for component in Component
        if (difference := stored.get(component, 0) - derived.get(component, 0) - explained.get(component, 0))
    }
    return Reconciliation(
        status=_status(differences, by_shapes=by_shapes),
        total=sum(stored.values()),
        by_component=stored,
        architecture=architecture,
        derived=sum(derived.values()),
        accounted=tuple(accounted),
        not_counted=not_counted,
        differences=differences,
        scope=scope,
    )


def _status(differences: Mapping[Component, int], *, by_shapes: bool) -> Status:
    if differences:
        return Status.UNRECONCILED
    return Status.SHAPE_MATCHED if by_shapes else Status.RECONCILED


def _quantized(
    architecture: Architecture,
    stored: Mapping[Component, int],
    not_counted: tuple[Item, ...],
    scope: str,
    accounted: list[Item],
) -> Reconciliation:
    derived = architecture.parameters_by_component
    by_component = derived | {tower: stored[tower] for tower in TOWERS if tower in stored and tower not in derived}
    return Reconciliation(
        status=Status.QUANTIZED,
        total=sum(by_component.values()),
        by_component=by_component,
        architecture=architecture,
        derived=sum(derived.values()),
        accounted=tuple(accounted),
        not_counted=not_counted,
        scope=scope,
    )


def _split(checkpoint: Checkpoint, architecture: Architecture | None) -> tuple[list[TensorInfo], tuple[Item, ...]]:
    """(parameters, what is stored beside them)."""
    parameters: list[TensorInfo] = []
    has_embedding = False
    others: dict[str, list[TensorInfo]] = {}
    names = {tensor.name for tensor in checkpoint.tensors}
    for tensor in checkpoint.tensors:
        kind = buffer_kind(tensor) or _repeated(tensor, architecture, has_embedding=has_embedding)
        if kind is None and _is_bias_of_head_again(tensor.name, names):
            kind = _HEAD_BIAS
        if kind is None:
            parameters.append(tensor)
            has_embedding |= tensor.name.endswith(_TOKEN_EMBEDDINGS)
        else:
            others.setdefault(kind, []).append(tensor)
    rules = {
        _HEAD_BIAS: "decoder.bias is bias: one parameter under two names",
        _TIED_HEAD: "tie_word_embeddings: the head is the embedding, once",
        _SHARED_EMBEDDING: "encoder and decoder use one embedding",
        _REBUILT: "the model's code takes it from another, or leaves it out",
    }
    items = tuple(
        replace(_item(kind, tensors, rules.get(kind, "a buffer that the model's code rebuilds")), is_loaded=False)
        for kind, tensors in others.items()
    )
    return parameters, items


_TIED_HEAD: Final = "tied head, stored again"
_HEAD_BIAS: Final = "bias of the head, stored again"
_SHARED_EMBEDDING: Final = "shared embedding, stored again"
_REBUILT: Final = "stored, and not used"
_TOKEN_EMBEDDINGS: Final = ("shared.weight", "embed_tokens.weight", "word_embeddings.weight")


def _repeated(tensor: TensorInfo, architecture: Architecture | None, *, has_embedding: bool) -> str | None:
    """What a tensor is that the architecture has already, in another or in its code; else None."""
    if architecture is None:
        return None
    if tensor.name.endswith(architecture.rebuilt):
        return _REBUILT
    if tensor.shape != (architecture.vocab_size, architecture.embedding_size or architecture.hidden_size):
        return None
    if architecture.has_tied_head and component_of(tensor.name) is Component.HEAD:
        return _TIED_HEAD
    if architecture.shares_embedding and has_embedding and tensor.name.endswith(_TOKEN_EMBEDDINGS):
        return _SHARED_EMBEDDING
    return None


def _is_bias_of_head_again(name: str, names: Set[str]) -> bool:
    """Heads over words keep their bias twice: as their own, and as their last matrix's (bert, roberta)."""
    own = name.removesuffix("decoder.bias") + "bias"
    return own != name and own in names and component_of(name) is Component.HEAD


def _scales(scales: list[TensorInfo], architecture: Architecture) -> tuple[Item, ...]:
    """Scales stay in memory as their weights do, or do not."""
    groups: dict[bool, list[TensorInfo]] = {}
    for tensor in scales:
        groups.setdefault(_component(tensor, architecture) is not Component.MTP, []).append(tensor)
    rule = "by quantization_config: they belong to the packed weights"
    return tuple(
        replace(_item("scales" if is_loaded else f"scales of {_MTP}", tensors, rule), is_loaded=is_loaded)
        for is_loaded, tensors in groups.items()
    )


def _item(what: str, tensors: list[TensorInfo], rule: str) -> Item:
    return Item(
        what=what,
        parameters=sum(tensor.elements for tensor in tensors),
        tensors=len(tensors),
        stored_bytes=sum(tensor.stored_bytes for tensor in tensors),
        rule=rule,
    )


def _by_component(tensors: list[TensorInfo], architecture: Architecture | None) -> dict[Component, list[TensorInfo]]:
    groups: dict[Component, list[TensorInfo]] = {}
    for tensor in tensors:
        groups.setdefault(_component(tensor, architecture), []).append(tensor)
    if architecture is not None and Component.EXPERTS not in architecture.parameters_by_component:
        # What stands beside the experts of others stands alone, under the same name (granite-4.0-micro).
        groups.setdefault(Component.MLP, []).extend(groups.pop(Component.EXPERTS, ()))
    return groups


def _component(tensor: TensorInfo, architecture: Architecture | None) -> Component:
    """As the name says; layers behind the last one are blocks for multi-token prediction (DeepSeek-V3, GLM-4.5)."""
    if architecture is not None and tensor.name.startswith(_extra_layers(architecture.num_hidden_layers)):
        return Component.MTP
    return component_of(tensor.name)


@cache
def _extra_layers(number_of_layers: int) -> tuple[str, ...]:
    return tuple(
        f"{prefix}.layers.{number_of_layers + extra}." for prefix in _LAYERS_OF for extra in range(_MTP_BLOCKS)
    )


_LAYERS_OF: Final = ("model", "model.language_model", "language_model.model")
_MTP: Final = "blocks for multi-token prediction"
_MTP_BLOCKS: Final = 4  # one in every published model so far


def _mtp(tensors: list[TensorInfo]) -> Item:
    item = _item(_MTP, tensors, "beside the model proper, counted as stored")
    return replace(item, is_loaded=False)  # `_keys_to_ignore_on_load_unexpected` in modeling_*.py


def _tower(component: Component, tensors: list[TensorInfo]) -> Item:
    what = "projector" if component is Component.PROJECTOR else f"{component} tower"
    return _item(what, tensors, "beside the text model, counted as stored")


def _on_top(
    architecture: Architecture, stored: list[TensorInfo], parameters: list[TensorInfo]
) -> tuple[list[Item], Architecture]:
    """What stands on top in the files and not in the class that config.json names, or the other way round.

    Files are often saved from another class: those of bert-base-uncased hold all that it was pretrained with.
    The architecture is returned without what is not there.
    """
    items: list[Item] = []
    proper = architecture.parameters_by_component.get(Component.HEAD, 0)
    for what in (POOLER, NEXT_SENTENCE):
        found = [tensor for tensor in stored if beside_head(tensor.name) == what]
        expected = sum(weight.parameters for weight in _outside_layers(architecture) if weight.name == what)
        proper -= expected
        if found and not expected:
            items.append(_left_out(what, found))
        elif expected and not found:
            items.append(_absent(what, expected, "config.json names a class with it: transformers makes it anew"))
            architecture = _without(architecture, what)
    found = [tensor for tensor in stored if beside_head(tensor.name) is None]
    if found and not proper and architecture.head is None:
        items.append(_left_out("head", found))
    elif proper and not found and _holds_base_model(parameters):
        rule = "the files hold the base model: no head, and names without its prefix"
        items.append(_absent("head, announced by the config and not in the files", proper, rule))
        architecture = replace(_without(architecture, *{weight.name for weight in architecture.extras}), head=None)
    return items, architecture


def _outside_layers(architecture: Architecture) -> Iterator[Weight]:
    """What it has outside its layers, and an encoder beside it outside of those."""
    yield from architecture.extras
    for stack in architecture.stacks:
        if stack.component is None:
            yield from stack.extras


def _without(architecture: Architecture, *names: str) -> Architecture:
    """Without some of what stands on top beside the head."""
    extras = tuple(
        weight for weight in architecture.extras if weight.component is not Component.HEAD or weight.name not in names
    )
    return replace(architecture, extras=extras)


def _holds_base_model(parameters: list[TensorInfo]) -> bool:
    """Whether files without a head were saved from the base model of a class that has one of its own.

    Base models save their tensors without the prefix that a model with a head puts before them.
    """
    return not any(tensor.name.startswith(_PREFIXES) for tensor in parameters)


_PREFIXES: Final = (
    *("model.", "transformer.", "gpt_neox."),
    *("bert.", "roberta.", "distilbert.", "albert.", "electra.", "mpnet.", "deberta."),
    *("vit.", "wav2vec2.", "hubert."),
)


def _left_out(what: str, tensors: list[TensorInfo]) -> Item:
    rule = "saved from another class than the one that config.json names, which leaves it out"
    return replace(_item(what, tensors, rule), is_loaded=False)


def _absent(what: str, parameters: int, rule: str) -> Item:
    return Item(what=what, parameters=-parameters, tensors=0, stored_bytes=0, rule=rule)
