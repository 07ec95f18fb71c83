"""Reconciliation: what config.json derives against what the files store, to the last parameter.

Reconciled means that total = derived + accounted in every component, and that every matrix of the layers has a shape
that the architecture has. `total` is logical: buffers, scales of packed weights, and a head that repeats its tied
embedding, are stored but are not parameters. What is in the files beyond the architecture is accounted for by a rule
with a name, or the model is not reconciled. Tensors that are packed in a way that is not known leave their own
components open, as far as they may hold what is missing there, and no others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from hubvram.architecture.doubt import in_unknown_packing
from hubvram.architecture.layers import Architecture
from hubvram.architecture.parts import Weight
from hubvram.architecture.shapes import strangers
from hubvram.architecture.stored import MTP, Item, Stored, item_of, tell_apart
from hubvram.checkpoint.components import NEXT_SENTENCE, POOLER, Component, beside_head
from hubvram.checkpoint.packed.unpack import Unpacked
from hubvram.checkpoint.tensors import Checkpoint, Kind

if TYPE_CHECKING:
    from hubvram.checkpoint.packed.layout import Declared


class Status(StrEnum):
    """On which ground the parameter count stands."""

    RECONCILED = "reconciled"
    SHAPE_MATCHED = "shape-matched"
    """Derived with the help of the tensors' names and shapes: equal, but not from config.json alone."""
    UNRECONCILED = "unreconciled"
    QUANTIZED = "quantized"
    """Tensors packed in a way that is not known: where they are, the count is the architecture's."""
    UNKNOWN_ARCHITECTURE = "unknown-architecture"
    """Stored elements, counted; no family derives them."""
    TOTALS_MATCHED = "totals-matched"
    """Derived from config.json, and equal to the Hub's own totals and the sizes of the files; no header was read."""
    DERIVED = "derived"
    """From config.json alone: there are no safetensors headers to compare with, or none was read."""
    CONTRADICTED = "contradicted"
    """The same, and the Hub's totals or the sizes of the files are others."""
    NO_HEADERS = "no-headers"
    """The Hub's own totals: no header was read, and nothing is derived."""

    @property
    def is_grounded(self) -> bool:
        """Whether nothing that was read speaks against the architecture."""
        return self not in (Status.UNRECONCILED, Status.CONTRADICTED)

    @property
    def ground(self) -> Ground:
        return _GROUNDS[self]


class Ground(StrEnum):
    """What a parameter count was taken from, or was found equal to."""

    HEADERS = "headers"
    HUB_TOTALS = "hub_totals"
    CONFIG = "config"


_GROUNDS: Final[Mapping[Status, Ground]] = {
    Status.RECONCILED: Ground.HEADERS,
    Status.SHAPE_MATCHED: Ground.HEADERS,
    Status.UNRECONCILED: Ground.HEADERS,
    Status.UNKNOWN_ARCHITECTURE: Ground.HEADERS,
    Status.TOTALS_MATCHED: Ground.HUB_TOTALS,
    Status.NO_HEADERS: Ground.HUB_TOTALS,
    Status.QUANTIZED: Ground.CONFIG,
    Status.DERIVED: Ground.CONFIG,
    Status.CONTRADICTED: Ground.CONFIG,
}


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
    strangers: tuple[str, ...] = ()
    """Matrices of a shape that the architecture does not have, each kind once: `name (rows, columns)`."""
    scope: str = "all"
    hub_total: int | None = None
    """The Hub's own count of stored elements, where no header was read and it gives one."""
    unpacked: Unpacked | None = None
    """What is packed in the files, and how; None where no header was read."""
    packed_by_component: Mapping[Component, int] = field(default_factory=dict)
    """Those of the parameters that are packed."""

    @property
    def difference(self) -> int | None:
        """total - derived - accounted, with the Hub's count as the total where it contradicts; None where nothing was
        compared."""
        if self.derived is None or self.status is Status.QUANTIZED:
            return None
        if self.status is Status.CONTRADICTED:
            return None if self.hub_total is None else self.hub_total - self.derived
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
    declared: Declared | None = None,
    by_shapes: bool = False,
) -> Reconciliation:
    """Compare. `declared`: what the configuration says of packed weights; `by_shapes`: the architecture was derived
    with the help of the tensors."""
    files = tell_apart(checkpoint.kinds, architecture, declared=declared)
    if architecture is None:
        return _reconciliation(Status.UNKNOWN_ARCHITECTURE, files)
    groups, stored = files.groups, files.by_component
    derived = architecture.parameters_by_component
    towers = [component for component in TOWERS if component in stored and component not in derived]
    scope = "text" if towers else "all"
    in_doubt = in_unknown_packing(groups, derived) if files.unpacked.unknown else {}
    beside = list(_beside(files, architecture, towers))
    accounted = [item for item, _ in beside]
    explained: dict[Component, int] = {}
    for kind in (kind for _, kinds in beside for kind in kinds):
        explained[kind.component] = explained.get(kind.component, 0) + kind.parameters
    on_top, architecture = _on_top(architecture, groups)
    accounted += on_top
    explained[Component.HEAD] = explained.get(Component.HEAD, 0) + sum(item.parameters for item in on_top)
    assumed = {
        component: derived[component] + explained.get(component, 0)
        for component, packed in in_doubt.items()
        if packed.may_hold(derived[component] + explained.get(component, 0))
    }
    differences = {
        component: difference
        for component in Component
        if component not in assumed
        and (difference := stored.get(component, 0) - derived.get(component, 0) - explained.get(component, 0))
    }
    # Scales of what is not known how to read are matrices too.
    matrices = groups | {component: [kind for kind in groups[component] if kind.layout] for component in in_doubt}
    foreign = tuple(f"{kind.members[0].name} {kind.shape}" for kind in strangers(matrices, architecture))
    status = _status(bool(differences or foreign), bool(files.unpacked.unknown), by_shapes=by_shapes)
    by_component = stored | assumed
    return replace(
        _reconciliation(status, files),
        total=sum(by_component.values()),
        by_component=by_component,
        architecture=architecture,
        derived=sum(derived.values()),
        accounted=tuple(accounted),
        differences=differences,
        strangers=foreign,
        scope=scope,
    )


