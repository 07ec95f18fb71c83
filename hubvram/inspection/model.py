"""What a model is: everything about it that does not depend on how it is run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hubvram.architecture.layers import Architecture
from hubvram.architecture.reconcile import Reconciliation, Status
from hubvram.checkpoint.components import Component
from hubvram.checkpoint.fetched import Fetched, fetched_from
from hubvram.checkpoint.tensors import Checkpoint
from hubvram.checkpoint.totals import Totals
from hubvram.config.reader import ModelConfig
from hubvram.memory.weights import Weights
from hubvram.sources.interface import ModelSource

if TYPE_CHECKING:
    from hubvram.inspection.quantization import QuantizationFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What a model is: everything that does not depend on how it is run."""

    model_id: str
    revision: str | None
    requested_revision: str | None
    model_type: str | None
    architectures: tuple[str, ...]
    library: str | None
    config: ModelConfig | None
    quantization: QuantizationFacts | None
    """None where nothing is packed, and nothing says so."""
    checkpoint: Checkpoint | None
    """None where there are no headers, or none that were read."""
    totals: Totals | None
    """What the Hub says that is stored, where no headers were read."""
    listed_bytes: int | None
    """Size of the weight files, as the source lists them; None where it does not, or where they are of no use."""
    fetched: Fetched
    """What `from_pretrained` downloads."""
    reconciliation: Reconciliation
    stored: Weights
    notes: tuple[str, ...]

    @property
    def architecture(self) -> Architecture | None:
        return self.reconciliation.architecture

    @property
    def quantization_method(self) -> str | None:
        return self.quantization.method if self.quantization else None

    @property
    def active_parameters(self) -> int:
        """Parameters that one token uses: the input embedding included, blocks for multi-token prediction not."""
        inactive = self.architecture.inactive_parameters if self.architecture else 0
        if self.reconciliation.status is Status.UNRECONCILED and self.architecture is not None:
            return self.architecture.parameters - inactive  # of the model that config.json describes
        return self.reconciliation.total - inactive - self.reconciliation.by_component.get(Component.MTP, 0)

    @property
    def active_without_input_embedding(self) -> int:
        """The same without the embedding: what model cards call non-embedding parameters, tied head or not."""
        return self.active_parameters - self.reconciliation.by_component.get(Component.EMBEDDING, 0)


def model_of(
    source: ModelSource,
    config: ModelConfig | None,
    compared: Reconciliation,
    stored: Weights,
    *notes: str,
    checkpoint: Checkpoint | None = None,
    totals: Totals | None = None,
    listed_bytes: int | None = None,
    files: tuple[str, ...] = (),
) -> Model:
    """Put together what was found; where there is no config, what the Hub's summary says of it.

    `files`: those with the weights, where neither `checkpoint` nor `totals` names them.
    """
    summary = source.summary
    named = config or summary
    known = checkpoint or totals
    quantization, quantization_notes = _quantization(config, compared, checkpoint)
    return Model(
        model_id=source.model_id,
        revision=source.revision,
        requested_revision=source.requested_revision,
        model_type=named.model_type if named else None,
        architectures=named.architectures if named else (),
        library=_library(source, config),
        config=config,
        quantization=quantization,
        checkpoint=checkpoint,
        totals=totals,
        listed_bytes=listed_bytes,
        fetched=fetched_from(source, known.files if known else files),
        reconciliation=compared,
        stored=stored,
        notes=(*source.notes, *notes, *(config.notes if config else ()), *quantization_notes),
    )


def _quantization(
    config: ModelConfig | None, compared: Reconciliation, checkpoint: Checkpoint | None
) -> tuple[QuantizationFacts | None, tuple[str, ...]]:
    """What is known of packed weights, and what there is to say about it; most models have none."""
    declared = config.quantization if config else None
    if declared is None and (compared.unpacked is None or not compared.unpacked.packed):
        return None, ()
    from hubvram.inspection.quantization import facts_of, quantization_notes

    facts = facts_of(declared, compared, checkpoint.stored_bytes if checkpoint else None)
    return facts, tuple(quantization_notes(facts, compared.status))


def _library(source: ModelSource, config: ModelConfig | None) -> str | None:
    """By the Hub; elsewhere, a config.json with a model type is how transformers saves a model."""
    if source.summary is not None and source.summary.library:
        return source.summary.library
    return "transformers" if config is not None and config.model_type else None
