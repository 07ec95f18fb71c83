"""Every field that hubvram reads, holding what it should not: an architecture or a ConfigError, and soon."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any, Final

import pytest

from hubvram.architecture.families import architecture_of
from hubvram.config.reader import parse_config
from hubvram.errors import ConfigError
from tests.fuzz.configs import Key, configs, fields_of, with_field

WRONG: Final[tuple[Any, ...]] = (None, "x", -1, 0, float("inf"), 2**70, [], {}, True, [[{"x": [1]}]])
SECONDS: Final = 2.0


def fields() -> Iterator[tuple[dict[str, Any], Key]]:
    """Each field that any family asks for, with the first config for which it does."""
    seen: set[Key] = set()
    for config in configs():
        for key in fields_of(config):
            if key not in seen:
                seen.add(key)
                yield config, key


def read(content: bytes) -> None:
    architecture = architecture_of(parse_config(content, "org/model"))
    if architecture is not None:
        assert architecture.parameters >= 0
        assert sum(group.count for group in architecture.groups()) == len(architecture.layers)
        assert all(count > 0 for count, _ in architecture.counted_linears())


def test_every_field_with_every_wrong_value() -> None:
    tried = 0
    for config, key in fields():
        for value in WRONG:
            content = json.dumps(with_field(config, key, value)).encode()
            before = time.process_time()
            try:
                read(content)
            except ConfigError as error:
                assert error.reason
            except Exception as error:
                pytest.fail(f"{config.get('model_type')}: {'.'.join(key)} = {value!r}: {error!r}")
            assert time.process_time() - before < SECONDS
            tried += 1
    # What the recording found: were it nothing, all of the above would pass.
    assert tried > 600 * len(WRONG)


def test_what_is_recorded_is_what_is_read() -> None:
    config = {"model_type": "gpt2", "n_embd": 64}
    assert {("n_embd",), ("n_layer",), ("n_head",), ("vocab_size",)} <= set(fields_of(config))
    nested = {"model_type": "llava", "text_config": {"model_type": "llama"}}
    assert {("text_config", "hidden_size"), ("vision_config", "patch_size")} <= set(fields_of(nested))
