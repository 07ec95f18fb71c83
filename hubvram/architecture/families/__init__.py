"""config.json -> Architecture, one table entry per model type; a new arrangement of layers is one file here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from importlib import import_module
from typing import Final

from hubvram.architecture.families.interface import Read
from hubvram.architecture.layers import Architecture
from hubvram.config.document import ConfigDocument
from hubvram.config.reader import ModelConfig

_FILES: Final = (
    # Decoders, read by decoder.py.
    "dense",  # llama's shape
    "classic",  # from before llama
    "gemma",  # 3n and 4: K and V of earlier layers, embeddings for each layer
    "nemotron_nas",  # layers chosen one by one
    "latent",  # multi-head latent attention: DeepSeek-V2 and after
    # Decoders with experts, read by experts.py.
    "moe",  # one line each
    "moe_attention",  # with attention of their own making too
    "deepseek_v4",
    # Decoders with layers of several kinds, read by hybrid.py.
    "state_space",  # mamba
    "linear_attention",  # and gated recurrences
    "convolutions",  # short ones
    "inkling",
    # Encoders; encoder_tops.py says what stands on them.
    "text_encoder",  # bert
    "modernbert",  # and its decoder
    "vision_encoder",  # vit
    "swin",
    "speech_encoder",  # wav2vec2
    "clip",  # pairs of a text and a vision encoder
    # Decoders beside a codec.
    "spoken",
    # Encoder-decoders, read by seq2seq.py.
    "bart",
    "t5",
    "encoder_decoder",  # any two text models
    # Text model, towers and projectors, read by composite.py.
    "multimodal_text",
    "multimodal",
    # Types whose code is not part of transformers.
    "remote",
    "remote_multimodal",
)


class _Families(Mapping[str, Read]):
    """The tables of all files as one. A file is imported when the ones before it do not have the type asked for: the
    first have what most people ask for, and all of them take a fifth of a second."""

    def __getitem__(self, model_type: str) -> Read:
        file = _file_of(model_type)
        if file is None:
            raise KeyError(model_type)
        return _table(file)[model_type]

    def __iter__(self) -> Iterator[str]:
        return (model_type for file in _FILES for model_type in _table(file))

    def __len__(self) -> int:
        return sum(len(_table(file)) for file in _FILES)


def _file_of(model_type: str | None) -> str | None:
    return next((file for file in _FILES if model_type in _table(file)), None)


@cache
def _table(file: str) -> Mapping[str, Read]:
    families: Mapping[str, Read] = import_module(f"{__name__}.{file}").FAMILIES
    return families


FAMILIES: Final[Mapping[str, Read]] = _Families()
"""model_type -> how to read its config."""


def architecture_of(config: ModelConfig) -> Architecture | None:
    """What a family derives from a config; None without a family. Raises ConfigError."""
    document = described(config)
    if document is None or document.model_type is None:
        return None
    architecture = FAMILIES[document.model_type](document, config.architectures)
    if config.model_type in (None, architecture.model_type):
        return architecture
    return replace(architecture, whole_type=config.model_type)


def described(config: ModelConfig) -> ConfigDocument | None:
    """The part of a config that a family reads: all of it, else the text model inside; None without a family."""
    if config.whole is config.text:
        return config.whole if _is_family(config.whole) else None
    from hubvram.architecture.families.multimodal import COMPOSITES

    if config.whole.model_type in COMPOSITES and config.text_model_type not in FAMILIES:
        return None
    return next((document for document in (config.whole, config.text) if _is_family(document)), None)


def _is_family(document: ConfigDocument) -> bool:
    if document.model_type not in FAMILIES:
        return False
    if _file_of(document.model_type) != "remote_multimodal":
        return True
    from hubvram.architecture.families.remote_multimodal import OTHERS

    is_other = OTHERS.get(document.model_type or "")
    return is_other is None or not is_other(document)
