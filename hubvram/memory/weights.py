"""What the weights take: as stored, or as they would be at another precision."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Final

from hubvram.architecture.layers import Architecture
from hubvram.architecture.reconcile import Reconciliation, Status
from hubvram.checkpoint.components import Component
from hubvram.checkpoint.tensors import Checkpoint, Kind
from hubvram.checkpoint.totals import Totals
from hubvram.dtypes import COMPUTE_BYTES, COMPUTE_DTYPES, SAFETENSORS_BITS, nominal_weight_bytes
from hubvram.memory.estimate import Basis, MemoryComponent, exact
from hubvram.memory.packed_matrices import PLAIN, Packing
from hubvram.memory.terms import Term, product
from hubvram.quantization.scheme import Packed, QuantizationScheme, Weighed, has_fused_experts
from hubvram.quantization.schemes import ON_LOAD, SCHEMES
from hubvram.units import size

if TYPE_CHECKING:
    from hubvram.config.quantization import QuantizationSettings

STORED = "stored"


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """The weights at one precision."""

    precision: str
    scheme: str
    description: str
    compute_dtype: str | None
    nominal_bytes: int | None
    component: MemoryComponent
    packing: Packing = PLAIN


def stored_weights(
    checkpoint: Checkpoint | Totals,
    reconciliation: Reconciliation,
    config_dtype: str | None,
    declared: QuantizationSettings | None = None,
) -> Weights:
    """The files' tensors, minus what transformers does not keep: buffers that it rebuilds, a head that repeats its
    embedding, blocks for multi-token prediction.

    Where nothing is stored in a type that can be computed in, the model computes in what its config says. `declared`
    is what the repo says of its packed weights.
    """
    dtypes = list(checkpoint.by_dtype())
    description, note = "by the totals that the Hub publishes", "the Hub's totals for its main branch"
    if isinstance(checkpoint, Checkpoint):
        description = "as the files store them"
        note = "; ".join(f"without {item.what}, {size(item.stored_bytes)}" for item in reconciliation.not_loaded)
    elif checkpoint.overcounts:
        description = note = "the size of the files: the Hub's totals count what packed weights stand for"
    compute = stored_compute_dtype(checkpoint) or config_dtype
    nominal = None
    plain = sum(total.elements for dtype, total in checkpoint.by_dtype().items() if dtype in COMPUTE_DTYPES)
    if plain >= reconciliation.total:  # Nothing is packed: masks of other types are no parameters.
        nominal = nominal_weight_bytes(reconciliation.total, SAFETENSORS_BITS[dtypes[0]])
    resident = checkpoint.stored_bytes - sum(item.stored_bytes for item in reconciliation.not_loaded)
    return Weights(
        precision=STORED,
        scheme=scheme_name(dtypes) or "unknown",
        description=description,
        compute_dtype=compute,
        nominal_bytes=nominal,
        component=exact(
            "weights",
            resident,
            Basis.READ,
            note,
            terms=_stored_terms(checkpoint, reconciliation),
            source="the headers of the files" if isinstance(checkpoint, Checkpoint) else note,
        ),
        packing=_stored_packing(reconciliation, declared),
    )


_NO_LINEARS: Final = frozenset({Component.EMBEDDING, Component.HEAD})


def _stored_packing(reconciliation: Reconciliation, declared: QuantizationSettings | None) -> Packing:
    unpacked = reconciliation.unpacked
    if unpacked is None or not unpacked.packed:
        return PLAIN
    names: dict[bool, dict[str, None]] = {True: {}, False: {}}
    for it in unpacked.packed:
        if it.weights.component not in _NO_LINEARS:
            names[it.weights.component is Component.EXPERTS][it.layout.name] = None
    return Packing(
        linears=tuple(names[False]),
        experts=tuple(names[True]),
        method=declared.method if declared else None,
        compute_dtype=declared.compute_dtype if declared else None,
        parameters=sum(it.weights.parameters for it in unpacked.packed),
        packed_bytes=sum(it.weights.stored_bytes for it in unpacked.packed),
    )


def _stored_terms(checkpoint: Checkpoint | Totals, reconciliation: Reconciliation) -> Iterator[Term]:
    """By type; and what is stored without being loaded."""
    left = checkpoint.stored_bytes
    for dtype, total in checkpoint.by_dtype().items():
        bits = SAFETENSORS_BITS.get(dtype, 0)
        formula = (
            product(total.elements, bits // 8) if bits % 8 == 0 and bits else product(total.elements, bits, unit="bits")
        )
        if total.elements * bits == 8 * total.stored_bytes and total.stored_bytes <= left:
            left -= total.stored_bytes
            yield Term(f"{dtype} tensors", formula, total.stored_bytes)
    if left:
        yield Term(
            "what else the files hold", f"{checkpoint.stored_bytes:,} - {checkpoint.stored_bytes - left:,} bytes", left
        )
    for item in reconciliation.not_loaded:
        if item.stored_bytes:
            what = f"not loaded: {item.what}, {item.tensors:,} tensors"
            yield Term(what, product(-item.stored_bytes), -item.stored_bytes)


def _scheme_terms(weighed: Weighed) -> Iterator[Term]:
    """Each kind of matrix once; and the rest."""
    counts: dict[tuple[str, tuple[int, int], int], int] = {}
    for each in weighed.matrices:
        key = each.name, each.shape, each.matrix_bytes
        counts[key] = counts.get(key, 0) + each.count
    for (name, (rows, columns), matrix_bytes), count in counts.items():
        bits = f"{matrix_bytes * 8 / (rows * columns):.3f}".rstrip("0").rstrip(".") if rows * columns else "0"
        what = f"{name}, {rows:,} x {columns:,} at {bits} bits"
        yield Term(what, product(count, matrix_bytes), count * matrix_bytes)
    if weighed.kept:
        what = "embedding, norms, and what else is not packed" if weighed.matrices else "parameters"
        yield Term(what, product(weighed.kept, weighed.kept_bits, unit="bits"), weighed.kept_bytes)


def scheme_name(dtypes: Iterable[str]) -> str:
    """`bf16`, or `fp32+bf16` for several stored types."""
    return "+".join(COMPUTE_DTYPES.get(dtype, dtype.lower()) for dtype in dtypes)


def stored_compute_dtype(checkpoint: Checkpoint | Totals) -> str | None:
    """The type that most of what is stored as floating point has; packed weights compute in what stands beside them."""
    return next((COMPUTE_DTYPES[dtype] for dtype in checkpoint.by_dtype() if dtype in COMPUTE_DTYPES), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoWeights:
    """Why there is no figure for a precision, as a clause."""

    reason: str


def deployed_weights(
    precision: str,
    reconciliation: Reconciliation,
    checkpoint: Checkpoint | None,
    compute_dtype: str | None,
) -> Weights | NoWeights:
    """The weights as a tool would deploy them at one of the SCHEMES.

    With an architecture that the files agree with, its layers' matrices are packed; else matrices are told by
    their names and shapes.
    """
    scheme = SCHEMES[precision]
    loaded = reconciliation.loaded_parameters
    architecture = None if reconciliation.status is Status.UNRECONCILED else reconciliation.architecture
    unpacked = reconciliation.unpacked
    if architecture is None and unpacked is not None and unpacked.unknown:
        return NoWeights(
            reason="its tensors are packed in a way that is not known, and no architecture tells their weights"
        )
    if scheme.everything:
        weighed, notes = Weighed(kept=loaded, kept_bits=scheme.bits), []
    elif architecture is not None:
        weighed = scheme.weigh(architecture, loaded)
        notes = list(_about(scheme, weighed, architecture, loaded))
    elif unpacked is not None and any(packed.shape is None for packed in unpacked.packed):
        return NoWeights(reason="its packed tensors do not show the shapes of their matrices")
    elif checkpoint is not None:
        weighed = _by_shape(scheme, unpacked.parameters if unpacked else checkpoint.kinds, loaded)
        notes = ["which tensors are matrices was judged by their names and shapes", *_refused(scheme, weighed)]
    else:
        return NoWeights(reason="what a tool would write depends on layers that are not known here")
    return Weights(
        precision=precision,
        scheme=scheme.name,
        description=scheme.description,
        compute_dtype=precision if precision in COMPUTE_BYTES else sixteen_bit(compute_dtype),
        nominal_bytes=nominal_weight_bytes(reconciliation.total, scheme.bits),
        component=exact(
            "weights",
            weighed.size_bytes,
            Basis.DERIVED,
            "; ".join(notes),
            terms=_scheme_terms(weighed),
            source=f"{scheme.description}; dimensions from {'config.json' if architecture else 'the headers'}",
        ),
        packing=_packing(scheme, weighed, architecture),
    )


def _packing(scheme: QuantizationScheme, weighed: Weighed, architecture: Architecture | None) -> Packing:
    if not weighed.matrices:
        return PLAIN
    packs_experts = architecture is not None and scheme.packs_experts and has_fused_experts(architecture)
    return Packing(
        linears=(scheme.name,),
        experts=(scheme.name,) if packs_experts else (),
        method=scheme.method,
        parameters=sum(each.parameters for each in weighed.matrices),
        packed_bytes=sum(-(-each.parameters * scheme.bits // 8) for each in weighed.matrices),
    )


def _about(scheme: QuantizationScheme, weighed: Weighed, architecture: Architecture, parameters: int) -> Iterator[str]:
    """What else the reader of the figure has to know."""
    yield from _refused(scheme, weighed)
    on_load = SCHEMES.get(f"{scheme.name}{ON_LOAD}")
    if on_load is not None and has_fused_experts(architecture):
        yield (
            "this is a published file, whose experts are packed; quantized on load, transformers 5 leaves experts in "
            f"16 bit: {size(on_load.weigh(architecture, parameters).size_bytes)} (--dtype {on_load.name})"
        )


def _refused(scheme: QuantizationScheme, weighed: Weighed) -> Iterator[str]:
    if weighed.refused:
        yield f"matrices of a shape that {scheme.name} cannot pack, {weighed.refused:,} of them, stay 16 bit"


def sixteen_bit(compute_dtype: str | None) -> str:
    """What stays 16 bit beside quantized weights computes in: fp16 where the files say so, else bf16."""
    return "fp16" if compute_dtype == "fp16" else "bf16"


_KEPT = frozenset({Component.EMBEDDING, Component.HEAD, Component.NORM, Component.ROUTER})


def _by_shape(scheme: QuantizationScheme, kinds: Iterable[Kind], parameters: int) -> Weighed:
    """A generic reading of the headers: each matrix (last dimension in, the ones before it out) is packed."""
    matrices, refused = [], 0
    for kind in kinds:
        elements = prod(kind.shape)
        if len(kind.shape) < 2 or not elements or kind.component in _KEPT:
            continue
        shape = elements // kind.shape[-1], kind.shape[-1]
        matrix_bytes = scheme.matrix(*shape)
        if matrix_bytes is None:
            refused += len(kind.members)
        else:
            matrices.append(Packed(kind.component.value, len(kind.members), shape, matrix_bytes))
    packed = sum(each.parameters for each in matrices)
    return Weighed(matrices=tuple(matrices), kept=max(0, parameters - packed), refused=refused)
