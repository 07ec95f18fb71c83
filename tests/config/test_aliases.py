"""What fields are called where transformers' table has no names for them."""

from __future__ import annotations

from collections import Counter

import pytest

from hubvram.config.aliases import _ALIASES as ALIASES
from hubvram.config.aliases import aliases_in
from hubvram.config.defaults import attribute_map_of, known_types
from tests.samples import config_of


@pytest.mark.parametrize(("usual", "own"), [(usual, own) for usual, names in ALIASES.items() for own in names])
def test_a_field_is_read_under_each_of_its_names(usual: str, own: str) -> None:
    text = config_of({"model_type": "never_heard_of", own: "silu" if usual == "hidden_act" else 7}).text
    assert text.is_a(str if usual == "hidden_act" else int, usual)


def test_no_name_stands_for_two_fields() -> None:
    names = Counter(name for names in ALIASES.values() for name in names)
    assert max(names.values()) == 1
    assert not names.keys() & ALIASES.keys()


def test_the_usual_name_wins_then_the_first() -> None:
    assert aliases_in({"hidden_size": 1, "n_embd": 2}) == {}
    assert aliases_in({"dim": 1, "d_model": 2, "n_layer": None}) == {
        "hidden_size": "d_model",
        "num_hidden_layers": "n_layer",
    }


def test_a_known_type_has_the_names_of_its_class_alone() -> None:
    text = config_of({"model_type": "llama", "n_embd": 7}).text
    assert text.size("hidden_size") != 7
    assert config_of({"model_type": "gpt2", "n_embd": 7}).text.size("hidden_size") == 7


def test_errors_name_the_field_as_the_file_does() -> None:
    text = config_of({"model_type": "never_heard_of", "n_embd": "wide"}).text
    with pytest.raises(Exception, match="n_embd: expected an integer"):
        text.size("hidden_size")


def test_the_names_are_those_of_transformers_where_it_has_one() -> None:
    # A name that means one thing in transformers' classes must not mean another here.
    for model_type in known_types():
        for usual, own in attribute_map_of(model_type).items():
            if usual in ALIASES:
                assert not [other for other, names in ALIASES.items() if own in names and other != usual], (usual, own)
