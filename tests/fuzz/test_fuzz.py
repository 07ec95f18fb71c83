"""Each target for a second, on the same inputs every time; and what the loop does with a finding."""

from __future__ import annotations

import time
from random import Random

import pytest

from tests.fuzz.target import FoundError, Target, fuzz
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_is_found(name: str) -> None:
    assert fuzz(TARGETS[name], first=1, seconds=1) > 10


@pytest.mark.parametrize("name", TARGETS)
def test_an_input_is_made_again_from_its_number(name: str) -> None:
    make = TARGETS[name].make
    assert [make(Random(number)) for number in range(20)] == [make(Random(number)) for number in range(20)]
    assert len({make(Random(number)) for number in range(20)}) > 10


def test_a_finding_names_its_number() -> None:
    def refuse_seven(content: bytes) -> None:
        assert content != b"7"

    target = Target(name="numbers", make=lambda random: str(random.choice(range(10))).encode(), check=refuse_seven)
    with pytest.raises(FoundError, match=r"numbers \d+: AssertionError") as found:
        fuzz(target, first=0, seconds=10)
    number = int(str(found.value).split()[1].rstrip(":"))
    assert target.make(Random(number)) == b"7"
    assert f"python -m tests.fuzz numbers --seed {number} --cases 1" in str(found.value)


def test_what_takes_too_long_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter((0.0, 2.5))
    monkeypatch.setattr(time, "process_time", lambda: next(ticks))
    target = Target(name="slow", make=lambda random: b"", check=lambda content: None)
    with pytest.raises(FoundError, match=r"it takes 2\.5 s"):
        fuzz(target, first=0, seconds=10)


def test_a_number_of_cases() -> None:
    seen: list[bytes] = []
    target = Target(name="fine", make=lambda random: random.randbytes(4), check=seen.append)
    assert fuzz(target, first=0, seconds=0, cases=3) == len(seen) == 3
