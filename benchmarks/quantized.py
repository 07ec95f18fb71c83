"""What is packed in a whole collection of real repos, and what the Hub counts of it, one line each.

    python -m benchmarks.quantized FOLDER

FOLDER is a collection as `python -m benchmarks.corpus` takes it; repos without packed weights are left out. "met": the
published total is that of the tensors, counted on the basis that the manifest states. "= data": stored bytes are the
sum of the tensors' data. "stays": of which components more than a hundredth is not packed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.corpus import CorpusSource
from hubvram.errors import ModelUnreadableError
from hubvram.inspection import Model, read_model
from hubvram.reports.table import align

Row = tuple[str, ...]
_COLUMNS: Row = (
    *("repo", "declared", "packed as", "checked", "status", "difference", "parameters", "published", "met"),
    *("stored bytes", "= data", "bits/packed", "bits/weight", "KV cache", "stays"),
)


def as_the_hub_counts(model: Model, basis: str | None) -> int:
    """What the Hub's total would be on the basis that a manifest names; None stands for all stored elements."""
    checkpoint, compared = model.checkpoint, model.reconciliation
    assert checkpoint is not None
    by_dtype = {dtype: total.elements for dtype, total in checkpoint.by_dtype().items()}
    scalars = sum(tensor.shape == () for tensor in checkpoint.tensors)
    scales = sum(item.parameters for item in compared.not_counted if item.what.startswith("scales"))
    beside = sum(item.parameters for item in compared.not_counted) - scales
    return {
        None: checkpoint.elements,
        "raw sum of elements": checkpoint.elements,
        "0-dim tensors counted as 0": checkpoint.elements - scalars,
        "without F32 tensors": checkpoint.elements - by_dtype.get("F32", 0),
        "without scale tensors": checkpoint.elements - scales,
        "mxfp4 blocks x2, scales dropped": compared.total,
        # Biases of zeros and rotary frequencies are counted with the parameters.
        "I32-packed weights unpacked, qzeros/scales/g_idx dropped": compared.total + beside,
        "U8 counted x2 (bnb 4-bit)": checkpoint.elements + by_dtype.get("U8", 0),
    }[basis]


def rows(corpus: Path) -> Iterator[Row]:
    """One row per quantized repo that can be read."""
    for entry in json.loads((corpus / "manifest.json").read_text(encoding="utf-8")):
        try:
            model = read_model(CorpusSource(corpus, entry["repo"]))
        except (ModelUnreadableError, FileNotFoundError):
            continue
        if model.quantization is not None and model.checkpoint is not None:
            yield _row(entry["repo"], model, entry["published_params_total"], entry["equal_basis"])


def _row(repo: str, model: Model, published: int | None, basis: str | None) -> Row:
    facts, compared, checkpoint = model.quantization, model.reconciliation, model.checkpoint
    assert facts is not None and checkpoint is not None
    declared = facts.declared
    return (
        repo,
        f"{declared.method} ({declared.file})" if declared else "-",
        "+".join(layout.label for layout in facts.layouts) or "-",
        "+".join(dict.fromkeys(layout.checked.value for layout in facts.layouts)) or "-",
        compared.status.value,
        "-" if compared.difference is None else f"{compared.difference:,}",
        f"{compared.total:,}",
        "-" if published is None else f"{published:,}",
        "-" if published is None else _yes(as_the_hub_counts(model, basis) == published),
        f"{checkpoint.stored_bytes:,}",
        _yes(checkpoint.stored_bytes == sum(tensor.stored_bytes for tensor in checkpoint.tensors)),
        *("-" if bits is None else f"{bits:.4f}" for bits in (facts.bits_per_packed_weight, facts.bits_per_weight)),
        (declared.kv_cache_dtype if declared else None) or "-",
        ", ".join(kept.component.value for kept in facts.kept if kept.parameters > kept.of / 100) or "-",
    )


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    print("\n".join(align([_COLUMNS, *rows(parser.parse_args(arguments).corpus)], left=5)))


if __name__ == "__main__":
    main()
