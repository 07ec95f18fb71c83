"""--explain: the lines under each figure."""

from __future__ import annotations

from hubvram.inspection import inspect_model
from hubvram.reports.contract import as_json
from hubvram.reports.terminal import render
from tests.contract import conforms
from tests.samples import fixture_model, workload_of

MODEL = fixture_model("meta-llama--Llama-3.1-8B")


def test_the_stored_precision_is_explained_where_none_is_asked_for() -> None:
    report = render(inspect_model(MODEL, workload_of(8192)), explain=True)
    assert "How 17.32 GiB come about (bf16)" in report
    assert "  weights: 14.96 GiB, read in the files\n    BF16 tensors: 8,030,261,248 x 2 bytes = 14.96 GiB" in report
    assert "  runtime: 0.45 GiB, assumed, 0.28 GiB to 0.65 GiB" in report
    assert max(map(len, report.splitlines())) <= 80


def test_each_precision_that_is_asked_for() -> None:
    report = render(inspect_model(MODEL, workload_of(8192), ("int4", "bf16")), explain=True)
    assert report.index("come about (int4)") < report.index("come about (bf16)")
    assert "come about" not in render(inspect_model(MODEL, workload_of(8192), ("int4", "bf16")))


def test_json_has_the_terms_on_request() -> None:
    found = inspect_model(MODEL, workload_of(8192), ("bf16",))
    plain, explained = as_json(found), as_json(found, explain=True)
    conforms(explained)
    components = explained["estimates"][0]["components"]
    assert [component.pop("source") for component in components].count("") == 0
    terms = [component.pop("terms") for component in components]
    assert [sum(term["bytes"] for term in each) for each in terms] == [one["bytes"] for one in components]
    assert explained["estimates"][0].pop("loading")["disk"]["low_bytes"] > 0
    assert explained == plain
