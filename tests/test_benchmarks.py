"""What the benchmarks measure holds, on a smaller scale."""

from __future__ import annotations

import json
import lzma
from functools import partial
from pathlib import Path

import pytest

from benchmarks import audit, network, quantized
from benchmarks.hub_of_snapshots import add_snapshots
from hubvram.cli.errors import EXIT_UNREADABLE
from tests.hub.process import hub_process
from tests.quantized import samples

MODELS = 70
"""Each bundled model twice: once with the Hub's totals, once without."""


@pytest.mark.xdist_group("timing")
def test_an_audit_of_a_hub_that_fails_loses_nothing() -> None:
    with hub_process(partial(audit.fill, models=MODELS)) as hub:
        run = audit.measure(hub, MODELS)
    assert audit.wrong(run, MODELS) == []
    assert run.faults > 0
    assert run.exit_code == EXIT_UNREADABLE  # 7 is missing, 11 broken
    assert sorted(row["audit"]["model"][7:11] for row in run.rows if "error" in row) == ["0007", "0011"]
    assert run.peak_bytes < 300 * 2**20


@pytest.mark.parametrize("shards", [1, 30])
def test_one_model_takes_four_requests_and_a_kept_one_a_single_one(
    shards: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    model, home = network.MODELS[shards], str(tmp_path_factory.mktemp("home"))
    with hub_process(partial(add_snapshots, repos=(model,))) as hub:
        cold = network.measure(hub, "hubvram", model, None, home)
        warm = network.measure(hub, "hubvram", model, None, home)
    assert cold.requests <= 4
    assert cold.bytes_sent <= max(64 * 2**10, 1.3 * network.header_bytes(model))
    assert warm.requests == 1


def test_quantized_repos_are_listed_with_what_is_published_of_them(tmp_path: Path) -> None:
    manifest = []
    for name, basis in (
        ("awq-gemm", "I32-packed weights unpacked, qzeros/scales/g_idx dropped"),
        ("gptq-8b-g128", None),
    ):
        sample, folder = samples()[name], tmp_path / "repos" / f"test__{name}"
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(sample.files["config.json"]))
        headers = json.dumps({"model.safetensors": sample.tensors}).encode()
        (folder / "headers.json.xz").write_bytes(lzma.compress(headers))
        manifest.append({"repo": f"test/{name}", "published_params_total": sample.parameters, "equal_basis": basis})
    manifest.append({"repo": "test/absent", "published_params_total": None, "equal_basis": None})
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    awq, gptq = quantized.rows(tmp_path)
    assert awq[:6] == ("test/awq-gemm", "awq (config.json)", "awq 4-bit", "writer", "reconciled", "0")
    # 6.3285 bits a weight: 1,142,784 bytes for 1,444,608 parameters.
    assert awq[6:] == (
        *("1,444,608", "1,444,608", "yes", "1,142,784", "yes", "4.1562", "6.3285", "-", "embedding, norm, head"),
    )
    assert gptq[8] == "no", "its total is no sum of stored elements"
