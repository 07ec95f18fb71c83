"""Typed reads of config.json: what they accept, what they say when they refuse."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hubvram.config.document import ConfigDocument
from hubvram.errors import ConfigError


def document(data: dict[str, Any], *, path: str = "", **more: Any) -> ConfigDocument:
    return ConfigDocument(model_id="org/name", data=data, path=path, **more)


# One value of every JSON type; each getter takes some and refuses the rest.
EXAMPLES: dict[str, Any] = {
    "integer": 7,
    "negative": -7,
    "number": 0.5,
    "text": "seven",
    "true": True,
    "list": [1],
    "object": {"a": 1},
}


@pytest.mark.parametrize("example", EXAMPLES)
@pytest.mark.parametrize(
    ("kind", "accepted", "expected"),
    [
        (int, {"integer", "negative"}, "an integer"),
        (float, {"integer", "negative", "number"}, "a number"),
        (str, {"text"}, "a string"),
        (bool, {"true"}, "true or false"),
        (list, {"list"}, "a list"),
    ],
)
def test_get_takes_its_type_and_nothing_else(kind: type[Any], accepted: set[str], expected: str, example: str) -> None:
    config = document({"key": EXAMPLES[example]})
    if example in accepted:
        assert config.get(kind, "key") == EXAMPLES[example]
        assert config.require(kind, "key") == EXAMPLES[example]
    else:
        with pytest.raises(ConfigError, match=rf"config\.json: key: expected {expected}, found"):
            config.get(kind, "key")


@pytest.mark.parametrize("example", EXAMPLES)
def test_sections_are_objects(example: str) -> None:
    config = document({"key": EXAMPLES[example]})
    if example == "object":
        assert config.section("key") == {"a": 1}
    else:
        with pytest.raises(ConfigError, match=r"key: expected an object"):
            config.section("key")


@pytest.mark.parametrize("example", EXAMPLES)
def test_sizes_are_positive_integers(example: str) -> None:
    config = document({"key": EXAMPLES[example]})
    if example == "integer":
        assert config.size("key") == config.size_or_none("key") == 7
    else:
        with pytest.raises(ConfigError, match="key: "):
            config.size("key")
        with pytest.raises(ConfigError, match="key: "):
            config.size_or_none("key")


@pytest.mark.parametrize("hostile", [0, -1, 10**30, 2**48 + 1])
def test_incredible_sizes_are_refused(hostile: int) -> None:
    with pytest.raises(ConfigError, match=rf"hidden_size: {hostile} is not between 1 and 281,474,976,710,656"):
        document({"hidden_size": hostile}).size("hidden_size")


def test_a_size_may_have_a_limit_of_its_own() -> None:
    assert document({"key": 10}).size("key", largest=10) == 10
    with pytest.raises(ConfigError, match="11 is not between 1 and 10"):
        document({"key": 11}).size("key", largest=10)


def test_an_error_names_file_and_path() -> None:
    with pytest.raises(ConfigError) as caught:
        document({"hidden_size": "many"}, path="text_config.").size("hidden_size")
    assert caught.value.model_id == "org/name"
    assert caught.value.file == "config.json"
    assert caught.value.reason == "text_config.hidden_size: expected an integer, found 'many'"
    assert str(caught.value) == "org/name: config.json: text_config.hidden_size: expected an integer, found 'many'"


def test_an_error_shows_the_beginning_of_a_long_value() -> None:
    with pytest.raises(ConfigError) as caught:
        document({"key": "x" * 10_000}).size("key")
    assert caught.value.reason.endswith("x...")
    assert len(caught.value.reason) < 100


def test_what_is_absent_has_no_value() -> None:
    config = document({})
    assert config.get(int, "key") is None
    assert config.size_or_none("key") is None
    assert config.section("key") is None
    assert config.flag("key") is False
    assert config.strings("key") == ()
    assert config.integers("key") == ()


def test_what_is_required_and_absent_is_an_error() -> None:
    with pytest.raises(ConfigError, match="key: it is missing, and its model type has no default for it"):
        document({}).require(int, "key")
    with pytest.raises(ConfigError, match="key: it is missing"):
        document({}).size("key")


def test_defaults_stand_behind_the_file() -> None:
    config = document({"a": 1}, defaults={"a": 2, "b": 3})
    assert (config.size("a"), config.size("b")) == (1, 3)


def test_null_is_an_answer_and_not_a_gap() -> None:
    config = document({"key": None}, defaults={"key": 128})
    assert config.get(int, "key") is None
    assert config.size_or_none("key") is None
    with pytest.raises(ConfigError, match="key: it is missing"):
        config.size("key")
    assert document({"key": None}, defaults={"key": True}).flag("key") is False
    assert document({"key": None}, defaults={"key": {"a": 1}}).section("key") is None


def test_a_default_of_null_is_absent() -> None:
    assert document({}, defaults={"key": None}).get(str, "key") is None


def test_a_field_has_its_own_name_and_the_usual_one() -> None:
    names = {"hidden_size": "n_embd"}
    assert document({"n_embd": 768}, attribute_map=names).size("hidden_size") == 768
    assert document({"hidden_size": 768}, attribute_map=names).size("hidden_size") == 768
    # With both, the model type's own name is what its config class keeps.
    assert document({"hidden_size": 1, "n_embd": 768}, attribute_map=names).size("hidden_size") == 768
    # The file comes before any default, under whichever name.
    assert document({"hidden_size": 768}, attribute_map=names, defaults={"n_embd": 1}).size("hidden_size") == 768


@pytest.mark.parametrize("written", ["n_embd", "hidden_size"])
def test_an_error_spells_a_field_as_the_file_does(written: str) -> None:
    config = document({written: -1}, attribute_map={"hidden_size": "n_embd"})
    with pytest.raises(ConfigError, match=f"config.json: {written}: -1"):
        config.size("hidden_size")


def test_an_error_about_a_missing_field_gives_the_name_to_write() -> None:
    with pytest.raises(ConfigError, match=r"config.json: n_embd: it is missing"):
        document({}, attribute_map={"hidden_size": "n_embd"}).size("hidden_size")


@pytest.mark.parametrize("value", [1, 0, "true", "yes", [], {}])
def test_a_flag_is_true_or_false(value: Any) -> None:
    with pytest.raises(ConfigError, match="flag: expected true or false"):
        document({"flag": value}).flag("flag")


def test_lists_of_one_type() -> None:
    config = document({"names": ["a", "b"], "numbers": [1, 2], "empty": []})
    assert config.strings("names") == ("a", "b")
    assert config.integers("numbers") == (1, 2)
    assert config.strings("empty") == ()


@pytest.mark.parametrize("item", [1, None, ["a"], {"a": 1}, True])
def test_an_item_of_the_wrong_type_is_named_by_its_place(item: Any) -> None:
    with pytest.raises(ConfigError, match=r"layer_types\[1\]: expected a string"):
        document({"layer_types": ["full_attention", item]}).strings("layer_types")


@pytest.mark.parametrize("item", ["1", 1.5, None, True])
def test_booleans_are_no_integers(item: Any) -> None:
    with pytest.raises(ConfigError, match=r"mlp_only_layers\[0\]: expected an integer"):
        document({"mlp_only_layers": [item]}).integers("mlp_only_layers")


def test_a_text_longer_than_any_name() -> None:
    with pytest.raises(ConfigError, match="model_type: a text of 4,097 characters, longer than any name"):
        document({"model_type": "x" * 4097}).get(str, "model_type")


class TestLists:
    def test_longer_than_any_that_describes_a_model(self) -> None:
        for kind in ("integers", "strings"):
            document = ConfigDocument(model_id="m", data={"layer_types": [1] * 10_001})
            with pytest.raises(ConfigError, match="layer_types: a list of 10,001, longer than any"):
                getattr(document, kind)("layer_types")
        assert len(ConfigDocument(model_id="m", data={"layer_types": [1] * 10_000}).integers("layer_types")) == 10_000

    def test_looked_at_once(self) -> None:
        """Families ask for some of them once for each layer: 10,000 times 10,000 items would take ten seconds."""
        document = ConfigDocument(model_id="m", data={"a": [1, 2]})
        assert document.integers("a") is document.integers("a") == (1, 2)
        with pytest.raises(ConfigError, match=r"a\[0\]: expected a string"):
            document.strings("a")

    def test_a_changed_document_has_its_own(self) -> None:
        document = ConfigDocument(model_id="m", data={"a": [1, 2]})
        assert document.integers("a") == (1, 2)
        assert replace(document, data={"a": [3]}).integers("a") == (3,)
