"""transformers' QuantizedCache: what it holds at each step, and what a layer makes of it (cache_utils.py, 5.23).

All of the prompt is packed at once. Tokens behind it wait as they are; with the 128th, all are unpacked and packed anew
(QuantizedLayer.update). At each step a layer unpacks all that it holds, and attention reads that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from hubvram.architecture.attention import CrossAttention, FullAttention, LatentAttention, SharedKVAttention
from hubvram.architecture.layers import Architecture
from hubvram.architecture.parts import Part
from hubvram.memory.cache_packings import GROUP_ELEMENTS, PACKINGS, Elements, Grouped, Packing
from hubvram.memory.cached import Cached
from hubvram.memory.kv_cache import features_of, held_tokens, kept_parts, pools_of, window_of
from hubvram.memory.terms import Term, product
from hubvram.memory.workload import Workload

WAITING_TOKENS: Final = 128
"""`residual_length`"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A moment of a generation: tokens of one sequence that are packed before it, and that wait; whether all are packed
    anew at its end."""

    packed: int
    waiting: int = 0
    anew: bool = False

    @property
    def tokens(self) -> int:
        return self.packed + self.waiting

    @property
    def after(self) -> Step:
        """At its end, where all are packed anew; else it is the step itself: the token that comes is counted before."""
        return Step(packed=self.tokens + 1) if self.anew else self


def steps(packing: Packing, *, tokens: int, input_tokens: int) -> tuple[Step, ...]:
    """Those of decoding up to `tokens` that can need most: the last one, and the last at which all are packed anew."""
    if not isinstance(packing, Grouped):
        return (Step(packed=tokens),)
    times, waiting = divmod(tokens - input_tokens, WAITING_TOKENS)
    last = Step(packed=tokens - waiting, waiting=waiting)
    if not times:
        return (last,)
    before = input_tokens + (times - 1) * WAITING_TOKENS
    return last, Step(packed=before, waiting=WAITING_TOKENS - 1, anew=True)


def after_prefill(architecture: Architecture, workload: Workload, computed_bytes: int) -> Cached:
    """Behind the prompt. Only layers of full attention are packed: there are no states."""
    packing, tokens = PACKINGS[workload.cache], workload.input_tokens
    sizes = {"batch_size": workload.batch_size, "element_bytes": computed_bytes}
    return Cached(
        kv_cache_bytes=quantized_bytes(architecture, packing, Step(packed=tokens), **sizes),
        state_bytes=0,
        terms=tuple(quantized_terms(architecture, packing, Step(packed=tokens), **sizes)),
        packed_bytes=layer_bytes(architecture, packing, Step(packed=tokens), **sizes),
        unpacked_bytes=prompt_bytes(architecture, tokens=tokens, **sizes),
        update_bytes=first_update_bytes(architecture, packing, tokens=tokens, **sizes),
    )


def while_decoding(architecture: Architecture, workload: Workload, computed_bytes: int) -> tuple[Cached, ...]:
    """At the steps that can need most, the last one first."""
    packing = PACKINGS[workload.cache]
    sizes = {"batch_size": workload.batch_size, "element_bytes": computed_bytes}

    def at(step: Step) -> Cached:
        # The first layer packs anew before the others do.
        before, after = (layer_bytes(architecture, packing, moment, **sizes) for moment in (step, step.after))
        read = unpacked_bytes(architecture, tokens=step.after.tokens, **sizes)
        return Cached(
            kv_cache_bytes=quantized_bytes(architecture, packing, step, **sizes),
            state_bytes=0,
            terms=tuple(quantized_terms(architecture, packing, step, **sizes)),
            unpacked_bytes=read + after - before,
            update_bytes=next_update_bytes(architecture, packing, step, **sizes),
        )

    return tuple(map(at, steps(packing, tokens=workload.context_tokens, input_tokens=workload.input_tokens)))


def quantized_bytes(
    architecture: Architecture, packing: Packing, step: Step, *, batch_size: int, element_bytes: int
) -> int:
    """Bytes that all layers hold; `element_bytes` are of the type that the model computes in. Rows that are not full
    make it a little more than linear in the batch."""
    sizes = {"batch_size": batch_size, "element_bytes": element_bytes}
    return sum(term.size_bytes for term in quantized_terms(architecture, packing, step, **sizes))


def quantized_terms(
    architecture: Architecture, packing: Packing, step: Step, *, batch_size: int, element_bytes: int
) -> Iterator[Term]:
    """The same, by kinds of layers."""
    for count, part in _kept(architecture):
        packed, waiting = _part_bytes(part, packing, step, batch_size, element_bytes)
        if not packed:
            continue
        elements = _elements(part, batch_size * held_tokens(part, step.packed)).both
        bits = f"{8 * packed / elements:.3f}".rstrip("0").rstrip(".")
        what = f"{part.kind}, packed at {bits} bits: layers x bytes"
        yield Term(what, product(count, packed), count * packed)
        if waiting:
            what = f"{part.kind}, {step.waiting:,} tokens that wait: layers x bytes"
            yield Term(what, product(count, waiting), count * waiting)


def layer_bytes(
    architecture: Architecture, packing: Packing, step: Step, *, batch_size: int, element_bytes: int
) -> int:
    """The same of the layer that holds most."""
    parts = (sum(_part_bytes(part, packing, step, batch_size, element_bytes)) for _, part in _kept(architecture))
    return max(parts, default=0)


def _part_bytes(part: Part, packing: Packing, step: Step, batch_size: int, element_bytes: int) -> tuple[int, int]:
    """Of what is packed, and of what waits."""
    packed = _elements(part, batch_size * held_tokens(part, step.packed))
    waiting = _elements(part, batch_size * step.waiting)
    of_packed = sum(packing.packed_bytes(elements, element_bytes) for elements in (packed.keys, packed.values))
    return of_packed, element_bytes * waiting.both


def first_update_bytes(
    architecture: Architecture, packing: Packing, *, tokens: int, batch_size: int, element_bytes: int
) -> int:
    """What is alive beside the cache and one layer's K and V while a prompt is packed, in the layer that needs most."""
    return max(
        (packing.first_bytes(prompt, element_bytes) for prompt in _layers(architecture, batch_size, tokens)), default=0
    )


