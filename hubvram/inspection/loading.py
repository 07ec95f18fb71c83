"""What it takes to load a model at one of the precisions that were estimated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hubvram.inspection.model import Model
from hubvram.memory.engines import ENGINES
from hubvram.memory.estimate import MemoryEstimate
from hubvram.memory.loading import Loadable, Loading


def loadings_of(model: Model, engine: str, estimates: Iterable[MemoryEstimate]) -> Iterator[Loading]:
    """From the Hub to the GPU, for each of the estimates."""
    config = model.config
    files = Loadable(
        fetched=model.fetched,
        checkpoint=model.checkpoint,
        reconciliation=model.reconciliation,
        model_types=(model.model_type, config.text_model_type if config else None),
        method=model.quantization_method,
        declared_dtype=config.dtype if config else None,
    )
    return ENGINES[engine].loadings(files, estimates)
