"""A forked child asks over connections of its own."""

from __future__ import annotations

import multiprocessing

from hubvram.sources.hub import HubSource
from tests.auditing.models import add_llamas
from tests.hub import LoopbackHub


def _revision(name: str) -> str | None:
    return HubSource.open(name, None).revision


def test_a_child_asks_for_itself(hub: LoopbackHub) -> None:
    names = [f"org/{number}" for number in range(6)]
    add_llamas(hub, *names)
    expected = [_revision(name) for name in names]  # over connections, and in a loop, that a child must not use
    with multiprocessing.get_context("fork").Pool(3) as pool:
        assert pool.map(_revision, names) == expected
    assert _revision(names[0]) == expected[0]
