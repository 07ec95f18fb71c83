"""What it takes to load a model at one of the precisions that were estimated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hubvram.inspection.model import Model
from hubvram.memory.engines import transformers_loading as engine
from hubvram.memory.estimate import MemoryEstimate
from hubvram.memory.loading import Loading


def loading_of(model: Model, estimate: MemoryEstimate) -> Loading:
    """From the Hub to the GPU."""
    return next(loadings_of(model, (estimate,)))


def loadings_of(model: Model, estimates: Iterable[MemoryEstimate]) -> Iterator[Loading]:
    """One for each."""
    config = model.config
    files = engine.Files(
        fetched=model.fetched,
        checkpoint=model.checkpoint,
        reconciliation=model.reconciliation,
        model_types=(model.model_type, config.text_model_type if config else None),
        method=model.quantization_method,
        declared_dtype=config.dtype if config else None,
    )
    for estimate in estimates:
        yield engine.loading_of(files, estimate.precision, estimate.size_of("weights"), estimate.compute_dtype)
