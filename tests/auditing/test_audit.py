"""`hubvram.audit`: a result for every model, whatever happens to the others."""

from __future__ import annotations

import errno
import itertools
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import hubvram
from hubvram.auditing import Audited, audit
from hubvram.errors import (
    ConfigError,
    HubvramError,
    RepoNotFoundError,
    RevisionNotFoundError,
    SystemLimitError,
    UnexpectedError,
    UsageError,
)
from hubvram.inspection import Headers
from tests.auditing.models import PARAMETERS, WEIGHT_BYTES, add_llamas, llama_files
from tests.hub import LoopbackHub

audit_module = sys.modules[audit.__module__]


def _by_model(results: list[Audited]) -> dict[str, Audited]:
    assert all((found.inspection is None) is (found.error is not None) for found in results)
    return {found.model: found for found in results}


def test_one_bad_model_never_stops_the_others(hub: LoopbackHub) -> None:
    add_llamas(hub, "org/a", "org/b")
    hub.add_repo("org/broken", llama_files() | {"config.json": b"{"})
    hub.add_repo("org/moved", llama_files(), renamed_from=["org/old"])
    models = ["org/a", "org/missing", "org/broken", "not a name", "org/old", "org/b@main", "org/b@nowhere"]
    found = _by_model(list(audit(models)))
    assert sorted(found) == sorted(models)
    errors = {model: type(result.error) for model, result in found.items() if result.error}
    assert errors == {
        "org/missing": RepoNotFoundError,
        "org/broken": ConfigError,
        "not a name": UsageError,
        "org/b@nowhere": RevisionNotFoundError,
    }
    for model in ("org/a", "org/old", "org/b@main"):
        inspection = found[model].inspection
        assert inspection is not None
        assert inspection.model.reconciliation.total == PARAMETERS
        assert inspection.stored_estimate.size_of("weights") == WEIGHT_BYTES


def test_a_mistake_of_hubvram_is_the_result_of_one_model(hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    add_llamas(hub, "org/a", "org/b", "org/c")
    real = audit_module.read_model

    def failing(source: Any, **options: Any) -> Any:
        if source.model_id == "org/b":
            raise KeyError("Bearer hf_secret")
        return real(source, **options)

    monkeypatch.setattr(audit_module, "read_model", failing)
    found = _by_model(list(audit(["org/a", "org/b", "org/c"], in_order=True)))
    error = found["org/b"].error
    assert isinstance(error, UnexpectedError)
    assert (error.model_id, error.kind) == ("org/b", "KeyError")
    assert error.place.startswith("test_audit.py:")
    assert "secret" not in str(error)  # the text of an exception may quote anything
    assert found["org/a"].inspection and found["org/c"].inspection


def test_errors_hold_on_to_nothing(hub: LoopbackHub) -> None:
    hub.add_repo("org/broken", llama_files() | {"config.json": b"{"})
    (found,) = audit(["org/broken"])
    assert found.error is not None
    assert (found.error.__traceback__, found.error.__context__, found.error.__cause__) == (None, None, None)


def test_options_are_those_of_inspect(hub: LoopbackHub) -> None:
    add_llamas(hub, "org/a")
    options: dict[str, Any] = {
        "precisions": ["int4", "BF16"],
        "context": "1k",
        "batch_size": 3,
        "cache": "fp8",
    }
    (found,) = audit(["org/a"], **options)
    assert found.inspection is not None
    assert found.inspection.estimates == hubvram.inspect("org/a", **options).estimates
    assert [estimate.precision for estimate in found.inspection.estimates] == ["int4", "bf16"]


def test_a_request_that_one_model_cannot_meet_is_its_result(hub: LoopbackHub) -> None:
    add_llamas(hub, "org/a")
    hub.add_repo("org/new", llama_files() | {"config.json": b'{"model_type": "brand_new"}'})
    found = _by_model(list(audit(["org/new", "org/a"], context="max")))
    assert isinstance(found["org/new"].error, UsageError)  # nobody knows its maximum
    assert found["org/a"].inspection is not None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"precisions": "int3"}, "int3"),
        ({"context": "long"}, "long"),
        ({"context": 0}, "at least one token"),
        ({"context": 10, "input_tokens": 11}, "an input of 11"),
        ({"context": "fit"}, "needs a GPU"),
        ({"batch_size": 0}, "a batch of 0"),
        ({"kv_cache_dtype": "int8"}, "int8"),
        ({"cache": "int8"}, "no kind of cache"),
        ({"cache": None}, "None"),
        ({"concurrency": 0}, "0 models at once"),
        ({"timeout_seconds": 0}, "a timeout of 0"),
        ({"headers": "sometimes"}, "sometimes"),
    ],
)
def test_wrong_options_are_said_before_anything_is_drawn(options: dict[str, Any], words: str) -> None:
    names = iter(["org/a"])
    with pytest.raises(UsageError, match=words):
        audit(names, **options)
    assert next(names) == "org/a"


