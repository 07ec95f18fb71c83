"""The weights as a GGUF file of llama.cpp, tensor by tensor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from hubvram.architecture.reconcile import Reconciliation, Status
from hubvram.checkpoint.logical import logical_tensors
from hubvram.checkpoint.tensors import Checkpoint
from hubvram.config.reader import ModelConfig
from hubvram.dtypes import nominal_weight_bytes
from hubvram.memory.estimate import Basis, exact
from hubvram.memory.terms import Term, product
from hubvram.memory.weights import NoWeights, Weights, sixteen_bit
from hubvram.quantization.gguf.facts import facts_of
from hubvram.quantization.gguf.mixtures import LLAMA_CPP, MIXTURES
from hubvram.quantization.gguf.reasons import NotPossible
from hubvram.quantization.gguf.types import BLOCKS
from hubvram.quantization.gguf.weights import GgufWeights, gguf_weights

_ELSEWHERE: Final = "a GGUF file runs in llama.cpp: cache and activations beside it are those of transformers"


def gguf_file(
    mixture: str,
    reconciliation: Reconciliation,
    checkpoint: Checkpoint | None,
    config: ModelConfig | None,
    compute_dtype: str | None,
) -> Weights | NoWeights:
    """The tensors of the file; its header with the tokenizer, some megabytes, does not stay in GPU memory."""
    architecture = reconciliation.architecture
    if checkpoint is None:
        return NoWeights(reason="what each tensor becomes is told by the headers, which were not read or are not there")
    if architecture is None or config is None or reconciliation.status is Status.UNRECONCILED:
        return NoWeights(reason="what each tensor becomes depends on an architecture that is not known here")
    found = gguf_weights(mixture, logical_tensors(checkpoint, config.quantization), facts_of(architecture, config))
    if isinstance(found, NotPossible):
        return NoWeights(reason=found.reason)
    chosen = MIXTURES[mixture]
    return Weights(
        precision=mixture,
        scheme=f"gguf-{mixture}",
        description=f"{mixture} as of {LLAMA_CPP}: {chosen.description}; {found.bits_per_weight:.2f} bits per weight",
        compute_dtype=sixteen_bit(compute_dtype),
        nominal_bytes=nominal_weight_bytes(reconciliation.total, chosen.bits),
        component=exact(
            "weights",
            found.loaded_bytes,
            Basis.DERIVED,
            "; ".join((*found.notes, _ELSEWHERE)),
            terms=_terms(found),
            source=f"the types that llama-quantize chooses as of {LLAMA_CPP}, tensor by tensor",
        ),
    )


def _terms(found: GgufWeights) -> Iterator[Term]:
    """By type, in blocks of weights; each tensor is padded to whole lines of a file."""
    for kind, size_bytes in found.bytes_by_type.items():
        elements, block_bytes = BLOCKS[kind]
        blocks = found.elements_by_type[kind] // elements
        what = f"{kind}, {found.tensors_by_type[kind]:,} tensors"
        what += f": blocks of {elements:,} weights x bytes" if elements > 1 else ": weights x bytes"
        padding = size_bytes - blocks * block_bytes
        formula = product(blocks, block_bytes) + (f", {padding:,} of padding" if padding else "")
        yield Term(what, formula, size_bytes)
    if found.mtp_bytes:
        yield Term("not loaded: blocks for multi-token prediction", product(-found.mtp_bytes), -found.mtp_bytes)
