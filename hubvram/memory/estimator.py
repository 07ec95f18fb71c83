"""Put an estimate together: weights at a precision, caches and activations at the peak, buffers, runtime."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from hubvram.architecture.layers import Architecture
from hubvram.dtypes import CACHES, COMPUTE_BYTES, KV_CACHE_BYTES
from hubvram.memory.cached import Cached
from hubvram.memory.engines import ENGINES
from hubvram.memory.engines.interface import Engine
from hubvram.memory.estimate import Basis, Instant, MemoryComponent, MemoryEstimate, exact
from hubvram.memory.forward.tape import Held, Share
from hubvram.memory.terms import Term, product
from hubvram.memory.weights import Weights
from hubvram.memory.workload import Workload


def estimate_memory(
    weights: Weights,
    architecture: Architecture | None,
    workload: Workload,
    *,
    is_grounded: bool = True,
    workspace_bytes: int | None = None,
) -> MemoryEstimate:
    """The memory of one precision. Without an architecture, or where a layer's cache is not known: weights and
    runtime, and nothing invented; where only the activations are not known: all but these.

    Raises UnsupportedOptionError for an attention that the model class does not have.
    """
    engine = ENGINES[workload.engine]
    components = [_loaded(weights, architecture, engine), *_unpacked_for_good(weights, engine)]
    moments: tuple[Instant, ...] = ()
    notes: tuple[str, ...] = ()
    cache_dtype = None
    if architecture is not None and engine.knows_cache(architecture) and weights.compute_dtype is not None:
        element_bytes = COMPUTE_BYTES[weights.compute_dtype]
        cache_dtype = CACHES[workload.cache] or workload.kv_cache_dtype or weights.compute_dtype
        sizes = {
            "element_bytes": element_bytes,
            "cache_element_bytes": KV_CACHE_BYTES.get(cache_dtype, element_bytes),
        }
        notes = engine.packing_notes(architecture, weights.packing, weights.compute_dtype)
        if engine.knows_activations(architecture) and engine.knows_beside(
            architecture, workload, weights.compute_dtype
        ):
            linears = engine.linears(weights.packing, weights.compute_dtype)
            in_fp16 = weights.compute_dtype == "fp16"
            moments = engine.instants(architecture, workload, in_fp16=in_fp16, linears=linears, **sizes)
            components += _sequences(engine, moments, linears.source if linears else "")
        else:
            components += _cached(engine, engine.cached(architecture, workload, **sizes))
    components.append(engine.runtime(workspace_bytes=workspace_bytes))
    return MemoryEstimate(
        precision=weights.precision,
        scheme=weights.scheme,
        scheme_description=weights.description,
        compute_dtype=weights.compute_dtype,
        kv_cache_dtype=cache_dtype,
        nominal_weight_bytes=weights.nominal_bytes,
        components=tuple(component for component in components if component.high_bytes),
        is_grounded=is_grounded,
        instants=moments,
        peak=largest_of(moments).name if moments else None,
        notes=notes,
    )


def _loaded(weights: Weights, architecture: Architecture | None, engine: Engine) -> MemoryComponent:
    """The weights as the engine loads them: in 16 bit it may keep some in fp32."""
    component = weights.component
    in_fp32 = 0
    if architecture is not None and weights.scheme in ("fp16", "bf16"):
        in_fp32 = engine.kept_in_fp32(architecture, weights.scheme)
    if not in_fp32:
        return component
    wider = Term("parameters that stay fp32, 2 bytes more each", product(in_fp32, 2), 2 * in_fp32)
    note = "; ".join(filter(None, (component.note, f"{in_fp32:,} of the parameters stay fp32")))
    terms, size_bytes = (*component.terms, wider), component.size_bytes + wider.size_bytes
    return exact(component.name, size_bytes, component.basis, note, terms=terms, source=component.source)


def _unpacked_for_good(weights: Weights, engine: Engine) -> Iterator[MemoryComponent]:
    """What the engine makes of packed weights before it computes with them."""
    packing = weights.packing
    if not engine.unpacks_for_good(packing):
        return
    note = f"what {engine.name} unpacks of the weights before the first forward, and keeps"
    formula = f"{packing.parameters:,} x 2 - {packing.packed_bytes:,} bytes"
    term = Term("packed matrices in 16 bit, less what they took", formula, packing.unpacking_bytes)
    source = "ModelCompressor of compressed-tensors; equal to what a real model then takes"
    yield exact("unpacked", packing.unpacking_bytes, Basis.DERIVED, note, terms=(term,), source=source)


def largest_of(moments: tuple[Instant, ...]) -> Instant:
    """The moment at which most is alive, with what all sequences share."""
    return max(moments, key=lambda instant: instant.total_bytes + instant.buffers_bytes)


def peak_of(moments: tuple[Instant, ...]) -> Instant:
    """The moment at which sequences hold most: their own peak, whatever all of them share."""
    return max(moments, key=lambda instant: instant.total_bytes)


def _cached(engine: Engine, cached: Cached) -> Iterator[MemoryComponent]:
    note = "of recurrences and convolutions, whatever the context"
    source = engine.cache_source
    yield exact("kv_cache", cached.kv_cache_bytes, Basis.DERIVED, terms=cached.terms, source=source)
    yield exact("state", cached.state_bytes, Basis.DERIVED, note, terms=cached.state_terms, source=source)


def _sequences(engine: Engine, moments: tuple[Instant, ...], linears: str) -> Iterator[MemoryComponent]:
    """What sequences hold at their own peak; and what the largest moment has beyond that.

    `linears`: whose code computes with packed weights.
    """
    peak = peak_of(moments)
    packed_source = f"{engine.source}; {linears}" if linears else engine.source
    yield from _cached(engine, peak.cached)
    made = ", ".join(dict.fromkeys(held.what for held in peak.held if held.share is Share.OUTPUT))
    for name, share, note in (("activations", Share.SEQUENCE, peak.explanation), ("outputs", Share.OUTPUT, made)):
        terms = tuple(_terms(peak.held, share))
        source = packed_source if share is Share.SEQUENCE else engine.source
        made_of = exact(name, sum(term.size_bytes for term in terms), Basis.DERIVED, note, terms=terms, source=source)
        yield _with_range(made_of, moments) if share is Share.SEQUENCE else made_of
    largest = largest_of(moments)
    yield _buffers(engine, peak, largest)
    yield from _unpacked(largest, max(moments, key=lambda moment: moment.unpacking_bytes), linears)


def _with_range(activations: MemoryComponent, moments: tuple[Instant, ...]) -> MemoryComponent:
    """Down to what is alive at the largest moment if tokens decide for the least, where they decide."""
    if not any(instant.spread_bytes for instant in moments):
        return activations
    totals = [(instant.total_bytes + instant.buffers_bytes, instant.spread_bytes) for instant in moments]
    spread_bytes = max(total for total, _ in totals) - max(total - spread for total, spread in totals)
    return replace(activations, basis=Basis.ASSUMED, low_bytes=activations.low_bytes - spread_bytes)


def _buffers(engine: Engine, peak: Instant, largest: Instant) -> MemoryComponent:
    """What all sequences share at the largest moment; less of what they hold then, where another is their own peak.

    So the total is that of one moment, and what is linear in the batch stays so.
    """
    terms = list(_terms(largest.held, Share.ALL))
    less_bytes = largest.total_bytes - peak.total_bytes
    if less_bytes:
        formula = f"{largest.total_bytes:,} - {peak.total_bytes:,} bytes"
        terms.append(Term("what sequences hold then, less than at their own peak", formula, less_bytes))
    note = "position ids, rotary tables, shared masks"
    size_bytes = sum(term.size_bytes for term in terms)
    return exact("buffers", size_bytes, Basis.DERIVED, note, terms=terms, source=engine.source)


def _unpacked(largest: Instant, unpacking: Instant, source: str) -> Iterator[MemoryComponent]:
    """By how much all that is alive while a matrix is unpacked exceeds the largest moment otherwise.

    So the total is exact, and what is linear in the batch stays so: a matrix is unpacked once for all, and the longer
    or the more the sequences are, the less it is unpacked at their peak.
    """
    at_most = largest.total_bytes + largest.buffers_bytes
    more_bytes = unpacking.unpacking_bytes - at_most
    if more_bytes <= 0:
        return
    terms = list(_terms(unpacking.unpacking, Share.UNPACKED))
    beside = unpacking.unpacking_bytes - sum(term.size_bytes for term in terms)
    if beside != at_most:
        formula = f"{beside:,} - {at_most:,} bytes"
        terms.append(Term("all else that is alive then, less than at the largest moment", formula, beside - at_most))
    note = "a packed matrix in the type that is computed in, beyond the largest moment without one"
    yield exact("unpacked", more_bytes, Basis.DERIVED, note, terms=terms, source=source)


def _terms(alive: tuple[Held, ...], share: Share) -> Iterator[Term]:
    """What is alive, each once."""
    counts: dict[Held, int] = {}
    for held in alive:
        if held.share is share:
            counts[held] = counts.get(held, 0) + 1
    for held, count in counts.items():
        factors = held.factors if count == 1 else (count, *held.factors)
        yield Term(held.what, product(*factors), count * held.size_bytes)
