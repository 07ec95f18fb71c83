"""What a model takes as a GGUF file of one mixture: tensor by tensor, as llama.cpp's tools would write it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Final

from hubvram.errors import UsageError
from hubvram.quantization.gguf.facts import GgufFacts
from hubvram.quantization.gguf.layout import TIED_HEAD, TOWERS, GgufLayout, layout_of
from hubvram.quantization.gguf.mixtures import LLAMA_CPP, MIXTURES, Mixture
from hubvram.quantization.gguf.reasons import NotPossible, NotPossibleError
from hubvram.quantization.gguf.rules import fitting, types_of
from hubvram.quantization.gguf.types import Shape, tensor_bytes
from hubvram.units import size

_KEEPS_EXPERTS: Final = "mxfp4_moe"


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufWeights:
    """The tensors of one file; its header with the tokenizer comes on top, some megabytes."""

    mixture: str
    tensor_bytes: int
    """Each tensor padded to 32 bytes, as in the file."""
    mtp_bytes: int
    """Of which blocks for multi-token prediction, which llama.cpp loads only if asked to."""
    parameters: int
    bytes_by_type: Mapping[str, int]
    """Largest first; they add up to `tensor_bytes`."""
    tensors_by_type: Mapping[str, int]
    """In the same order."""
    elements_by_type: Mapping[str, int]
    """In the same order: whole blocks of them."""
    stand_ins: int
    """Tensors whose rows are no whole number of blocks, so that they have another type than the mixture's."""
    notes: tuple[str, ...]

    @property
    def loaded_bytes(self) -> int:
        """What stays in memory."""
        return self.tensor_bytes - self.mtp_bytes

    @property
    def bits_per_weight(self) -> float:
        return self.tensor_bytes * 8 / self.parameters


def gguf_weights(
    mixture: str, tensors: Iterable[tuple[str, Shape | None]], facts: GgufFacts, *, imatrix: bool | None = None
) -> GgufWeights | NotPossible:
    """What `tensors` (name, logical shape if it is known) take in `mixture`. Raises UsageError for an unknown mixture.

    `imatrix`: whether it is made with an importance matrix, by default as files of that mixture usually are.
    """
    mixture_of(mixture)
    try:
        return weights_of(mixture, layout_of(tensors, facts), imatrix=imatrix)
    except NotPossibleError as error:
        return NotPossible(reason=str(error))


def mixture_of(name: str) -> Mixture:
    """Raises UsageError."""
    found = MIXTURES.get(name)
    if found is None:
        raise UsageError(f"{name!r} is no GGUF type that hubvram knows", f"choose from {', '.join(MIXTURES)}")
    return found


def weights_of(name: str, layout: GgufLayout, *, imatrix: bool | None = None, before_2026: bool = False) -> GgufWeights:
    """The same of a layout, for several mixtures of one model. Raises NotPossibleError."""
    mixture = mixture_of(name)
    chosen_imatrix = mixture.usual_imatrix if imatrix is None else imatrix
    found = _weigh(mixture, layout, imatrix=chosen_imatrix, before_2026=before_2026)
    return GgufWeights(
        mixture=name,
        tensor_bytes=found.all_bytes,
        mtp_bytes=found.mtp_bytes,
        parameters=layout.parameters,
        bytes_by_type=dict(found.size_bytes.most_common()),
        tensors_by_type={kind: found.tensors[kind] for kind, _ in found.size_bytes.most_common()},
        elements_by_type={kind: found.elements[kind] for kind, _ in found.size_bytes.most_common()},
        stand_ins=found.stand_ins,
        notes=tuple(_notes(mixture, layout, found, imatrix=chosen_imatrix)),
    )


class _Weighed:
    """Sums over the tensors of a file."""

    def __init__(self) -> None:
        self.size_bytes: Counter[str] = Counter()
        self.tensors: Counter[str] = Counter()
        self.elements: Counter[str] = Counter()
        self.mtp_bytes = 0
        self.stand_ins = 0

    @property
    def all_bytes(self) -> int:
        return self.size_bytes.total()


def _weigh(mixture: Mixture, layout: GgufLayout, *, imatrix: bool, before_2026: bool = False) -> _Weighed:
    if layout.facts.mxfp4_experts and mixture is not MIXTURES[_KEEPS_EXPERTS]:
        raise NotPossibleError(
            f"its experts are published in MXFP4, which llama-quantize does not requantize; {_KEEPS_EXPERTS} keeps them"
        )
    found = _Weighed()
    kinds = types_of(layout, mixture, imatrix=imatrix, before_2026=before_2026)
    for tensor, wanted in zip(layout.tensors, kinds, strict=True):
        kind = fitting(wanted, tensor)
        taken = tensor_bytes(kind, tensor.shape)
        found.size_bytes[kind] += taken
        found.tensors[kind] += 1
        found.elements[kind] += prod(tensor.shape)
        found.stand_ins += kind != wanted
        if tensor.block >= layout.facts.num_hidden_layers:
            found.mtp_bytes += taken
    return found


def _notes(mixture: Mixture, layout: GgufLayout, found: _Weighed, *, imatrix: bool) -> Iterable[str]:
    """What must be known of the figure."""
    if found.stand_ins:
        yield f"rows of no whole number of blocks, in {found.stand_ins:,} of the tensors: another type stands in"
    other = _weigh(mixture, layout, imatrix=not imatrix).all_bytes - found.all_bytes
    if other and not mixture.needs_imatrix:
        with_, without = ("with", "without") if imatrix else ("without", "with")
        yield f"{with_} an importance matrix; {without} one it would be {_more(other)}"
    older = _weigh(mixture, layout, imatrix=imatrix, before_2026=True).all_bytes - found.all_bytes
    if older:
        yield f"{LLAMA_CPP} counts fused Q, K and V as attn_v; files of 2025 and before are {_more(older)}"
    for item in layout.left_out:
        if item.what in _WORTH_A_NOTE:
            yield _WORTH_A_NOTE[item.what]
    if found.mtp_bytes:
        yield f"the file also has blocks for multi-token prediction, {size(found.mtp_bytes)}, loaded only if asked for"


_WORTH_A_NOTE: Final[Mapping[str, str]] = {
    TIED_HEAD: "without the tied head that the files store again; some published GGUF files have it",
    TOWERS: "without what sees or hears: towers and projectors are a GGUF file of their own (mmproj)",
}


def _more(difference: int) -> str:
    return f"{size(abs(difference))} {'larger' if difference > 0 else 'smaller'}"
