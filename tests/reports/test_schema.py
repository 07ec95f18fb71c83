"""The JSON Schema: what it describes is all that is written, and the tables of the code are its own."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from hubvram import errors
from hubvram.architecture import attention, mlp, parts, recurrent
from hubvram.architecture.parts import Part
from hubvram.architecture.reconcile import Ground, Status
from hubvram.checkpoint.components import Component
from hubvram.dtypes import CACHES, COMPUTE_BYTES, KV_CACHE_BYTES, SAFETENSORS_BITS
from hubvram.errors import HubvramError
from hubvram.inspection import Model, inspect_model, read_model
from hubvram.memory.estimate import Basis
from hubvram.memory.workload import Attention
from hubvram.reports.contract import as_json
from hubvram.reports.failures import failure_as_json
from tests.cli.support import run
from tests.cli.test_errors import MADE
from tests.contract import conforms, objects, schema
from tests.samples import NAMES, corpus_repos, corpus_source, fixture_model, needs_corpus, workload_of

DEFS = schema()["$defs"]


def answer_of(model: Model) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(json.dumps(as_json(inspect_model(model, workload_of(64)))))
    return answer


def test_it_is_a_schema_and_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    ran = run(capsys, "schema")
    assert (ran.exit_code, ran.stderr, json.loads(ran.stdout)) == (0, "", schema())
    assert schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("name", NAMES)
def test_every_fixture_conforms(name: str) -> None:
    conforms(answer_of(fixture_model(name)))


@needs_corpus
@pytest.mark.parametrize("repo", corpus_repos("config.json")[::12])
def test_models_of_every_make_conform(repo: str) -> None:
    try:
        model = read_model(corpus_source(repo))
    except errors.ModelUnreadableError as error:
        conforms(failure_as_json(repo, error))
    else:
        conforms(answer_of(model))


@pytest.mark.parametrize("make", MADE.values(), ids=lambda make: type(make()).__name__)
def test_every_failure_conforms_and_has_a_kind_of_its_own(make: Any) -> None:
    error: HubvramError = make()
    failure = failure_as_json("org/model", error)
    conforms(failure)
    assert (failure["schema_version"], failure["model_id"]) == (1, "org/model")
    jsonschema.Draft202012Validator(schema()).validate(failure)


def test_kinds_of_failures() -> None:
    kinds = {cls: failure_as_json("m", make())["error"]["kind"] for cls, make in MADE.items()}
    assert kinds[errors.GatedRepoError] == "gated_repo"
    assert kinds[errors.ConfigError] == "malformed_config"
    # A route that a mirror lacks is one of the answers that are not the Hub's; all others are told apart.
    assert len(set(kinds.values())) == len(kinds) - (errors.RouteMissingError in kinds)
    assert failure_as_json("m", HubvramError("x"))["error"]["kind"] == "other"


def test_a_consumer_may_meet_fields_that_are_not_described_and_the_tests_may_not() -> None:
    answer = answer_of(fixture_model("openai-community--gpt2"))
    answer["architecture"]["layers"][0]["mixer"]["new"] = 1
    jsonschema.Draft202012Validator(schema()).validate(answer)
    with pytest.raises(AssertionError, match="'new' was unexpected"):
        conforms(answer)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("parameters", "total"), "many"),
        (("parameters", "status"), "fine"),
        (("estimates", 0, "total_bytes"), -1),
        (("checkpoint", "dtypes", "BF17"), {"elements": 1, "bytes": 2}),
        (("workload", "attention"), "magic"),
        (("notes",), None),
        (("schema_version",), 2),
    ],
    ids=str,
)
def test_what_it_refuses(path: tuple[str | int, ...], value: object) -> None:
    answer = answer_of(fixture_model("openai-community--gpt2"))
    inner: Any = answer
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    assert list(jsonschema.Draft202012Validator(schema()).iter_errors(answer))


@pytest.mark.parametrize("field", ["parameters", "estimates", "checkpoint", "revision"])
def test_a_field_that_is_missing_is_refused(field: str) -> None:
    answer = answer_of(fixture_model("openai-community--gpt2"))
    del answer[field]
    assert list(jsonschema.Draft202012Validator(schema()).iter_errors(answer))


def test_every_field_is_described() -> None:
    for described in objects(schema()):
        if set(described["properties"]) == {component.value for component in Component}:
            continue  # below
        assert set(described.get("required", ())) <= set(described["properties"])
        for name, field in described["properties"].items():
            text = field.get("description") or DEFS[field["$ref"].rpartition("/")[2]]["description"]
            assert text.endswith("."), name
            if name == "bytes" or name.endswith("_bytes"):
                assert text.startswith("In bytes. "), name


def _enum(definition: str, field: str) -> set[Any]:
    return set(DEFS[definition]["properties"][field]["enum"])


def test_its_tables_are_those_of_the_code() -> None:
    assert set(DEFS["by_component"]["properties"]) == set(Component)
    assert _enum("parameters", "status") == set(Status)
    assert _enum("parameters", "ground") == set(Ground)
    assert _enum("component", "basis") == set(Basis)
    assert _enum("workload", "attention") == {*Attention, None} - {Attention.AUTO}
    assert _enum("workload", "cache") == set(CACHES)
    assert _enum("estimate", "compute_dtype") == {*COMPUTE_BYTES, None}
    assert _enum("estimate", "kv_cache_dtype") == {*COMPUTE_BYTES, *KV_CACHE_BYTES, *CACHES.values()}
    assert set(DEFS["checkpoint"]["properties"]["dtypes"]["propertyNames"]["enum"]) == set(SAFETENSORS_BITS)
    kinds = set(DEFS["failure"]["properties"]["error"]["properties"]["kind"]["enum"])
    made = {failure_as_json("m", make())["error"]["kind"] for make in MADE.values()}
    assert kinds - made == {"malformed_file", "other"}  # of bases that are never raised themselves
    assert made < kinds


def _subclasses(cls: type[Part]) -> Iterator[type[Part]]:
    for subclass in cls.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)


def test_every_field_of_every_part_is_described() -> None:
    described = DEFS["part"]["properties"]
    classes = {cls for cls in _subclasses(Part) if dataclasses.is_dataclass(cls) and "hubvram." in cls.__module__}
    assert {parts.Block, attention.CrossAttention, mlp.MoEMLP, recurrent.Mamba2} <= classes
    for cls in classes:
        for field in dataclasses.fields(cls):  # type: ignore[arg-type]  # a set forgets is_dataclass
            types = str(field.type).split(" | ")
            if field.name not in ("hidden_size", "kind") and types[0] in ("int", "bool", "str"):
                kind = {"int": "integer", "bool": "boolean", "str": "string"}[types[0]]
                assert described[field.name]["type"] == kind, f"{cls.__name__}.{field.name}"
