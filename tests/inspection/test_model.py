"""Models that are read without headers: what config.json alone says, and when it does not say enough."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from hubvram.architecture.reconcile import Status
from hubvram.errors import ConfigError, NoCheckpointError
from hubvram.inspection import inspect, read_model
from hubvram.memory.estimate import Basis
from hubvram.reports.failures import failure_of
from hubvram.sources.local import LocalSource
from tests.samples import FIXTURES

LLAMA_8B: dict[str, Any] = json.loads(
    (FIXTURES / "models" / "meta-llama--Llama-3.1-8B" / "config.json").read_text(encoding="utf-8")
)


def folder_with(tmp_path: Path, config: dict[str, Any], *names: str) -> Path:
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    for name in names:
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    "names",
    [
        ("pytorch_model.bin",),
        ("pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"),
        ("llama.Q4_K_M.gguf",),
        ("tf_model.h5",),
    ],
)
def test_without_headers_the_config_answers_and_says_so(tmp_path: Path, names: tuple[str, ...]) -> None:
    found = inspect(folder_with(tmp_path, LLAMA_8B, *names), precisions=("bf16", "int4"))
    # The published total of the same model with headers.
    assert found.model.reconciliation.total == 8_030_261_248
    assert found.model.reconciliation.status is Status.DERIVED
    assert found.model.checkpoint is None
    assert found.model.stored.component.basis is Basis.DERIVED
    # 2 (K and V) x 32 layers x 8 heads x 128 x 2 bytes x 8,192 tokens: 1 GiB
    assert found.estimates[0].size_of("kv_cache") == 2**30
    # The AWQ layout of the same model's published files: 5,727,854,592 bytes.
    assert found.estimates[1].size_of("weights") == 5_727_854_592
    assert any(names[0] in note and "derived from config.json" in note for note in found.notes)


@pytest.mark.parametrize("key", ["hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size"])
def test_a_config_that_leaves_out_what_matters_is_not_filled_in(tmp_path: Path, key: str) -> None:
    config = {name: value for name, value in LLAMA_8B.items() if name != key}
    with pytest.raises(NoCheckpointError) as caught:
        read_model(LocalSource(folder_with(tmp_path, config, "pytorch_model.bin")))
    assert caught.value.left_out == (key,)
    assert f"and config.json leaves out {key}" in failure_of(caught.value).message


@pytest.mark.parametrize(
    ("named", "said"), [(None, "it is missing"), ("float7", "'float7' is no type"), ("auto", "'auto'")]
)
def test_a_type_that_nothing_tells_is_asked_for(tmp_path: Path, named: str | None, said: str) -> None:
    config = LLAMA_8B | {"torch_dtype": named}
    with pytest.raises(ConfigError, match=f"torch_dtype: {said}"):
        read_model(LocalSource(folder_with(tmp_path, config, "pytorch_model.bin")))


@pytest.mark.parametrize(
    "changes",
    [{"model_type": "never_heard_of"}, {"quantization_config": {"quant_method": "gptq"}}, {"model_type": None}],
)
def test_a_config_that_cannot_be_derived_from(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(NoCheckpointError):
        read_model(LocalSource(folder_with(tmp_path, LLAMA_8B | changes, "pytorch_model.bin")))


@pytest.mark.parametrize(
    "names", [("adapter_model.safetensors", "adapter_config.json"), ("model_index.json",), ("README.md",), ()]
)
def test_a_config_beside_no_model_is_no_model(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(NoCheckpointError):
        read_model(LocalSource(folder_with(tmp_path, LLAMA_8B, *names)))


@pytest.mark.parametrize(
    ("bytes_each", "dtype"), [(4, "fp32"), (2, "fp16"), (4.1, "fp32"), (1, None), (3, None), (0, None)]
)
def test_a_config_without_a_type_takes_it_from_the_size_of_the_files(
    tmp_path: Path, bytes_each: float, dtype: str | None
) -> None:
    config = {name: value for name, value in LLAMA_8B.items() if name != "torch_dtype"}
    folder = folder_with(tmp_path, config, "pytorch_model.bin")
    os.truncate(folder / "pytorch_model.bin", int(8_030_261_248 * bytes_each))
    if dtype is None:
        with pytest.raises(ConfigError, match="torch_dtype: it is missing"):
            read_model(LocalSource(folder))
        return
    found = read_model(LocalSource(folder))
    assert (found.stored.compute_dtype, found.reconciliation.total) == (dtype, 8_030_261_248)
    assert any(f"taken as {dtype}" in note for note in found.notes)
