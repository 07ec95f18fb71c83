"""The reference reader: what the `safetensors` package itself says about a file."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open

from hubvram.checkpoint.reader import read_checkpoint
from hubvram.checkpoint.tensors import Checkpoint
from hubvram.errors import CheckpointError
from hubvram.sources.local import LocalSource

Declared = dict[str, tuple[str, tuple[int, ...]]]
"""Tensor name -> (dtype, shape)."""


def write_file(folder: Path, header: bytes, data_bytes: int = 0, *, announced: int | None = None) -> Path:
    """model.safetensors: the length (the true one unless `announced`), the header, a hole for the data."""
    path = folder / "model.safetensors"
    length = len(header) if announced is None else announced
    with path.open("wb") as stream:
        stream.write(length.to_bytes(8, "little") + header)
        stream.truncate(8 + len(header) + data_bytes)
    return path


def by_reference(path: Path) -> Declared | None:
    """What the package reads, None where it refuses the file."""
    try:
        reader = safe_open(path, framework="numpy")
    except SafetensorError:
        return None
    with reader:
        names = reader.keys()  # type: ignore[no-untyped-call]
        slices = {name: reader.get_slice(name) for name in names}  # type: ignore[no-untyped-call]
        return {name: (part.get_dtype(), tuple(part.get_shape())) for name, part in slices.items()}


def by_hubvram(path: Path) -> Checkpoint | None:
    """What hubvram reads, None where it refuses the file."""
    try:
        return read_checkpoint(LocalSource(path.parent))
    except CheckpointError as error:
        assert error.file == path.name
        assert error.reason
        return None


def declared(checkpoint: Checkpoint | None) -> Declared | None:
    return None if checkpoint is None else {tensor.name: (tensor.dtype, tensor.shape) for tensor in checkpoint.tensors}
