"""The config reader and all that follows from it: an answer, or one of hubvram's own errors."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from random import Random
from typing import Any, Final

import pytest

from hubvram.architecture.families import FAMILIES
from hubvram.config.defaults import defaults_of
from hubvram.config.document import ConfigDocument
from tests.fuzz.answer import answer
from tests.fuzz.mutation import mutated
from tests.fuzz.target import Target
from tests.samples import FIXTURES, NAMES

Key = tuple[str, ...]
"""The way to a field: `("text_config", "hidden_size")`."""

WRONG: Final[tuple[Any, ...]] = (
    *(None, "x", "", -1, 0, 1, 7, 0.5, -0.5, 1e300, float("inf"), float("nan"), 2**31, 2**48, 2**70, True, False),
    *([], {}, [0], [1] * 3, [-1], [None], ["x"], [[1]], [2**48] * 2, [1] * 20_000, {"x": 1}, {"0": None}, "gelu"),
    *("full_attention", ["full_attention", "sliding_attention"], "x" * 5_000, "\x1b[2J", "\ud800"),
)
"""What a field may hold instead of what it should."""


@cache
def configs() -> tuple[dict[str, Any], ...]:
    """Those of the fixtures, and of each model type that has a family, its defaults written out."""
    found = [json.loads((FIXTURES / "models" / name / "config.json").read_bytes()) for name in NAMES]
    return (*found, *({**defaults_of(model_type), "model_type": model_type} for model_type in FAMILIES))


def config_for(model_type: str) -> dict[str, Any]:
    return next(config for config in configs() if config.get("model_type") == model_type)


@contextmanager
def recording() -> Iterator[set[Key]]:
    """The fields that hubvram asks for, by the names that they have in the file."""
    asked: set[Key] = set()
    raw = ConfigDocument._raw

    def record(self: ConfigDocument, key: str) -> Any:
        path = tuple(part for part in self.path.split(".") if part)
        asked.add((*path, self.attribute_map.get(key, key)))
        return raw(self, key)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ConfigDocument, "_raw", record)
        yield asked


def fields_of(config: Mapping[str, Any]) -> list[Key]:
    """The fields that hubvram reads of a config."""
    with recording() as asked:
        answer(json.dumps(config).encode())
    return sorted(asked)


@cache
def _fields(place: int) -> list[Key]:
    return fields_of(configs()[place])


def with_field(config: Mapping[str, Any], key: Key, value: Any) -> dict[str, Any]:
    """A copy in which one field holds something else."""
    changed = dict(config)
    inner = changed
    for part in key[:-1]:
        below = inner.get(part)
        inner[part] = dict(below) if isinstance(below, dict) else {}
        inner = inner[part]
    inner[key[-1]] = value
    return changed


def make(random: Random) -> bytes:
    """A config with a few wrong fields, and sometimes its text damaged too."""
    place = random.randrange(len(configs()))
    config, fields = configs()[place], _fields(place)
    for _ in range(random.choice((0, 1, 1, 2, 3, 5))):
        config = with_field(config, random.choice(fields), _wrong(random, config))
    content = json.dumps(config).encode()
    return mutated(content, random) if random.random() < 0.2 else content


def _wrong(random: Random, config: Mapping[str, Any]) -> Any:
    """A wrong value, a number of a likely size, or what another field of the same config holds."""
    kind = random.random()
    if kind < 0.6:
        return random.choice(WRONG)
    if kind < 0.85 or not config:
        return random.choice((1, 2, 3, 5, 16, 63, 64, 100, 1000, 2048))
    return random.choice(list(config.values()))


def check(content: bytes) -> None:
    answer(content)


CONFIG: Final = Target(name="config", make=make, check=check)
