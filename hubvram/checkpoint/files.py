"""Which of a repo's files are the model: one safetensors file, or a complete set of shards."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from hubvram.errors import CheckpointError, FileMissingError, NoCheckpointError
from hubvram.sources.interface import ModelSource

SINGLE_FILE: Final = "model.safetensors"
INDEX_FILE: Final = "model.safetensors.index.json"
INDEX_LIMIT_BYTES: Final = 64 * 2**20  # DeepSeek-V3's index has 8.9 MB
_SHOWN: Final = 100  # characters of a name that may be as long as the index

# Widths and separators differ: model-00001-of-00030, model-00001-of-000163 (DeepSeek-V3), model_00001-of-00072 (bloom).
_SHARD: Final = re.compile(r"(?P<before>.+[-_])(?P<number>[0-9]{1,6})(?P<after>-of-[0-9]{1,6}\.safetensors)")

# What a repo without a safetensors model is, by the files that give it away, and whether a whole model is in it all
# the same; the first match decides.
_OTHER_KINDS: Final[Sequence[tuple[str, re.Pattern[str], bool]]] = tuple(
    (kind, re.compile(pattern, re.DOTALL), holds_model)  # the name of a file may have lines
    for kind, pattern, holds_model in (
        ("an adapter (LoRA), not a whole model", r"adapter_(config\.json|model\.\w+)", False),
        ("a diffusers pipeline of several models", r"model_index\.json", False),
        ("GGUF files", r".*\.gguf", True),
        ("PyTorch .bin files", r"(.*/)?(pytorch_model|consolidated|model).*\.(bin|pth?|ckpt)", True),
        ("TensorFlow or Flax weights", r".*\.(h5|msgpack)", True),
        ("safetensors files in subfolders", r".+/.+\.safetensors", False),
        ("several safetensors files that are no set of shards", r".*\.safetensors", False),
        ("files of no known model format", r".+", False),
    )
)


def weight_files(source: ModelSource) -> tuple[str, ...]:
    """The files that hold the weights, each weight once.

    Copies in other files (consolidated.safetensors, fp16 variants) are left alone, as transformers does.
    Raises NoCheckpointError where there is no safetensors model, FileMissingError where a shard is missing,
    CheckpointError where the index makes no sense.
    """
    names = [name for name in source.files if "/" not in name and name.endswith(".safetensors")]
    if SINGLE_FILE in names:
        return (SINGLE_FILE,)
    sets = _shard_sets(names)
    if INDEX_FILE in source.files:
        # The names alone settle it in nearly every repo, and save reading megabytes of index.
        return _complete(source, sets) if len(sets) == 1 else _indexed(source)
    if len(sets) == 1:
        return _complete(source, sets)
    if len(names) == 1 and not names[0].startswith("adapter_"):
        return (names[0],)
    raise _no_checkpoint(source)


def file_bytes(source: ModelSource, files: Iterable[str]) -> int | None:
    """Size of these files together; None where the listing leaves one out."""
    sizes = [source.files[file].size_bytes for file in files]
    return sum(size for size in sizes if size is not None) if None not in sizes else None


def _shard_sets(names: Collection[str]) -> dict[tuple[str, str], dict[int, str]]:
    """What stands around the number -> number -> name."""
    sets: dict[tuple[str, str], dict[int, str]] = {}
    for name in sorted(names):
        if match := _SHARD.fullmatch(name):
            sets.setdefault((match["before"], match["after"]), {})[int(match["number"])] = name
    return sets


def _complete(source: ModelSource, sets: dict[tuple[str, str], dict[int, str]]) -> tuple[str, ...]:
    (((before, after), shards),) = sets.items()
    width = len(next(iter(shards.values()))) - len(before) - len(after)
    for number in range(1, int(after[len("-of-") : -len(".safetensors")]) + 1):
        if number not in shards:
            raise FileMissingError(source.model_id, f"{before}{number:0{width}d}{after}")
    return tuple(shards[number] for number in sorted(shards))


def _indexed(source: ModelSource) -> tuple[str, ...]:
    try:
        index = json.loads(source.read(INDEX_FILE, INDEX_LIMIT_BYTES))
        names = sorted(set(index["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        names = []
    if not names:
        raise CheckpointError(source.model_id, INDEX_FILE, "it has no weight_map of tensor names to files")
    for name in names:
        if not isinstance(name, str) or name not in source.files or posixpath.normpath(name) != name:
            shown = repr(name)
            shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
            raise CheckpointError(source.model_id, INDEX_FILE, f"it names {shown}, which is not among the files")
    return tuple(names)


def _no_checkpoint(source: ModelSource) -> NoCheckpointError:
    for kind, pattern, holds_model in _OTHER_KINDS:
        found = [name for name in source.files if pattern.fullmatch(name)]
        if found:
            return NoCheckpointError(source.model_id, kind=kind, found=found, holds_model=holds_model)
    return NoCheckpointError(source.model_id, kind="no files at all", found=())
