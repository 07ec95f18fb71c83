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


def test_columns_are_called_as_in_the_table() -> None:
    # One token: the logits are the peak, which the table counts as the rest.
    report = render(inspect_model(MODEL, workload_of(1), ("bf16",)), explain=True)
    assert "  rest, outputs: " in report


def test_a_packed_cache_has_its_numbers() -> None:
    # 1 + 9 tokens of 2 x 1,024 features: that of the prompt at 4 bits, and 2 x 2 bytes for each 64; 9 as they are.
    workload = workload_of(10, input_tokens=1, cache="quanto-int4")
    report = " ".join(render(inspect_model(MODEL, workload, ("bf16",)), explain=True).split())
    packed = 2048 // 2 + 2048 // 64 * 4
    assert f"full_attention, packed at 4.5 bits: layers x bytes: 32 x {packed:,} bytes" in report
    assert f"full_attention, 9 tokens that wait: layers x bytes: 32 x {9 * 2048 * 2:,} bytes" in report


def test_gguf_types_have_their_blocks() -> None:
    # 32 layers of q, k, v, o, gate, up, down, the embedding and the head, in blocks of 32 weights and 34 bytes.
    report = " ".join(render(inspect_model(MODEL, workload_of(137), ("q8_0",)), explain=True).split())
    blocks = (2 * 128_256 * 4096 + 32 * 4096 * (4096 * 2 + 1024 * 2 + 14_336 * 3)) // 32
    assert f"q8_0, 226 tensors: blocks of 32 weights x bytes: {blocks:,} x 34 bytes" in report
