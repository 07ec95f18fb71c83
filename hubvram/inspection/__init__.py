"""One model, from what the user wrote to facts and estimates: the only layer that knows the whole pipeline."""

from hubvram.inspection.inspector import DEFAULT_PRECISIONS, Inspection, inspect, inspect_model, weights_of
from hubvram.inspection.model import Model, read_model

__all__ = ["DEFAULT_PRECISIONS", "Inspection", "Model", "inspect", "inspect_model", "read_model", "weights_of"]
