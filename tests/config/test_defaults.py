"""What config.json leaves out: the table, and transformers itself as its oracle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hubvram.architecture.families import FAMILIES
from hubvram.config import defaults
from scripts import make_defaults
from tests.samples import architecture_of


def table() -> Any:
    return json.loads(Path(defaults.__file__).with_name("defaults.json").read_text(encoding="utf-8"))


def test_the_table_has_every_family_and_nothing_else() -> None:
    assert set(table()["model_types"]) == set(FAMILIES) == set(make_defaults.MODEL_TYPES)


def test_the_table_is_the_one_that_transformers_gives() -> None:
    transformers = pytest.importorskip(
        "transformers", reason="transformers, which the table comes from, is not installed"
    )
    made_with = table()["transformers"]
    if transformers.__version__ != made_with:
        pytest.skip(f"the table was made with transformers {made_with}, installed is {transformers.__version__}")
    assert make_defaults.collect() == table()


def test_the_script_writes_the_file_that_is_read() -> None:
    assert Path(defaults.__file__).with_name("defaults.json") == make_defaults.TABLE
    text = json.dumps(table(), indent=1, sort_keys=True) + "\n"
    assert make_defaults.TABLE.read_text(encoding="utf-8") == text


def test_an_unknown_model_type_has_no_defaults() -> None:
    assert defaults.defaults_of("no_such_model") == {}
    assert defaults.attribute_map_of("no_such_model") == {}


def test_an_empty_llama_config_is_llama_7b() -> None:
    # LlamaConfig(): 4,096 wide, 32 layers, 11,008 inside, 32,000 tokens. Llama-2-7b has 6,738,415,616 parameters.
    assert architecture_of({"model_type": "llama"}).parameters == 6_738_415_616


def test_an_empty_gpt2_config_is_gpt2() -> None:
    # GPT2Config(): the small one, 124,439,808 parameters.
    architecture = architecture_of({"model_type": "gpt2"})
    assert architecture.parameters == 124_439_808
    assert architecture.max_position_embeddings == 1024


def test_an_empty_mixtral_config_is_mixtral_8x7b() -> None:
    assert architecture_of({"model_type": "mixtral"}).parameters == 46_702_792_704
