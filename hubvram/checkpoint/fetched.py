"""Which of a repo's files `from_pretrained` fetches: the weights in one format, and what is small beside them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from hubvram.checkpoint.files import INDEX_FILE, SINGLE_FILE, file_bytes
from hubvram.sources.interface import CONFIG_FILE, ModelSource

_BIN_FILE: Final = "pytorch_model.bin"
_BIN_INDEX_FILE: Final = "pytorch_model.bin.index.json"
_BIN_SHARD: Final = re.compile(r"pytorch_model-[0-9]+-of-[0-9]+\.bin")
# utils/__init__.py of transformers 5.23, and `vocab_files_names` of its tokenizers.
_BESIDE: Final = (
    *(CONFIG_FILE, "generation_config.json"),
    *("tokenizer_config.json", "tokenizer.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "merges.txt", "vocab.txt", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model"),
    *("chat_template.jinja", "chat_template.json"),
    *("preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json"),
)


class Fetched(NamedTuple):
    """What is downloaded for a model."""

    is_here: bool
    """Whether it is a folder of this machine."""
    weight_files: int
    weight_bytes: int | None
    """None where the listing leaves a size out."""
    other_files: int
    """The index of shards, configs, the tokenizer's files: those whose sizes are listed."""
    other_bytes: int
    is_found: bool = True
    """Whether the weights have the names that transformers looks for."""
    are_pickled: bool = False


def fetched_from(source: ModelSource, weight_files: tuple[str, ...]) -> Fetched:
    """`weight_files`: the safetensors model; without one, transformers takes pytorch_model.bin and its shards."""
    files = source.files
    are_pickled = not weight_files
    weights = weight_files or tuple(_pickled(files))
    index = _BIN_INDEX_FILE if are_pickled else INDEX_FILE
    wanted = (*_BESIDE, index) if len(weights) > 1 else _BESIDE
    sizes = [files[name].size_bytes for name in wanted if name in files]
    beside = [size for size in sizes if size is not None]
    return Fetched(
        is_here=source.requested_revision is None and source.revision is None,
        weight_files=len(weights),
        weight_bytes=file_bytes(source, weights) if weights else None,
        other_files=len(beside),
        other_bytes=sum(beside),
        is_found=are_pickled or len(weights) > 1 or SINGLE_FILE in weights or INDEX_FILE in files,
        are_pickled=are_pickled,
    )


def _pickled(files: Iterable[str]) -> Iterator[str]:
    if _BIN_FILE in files:
        yield _BIN_FILE
    else:
        yield from (name for name in files if _BIN_SHARD.fullmatch(name))