def next_update_bytes(
    architecture: Architecture, packing: Packing, step: Step, *, batch_size: int, element_bytes: int
) -> int:
    """The same in a step behind it: what is unpacked, joined, and perhaps packed anew."""
    packed = _layers(architecture, batch_size, step.packed)
    tokens = _layers(architecture, batch_size, step.after.tokens)
    return max(
        (
            packing.next_bytes(before, after, element_bytes, anew=step.anew)
            for before, after in zip(packed, tokens, strict=True)
        ),
        default=0,
    )


def prompt_bytes(architecture: Architecture, *, tokens: int, batch_size: int, element_bytes: int) -> int:
    """K and V of a prompt, which the attention of one layer reads: they are not those that are held. Where one matrix
    makes Q, K and V, they are parts of what it made, but for a K that was rotated."""
    widths = (
        features_of(part)[0] * bool(architecture.rotary_dim) if _is_fused(part) else sum(features_of(part))
        for _, part in _kept(architecture)
    )
    return batch_size * tokens * element_bytes * max(widths, default=0)


def unpacked_bytes(architecture: Architecture, *, tokens: int, batch_size: int, element_bytes: int) -> int:
    """The same in a step behind it: K and V of all tokens, unpacked and joined."""
    return max((element_bytes * it.both for it in _layers(architecture, batch_size, tokens)), default=0)


def has_full_attention_only(architecture: Architecture) -> bool:
    """Whether all layers are such as a quantized cache is made for: no window, no state, no indexer, no cache of
    another layer. It is not made beside an encoder (generation/utils.py)."""
    has_others = bool(architecture.encoder) or any(True for _ in pools_of(architecture))
    has_states = any(part.states for group in architecture.groups() for part in group.layer.parts)
    return not has_others and not has_states and all(_is_full(part) for _, part in kept_parts(architecture))


def packs_whole_groups(architecture: Architecture, kind: str, *, tokens: int, batch_size: int) -> bool:
    """Whether a prompt can be packed: nothing may be left over, for quanto not even of one sequence."""
    packing = PACKINGS[kind]
    if not isinstance(packing, Grouped):
        return True
    together = 1 if packing.per_sequence else batch_size
    return all(
        not elements % GROUP_ELEMENTS
        for layer in _layers(architecture, together, tokens)
        for elements in (layer.keys, layer.values)
    )


def _is_fused(part: Part) -> bool:
    return isinstance(part, FullAttention) and part.fused_qkv


def _is_full(part: Part) -> bool:
    has_indexer = isinstance(part, LatentAttention) and part.index_head_dim > 0
    return window_of(part) is None and not has_indexer and not isinstance(part, SharedKVAttention)


def _elements(part: Part, tokens: int) -> Elements:
    keys, values = features_of(part)
    return Elements(keys=keys * tokens, values=values * tokens)


def _layers(architecture: Architecture, batch_size: int, tokens: int) -> Iterator[Elements]:
    """Of each kind of layer."""
    return (_elements(part, batch_size * held_tokens(part, tokens)) for _, part in _kept(architecture))


def _kept(architecture: Architecture) -> Iterator[tuple[int, Part]]:
    """(layers, what is packed in each of them): there is no encoder that would say something across."""
    return ((count, part) for count, part in kept_parts(architecture) if type(part) is not CrossAttention)
