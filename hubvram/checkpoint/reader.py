"""Read a model's headers, all of its files at once, into a Checkpoint."""

from __future__ import annotations

from hubvram.checkpoint.files import file_bytes, weight_files
from hubvram.checkpoint.safetensors import LENGTH_BYTES, Header, HeaderError, header_length, parse_header
from hubvram.checkpoint.tensors import Checkpoint, TensorInfo
from hubvram.errors import CheckpointError
from hubvram.sources.interface import Beginning, ModelSource, OnProgress

Beginnings = dict[str, Beginning]
"""File -> what was fetched of it, in the order of the files."""


def read_checkpoint(source: ModelSource, on_progress: OnProgress | None = None) -> Checkpoint:
    """Every tensor of the model, from the headers alone.

    Raises NoCheckpointError, CheckpointError, or what the source raises.
    """
    return parse_checkpoint(source, fetch_headers(source, on_progress))


def fetch_headers(source: ModelSource, on_progress: OnProgress | None = None) -> Beginnings:
    """The first half, which waits for the network. Raises what `read_checkpoint` does."""
    files = weight_files(source)

    def needed(file: str, prefix: bytes, file_bytes: int | None) -> int:
        try:
            return LENGTH_BYTES + header_length(prefix, file_bytes)
        except HeaderError as error:
            raise CheckpointError(source.model_id, file, str(error)) from None

    fetched = source.read_beginnings(files, needed, on_progress)
    return {file: fetched[file] for file in files}


def parse_checkpoint(source: ModelSource, beginnings: Beginnings) -> Checkpoint:
    """The second half, which takes the processor: `beginnings` is emptied on the way, so that the raw headers (up to
    100 MB each) are not held beside what they become. Raises CheckpointError."""
    files = tuple(beginnings)
    headers = {file: _parse(source.model_id, file, beginnings.pop(file)) for file in files}
    return Checkpoint(
        tensors=_merge(headers),
        files=files,
        file_bytes=file_bytes(source, files),
        notes=tuple(f"{file}: {note}" for file, header in headers.items() for note in header.notes),
    )


def _parse(model_id: str, file: str, beginning: Beginning) -> Header:
    text = beginning.data[LENGTH_BYTES:]
    data_bytes = None if beginning.file_bytes is None else beginning.file_bytes - len(beginning.data)
    del beginning  # up to 100 MB that nobody else holds
    try:
        return parse_header(text, data_bytes=data_bytes, file=file)
    except HeaderError as error:
        raise CheckpointError(model_id, file, str(error)) from None


def _merge(headers: dict[str, Header]) -> tuple[TensorInfo, ...]:
    """All shards' tensors; a name in two shards is loaded from the later one, as loaders do."""
    if len(headers) == 1:
        return tuple(tensor for header in headers.values() for tensor in header.tensors)
    tensors = {tensor.name: tensor for header in headers.values() for tensor in header.tensors}
    return tuple(tensors.values())
