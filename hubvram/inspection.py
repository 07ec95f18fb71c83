"""One model, from what the user wrote to facts and estimates: the only module that knows the whole pipeline."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from hubvram.architecture.families import FAMILIES
from hubvram.architecture.layers import Architecture
from hubvram.architecture.reconcile import Reconciliation, Status, reconcile
from hubvram.checkpoint.components import Component
from hubvram.checkpoint.files import weight_files
from hubvram.checkpoint.reader import read_checkpoint
from hubvram.checkpoint.tensors import Checkpoint
from hubvram.config.reader import CONFIG_FILE, CONFIG_LIMIT_BYTES, ModelConfig, parse_config
from hubvram.dtypes import (
    COMPUTE_DTYPES,
    KV_CACHE_BYTES,
    PRECISION_BITS,
    SAFETENSORS_BITS,
    nominal_weight_bytes,
)
from hubvram.errors import CheckpointError, FileMissingError, GatedRepoError, UsageError
from hubvram.hardware.accelerators import ACCELERATORS, Accelerator
from hubvram.hardware.fit import Fit, fit
from hubvram.memory.engines import transformers as engine
from hubvram.memory.estimate import Basis, MemoryEstimate, exact
from hubvram.memory.estimator import estimate_memory
from hubvram.memory.weights import STORED, Weights, deployed_weights, scheme_name, stored_compute_dtype, stored_weights
from hubvram.memory.workload import Attention, Workload
from hubvram.quantization.scheme import scheme_of
from hubvram.sources.interface import ModelSource, OnProgress, PublicSummary
from hubvram.sources.open import open_source
from hubvram.units import parse_tokens, size

DEFAULT_PRECISIONS: Final = (STORED, "fp32", "bf16", "int8", "int4")
DEFAULT_CONTEXT_TOKENS: Final = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What a model is: everything that does not depend on how it is run."""

    model_id: str
    revision: str | None
    requested_revision: str | None
    model_type: str | None
    architectures: tuple[str, ...]
    library: str | None
    quantization_method: str | None
    checkpoint: Checkpoint | None
    """None where the files could not be read (a gated repo)."""
    listed_bytes: int | None
    """Size of the weight files by the listing, where headers could not be read."""
    reconciliation: Reconciliation
    stored: Weights
    notes: tuple[str, ...]

    @property
    def architecture(self) -> Architecture | None:
        return self.reconciliation.architecture

    @property
    def active_parameters(self) -> int:
        """Parameters that one token uses, the input embedding included."""
        architecture = self.architecture
        return self.reconciliation.total - (architecture.inactive_parameters if architecture else 0)

    @property
    def active_without_input_embedding(self) -> int:
        """The same without the embedding: what model cards call non-embedding parameters, tied head or not."""
        return self.active_parameters - self.reconciliation.by_component.get(Component.EMBEDDING, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """A model, a workload, and the memory of each precision asked for."""

    model: Model
    workload: Workload
    attention: Attention | None
    """The attention that runs; None where the model's code is unknown."""
    estimates: tuple[MemoryEstimate, ...]
    stored_estimate: MemoryEstimate
    """The files as they are, for comparison, whether or not it was asked for."""
    fits: tuple[tuple[Fit, ...], ...]
    """For each estimate: the accelerators asked for, or all in the table."""
    requested_precisions: tuple[str, ...]
    accelerators: tuple[Accelerator, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        missing = set(self.requested_precisions or DEFAULT_PRECISIONS) - {e.precision for e in self.estimates}
        return (
            *self.model.notes,
            *_workload_notes(self.model, self.workload),
            *(_unknown_precision(self.model, precision) for precision in PRECISION_BITS if precision in missing),
        )

    @property
    def gate(self) -> bool | None:
        """Whether everything asked for fits: True, False, or None where that cannot be said."""
        if not self.accelerators:
            return True
        deciding = self.requested_precisions or (STORED,)
        verdicts = [
            verdict.fits
            for estimate, verdicts in zip(self.estimates, self.fits, strict=True)
            if estimate.precision in deciding
            for verdict in verdicts
        ]
        if False in verdicts:
            return False
        return None if None in verdicts or not verdicts else True


def inspect(
    model: str | os.PathLike[str],
    *,
    revision: str | None = None,
    precisions: str | Sequence[str] = (),
    context: int | str | None = None,
    input_tokens: int | None = None,
    batch_size: int = 1,
    kv_cache_dtype: str | None = None,
    attention: Attention = Attention.AUTO,
    accelerators: Sequence[Accelerator] = (),
    on_progress: OnProgress | None = None,
) -> Inspection:
    """Look inside a model without downloading it, and say what it takes to run.

    `model` is a repo id, `org/name@revision`, a Hub URL or a local folder. `context` is in tokens, or "max"
    (the model's maximum) or "fit" (the longest with which all precisions fit all accelerators asked for; the
    stored one where none is asked for).
    Raises UsageError or ModelUnreadableError.

    >>> inspect("meta-llama/Llama-3.1-8B").model.reconciliation.total  # doctest: +SKIP
    8030261248
    """
    if isinstance(precisions, str):
        precisions = (precisions,)
    wanted = tuple(dict.fromkeys(precision.strip().lower() for precision in precisions))
    for precision in wanted:
        if precision != STORED:
            scheme_of(precision)  # A wrong name is said before anything is read.
    if kv_cache_dtype is not None and kv_cache_dtype not in KV_CACHE_BYTES:
        raise UsageError(f"{kv_cache_dtype!r} is no KV cache precision", f"choose from {', '.join(KV_CACHE_BYTES)}")
    facts = read_model(open_source(os.fspath(model), revision), on_progress)

    def workload_of(tokens: int) -> Workload:
        return Workload(
            context_tokens=tokens,
            input_tokens=tokens if input_tokens is None else input_tokens,
            batch_size=batch_size,
            kv_cache_dtype=kv_cache_dtype,
            attention=attention,
        )

    deciding = wanted or (STORED,)
    tokens = _context_tokens(facts, context, deciding, accelerators, workload_of, input_tokens or 1)
    return inspect_model(facts, workload_of(tokens), wanted, accelerators)


def inspect_model(
    model: Model, workload: Workload, precisions: Sequence[str] = (), accelerators: Sequence[Accelerator] = ()
) -> Inspection:
    """The second half: estimates of a model that was read before. Raises UsageError."""
    if model.architecture is not None:
        engine.check_length(model.architecture, workload)
    is_grounded = model.reconciliation.status is not Status.UNRECONCILED
    # The workspace is a range unless one GPU is asked for.
    workspace_bytes = accelerators[0].workspace_bytes if len(accelerators) == 1 else None

    def estimate_of(weights: Weights) -> MemoryEstimate:
        return estimate_memory(
            weights, model.architecture, workload, is_grounded=is_grounded, workspace_bytes=workspace_bytes
        )

    estimates = tuple(
        estimate_of(weights)
        for precision in precisions or DEFAULT_PRECISIONS
        if (weights := weights_of(model, precision)) is not None
    )
    return Inspection(
        model=model,
        workload=workload,
        attention=engine.resolve_attention(model.architecture, workload.attention) if model.architecture else None,
        estimates=estimates,
        stored_estimate=estimate_of(model.stored),
        fits=tuple(
            tuple(fit(estimate, accelerator) for accelerator in accelerators or ACCELERATORS.values())
            for estimate in estimates
        ),
        requested_precisions=tuple(precisions),
        accelerators=tuple(accelerators),
    )


def weights_of(model: Model, precision: str) -> Weights | None:
    """The weights at `stored` or at a `--dtype`; None where they cannot be known."""
    if precision == STORED:
        return model.stored
    return deployed_weights(precision, model.reconciliation, model.checkpoint, model.stored.compute_dtype)


# ------------------------------------------------------------------------------- reading a model


def read_model(source: ModelSource, on_progress: OnProgress | None = None) -> Model:
    """Config, headers and their comparison. Raises ModelUnreadableError."""
    try:
        config = _read_config(source)
        checkpoint = read_checkpoint(source, on_progress)
    except GatedRepoError:
        if source.summary is None or not source.summary.elements_by_dtype:
            raise
        return _from_summary(source, source.summary)
    if not checkpoint.tensors:
        raise CheckpointError(source.model_id, checkpoint.files[0], "it holds no tensors")
    architecture, notes = _architecture(config)
    compared = reconcile(
        checkpoint,
        architecture,
        quantized=config is not None and config.quantization_method is not None,
        is_nested=config is not None and config.is_nested,
    )
    return Model(
        model_id=source.model_id,
        revision=source.revision,
        requested_revision=source.requested_revision,
        model_type=config.model_type if config else None,
        architectures=config.architectures if config else (),
        library=_library(source, config),
        quantization_method=config.quantization_method if config else None,
        checkpoint=checkpoint,
        listed_bytes=checkpoint.file_bytes,
        reconciliation=compared,
        stored=stored_weights(checkpoint, compared, config.dtype if config else None),
        notes=(
            *source.notes,
            *checkpoint.notes,
            *notes,
            *_reconciliation_notes(config, compared),
            *_dtype_notes(config, checkpoint, compared),
        ),
    )


def _library(source: ModelSource, config: ModelConfig | None) -> str | None:
    """By the Hub; elsewhere, a config.json with a model type is how transformers saves a model."""
    if source.summary is not None and source.summary.library:
        return source.summary.library
    return "transformers" if config is not None and config.model_type else None


def _read_config(source: ModelSource) -> ModelConfig | None:
    try:
        return parse_config(source.read(CONFIG_FILE, CONFIG_LIMIT_BYTES), source.model_id)
    except FileMissingError:
        return None


def _architecture(config: ModelConfig | None) -> tuple[Architecture | None, tuple[str, ...]]:
    if config is None:
        return None, (f"there is no {CONFIG_FILE}: weights are exact, dimensions and caches unknown",)
    model_type = config.text_model_type
    read = FAMILIES.get(model_type or "")
    if read is None:
        name = f"model type {model_type!r} is" if model_type else "the config names no model type; it is"
        return None, (
            f"{name} not one that hubvram understands yet: weights are exact, KV cache and activations unknown",
        )
    architecture = read(config.text, config.architectures)
    left_out = config.text.defaulted(_DIMENSIONS)
    if not left_out:
        return architecture, ()
    return architecture, (f"config.json leaves out {', '.join(left_out)}: taken from transformers' defaults",)


def _reconciliation_notes(config: ModelConfig | None, compared: Reconciliation) -> tuple[str, ...]:
    notes = [
        f"stored, but not counted: {item.what}, {item.parameters:,} elements in {item.tensors} tensor"
        f"{'s' if item.tensors != 1 else ''} ({item.rule})"
        for item in compared.not_counted
    ]
    notes += [f"accounted for: {item.what}, {item.parameters:+,} ({item.rule})" for item in compared.accounted]
    if compared.scope == "text":
        notes.append("dimensions, KV cache and activations are the text model's; images and sound would add to them")
    if compared.status is Status.UNRECONCILED:
        parts = ", ".join(f"{component} {number:+,}" for component, number in compared.differences.items())
        notes.append(f"NOT reconciled: the files hold {parts} compared with config.json; dimensions may be wrong")
    if compared.status is Status.QUANTIZED:
        method = (config.quantization_method if config else None) or "packed tensors"
        notes.append(
            f"quantized ({method}): stored bytes are exact; the parameter count is derived from config.json, "
            "not compared with the packed tensors"
        )
    return tuple(notes)


_DIMENSIONS: Final = (
    *("hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads"),
    *("intermediate_size", "vocab_size"),
)


def _dtype_notes(config: ModelConfig | None, checkpoint: Checkpoint, compared: Reconciliation) -> tuple[str, ...]:
    stored = stored_compute_dtype(checkpoint)
    if config is None or config.dtype in (None, stored) or stored is None or compared.status is Status.QUANTIZED:
        return ()
    return (
        f"the files hold {stored}, config.json asks for {config.dtype}: transformers would load it so, "
        f"which is the row of --dtype {config.dtype}",
    )


def _from_summary(source: ModelSource, summary: PublicSummary) -> Model:
    """What is public about a gated repo: sizes of its files, and the Hub's own totals."""
    elements = summary.elements_by_dtype
    known = {dtype: number for dtype, number in elements.items() if dtype in SAFETENSORS_BITS}
    stored_bytes = sum(number * SAFETENSORS_BITS[dtype] // 8 for dtype, number in known.items())
    largest = max(known, key=lambda dtype: known[dtype] * SAFETENSORS_BITS[dtype], default="")
    sizes = [source.files[path].size_bytes for path in weight_files(source)]
    total = sum(elements.values())
    return Model(
        model_id=source.model_id,
        revision=source.revision,
        requested_revision=source.requested_revision,
        model_type=summary.model_type,
        architectures=summary.architectures,
        library=summary.library,
        quantization_method=None,
        checkpoint=None,
        listed_bytes=sum(size for size in sizes if size is not None),
        reconciliation=Reconciliation(status=Status.NO_HEADERS, total=total, by_component={}),
        stored=Weights(
            precision=STORED,
            scheme=scheme_name(elements),
            description="by the totals that the Hub publishes",
            compute_dtype=COMPUTE_DTYPES.get(largest),
            nominal_bytes=stored_bytes,
            component=exact("weights", stored_bytes, Basis.READ, "the Hub's totals for its main branch"),
        ),
        notes=(
            *source.notes,
            "the repo is gated: this is what is public; layers, KV cache and activations need access to its files "
            f"(ask for it at https://huggingface.co/{source.model_id}, then `hf auth login`)",
        ),
    )


# ------------------------------------------------------------------------------------ the context


def _context_tokens(
    model: Model,
    context: int | str | None,
    precisions: Sequence[str],
    accelerators: Sequence[Accelerator],
    workload_of: Callable[[int], Workload],
    shortest: int,
) -> int:
    largest = model.architecture.max_position_embeddings if model.architecture else None
    if context is None:
        return max(shortest, min(DEFAULT_CONTEXT_TOKENS, largest or DEFAULT_CONTEXT_TOKENS))
    if context == "fit":
        return _longest_fit(model, precisions, accelerators, workload_of, shortest, largest)
    if context == "max":
        if largest is None:
            raise UsageError("--context max: the config does not say how long a context may be", "give a number")
        return largest
    return parse_tokens(context) if isinstance(context, str) else context


def _longest_fit(
    model: Model,
    precisions: Sequence[str],
    accelerators: Sequence[Accelerator],
    workload_of: Callable[[int], Workload],
    shortest: int,
    largest: int | None,
) -> int:
    """The longest context that fits, by bisection: memory never shrinks as a context grows."""
    if not accelerators:
        raise UsageError("--context fit needs a GPU to fit", "add --gpu or --max-vram")
    if largest is None:
        raise UsageError("--context fit: the KV cache of this model is unknown", "give a number")

    def fits(tokens: int) -> bool:
        return inspect_model(model, workload_of(tokens), precisions, accelerators).gate is True

    low, high = shortest, max(shortest, largest)
    if not fits(low):
        return low  # The report then says that even this does not fit.
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _unknown_precision(model: Model, precision: str) -> str:
    nominal = nominal_weight_bytes(model.reconciliation.total, PRECISION_BITS[precision])
    return f"{precision}: {size(nominal)} nominal; what a tool would write depends on layers that are not known here"


def _workload_notes(model: Model, workload: Workload) -> Iterator[str]:
    largest = model.architecture.max_position_embeddings if model.architecture else None
    if largest is not None and workload.context_tokens > largest:
        yield f"{workload.context_tokens:,} tokens are more than the {largest:,} that the model was made for"
    if workload.attention is Attention.FLASH:
        yield "flash attention runs in fp16 and bf16 only: figures in fp32 are for comparison"
