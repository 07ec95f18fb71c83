"""Models for the tests: the bundled fixtures, small configs and checkpoints made by hand, the large corpus."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from math import prod
from pathlib import Path
from typing import Any, Final

import pytest

from benchmarks.corpus import CorpusSource
from hubvram.architecture import families
from hubvram.architecture.attention import FullAttention
from hubvram.architecture.layers import Architecture, Layer
from hubvram.checkpoint.tensors import Checkpoint, TensorInfo
from hubvram.config.quantization import Group, QuantizationSettings
from hubvram.config.reader import ModelConfig, parse_config
from hubvram.dtypes import SAFETENSORS_BITS
from hubvram.inspection import Model, read_model
from hubvram.memory.engines.transformers import TRANSFORMERS as engine
from hubvram.memory.estimate import Basis, exact
from hubvram.memory.weights import Weights
from hubvram.memory.workload import Attention, Workload
from hubvram.sources.snapshot import SnapshotSource

FIXTURES: Final = Path(__file__).parents[1] / "fixtures"
NAMES: Final = tuple(sorted(folder.name for folder in (FIXTURES / "models").iterdir()))
"""The bundled models, as `<org>--<name>`."""

CORPUS: Final = Path(__file__).parents[2] / "shared" / "corpus"
needs_corpus: Final = pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus of published headers is not here")

SMALL_LLAMA: Final[Mapping[str, Any]] = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 100,
}

SMALL_BART: Final[Mapping[str, Any]] = {
    "model_type": "bart",
    "d_model": 64,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_ffn_dim": 96,
    "decoder_ffn_dim": 96,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "vocab_size": 100,
    "max_position_embeddings": 50,
    "torch_dtype": "float32",
}
"""Fifty positions on each side."""


@cache
def fixture_model(name: str) -> Model:
    """A bundled model, read like any other; nothing in it changes, so that it is read once."""
    return read_model(SnapshotSource(name.replace("--", "/", 1), FIXTURES / "models" / name))


@cache
def fixture_architecture(name: str) -> Architecture:
    architecture = fixture_model(name).architecture
    assert architecture is not None
    return architecture


MEASURED: Final = tuple(name for name in NAMES if engine.knows_activations(fixture_architecture(name)))
"""Those whose activations are known."""
ALONE: Final = tuple(name for name in MEASURED if fixture_architecture(name).encoder is None)
"""Those without an encoder."""


def no_weights(dtype: str) -> Weights:
    """Of a model that computes in this type: what is left of its memory is what runs."""
    return Weights(
        precision=dtype,
        scheme=dtype,
        description="",
        compute_dtype=dtype,
        nominal_bytes=None,
        component=exact("weights", 0, Basis.READ),
    )


def folder_without_headers(folder: Path, config: Mapping[str, Any]) -> str:
    """A model in a file that has none, of which all is known from its config."""
    (folder / "config.json").write_text(json.dumps(dict(config)), encoding="utf-8")
    (folder / "pytorch_model.bin").touch()
    return str(folder)


def config_of(values: Mapping[str, Any]) -> ModelConfig:
    return parse_config(json.dumps(values).encode(), "test/model")


def architecture_of(values: Mapping[str, Any]) -> Architecture:
    config = config_of(values)
    architecture = families.architecture_of(config)
    assert architecture is not None
    return architecture


def attention_of(layer: Layer) -> FullAttention:
    """The attention of a layer that has one."""
    assert isinstance(layer.mixer, FullAttention)
    return layer.mixer


def declared(method: str | None, *groups: Group) -> QuantizationSettings | None:
    """What a configuration says of packed weights."""
    return None if method is None else QuantizationSettings(method=method, file="config.json", groups=groups)


def small_llama(**changes: Any) -> Architecture:
    return architecture_of({**SMALL_LLAMA, **changes})


def checkpoint_of(shapes: Mapping[str, tuple[int, ...]], dtypes: Mapping[str, str] | None = None) -> Checkpoint:
    """Tensor name -> shape, in BF16 where `dtypes` does not say otherwise."""
    tensors = []
    for name, shape in shapes.items():
        dtype = (dtypes or {}).get(name, "BF16")
        stored_bytes = prod(shape) * SAFETENSORS_BITS[dtype] // 8
        tensors.append(TensorInfo(name=name, dtype=dtype, shape=shape, stored_bytes=stored_bytes, file="m.safetensors"))
    return Checkpoint(tensors=tuple(tensors), files=("m.safetensors",))


def llama_tensors(
    architecture: Architecture, *, prefix: str = "model.", head: bool = True
) -> dict[str, tuple[int, ...]]:
    """The tensors of a llama without biases, in the names of its published files."""
    hidden, vocab = architecture.hidden_size, architecture.vocab_size
    shapes: dict[str, tuple[int, ...]] = {f"{prefix}embed_tokens.weight": (vocab, hidden)}
    for index, layer in enumerate(architecture.layers):
        block = f"{prefix}layers.{index}."
        assert layer.mixer is not None and layer.mlp is not None
        for linear in layer.mixer.linears:
            shapes[f"{block}self_attn.{linear.name}_proj.weight"] = (linear.out_features, linear.in_features)
        for linear in layer.mlp.linears:
            shapes[f"{block}mlp.{linear.name}_proj.weight"] = (linear.out_features, linear.in_features)
        shapes[f"{block}input_layernorm.weight"] = (hidden,)
        shapes[f"{block}post_attention_layernorm.weight"] = (hidden,)
    shapes[f"{prefix}norm.weight"] = (hidden,)
    if head:
        shapes["lm_head.weight"] = (vocab, hidden)
    return shapes


def workload_of(
    context_tokens: int,
    *,
    input_tokens: int | None = None,
    batch_size: int = 1,
    kv_cache_dtype: str | None = None,
    cache: str = "dynamic",
    attention: Attention = Attention.AUTO,
    padded: bool = False,
) -> Workload:
    return Workload(
        context_tokens=context_tokens,
        input_tokens=context_tokens if input_tokens is None else input_tokens,
        batch_size=batch_size,
        kv_cache_dtype=kv_cache_dtype,
        cache=cache,
        attention=attention,
        padded=padded,
    )


def corpus_source(repo: str) -> CorpusSource:
    """A repo of the corpus."""
    return CorpusSource(CORPUS, repo)


def corpus_repos(file: str) -> list[str]:
    """Repos of the corpus that have `file`; none where there is no corpus."""
    return sorted(path.parent.name.replace("__", "/", 1) for path in CORPUS.glob(f"repos/*/{file}"))


def corpus_config(repo: str) -> ModelConfig:
    path = CORPUS / "repos" / repo.replace("/", "__") / "config.json"
    return parse_config(path.read_bytes(), repo)
