"""What there is to say about packed weights: how, how much, what stays; and where the config says otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from hubvram.architecture.reconcile import Reconciliation, Status
from hubvram.checkpoint.components import Component
from hubvram.checkpoint.packed.layout import Checked
from hubvram.checkpoint.packed.unpack import Packed, Unpacked
from hubvram.config.quantization import UNNAMED, QuantizationSettings
from hubvram.dtypes import COMPUTE_DTYPES, SAFETENSORS_BITS
from hubvram.inspection.flaws import flaws_in


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutFacts:
    """The packed weights of one layout."""

    name: str
    checked: Checked
    parameters: int
    stored_bytes: int
    """Without scales."""
    is_dense: bool
    """Whether every weight takes as many bits."""
    methods: tuple[str, ...]

    @property
    def bits(self) -> float:
        """Of a weight, without scales; 0 where there are no weights."""
        return 8 * self.stored_bytes / self.parameters if self.parameters else 0.0

    @property
    def label(self) -> str:
        """`nvfp4`, or `awq 4-bit` where the name does not say it."""
        if not self.is_dense or any(character.isdigit() for character in self.name):
            return self.name
        return f"{self.name} {self.bits:.3g}-bit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is not packed of a component."""

    component: Component
    parameters: int
    of: int
    """All parameters of the component."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizationFacts:
    """Declared, and found in the tensors. What was not found, because headers were not read or nobody knows how it is
    packed, is None."""

    method: str
    """As declared; where nothing is, what is usual for the layout."""
    declared: QuantizationSettings | None
    layouts: tuple[LayoutFacts, ...] = ()
    """Largest first."""
    unknown_tensors: int | None = None
    """Packed in a way that is not known."""
    packed_parameters: int | None = None
    packed_bytes: int | None = None
    """With scales, zeros and indices."""
    stored_bytes: int | None = None
    parameters: int = 0
    """Of the whole model."""
    kept: tuple[Kept, ...] = ()
    kept_bits: tuple[int, ...] = ()
    """Widths of what stays, where it is more than a hundredth of that."""
    flaws: tuple[str, ...] = ()
    """What is odd about scales and sizes, in words."""

    @property
    def bits_per_packed_weight(self) -> float | None:
        """With scales."""
        return _bits(self.packed_bytes, self.packed_parameters)

    @property
    def bits_per_weight(self) -> float | None:
        """Of the whole model, with all that is stored."""
        return _bits(self.stored_bytes, self.parameters)

    @property
    def label(self) -> str | None:
        """The layouts that make up most of it; None where they are not known."""
        if self.packed_bytes is None:
            return None
        most = sum(layout.parameters for layout in self.layouts) * _SHARE_OF_NOTE
        return "+".join(dict.fromkeys(layout.label for layout in self.layouts if layout.parameters >= most)) or None


_SHARE_OF_NOTE: Final = 0.01


def _bits(stored_bytes: int | None, parameters: int | None) -> float | None:
    return 8 * stored_bytes / parameters if stored_bytes is not None and parameters else None


def facts_of(
    declared: QuantizationSettings | None, compared: Reconciliation, stored_bytes: int | None
) -> QuantizationFacts | None:
    """None for a model that is neither said nor found to be quantized."""
    unpacked = compared.unpacked
    if unpacked is None:
        return None if declared is None else QuantizationFacts(method=declared.method, declared=declared)
    layouts = _layouts(unpacked)
    if declared is None and not layouts:
        return None  # of some type that nothing computes in, which need not mean that weights are packed
    return QuantizationFacts(
        method=declared.method if declared else layouts[0].methods[0],
        declared=declared,
        layouts=layouts,
        unknown_tensors=sum(len(kind.members) for kind in unpacked.unknown),
        packed_parameters=None if unpacked.unknown else sum(compared.packed_by_component.values()),
        packed_bytes=None if unpacked.unknown else unpacked.packed_bytes,
        stored_bytes=stored_bytes,
        parameters=compared.total,
        kept=_kept(compared),
        kept_bits=_kept_bits(unpacked),
        flaws=tuple(flaws_in(declared, compared, unpacked)),
    )


def _layouts(unpacked: Unpacked) -> tuple[LayoutFacts, ...]:
    found: dict[str, list[Packed]] = {}
    for it in unpacked.packed:
        found.setdefault(it.layout.name, []).append(it)
    return tuple(sorted((_layout(name, members) for name, members in found.items()), key=lambda it: -it.parameters))


def _layout(name: str, members: Sequence[Packed]) -> LayoutFacts:
    """Several lines of the tables may be of one name: the one that was checked least counts."""
    return LayoutFacts(
        name=name,
        checked=max((it.layout.checked for it in members), key=list(Checked).index),
        parameters=sum(it.weights.parameters for it in members),
        stored_bytes=sum(it.weights.stored_bytes for it in members),
        is_dense=all(it.layout.is_dense for it in members),
        methods=tuple(dict.fromkeys(method for it in members for method in it.layout.methods)),
    )


def _kept(compared: Reconciliation) -> tuple[Kept, ...]:
    every, packed = compared.by_component, compared.packed_by_component
    return tuple(
        Kept(component=component, parameters=every[component] - packed.get(component, 0), of=every[component])
        for component in Component
        if every.get(component, 0) > packed.get(component, 0)
    )


def _kept_bits(unpacked: Unpacked) -> tuple[int, ...]:
    found: dict[int, int] = {}
    for kind in unpacked.parameters:
        if kind.layout is None and kind.dtype in COMPUTE_DTYPES:
            bits = SAFETENSORS_BITS[kind.dtype]
            found[bits] = found.get(bits, 0) + kind.parameters
    return tuple(bits for bits in sorted(found) if found[bits] > _SHARE_OF_NOTE * sum(found.values()))


# ------------------------------------------------------------------------------------------ notes

_OTHER_BITS: Final = 0.75
"""By how much a mean may be off what is declared: some tools fill words, or give some layers another bit."""


def quantization_notes(facts: QuantizationFacts | None, status: Status) -> Iterator[str]:
    """Where what is declared is not what is stored, and what else one must know."""
    if facts is None:
        return
    declared = facts.declared
    if facts.unknown_tensors is not None:
        yield from _disagreements(facts, declared)
    yield from facts.flaws
    for layout in facts.layouts:
        if layout.checked is Checked.UNCHECKED or (
            layout.checked is Checked.SOURCE and status is not Status.RECONCILED
        ):
            how = "nobody checked it" if layout.checked is Checked.UNCHECKED else "checked by its source code alone"
            yield f"how {layout.name} packs weights is read by the shapes of its tensors; {how}"
    if declared is not None and declared.misread:
        yield f"settings in {declared.file} that make no sense are left out: {'; '.join(declared.misread)}"
    if declared is not None and declared.kv_cache_dtype is not None:
        yield (
            f"{declared.file} declares a KV cache in {declared.kv_cache_dtype}: vLLM and TensorRT-LLM keep it so, "
            "transformers in 16 bit; --kv-dtype fp8 shows what 8 bits make of it"
        )


def _disagreements(facts: QuantizationFacts, declared: QuantizationSettings | None) -> Iterator[str]:
    if declared is None:
        if facts.layouts:
            yield f"no configuration says that weights are packed; by the tensors it is {facts.label or facts.method}"
        return
    if not facts.layouts:
        if not facts.unknown_tensors:
            yield f"{declared.file} declares {declared.method!r}, and no tensor is packed"
        return
    strange = [layout for layout in facts.layouts if declared.method not in layout.methods]
    if strange and declared.method != UNNAMED:
        names = " and ".join(layout.name for layout in strange)
        which = "the" if len(strange) == len(facts.layouts) else "some"
        yield f"{declared.file} declares {declared.method!r}, {which} tensors are packed as {names}: the tensors decide"
    dense = [layout for layout in facts.layouts if layout.is_dense and layout.parameters]
    bits = {it.bits for it in declared.groups}
    if len(bits) == 1 and (stated := bits.pop()) is not None and dense:
        stored = 8 * sum(it.stored_bytes for it in dense) / sum(it.parameters for it in dense)
        if abs(stored - stated) > _OTHER_BITS:
            yield (
                f"{declared.file} declares {stated:g} bits a weight, the files hold {stored:.3g}: the tensors decide"
            )
