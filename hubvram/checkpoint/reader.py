"""Read a model's headers, all of its files at once, into a Checkpoint."""

from __future__ import annotations

from hubvram.checkpoint.files import weight_files
from hubvram.checkpoint.safetensors import LENGTH_BYTES, Header, HeaderError, header_length, parse_header
from hubvram.checkpoint.tensors import Checkpoint, TensorInfo
from hubvram.errors import CheckpointError
from hubvram.sources.interface import Beginning, ModelSource, OnProgress


def read_checkpoint(source: ModelSource, on_progress: OnProgress | None = None) -> Checkpoint:
    """Every tensor of the model, from the headers alone.

    Raises NoCheckpointError, CheckpointError, or what the source raises.
    """
    files = weight_files(source)

    def needed(file: str, prefix: bytes, file_bytes: int | None) -> int:
        try:
            return LENGTH_BYTES + header_length(prefix, file_bytes)
        except HeaderError as error:
            raise CheckpointError(source.model_id, file, str(error)) from None

    beginnings = source.read_beginnings(files, needed, on_progress)
    headers = {file: _parse(source.model_id, file, beginnings[file]) for file in files}
    sizes = [source.files[file].size_bytes for file in files]
    return Checkpoint(
        tensors=_merge(headers),
        files=files,
        file_bytes=sum(size for size in sizes if size is not None) if None not in sizes else None,
        notes=tuple(f"{file}: {note}" for file, header in headers.items() for note in header.notes),
    )


def _parse(model_id: str, file: str, beginning: Beginning) -> Header:
    text = beginning.data[LENGTH_BYTES:]
    data_bytes = None
    if beginning.file_bytes is not None:
        data_bytes = beginning.file_bytes - len(beginning.data)
    try:
        return parse_header(text, data_bytes=data_bytes, file=file)
    except HeaderError as error:
        raise CheckpointError(model_id, file, str(error)) from None


def _merge(headers: dict[str, Header]) -> tuple[TensorInfo, ...]:
    """All shards' tensors; a name in two shards is loaded from the later one, as loaders do."""
    tensors = {tensor.name: tensor for header in headers.values() for tensor in header.tensors}
    return tuple(tensors.values())
