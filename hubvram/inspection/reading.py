"""Read a model from its source: config and headers, or, where that is asked for and enough, without the headers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from hubvram.checkpoint.files import weight_files
from hubvram.checkpoint.reader import Beginnings, fetch_headers, parse_checkpoint
from hubvram.config.quantization_files import SIDE_FILES, may_have_settings
from hubvram.config.reader import ModelConfig, parse_config
from hubvram.errors import (
    CheckpointError,
    ConfigError,
    FileMissingError,
    GatedRepoError,
    ModelUnreadableError,
    NoCheckpointError,
    UsageError,
)
from hubvram.inspection.config_only import without_safetensors
from hubvram.inspection.listing import comparable_totals, from_listing, from_summary, from_totals
from hubvram.inspection.model import Model, model_of
from hubvram.inspection.notes import dtype_notes, reconciliation_notes
from hubvram.inspection.understanding import understand
from hubvram.memory.weights import stored_weights
from hubvram.sources.beside import beside
from hubvram.sources.interface import CONFIG_FILE, CONFIG_LIMIT_BYTES, ModelSource, OnProgress

Gate = AbstractContextManager[Any]
"""Held while a model takes processor and memory, and not while it waits for the network."""

_OPEN: Final = nullcontext()


class Headers(StrEnum):
    """Whether the headers of the files are read."""

    ALWAYS = "always"
    AUTO = "auto"
    """Unless the Hub's totals and the sizes of the files already equal what config.json derives."""
    NEVER = "never"


def headers_named(name: Headers | str) -> Headers:
    """Raises UsageError."""
    try:
        return Headers(name.strip().lower())
    except (ValueError, AttributeError):
        raise UsageError(f"headers cannot be read {name!r}", f"choose from {', '.join(Headers)}") from None


def read_model(
    source: ModelSource,
    on_progress: OnProgress | None = None,
    *,
    headers: Headers = Headers.ALWAYS,
    gate: Gate = _OPEN,
) -> Model:
    """Config, headers and their comparison. Raises ModelUnreadableError."""
    try:
        return _READ[headers](source, on_progress, gate)
    except GatedRepoError:
        model = from_summary(source)
        if model is None:
            raise
        return model


def _always(source: ModelSource, on_progress: OnProgress | None, gate: Gate) -> Model:
    """Both are fetched at the same time: each waits for the network."""
    side_file = _side_file(source)  # before they part: two that ask for the listing would make it twice
    reading = beside(lambda: _config_of(source, side_file))
    found = _headers_of(source, on_progress)
    content = reading()
    with gate:
        # What is wrong with the config is said first.
        return _compared(source, _parsed(source, content), found)


def _auto(source: ModelSource, on_progress: OnProgress | None, gate: Gate) -> Model:
    """Config first, and headers where it does not settle the matter; without totals to compare with, as always."""
    totals = comparable_totals(source)
    if totals is None or not totals.is_plain:  # Nothing could match: no reason to wait for config.json.
        return _always(source, on_progress, gate)
    content = _config_of(source, _side_file(source))
    with gate:
        config = _parsed(source, content)
        model = from_totals(source, config, totals)
    if model is not None:
        return model
    found = _headers_of(source, on_progress)
    with gate:
        return _compared(source, config, found)


def _never(source: ModelSource, on_progress: OnProgress | None, gate: Gate) -> Model:
    """Config and listing; where there is no safetensors model, no headers would have been read anyway."""
    try:
        files = weight_files(source)
    except NoCheckpointError as error:
        return _compared(source, _parsed(source, _config_of(source, _side_file(source))), error)
    content, totals = _config_of(source, _side_file(source)), comparable_totals(source)
    with gate:
        return from_listing(source, _parsed(source, content), files, totals)


_READ: Final[Mapping[Headers, Callable[[ModelSource, OnProgress | None, Gate], Model]]] = {
    Headers.ALWAYS: _always,
    Headers.AUTO: _auto,
    Headers.NEVER: _never,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _ConfigFiles:
    """What was fetched; the second file is that of a tool which packed the weights."""

    config: bytes
    side_file: str | None = None
    side: bytes = b""


def _side_file(source: ModelSource) -> str | None:
    """The file of a tool that writes its settings apart, where one is listed."""
    return next((file for file in SIDE_FILES if file in source.files), None)


def _config_of(source: ModelSource, side_file: str | None) -> _ConfigFiles | None:
    """config.json. Where it has no settings of packed weights, and there is a side file, that one too: one more small
    request."""
    try:
        config = source.read(CONFIG_FILE, CONFIG_LIMIT_BYTES)
    except FileMissingError:
        return None
    if side_file is None or (may_have_settings(config) and _has_settings(config, source.model_id)):
        return _ConfigFiles(config=config)
    return _ConfigFiles(config=config, side_file=side_file, side=source.read(side_file, CONFIG_LIMIT_BYTES))


def _has_settings(config: bytes, model_id: str) -> bool:
    """Whether they are where they are read: a section may be null, or in a place that means nothing."""
    try:
        return parse_config(config, model_id).quantization is not None
    except ConfigError:
        return True  # which is said once more where it ends the answer


def _parsed(source: ModelSource, found: _ConfigFiles | None) -> ModelConfig | None:
    if found is None:
        return None
    quantization = None
    if found.side_file is not None:
        from hubvram.config.quantization import settings_of_file

        try:
            quantization = settings_of_file(found.side, source.model_id, found.side_file)
        except ConfigError as error:  # the tensors decide, and config.json is whole
            return parse_config(found.config, source.model_id, None, f"{error.file} is left out: {error.reason}")
    return parse_config(found.config, source.model_id, quantization)


def _headers_of(source: ModelSource, on_progress: OnProgress | None) -> Beginnings | ModelUnreadableError:
    """The headers, or why there are none: an error in the config goes before it."""
    try:
        return fetch_headers(source, on_progress)
    except ModelUnreadableError as error:
        return error


def _compared(source: ModelSource, config: ModelConfig | None, found: Beginnings | ModelUnreadableError) -> Model:
    """Config and headers."""
    if isinstance(found, NoCheckpointError):
        return without_safetensors(source, config, found)
    if isinstance(found, ModelUnreadableError):
        raise found
    checkpoint = parse_checkpoint(source, found)
    if not checkpoint.tensors:
        raise CheckpointError(source.model_id, checkpoint.files[0], "it holds no tensors")
    compared, notes = understand(config, checkpoint)
    return model_of(
        source,
        config,
        compared,
        stored_weights(
            checkpoint,
            compared,
            config.dtype if config else None,
            config.quantization if config else None,
        ),
        *checkpoint.notes,
        *notes,
        *reconciliation_notes(config, compared),
        *dtype_notes(config, checkpoint, compared),
        checkpoint=checkpoint,
        listed_bytes=checkpoint.file_bytes,
    )
