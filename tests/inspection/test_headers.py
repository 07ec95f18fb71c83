"""`--headers`: when the Hub's totals stand in for the headers, and when nothing less than the headers will do."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from hubvram.architecture.reconcile import Ground, Status
from hubvram.errors import ConfigError, HeadersNeededError, NoCheckpointError, UsageError
from hubvram.hardware.accelerators import limit
from hubvram.inspection import Headers, Inspection, inspect, read_model
from hubvram.memory.estimate import Basis
from hubvram.reports.contract import as_json
from hubvram.reports.table import WIDTH
from hubvram.reports.terminal import render
from hubvram.sources.hub import HubSource
from hubvram.sources.snapshot import SnapshotSource, snapshot_folders
from tests.contract import conforms
from tests.hub import HubFile, LoopbackHub, safetensors_file, sharded_checkpoint
from tests.samples import SMALL_LLAMA, llama_tensors, small_llama

MODEL = "org/model"
SMALL = small_llama()
# embedding and head 100 x 64; in each of 2 layers Q and O 64 x 64, K and V 32 x 64, three of 96 x 64, two norms; a norm
PARAMETERS = 2 * 6400 + 2 * (2 * 4096 + 2 * 2048 + 3 * 6144 + 2 * 64) + 64
SHAPES = llama_tensors(SMALL)
EVERYWHERE = limit(10**15, "plenty")


def weights(dtype: str = "BF16", extra: Mapping[str, tuple[int, ...]] | None = None) -> HubFile:
    return safetensors_file({name: (dtype, shape) for name, shape in {**SHAPES, **(extra or {})}.items()})


def add(
    hub: LoopbackHub,
    totals: Mapping[str, int] | None,
    files: Mapping[str, HubFile] | None = None,
    *,
    gated: bool = False,
    **changes: Any,
) -> None:
    """A repo with the config of a small llama (None leaves a field out), its weights, and these totals of the Hub."""
    config = {**SMALL_LLAMA, "torch_dtype": "bfloat16", **changes}
    written = json.dumps({key: value for key, value in config.items() if value is not None}).encode()
    hub.add_repo(
        MODEL,
        {"config.json": written, **(files or {"model.safetensors": weights()})},
        gated="auto" if gated else False,
        safetensors_summary=None if totals is None else {"parameters": dict(totals), "total": sum(totals.values())},
    )


def look(headers: str, model: str = MODEL, **options: Any) -> Inspection:
    found = inspect(model, headers=headers, **options)
    conforms(json.loads(json.dumps(as_json(found))))
    assert max(map(len, render(found).splitlines())) <= WIDTH
    return found


def status(found: Inspection) -> Status:
    return found.model.reconciliation.status


def reads_headers(hub: LoopbackHub) -> bool:
    return any("safetensors" in request.path for request in hub.requests)


# ------------------------------------------------------------------------------------------- auto


def test_totals_that_match_stand_in_for_the_headers(hub: LoopbackHub) -> None:
    assert SMALL.parameters == PARAMETERS
    add(hub, {"BF16": PARAMETERS})
    found = look("auto", accelerators=(EVERYWHERE,))
    assert len(hub.requests) == 2  # the listing, config.json
    model, compared = found.model, found.model.reconciliation
    assert (compared.status, compared.status.ground) == (Status.TOTALS_MATCHED, Ground.HUB_TOTALS)
    assert (compared.total, compared.derived, compared.difference) == (PARAMETERS, PARAMETERS, 0)
    assert sum(compared.by_component.values()) == compared.hub_total == PARAMETERS
    assert model.checkpoint is None
    assert model.listed_bytes == weights().size
    assert model.notes == ("headers were not read: the Hub's totals and file sizes equal what config.json derives",)
    assert (model.stored.component.basis, model.stored.component.size_bytes) == (Basis.READ, 2 * PARAMETERS)
    assert found.gate is True  # as grounded as headers
    assert "74,560 parameters, matched: config.json and the Hub's totals agree" in render(found)
    parameters = as_json(found)["parameters"]
    assert (parameters["ground"], parameters["reconciled"]) == ("hub_totals", False)
    assert as_json(found)["checkpoint"] == {
        "format": "safetensors",
        "files": 1,
        "file_bytes": weights().size,
        "tensors": None,
        "stored_bytes": 2 * PARAMETERS,
        "dtypes": {"BF16": {"elements": PARAMETERS, "bytes": 2 * PARAMETERS}},
    }


@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32", "F64"])
def test_the_estimates_are_those_of_the_headers(hub: LoopbackHub, dtype: str) -> None:
    add(hub, {dtype: PARAMETERS}, {"model.safetensors": weights(dtype)})
    matched, read = look("auto"), look("always")
    assert (status(matched), status(read)) == (Status.TOTALS_MATCHED, Status.RECONCILED)
    assert matched.model.reconciliation.by_component == read.model.reconciliation.by_component
    assert matched.model.architecture == read.model.architecture
    assert [estimate.total_bytes for estimate in matched.estimates] == [it.total_bytes for it in read.estimates]
    assert [estimate.scheme for estimate in matched.estimates] == [it.scheme for it in read.estimates]
    assert set(matched.notes) - set(read.notes) == {matched.model.notes[0]}


def test_shards_of_several_types(hub: LoopbackHub) -> None:
    norms = {name: ("F32", shape) for name, shape in SHAPES.items() if len(shape) == 1}
    rest = {name: ("BF16", shape) for name, shape in SHAPES.items() if len(shape) > 1}
    elements = 5 * 64  # two norms in each of two layers, and the last
    add(hub, {"BF16": PARAMETERS - elements, "F32": elements}, sharded_checkpoint([norms, rest]))
    found = look("auto")
    assert status(found) is Status.TOTALS_MATCHED
    assert len(hub.requests) == 2  # the listing, config.json
    assert found.model.stored.component.size_bytes == 2 * (PARAMETERS - elements) + 4 * elements
    assert (found.model.stored.scheme, found.model.stored.compute_dtype) == ("bf16+fp32", "bf16")
    assert found.model.totals is not None and len(found.model.totals.files) == 2


def _one_more(hub: LoopbackHub) -> None:
    add(hub, {"BF16": PARAMETERS + 1})


def _one_fewer(hub: LoopbackHub) -> None:
    add(hub, {"BF16": PARAMETERS - 1})


def _too_large(hub: LoopbackHub) -> None:
    file = weights(extra={"unknown": (4096,)})  # 8 kB beyond what 21 tensors and their header take
    add(hub, {"BF16": PARAMETERS}, {"model.safetensors": file})


def _too_small(hub: LoopbackHub) -> None:
    add(hub, {"F32": PARAMETERS})  # the files are half as large as these totals


def _quantized(hub: LoopbackHub) -> None:
    add(hub, {"BF16": PARAMETERS}, quantization_config={"quant_method": "awq"})


def _packed(hub: LoopbackHub) -> None:
    add(hub, {"BF16": PARAMETERS - 6144, "U8": 6144})


def _without_totals(hub: LoopbackHub) -> None:
    add(hub, None)


def _unknown_type(hub: LoopbackHub) -> None:
    add(hub, {"BF16": PARAMETERS}, model_type="never_heard_of")


@pytest.mark.parametrize(
    "prepare",
    [_one_more, _one_fewer, _too_large, _too_small, _quantized, _packed, _without_totals, _unknown_type],
)
def test_whatever_does_not_match_is_read(hub: LoopbackHub, prepare: Callable[[LoopbackHub], None]) -> None:
    prepare(hub)
    auto = look("auto")
    assert reads_headers(hub)
    assert auto.model == look("always").model


def test_another_revision_is_read(hub: LoopbackHub) -> None:
    add(hub, {"BF16": PARAMETERS})
    hub.add_revision(
        MODEL, "v2", {"config.json": json.dumps(dict(SMALL_LLAMA)).encode(), "model.safetensors": weights("F32")}
    )
    found = look("auto", revision="v2")
    assert status(found) is Status.RECONCILED
    assert reads_headers(hub)


def test_what_would_be_wrong_with_the_headers_is_not_hidden_where_they_are_read(hub: LoopbackHub) -> None:
    add(hub, {"BF16": PARAMETERS}, {"pytorch_model.bin": HubFile(b"x", size_bytes=2 * PARAMETERS)})
    assert status(look("auto")) is Status.DERIVED
    add(hub, {"BF16": PARAMETERS}, {"README.md": HubFile(b"x")})
    with pytest.raises(NoCheckpointError):
        look("auto")


@pytest.mark.parametrize("headers", ["auto", "always", "never"])
def test_a_broken_config_is_the_same_error(hub: LoopbackHub, headers: str) -> None:
    add(hub, {"BF16": PARAMETERS}, hidden_size="wide")
    with pytest.raises(ConfigError, match="hidden_size"):
        look(headers)


@pytest.mark.parametrize("headers", ["auto", "never"])
def test_a_gated_repo_is_what_is_public(hub: LoopbackHub, headers: str) -> None:
    add(hub, {"BF16": PARAMETERS}, gated=True)
    found = look(headers)
    assert status(found) is Status.NO_HEADERS
    assert found.model.reconciliation.total == PARAMETERS
    assert any("gated" in note for note in found.notes)


def test_a_gated_repo_takes_no_more_than_its_files(hub: LoopbackHub) -> None:
    add(hub, {"I32": PARAMETERS}, gated=True)
    stored = look("auto").model.stored
    assert (stored.component.size_bytes, stored.nominal_bytes) == (weights().size, None)
    assert "packed" in stored.component.note


def test_a_source_without_totals_is_always_read() -> None:
    repo = "openai-community/gpt2"
    source = SnapshotSource(repo, snapshot_folders()[repo])
    assert read_model(source, headers=Headers.AUTO) == read_model(source)


# ------------------------------------------------------------------------------------------ never


def test_never_is_auto_where_the_totals_match(hub: LoopbackHub) -> None:
    add(hub, {"BF16": PARAMETERS})
    assert look("never").model == look("auto").model


@pytest.mark.parametrize(("beyond", "words"), [(1, "1 more"), (-1000, "1,000 fewer")])
def test_totals_that_contradict_pass_no_gate(hub: LoopbackHub, beyond: int, words: str) -> None:
    add(hub, {"BF16": PARAMETERS + beyond})
    found = look("never", precisions=("stored", "int4"), accelerators=(EVERYWHERE,))
    compared = found.model.reconciliation
    assert not reads_headers(hub)
    assert (compared.status, compared.status.ground) == (Status.CONTRADICTED, Ground.CONFIG)
    assert (compared.total, compared.hub_total, compared.difference) == (PARAMETERS, PARAMETERS + beyond, beyond)
    assert f"the Hub counts {words} elements than config.json derives" in found.notes[0]
    assert found.model.stored.component.size_bytes == 2 * (PARAMETERS + beyond)
    assert found.gate is None
    assert [estimate.precision for estimate in found.estimates] == ["stored", "int4"]
    assert look("never", accelerators=(limit(1, "nothing"),)).gate is False


def test_sizes_that_contradict_pass_no_gate(hub: LoopbackHub) -> None:
    _too_large(hub)
    found = look("never", accelerators=(EVERYWHERE,))
    assert status(found) is Status.CONTRADICTED
    assert "bytes of the files are not what config.json derives" in found.notes[0]
    assert found.gate is None


@pytest.mark.parametrize(("named", "dtype"), [("bfloat16", "bf16"), ("float32", "fp16"), (None, "fp16")])
def test_without_totals_the_sizes_must_be_those_of_what_is_derived(
    hub: LoopbackHub, named: str | None, dtype: str
) -> None:
    add(hub, None, torch_dtype=named)
    found = look("never", accelerators=(EVERYWHERE,))
    assert status(found) is Status.DERIVED
    assert not reads_headers(hub)
    assert (found.model.stored.scheme, found.model.stored.component.size_bytes) == (dtype, 2 * PARAMETERS)
    assert found.model.stored.component.basis is Basis.DERIVED
    assert f"in {dtype} they make files of the sizes listed" in found.notes[0]
    assert found.gate is True


def test_without_totals_other_sizes_are_a_contradiction(hub: LoopbackHub) -> None:
    file = weights(extra={"model.layers.0.mlp.extra.weight": (96, 64)})
    add(hub, None, {"model.safetensors": file})
    found = look("never", accelerators=(EVERYWHERE,))
    assert status(found) is Status.CONTRADICTED
    assert found.model.reconciliation.difference is None
    assert found.model.stored.component.size_bytes == file.size
    assert found.gate is None


def test_totals_of_main_say_nothing_about_another_revision(hub: LoopbackHub) -> None:
    add(hub, {"BF16": 7})
    hub.add_revision(
        MODEL, "v2", {"config.json": json.dumps(dict(SMALL_LLAMA)).encode(), "model.safetensors": weights("F32")}
    )
    found = look("never", revision="v2")
    assert (status(found), found.model.reconciliation.hub_total) == (Status.DERIVED, None)
    assert found.model.stored.scheme == "fp32"


@pytest.mark.parametrize("method", ["awq", None, "a method of so long a name that no column could hold it"])
def test_packed_weights_are_as_large_as_the_files(hub: LoopbackHub, method: str | None) -> None:
    config: dict[str, Any] = {"quantization_config": {"quant_method": method}} if method else {}
    add(hub, {"BF16": 1000, "I32": PARAMETERS - 1000}, **config)  # logical weights, as the Hub counts AWQ
    found = look("never")
    assert (status(found), found.model.reconciliation.total) == (Status.QUANTIZED, PARAMETERS)
    assert not reads_headers(hub)
    assert found.model.stored.component.size_bytes == weights().size
    assert found.model.stored.nominal_bytes is None
    assert found.model.stored.scheme == "i32+bf16"
    assert f"the files are quantized ({method or 'packed tensors'})" in found.notes[0]
    stored = as_json(found)["checkpoint"]
    # 4 bytes for each packed weight would be more than there is.
    assert (stored["stored_bytes"], stored["dtypes"]) == (weights().size, {})


def test_packed_weights_without_totals_are_too(hub: LoopbackHub) -> None:
    add(hub, None, quantization_config={"quant_method": "a method of so long a name that no column could hold it"})
    found = look("never")
    assert (status(found), found.model.reconciliation.hub_total) == (Status.QUANTIZED, None)
    assert (found.model.stored.scheme, found.model.stored.component.size_bytes) == ("packed", weights().size)


def test_masks_of_other_types_are_not_packed_weights(hub: LoopbackHub) -> None:
    add(hub, {"BF16": PARAMETERS, "U8": 4096})
    found = look("never")
    assert (status(found), found.model.reconciliation.difference) == (Status.CONTRADICTED, 4096)


@pytest.mark.parametrize("changes", [{"model_type": "never_heard_of"}, {"num_hidden_layers": None}])
def test_a_config_that_says_too_little_leaves_the_totals(hub: LoopbackHub, changes: dict[str, Any]) -> None:
    add(hub, {"BF16": PARAMETERS + 1}, **changes)
    found = look("never", accelerators=(EVERYWHERE,))
    assert not reads_headers(hub)
    assert (status(found), found.model.reconciliation.total) == (Status.NO_HEADERS, PARAMETERS + 1)
    assert found.model.architecture is None
    assert found.model.stored.component.size_bytes == 2 * (PARAMETERS + 1)
    assert "config.json does not say enough by itself: these are the Hub's totals" in found.notes[0]
    assert found.gate is None


def test_where_nothing_can_be_said_that_is_said(hub: LoopbackHub) -> None:
    add(hub, None, model_type="never_heard_of")
    with pytest.raises(HeadersNeededError):
        look("never")
    hub.add_repo(MODEL, {"model.safetensors": weights()})
    with pytest.raises(HeadersNeededError):
        look("never")


def test_other_formats_have_no_headers_to_leave_out(hub: LoopbackHub) -> None:
    add(hub, None, {"pytorch_model.bin": HubFile(b"x", size_bytes=2 * PARAMETERS)})
    assert look("never").model == look("always").model
    add(hub, None, {"README.md": HubFile(b"x")})
    with pytest.raises(NoCheckpointError):
        look("never")


def test_totals_of_types_nobody_knows_are_not_invented(hub: LoopbackHub) -> None:
    add(hub, {"Q5": 1000}, model_type="never_heard_of")
    found = look("never")
    assert found.model.reconciliation.total == 1000
    assert (found.model.stored.scheme, found.model.stored.nominal_bytes) == ("unknown", None)


@pytest.mark.parametrize(("totals", "basis"), [({"BF16": PARAMETERS}, Basis.READ), (None, Basis.DERIVED)])
def test_a_listing_without_sizes_is_no_contradiction_and_no_match(
    hub: LoopbackHub, totals: dict[str, int] | None, basis: Basis
) -> None:
    add(hub, totals)
    model = read_model(_without_sizes(), headers=Headers.NEVER)
    assert model.reconciliation.status is Status.DERIVED
    assert (model.stored.component.basis, model.stored.component.size_bytes) == (basis, 2 * PARAMETERS)
    assert read_model(_without_sizes(), headers=Headers.AUTO).checkpoint is not None


def test_a_listing_without_sizes_does_not_tell_what_config_does_not(hub: LoopbackHub) -> None:
    add(hub, None, torch_dtype=None)
    with pytest.raises(ConfigError, match="torch_dtype"):
        read_model(_without_sizes(), headers=Headers.NEVER)
    add(hub, None, quantization_config={"quant_method": "awq"})
    with pytest.raises(HeadersNeededError):
        read_model(_without_sizes(), headers=Headers.NEVER)


def _without_sizes() -> HubSource:
    source = HubSource.open(MODEL, None)
    source.files = {path: replace(file, size_bytes=None) for path, file in source.files.items()}
    return source


# --------------------------------------------------------------------------------- gate and options


def test_the_gate_is_held_for_parsing_and_not_for_the_network(
    hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(hub, {"BF16": PARAMETERS + 1})
    held = threading.Lock()
    entered: list[int] = []

    @contextmanager
    def gate() -> Any:
        with held:
            entered.append(len(hub.requests))
            yield
            assert len(hub.requests) == entered[-1], "a request was sent while the gate was held"

    class Gate:
        def __enter__(self) -> None:
            self._inner = gate()
            self._inner.__enter__()

        def __exit__(self, *error: Any) -> None:
            self._inner.__exit__(*error)

    for headers, times in ((Headers.ALWAYS, 1), (Headers.AUTO, 2), (Headers.NEVER, 1)):
        entered.clear()
        read_model(HubSource.open(MODEL, None), headers=headers, gate=Gate())
        assert len(entered) == times
        assert not held.locked()


@pytest.mark.parametrize("name", ["sometimes", "", "ALWAYS please"])
def test_a_way_to_read_that_there_is_not(name: str) -> None:
    with pytest.raises(UsageError, match="headers") as caught:
        inspect(MODEL, headers=name)
    assert caught.value.hint == "choose from always, auto, never"


def test_names_are_read_as_they_are_written(hub: LoopbackHub) -> None:
    add(hub, {"BF16": PARAMETERS})
    for headers in (" Auto ", Headers.AUTO):
        assert status(inspect(MODEL, headers=headers)) is Status.TOTALS_MATCHED
