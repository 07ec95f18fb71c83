"""A model and a workload: the memory of each precision, and what fits."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from hubvram.architecture.layers import Architecture
from hubvram.errors import UsageError
from hubvram.hardware.accelerators import ACCELERATORS, Accelerator
from hubvram.hardware.fit import Fit, fit
from hubvram.inspection.configured import as_configured, configured_notes
from hubvram.inspection.model import Model
from hubvram.inspection.notes import unknown_precision_note, workload_notes
from hubvram.inspection.reading import Headers, headers_named, read_model
from hubvram.inspection.request import Request, request_of
from hubvram.memory.engines import ENGINES
from hubvram.memory.estimate import MemoryEstimate
from hubvram.memory.estimator import estimate_memory
from hubvram.memory.weights import STORED, NoWeights, Weights, deployed_weights
from hubvram.memory.workload import Attention, Logits, Workload
from hubvram.quantization.precisions import is_gguf
from hubvram.sources.interface import OnProgress
from hubvram.sources.network import TIMEOUT_SECONDS, Network
from hubvram.sources.open import open_source

if TYPE_CHECKING:
    from hubvram.memory.loading import Loading

DEFAULT_PRECISIONS: Final = (STORED, "fp32", "bf16", "int8", "int4")
DEFAULT_CONTEXT_TOKENS: Final = 8192
LONGEST_TOKENS: Final = 2**24
"""How far `fit` looks where no config says how long a context may be."""

_AllWeights = Mapping[str, Weights | NoWeights]
"""Precision -> weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """A model, a workload, and the memory of each precision asked for."""

    model: Model
    workload: Workload
    attention: Attention | None
    """The attention that runs; None where what the model's code makes of it is not known."""
    estimates: tuple[MemoryEstimate, ...]
    unknown: tuple[tuple[str, str], ...]
    """Precisions that there is no figure for, with the reason."""
    stored_estimate: MemoryEstimate
    """The files as they are, for comparison, whether or not it was asked for."""
    fits: tuple[tuple[Fit, ...], ...]
    """For each estimate: the accelerators asked for, or all in the table."""
    requested_precisions: tuple[str, ...]
    accelerators: tuple[Accelerator, ...]
    is_longest: bool = False
    """Whether the context was to be the longest that fits."""

    @property
    def notes(self) -> tuple[str, ...]:
        return (
            *self.model.notes,
            *workload_notes(self.model.architecture, self.workload),
            *configured_notes(self.model, self.workload),
            *((_FLASH_IN_FP32,) if self._is_flash_in_fp32 else ()),
            *(
                unknown_precision_note(self.model.reconciliation.total, precision, reason)
                for precision, reason in self.unknown
            ),
            *self._packing_notes(),
            *((_NOT_SOUGHT,) if self.is_longest and self.gate is None else ()),
        )

    @property
    def _is_flash_in_fp32(self) -> bool:
        is_flash = self.workload.attention is Attention.FLASH
        return is_flash and any(
            estimate.compute_dtype == "fp32" for estimate in (self.stored_estimate, *self.estimates)
        )

    def _packing_notes(self) -> Iterator[str]:
        """Of what is stored, and of what was asked for."""
        asked = [estimate for estimate in self.estimates if estimate.precision in self.requested_precisions]
        for estimate in {each.precision: each for each in (self.stored_estimate, *asked)}.values():
            yield from (f"{estimate.precision}: {note}" for note in estimate.notes)

    @property
    def loadings(self) -> tuple[Loading, ...]:
        """For each estimate: what it takes to get there."""
        from hubvram.inspection.loading import loadings_of  # for those who ask

        return tuple(loadings_of(self.model, self.workload.engine, self.estimates))

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
        in_doubt = None in verdicts or not verdicts or any(precision in deciding for precision, _ in self.unknown)
        return None if in_doubt else True


def inspect(
    model: str | os.PathLike[str],
    *,
    revision: str | None = None,
    precisions: str | Sequence[str] = (),
    context: int | str | None = None,
    input_tokens: int | None = None,
    batch_size: int = 1,
    kv_cache_dtype: str | None = None,
    cache: str = "dynamic",
    attention: Attention | str = Attention.AUTO,
    logits: Logits | str = Logits.LAST,
    padded: bool = False,
    engine: str = "transformers",
    accelerators: Sequence[Accelerator | str] = (),
    headers: Headers | str = Headers.ALWAYS,
    offline: bool = False,
    timeout_seconds: float = TIMEOUT_SECONDS,
    on_progress: OnProgress | None = None,
) -> Inspection:
    """Look inside a model without downloading it, and say what it takes to run.

    `model` is a repo id, `org/name@revision`, a Hub URL or a local folder. `context` is in tokens, or "max"
    (the model's maximum) or "fit" (the longest with which all precisions fit all accelerators asked for; the
    stored one where none is asked for). `headers`: "always", "auto" (not where the Hub's totals and the sizes of the
    files already equal what config.json derives) or "never" (the answer then says what it stands on). `offline` sends
    no request; `timeout_seconds` is for all of them together.
    Raises UsageError or ModelUnreadableError.

    >>> inspect("meta-llama/Llama-3.1-8B").model.reconciliation.total  # doctest: +SKIP
    8030261248
    """
    request = request_of(
        precisions=precisions,
        context=context,
        input_tokens=input_tokens,
        batch_size=batch_size,
        kv_cache_dtype=kv_cache_dtype,
        cache=cache,
        attention=attention,
        logits=logits,
        padded=padded,
        engine=engine,
        accelerators=accelerators,
    )
    policy = headers_named(headers)
    source = open_source(os.fspath(model), revision, Network(offline=offline, timeout_seconds=timeout_seconds))
    return inspect_as(read_model(source, on_progress, headers=policy), request)


