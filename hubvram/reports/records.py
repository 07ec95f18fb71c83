"""An audit for programs: JSON Lines and CSV, which can be read back to continue an audit that was interrupted."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hubvram.errors import HubvramError
from hubvram.hardware.fit import Fit
from hubvram.inspection import DEFAULT_PRECISIONS, Headers, Inspection, Request
from hubvram.memory.estimate import MemoryEstimate
from hubvram.reports.contract import as_json
from hubvram.reports.failures import failure_as_json, failure_of
from hubvram.reports.rows import worst
from hubvram.reports.text import one_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What a row of a file says of how it came about; `gate` as `Inspection.gate` has it."""

    model: str
    """As it was asked for."""
    options: str
    failed: bool
    gate: bool | None


def described(request: Request, revision: str | None, headers: Headers) -> str:
    """The options that an answer depends on, in one spelling; nothing for those that were left alone."""
    context = request.given_tokens or request.context
    options: tuple[tuple[str, Any], ...] = (
        *(("dtype", precision) for precision in request.precisions),
        ("context", context),
        ("input", request.input_tokens),
        ("batch", None if request.batch_size == 1 else request.batch_size),
        ("kv-dtype", request.kv_cache_dtype),
        ("cache", None if request.cache == "dynamic" else request.cache),
        ("attention", None if request.attention == "auto" else request.attention.value),
        ("logits", None if request.logits == "last" else request.logits.value),
        ("padded", "batch" if request.padded else None),
        *(("gpu", accelerator.name) for accelerator in request.accelerators),
        ("revision", revision),
        ("headers", None if headers is Headers.AUTO else headers.value),
    )
    return ", ".join(f"{name} {value}" for name, value in options if value is not None)


class JsonLines:
    """The object of `--json` on a line of its own, and beside it what was asked."""

    beginning = ""
    each_begins = '{"schema_version":'
    rows_each = 1

    def __init__(self, options: str) -> None:
        self._options = options

    def row(self, model: str, found: Inspection) -> str:
        return self._line(as_json(found), model, {"gate": found.gate})

    def failure(self, model: str, error: HubvramError) -> str:
        return self._line(failure_as_json(model, error), model, {})

    def _line(self, answer: Mapping[str, Any], model: str, verdict: Mapping[str, Any]) -> str:
        audit = {"model": model, "options": self._options, **verdict}
        return json.dumps({**answer, "audit": audit}, separators=(",", ":")) + "\n"

    @staticmethod
    def key(model: str) -> str:
        """A model, as `read_back` names it."""
        return model

    @staticmethod
    def read_back(line: str) -> Record:
        """A row as it was written. Raises ValueError where it is none."""
        answer = json.loads(line)
        try:
            audit = answer["audit"]
            record = Record(
                model=audit["model"], options=audit["options"], failed="error" in answer, gate=audit.get("gate")
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("not a row of an audit") from error
        if not isinstance(record.model, str) or record.gate not in (True, False, None):
            raise ValueError("not a row of an audit")
        return record


_ALWAYS: Final = ("model", "options")
_OF_MODEL: Final = (
    *("model_id", "revision", "model_type", "parameters", "active_parameters", "status", "ground", "file_bytes"),
    *("context_tokens", "input_tokens", "batch_size"),
)
_OF_ESTIMATE: Final = (
    *("precision", "scheme", "weights_bytes", "kv_cache_bytes", "state_bytes", "total_bytes", "total_low_bytes"),
    *("total_high_bytes", "complete", "fits"),
)
_VERDICT: Final = ("gate", "error_kind", "error", "notes")
CSV_COLUMNS: Final = (*_ALWAYS, *_OF_MODEL, *_OF_ESTIMATE, *_VERDICT)

_WORDS: Final = {True: "yes", False: "no", None: "unknown"}


class Csv:
    """A row for each model and precision: sizes in bytes, the columns always the same."""

    def __init__(self, request: Request, options: str) -> None:
        self._options = options
        self.rows_each = len(request.precisions or DEFAULT_PRECISIONS)
        self.beginning = ",".join(CSV_COLUMNS) + "\n"
        self.each_begins = ""

    def row(self, model: str, found: Inspection) -> str:
        of_model = {
            "model": model,
            "options": self._options,
            **_facts(found),
            "gate": _WORDS[found.gate],
            "notes": "; ".join(found.notes),
        }
        asked = bool(found.accelerators)
        rows = [
            of_model | _estimate(estimate, fits if asked else ())
            for estimate, fits in zip(found.estimates, found.fits, strict=True)
        ]
        rows += [of_model | _no_estimate(precision, asked=asked) for precision, _ in found.unknown]
        return _lines(rows or [of_model])

    def failure(self, model: str, error: HubvramError) -> str:
        reason = failure_of(error)
        return _lines([{"model": model, "options": self._options, "error_kind": reason.kind, "error": reason.message}])

    @staticmethod
    def key(model: str) -> str:
        """A model, as `read_back` names it."""
        return cell(model)

    @staticmethod
    def read_back(line: str) -> Record:
        """A row as it was written. Raises ValueError where it is none."""
        (cells,) = csv.reader([line], strict=True)
        row = dict(zip(CSV_COLUMNS, cells, strict=True))
        gate = {word: verdict for verdict, word in _WORDS.items()}.get(row["gate"])
        return Record(model=row["model"], options=row["options"], failed=bool(row["error_kind"]), gate=gate)


Records = JsonLines | Csv
"""Formats whose files an audit can be continued from."""


def _facts(found: Inspection) -> dict[str, Any]:
    model, workload = found.model, found.workload
    return {
        "model_id": model.model_id,
        "revision": model.revision,
        "model_type": model.model_type,
        "parameters": model.reconciliation.total,
        "active_parameters": model.active_parameters,
        "status": model.reconciliation.status.value,
        "ground": model.reconciliation.status.ground.value,
        "file_bytes": model.listed_bytes,
        "context_tokens": workload.context_tokens,
        "input_tokens": workload.input_tokens,
        "batch_size": workload.batch_size,
    }


def _estimate(estimate: MemoryEstimate, fits: Sequence[Fit]) -> dict[str, Any]:
    return {
        "precision": estimate.precision,
        "scheme": estimate.scheme,
        "weights_bytes": estimate.size_of("weights"),
        "kv_cache_bytes": None if estimate.kv_cache_dtype is None else estimate.size_of("kv_cache"),
        "state_bytes": None if estimate.kv_cache_dtype is None else estimate.size_of("state"),
        "total_bytes": estimate.total_bytes,
        "total_low_bytes": estimate.total_low_bytes,
        "total_high_bytes": estimate.total_high_bytes,
        "complete": "yes" if estimate.is_complete else "no",
        "fits": _WORDS[worst([fit.fits for fit in fits])] if fits else None,
    }


def _no_estimate(precision: str, *, asked: bool) -> dict[str, Any]:
    """A precision that there is no figure for; the notes say why."""
    return {"precision": precision, "complete": "no", "fits": _WORDS[None] if asked else None}


def _lines(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([cell(row.get(column)) for column in CSV_COLUMNS] for row in rows)
    return text.getvalue()


_FORMULA: Final = ("=", "+", "-", "@")


def cell(value: Any) -> str:
    """On one line, and nothing that a spreadsheet would calculate: a repo's author chose the text."""
    text = "" if value is None else one_line(str(value))
    return f"'{text}" if text.startswith(_FORMULA) else text
