"""What transformers' own config class adds: with a stand-in for it, and with the real one where it is installed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import pytest

from hubvram.config import completed as module
from hubvram.config.completed import can_complete, completed
from hubvram.config.document import ConfigDocument
from tests.samples import SMALL_LLAMA, config_of

Compute = Callable[[dict[str, Any]], dict[str, Any]]


def document(**changes: Any) -> ConfigDocument:
    return config_of({**SMALL_LLAMA, **changes}).text


def install(monkeypatch: pytest.MonkeyPatch, compute: Compute) -> list[dict[str, Any]]:
    """A transformers whose llama config makes `compute` of what it is given; returns what it was given."""
    given: list[dict[str, Any]] = []

    class Config:
        def __init__(self, data: dict[str, Any]) -> None:
            self._data = data

        @classmethod
        def from_dict(cls, data: dict[str, Any]) -> Config:
            given.append(data)
            return cls(compute(data))

        def to_dict(self) -> dict[str, Any]:
            return self._data

    fake = ModuleType("transformers")
    fake.__spec__ = ModuleSpec("transformers", None)
    fake.CONFIG_MAPPING = {"llama": Config}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "transformers", fake)
    return given


def test_computed_fields_stand_behind_those_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    given = install(monkeypatch, lambda data: {**data, "head_dim": 16, "layer_types": ["full_attention"] * 2})
    before = document(layer_types=None)
    after = completed(before)
    assert given == [dict(before.data)]
    assert after.size("head_dim") == 16
    assert after.strings("layer_types") == ("full_attention", "full_attention")  # a null is filled in
    assert after.size("hidden_size") == SMALL_LLAMA["hidden_size"]
    # What the file says can still be told from what the class makes of it.
    assert after.defaulted(("head_dim", "hidden_size")) == ("head_dim",)


def test_what_the_class_changes_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, lambda data: {**data, "sliding_window": None})
    assert completed(document(sliding_window=8)).size_or_none("sliding_window") is None


def test_the_class_cannot_change_our_document(monkeypatch: pytest.MonkeyPatch) -> None:
    def spoil(data: dict[str, Any]) -> dict[str, Any]:
        data["rope_parameters"].clear()
        data.clear()
        return {}

    install(monkeypatch, spoil)
    before = document(rope_parameters={"rope_type": "default"})
    assert completed(before).data == before.data == {**SMALL_LLAMA, "rope_parameters": {"rope_type": "default"}}


@pytest.mark.parametrize("error", [ValueError, TypeError, ZeroDivisionError, RecursionError, KeyError])
def test_a_class_that_refuses_leaves_our_reading(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    def refuse(data: dict[str, Any]) -> dict[str, Any]:
        raise error("no")

    install(monkeypatch, refuse)
    before = document()
    assert completed(before) is before


@pytest.mark.parametrize(
    "changes",
    [{"model_type": "never_heard_of"}, {"model_type": None}, {"model_type": "gpt2"}, {"num_hidden_layers": 10**9}],
)
def test_what_is_not_asked_for(monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]) -> None:
    given = install(monkeypatch, dict)
    before = document(**changes)
    assert completed(before) is before
    assert not given


def test_without_transformers_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    before = document()
    assert not can_complete(before)
    assert completed(before) is before


def test_a_broken_installation_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = ModuleType("transformers")
    broken.__spec__ = ModuleSpec("transformers", None)
    monkeypatch.setitem(sys.modules, "transformers", broken)
    before = document()
    assert completed(before) is before


def test_types_with_a_family_never_ask_it() -> None:
    code = (
        "import sys\n"
        "from tests.samples import checkpoint_of, config_of, llama_tensors, small_llama, SMALL_LLAMA\n"
        "from hubvram.inspection.understanding import understand\n"
        "for model_type in ('llama', 'never_heard_of'):\n"
        "    config = config_of({**SMALL_LLAMA, 'model_type': model_type})\n"
        "    print(understand(config, checkpoint_of(llama_tensors(small_llama())))[0].status)\n"
        "print('transformers' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["reconciled", "shape-matched", "False"]


@pytest.mark.skipif(find_spec("transformers") is None, reason="transformers is not installed")
def test_the_real_one_computes_what_the_file_leaves_out() -> None:
    # qwen2 makes `layer_types` of three other fields.
    window = {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1}
    after = completed(document(model_type="qwen2", **window))
    assert after.strings("layer_types") == ("full_attention", "sliding_attention")
    # gpt2 has other names, and n_inner is null.
    after = completed(config_of({"model_type": "gpt2", "n_embd": 64, "n_layer": 2}).text)
    assert (after.size("hidden_size"), after.size("num_hidden_layers")) == (64, 2)
    assert completed(document(hidden_size="wide")).data["hidden_size"] == "wide"
