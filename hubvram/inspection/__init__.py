"""One model, from what the user wrote to facts and estimates: the only layer that knows the whole pipeline."""

from hubvram.inspection.inspector import (
    DEFAULT_PRECISIONS,
    Inspection,
    inspect,
    inspect_as,
    inspect_model,
    weights_of,
)
from hubvram.inspection.model import Model
from hubvram.inspection.reading import Headers, headers_named, read_model
from hubvram.inspection.request import Request, request_of

__all__ = [
    "DEFAULT_PRECISIONS",
    "Headers",
    "Inspection",
    "Model",
    "Request",
    "headers_named",
    "inspect",
    "inspect_as",
    "inspect_model",
    "read_model",
    "request_of",
    "weights_of",
]