def inspect_as(model: Model, request: Request) -> Inspection:
    """The answer to a request about a model that was read before. Raises UsageError."""
    # Once, for all contexts that are tried.
    weights = {precision: weights_of(model, precision) for precision in request.precisions or DEFAULT_PRECISIONS}
    workload = request.workload_of(_context_tokens(model, request, weights))
    found = inspect_model(model, workload, request.precisions, request.accelerators, weights)
    return replace(found, is_longest=True) if request.context == "fit" else found


_FLASH_IN_FP32: Final = "flash attention runs in fp16 and bf16 only: figures in fp32 are for comparison"
_NOT_SOUGHT: Final = "--context fit: no context can be said to fit, since not all is known; the shortest is shown"


def inspect_model(
    model: Model,
    workload: Workload,
    precisions: Sequence[str] = (),
    accelerators: Sequence[Accelerator] = (),
    weights: _AllWeights | None = None,
) -> Inspection:
    """The second half: estimates of a model that was read before, and of `weights`, if they are known. Raises
    UsageError."""
    if model.architecture is not None:
        engine = ENGINES[workload.engine]
        workload = engine.taken(model.architecture, as_configured(model, workload))
        engine.check(model.architecture, workload)
    is_grounded = model.reconciliation.status.is_grounded
    # The workspace is a range unless all GPUs asked for have the same; each has its own in what fits.
    workspaces = {accelerator.workspace_bytes for accelerator in accelerators}
    workspace_bytes = workspaces.pop() if len(workspaces) == 1 else None
    judged = [
        (accelerator, ENGINES[workload.engine].runtime(workspace_bytes=accelerator.workspace_bytes))
        for accelerator in accelerators or ACCELERATORS.values()
    ]

    def estimate_of(found: Weights) -> MemoryEstimate:
        return estimate_memory(
            found, model.architecture, workload, is_grounded=is_grounded, workspace_bytes=workspace_bytes
        )

    found = {
        precision: weights[precision] if weights else weights_of(model, precision)
        for precision in precisions or DEFAULT_PRECISIONS
    }
    estimates = tuple(estimate_of(known) for known in found.values() if isinstance(known, Weights))
    return Inspection(
        model=model,
        workload=workload,
        attention=_attention(model, workload),
        estimates=estimates,
        unknown=tuple((precision, none.reason) for precision, none in found.items() if isinstance(none, NoWeights)),
        stored_estimate=estimate_of(model.stored),
        fits=tuple(
            tuple(fit(estimate, accelerator, runtime) for accelerator, runtime in judged) for estimate in estimates
        ),
        requested_precisions=tuple(precisions),
        accelerators=tuple(accelerators),
    )


def _attention(model: Model, workload: Workload) -> Attention | None:
    architecture, engine = model.architecture, ENGINES[workload.engine]
    if architecture is None or not engine.knows_activations(architecture):
        return None
    return engine.resolve_attention(architecture, workload.attention)


def weights_of(model: Model, precision: str) -> Weights | NoWeights:
    """The weights at `stored` or at a `--dtype`."""
    if precision == STORED:
        return model.stored
    if is_gguf(precision):
        from hubvram.memory.gguf import gguf_file  # its tables, for those who ask

        return gguf_file(precision, model.reconciliation, model.checkpoint, model.config, model.stored.compute_dtype)
    return deployed_weights(precision, model.reconciliation, model.checkpoint, model.stored.compute_dtype)


def _context_tokens(model: Model, request: Request, weights: _AllWeights) -> int:
    if request.given_tokens is not None:
        return request.given_tokens
    shortest = request.input_tokens or 1
    largest = _most_tokens(model.architecture, request.engine, request.input_tokens) if model.architecture else None
    if request.context == "fit":
        return _longest_fit(model, request, weights, shortest, largest)
    if request.context == "max":
        if largest is None:
            raise UsageError("--context max: the config does not say how long a context may be", "give a number")
        return largest
    return max(shortest, min(DEFAULT_CONTEXT_TOKENS, largest or DEFAULT_CONTEXT_TOKENS))


def _most_tokens(architecture: Architecture, engine: str, input_tokens: int | None) -> int | None:
    """How long a context may be; None where its config does not say it. Where an encoder reads tokens it is as much as
    that was made for, since all is input; or what is said to be, and what the decoder was made for."""
    encoder = architecture.encoder
    ends = (architecture.longest, ENGINES[engine].positions(architecture))
    longest = min((end for end in ends if end is not None), default=None)
    if encoder is None or encoder.source_tokens is not None:
        return longest
    if input_tokens is not None:
        return None if longest is None else input_tokens + longest
    return encoder.longest


def _longest_fit(model: Model, request: Request, weights: _AllWeights, shortest: int, largest: int | None) -> int:
    """The longest context that fits, by bisection: memory never shrinks as a context grows."""
    engine = ENGINES[request.engine]
    if model.architecture is None or not engine.knows_cache(model.architecture):
        return shortest  # Nothing can be said to fit, and the report says so.
    largest = largest or LONGEST_TOKENS

    def fits(tokens: int) -> bool:
        workload = request.workload_of(tokens)
        precisions = request.deciding_precisions
        return inspect_model(model, workload, precisions, request.accelerators, weights).gate is True

    low, high = shortest, max(shortest, largest)
    if not fits(low):
        return low  # The report then says that even this does not fit.
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low