def _reconciliation(status: Status, files: Stored) -> Reconciliation:
    """What the files alone show."""
    stored = files.by_component
    return Reconciliation(
        status=status,
        total=sum(stored.values()),
        by_component=stored,
        not_counted=files.not_counted,
        unpacked=files.unpacked,
        packed_by_component=files.packed_by_component,
    )


def _beside(
    files: Stored, architecture: Architecture, towers: Sequence[Component]
) -> Iterator[tuple[Item, Sequence[Kind]]]:
    """What is in the files beyond the architecture and counts, each with the rule that says why."""
    groups = files.groups
    for component in towers:
        yield _tower(component, groups[component]), groups[component]
    computed = [kind for kind in groups.get(Component.EMBEDDING, ()) if kind.name.endswith(architecture.computed)]
    for what, kinds, rule, is_loaded in (
        # `_keys_to_ignore_on_load_unexpected` in modeling_*.py
        (MTP, groups.get(Component.MTP, ()), "beside the model proper, counted as stored", False),
        ("computed positions", computed, "sinusoids: in some files, and computed without them", True),
        ("not used", files.unused, "stored, but the model's code takes it from elsewhere or leaves it out", False),
    ):
        if kinds:
            yield item_of(what, kinds, rule, is_loaded=is_loaded), kinds


def _status(differ: bool, is_unknown: bool, *, by_shapes: bool) -> Status:
    if differ or is_unknown:
        return Status.UNRECONCILED if differ else Status.QUANTIZED
    return Status.SHAPE_MATCHED if by_shapes else Status.RECONCILED


def _on_top(architecture: Architecture, groups: Mapping[Component, Sequence[Kind]]) -> tuple[list[Item], Architecture]:
    """What stands on top in the files and not in the class that config.json names, or the other way round.

    Files are often saved from another class: those of bert-base-uncased hold all that it was pretrained with.
    The architecture is returned without what is not there.
    """
    items: list[Item] = []
    stored = groups.get(Component.HEAD, ())
    proper = architecture.parameters_by_component.get(Component.HEAD, 0)
    for what in (POOLER, NEXT_SENTENCE):
        found = [kind for kind in stored if beside_head(kind.name) == what]
        expected = sum(weight.parameters for weight in _outside_layers(architecture) if weight.name.startswith(what))
        proper -= expected
        if found and not expected:
            items.append(_left_out(what, found))
        elif expected and not found:
            items.append(_absent(what, expected, "config.json names a class with it: transformers makes it anew"))
            architecture = _without(architecture, what)
    found = [kind for kind in stored if beside_head(kind.name) is None]
    if found and not proper and architecture.head is None:
        items.append(_left_out("head", found))
    elif proper and not found and _holds_base_model(groups):
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
        weight
        for weight in architecture.extras
        if weight.component is not Component.HEAD or not weight.name.startswith(names)
    )
    return replace(architecture, extras=extras)


def _holds_base_model(groups: Mapping[Component, Sequence[Kind]]) -> bool:
    """Whether files without a head were saved from the base model of a class that has one of its own.

    Base models save their tensors without the prefix that a model with a head puts before them.
    """
    return not any(kind.name.startswith(_PREFIXES) for kinds in groups.values() for kind in kinds)


_PREFIXES: Final = (
    *("model.", "transformer.", "gpt_neox."),
    *("bert.", "roberta.", "distilbert.", "albert.", "electra.", "mpnet.", "deberta."),
    *("vit.", "wav2vec2.", "hubert."),
)


def _left_out(what: str, kinds: Sequence[Kind]) -> Item:
    rule = "saved from another class than the one that config.json names, which leaves it out"
    return item_of(what, kinds, rule, is_loaded=False)


def _tower(component: Component, kinds: Sequence[Kind]) -> Item:
    what = "projector" if component is Component.PROJECTOR else f"{component} tower"
    return item_of(what, kinds, "beside the text model, counted as stored")


def _absent(what: str, parameters: int, rule: str) -> Item:
    return Item(what=what, parameters=-parameters, tensors=0, stored_bytes=0, rule=rule)