def test_one_name_alone_is_one_model(hub: LoopbackHub) -> None:
    add_llamas(hub, "org/a")
    assert [found.model for found in audit("org/a")] == ["org/a"]


def test_a_model_that_is_named_twice_is_answered_twice(hub: LoopbackHub) -> None:
    add_llamas(hub, "org/a")
    assert [found.model for found in audit(["org/a", "org/a"])] == ["org/a", "org/a"]


def test_an_endless_list_is_read_as_far_as_somebody_listens(hub: LoopbackHub) -> None:
    add_llamas(hub, "org/a")
    drawn: list[str] = []

    def names() -> Iterator[str]:
        while True:
            drawn.append("org/a")
            yield "org/a"

    taken = list(itertools.islice(audit(names(), concurrency=2), 5))
    assert all(found.inspection for found in taken)
    # 5 were taken; twice the concurrency may have been drawn ahead of them
    assert len(drawn) <= 5 + 2 * 2


def test_order(hub: LoopbackHub) -> None:
    names = [f"org/{letter}" for letter in "abcdefgh"]
    add_llamas(hub, *names)
    assert [found.model for found in audit(names, concurrency=4, in_order=True)] == names


def test_two_models_are_parsed_at_once_and_no_more(monkeypatch: pytest.MonkeyPatch, hub: LoopbackHub) -> None:
    add_llamas(hub, *(f"org/{number}" for number in range(8)))
    real = audit_module.read_model
    lock = threading.Lock()
    gates: list[Any] = []

    def watched(source: Any, *, gate: Any, **options: Any) -> Any:
        with lock:
            gates.append(gate)
        return real(source, gate=gate, **options)

    monkeypatch.setattr(audit_module, "read_model", watched)
    assert len(list(audit([f"org/{number}" for number in range(8)], concurrency=8))) == 8
    assert len(gates) == 8 and len({id(gate) for gate in gates}) == 1
    assert [gates[0].acquire(blocking=False) for _ in range(3)] == [True, True, False]


def test_several_audits_at_once(hub: LoopbackHub) -> None:
    names = [f"org/{letter}" for letter in "abcd"]
    add_llamas(hub, *names)
    found: list[list[str]] = []

    def run() -> None:
        found.append([result.model for result in audit(names, in_order=True) if result.inspection])

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == [names] * 3


def test_public_names() -> None:
    assert hubvram.audit is audit and hubvram.Audited is Audited
    assert issubclass(UnexpectedError, HubvramError)
    assert Headers("auto") is Headers.AUTO


def test_what_is_no_name_is_one_failure(hub: LoopbackHub) -> None:
    add_llamas(hub, "org/a")
    models: list[Any] = ["org/a", 1, None, b"org/a"]
    found = list(audit(models, in_order=True))
    assert [result.inspection is not None for result in found] == [True, False, False, False]
    assert all(isinstance(result.error, UsageError) for result in found[1:])


def test_a_limit_of_the_system_is_said(hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(audit_module, "read_model", refuse)
    add_llamas(hub, "org/a")
    (found,) = audit(["org/a"])
    assert isinstance(found.error, SystemLimitError)
    assert str(found.error) == "org/a: too many open files"
