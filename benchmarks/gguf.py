"""GGUF files as predicted, beside the sizes that were published.

    python -m benchmarks.gguf [FOLDER]

FOLDER is a collection of headers as `benchmarks.corpus` reads it; without it, only bundled models are compared. A file
is its tensors and a header with the tokenizer, which is not predicted: the column `header` is what is left of the
published size. Where the files of one repo differ by their metadata alone, it is the same for all of them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

from benchmarks.corpus import CorpusSource
from hubvram.checkpoint.logical import logical_tensors
from hubvram.config.reader import parse_config
from hubvram.inspection import read_model
from hubvram.quantization.gguf.facts import facts_of
from hubvram.quantization.gguf.layout import GgufLayout, layout_of
from hubvram.quantization.gguf.weights import weights_of
from hubvram.reports.table import align
from hubvram.sources.snapshot import SnapshotSource

_FIXTURES: Final = Path(__file__).parents[1] / "fixtures"
_CONFIG_LIMIT: Final = 2**20
_UNITS: Final[Mapping[str, int]] = {"GiB": 2**30, "GB": 10**9}
_SCALED_ROPE: Final[Mapping[str, Mapping[str, Any]]] = {
    "meta-llama/Llama-3.1-8B": {"rope_type": "llama3"},
    "meta-llama/Llama-3.1-70B": {"rope_type": "llama3"},
    "meta-llama/Llama-3.2-1B-Instruct": {"rope_type": "llama3"},
    "microsoft/Phi-3.5-MoE-instruct": {"rope_factors": 64},
}
"""What bundled config.json leave out, since nothing else depends on it: here it makes a table of some 256 bytes."""
_COLUMNS: Final = ("file", "published", "tensors", "header", "difference", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The files of a repo, or of the part of it that was made in one way."""

    model: str
    repo: str
    same_shapes: str
    """A repo of safetensors with tensors of the same shapes."""
    source: str
    date: str
    imatrix: bool
    files: Mapping[str, int | str]
    """Mixture -> bytes; as text where the source rounds, in `rounded`."""
    rounded: str | None = None
    stores_tied_head: bool = False
    """Whether the files hold the head apart, though it is the embedding."""
    differs: Mapping[str, str] = field(default_factory=dict)
    """Mixture -> how the file was made otherwise than llama.cpp makes it now."""

    def size_bytes(self, mixture: str) -> float:
        """Of the file; not to the byte where the source rounds."""
        size = self.files[mixture]
        return float(size) * _UNITS[self.rounded] if self.rounded else int(size)


def published() -> tuple[Published, ...]:
    """All that was recorded."""
    lines = (_FIXTURES / "gguf" / "published.jsonl").read_text(encoding="utf-8").splitlines()
    return tuple(Published(**json.loads(line)) for line in lines)


def layout_of_repo(repo: str, corpus: Path | None = None, *, untied: bool = False) -> GgufLayout | None:
    """The GGUF file of a bundled model, or of one in `corpus`; None where it is in neither. Raises NotPossibleError.

    `untied`: with a head of its own, whatever the config says.
    """
    folder = _FIXTURES / "models" / repo.replace("/", "--")
    if not folder.is_dir() and corpus is None:
        return None
    return _layout(repo, folder if folder.is_dir() else None, None if folder.is_dir() else corpus, untied)


@cache
def _layout(repo: str, folder: Path | None, corpus: Path | None, untied: bool) -> GgufLayout:
    assert folder is not None or corpus is not None
    source = SnapshotSource(repo, folder) if folder is not None else CorpusSource(corpus or Path(), repo)
    model = read_model(source)
    assert model.architecture is not None and model.checkpoint is not None
    config = parse_config(source.read("config.json", _CONFIG_LIMIT), repo)
    facts = replace(facts_of(model.architecture, config), **_SCALED_ROPE.get(repo, {}))
    tensors = [(tensor.name, tensor.shape) for tensor in logical_tensors(model.checkpoint)]
    if untied:
        facts = replace(facts, tie_word_embeddings=False)
        if "lm_head.weight" not in dict(tensors):
            tensors.append(("lm_head.weight", (model.architecture.vocab_size, model.architecture.hidden_size)))
    return layout_of(tensors, facts)


def tensor_bytes(files: Published, mixture: str, layout: GgufLayout) -> int:
    """As predicted, by the rules of the time."""
    return weights_of(mixture, layout, imatrix=files.imatrix, before_2026=files.date < "2026").tensor_bytes


def rows(corpus: Path | None) -> Iterator[Sequence[str]]:
    """The table."""
    yield _COLUMNS
    for files in published():
        layout = layout_of_repo(files.same_shapes, corpus, untied=files.stores_tied_head)
        if layout is None:
            continue
        yield (f"{files.repo} ({files.date})", *("",) * (len(_COLUMNS) - 1))
        for mixture in files.files:
            size, predicted = files.size_bytes(mixture), tensor_bytes(files, mixture, layout)
            header = "rounded" if files.rounded else f"{size - predicted:,.0f}"
            difference = f"{(predicted - size) / size:+.2%}"
            why = files.differs.get(mixture, "")
            yield f"  {mixture}", f"{size:,.0f}", f"{predicted:,}", header, difference, why


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="GGUF files as predicted, beside the published sizes.")
    parser.add_argument("corpus", type=Path, nargs="?")
    print(*align(list(rows(parser.parse_args().corpus))), sep="\n")
