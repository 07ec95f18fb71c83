"""What config.json leaves out: the table, and transformers itself as its oracle."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from hubvram.config import defaults
from scripts import make_defaults
from tests.samples import architecture_of

TABLE: Final = Path(defaults.__file__).with_name("defaults.jsonl")


def test_the_table_is_the_one_that_transformers_gives() -> None:
    transformers = pytest.importorskip(
        "transformers", reason="transformers, which the table comes from, is not installed"
    )
    made_with = defaults.transformers_version()
    if transformers.__version__ != made_with:
        pytest.skip(f"the table was made with transformers {made_with}, installed is {transformers.__version__}")
    assert make_defaults.lines() == TABLE.read_text(encoding="utf-8").splitlines()


def test_the_script_writes_the_file_that_is_read() -> None:
    assert make_defaults.TABLE == TABLE


def test_the_table_has_every_model_type_of_transformers() -> None:
    # transformers 5.23.0 lists 670 types in CONFIG_MAPPING; the others are configs inside them.
    assert sum("." not in name for name in defaults.known_types()) >= 600


def test_every_line_can_be_read() -> None:
    for model_type in defaults.known_types():
        assert isinstance(defaults.defaults_of(model_type), dict)
        assert all(isinstance(name, str) for name in defaults.attribute_map_of(model_type).values())


def test_a_config_inside_has_the_type_that_its_place_fixes() -> None:
    # Qwen2VLConfig.sub_configs: a Qwen2VLVisionConfig, whatever old files call it; llava's are AutoConfigs.
    assert defaults.type_inside("qwen2_vl", "vision_config", "qwen2_vl") == "qwen2_vl_vision"
    assert defaults.type_inside("llava", "text_config", "mistral") == "mistral"
    assert defaults.type_inside("llava", "text_config", None) == "llama"
    assert defaults.type_inside("no_such_model", "text_config", "llama") == "llama"
    assert defaults.type_inside("llama", "text_config", None) is None


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
