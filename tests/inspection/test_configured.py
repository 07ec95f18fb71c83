"""What config.json says of a run: who wrote its fields decides, until somebody asks for something else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hubvram.inspection import Inspection, inspect
from hubvram.memory.workload import Attention
from tests.samples import SMALL_BART, SMALL_LLAMA, folder_without_headers

LLAMA = {**SMALL_LLAMA, "max_position_embeddings": 512, "torch_dtype": "bfloat16"}


def found(folder: Path, config: Mapping[str, Any], **options: Any) -> Inspection:
    return inspect(folder_without_headers(folder, config), **options)


def said(answer: Inspection, word: str) -> bool:
    return any(word in note for note in answer.notes)


@pytest.mark.parametrize("key", ["attn_implementation", "_attn_implementation"])
@pytest.mark.parametrize(
    ("named", "attention"),
    [("eager", Attention.EAGER), ("flash_attention_2", Attention.FLASH), ("sdpa", Attention.SDPA)],
)
def test_the_attention_of_the_config(tmp_path: Path, key: str, named: str, attention: Attention) -> None:
    answer = found(tmp_path, {**LLAMA, key: named})
    assert answer.attention is answer.workload.attention is attention
    assert said(answer, f"config.json asks for {attention} attention")
    asked = found(tmp_path, {**LLAMA, key: named}, attention=attention)
    assert asked.estimates == answer.estimates


def test_who_asks_for_another_has_it(tmp_path: Path) -> None:
    answer = found(tmp_path, {**LLAMA, "_attn_implementation": "eager"}, attention="flash")
    assert answer.attention is Attention.FLASH
    assert not said(answer, "config.json asks")


@pytest.mark.parametrize("named", ["paged|sdpa", 7, None, {"text_config": "eager"}])
def test_what_is_no_usual_attention_is_left_to_the_class(tmp_path: Path, named: object) -> None:
    answer = found(tmp_path, {**LLAMA, "attn_implementation": named})
    assert (answer.attention, answer.workload.attention) == (Attention.SDPA, Attention.AUTO)


def test_an_attention_that_the_class_refuses_is_not_taken(tmp_path: Path) -> None:
    # bloom has eager attention alone.
    bloom = {"model_type": "bloom", "hidden_size": 64, "n_head": 4, "n_layer": 2, "vocab_size": 100}
    answer = found(tmp_path, {**bloom, "torch_dtype": "bfloat16", "attn_implementation": "flash_attention_2"})
    assert answer.attention is Attention.EAGER


def test_a_config_that_says_no_cache_is_noted(tmp_path: Path) -> None:
    assert said(found(tmp_path, {**LLAMA, "use_cache": False}), "use_cache: false")
    assert not said(found(tmp_path, {**LLAMA, "use_cache": True}), "use_cache")
    bert = {"model_type": "bert", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    bert |= {"intermediate_size": 80, "vocab_size": 100, "use_cache": False, "torch_dtype": "float32"}
    assert not said(found(tmp_path, bert), "use_cache")


def test_flash_attention_in_fp32_is_for_comparison(tmp_path: Path) -> None:
    in_fp32 = found(tmp_path, SMALL_BART, attention="flash", precisions="bf16")
    assert said(in_fp32, "figures in fp32 are for comparison")  # what is stored stands beside it
    in_bf16 = found(tmp_path, {**SMALL_BART, "torch_dtype": "bfloat16"}, attention="flash", precisions="bf16")
    assert not said(in_bf16, "fp32")
