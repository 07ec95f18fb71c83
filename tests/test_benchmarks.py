"""What the benchmarks measure holds, on a smaller scale."""

from __future__ import annotations

from functools import partial

import pytest

from benchmarks import audit, network
from benchmarks.hub_of_snapshots import add_snapshots
from hubvram.cli.errors import EXIT_UNREADABLE
from tests.hub.process import hub_process

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
