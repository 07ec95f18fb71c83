"""config.json -> Architecture, one table entry per model type; a new arrangement of layers is one file here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from hubvram.architecture.families import (
    bart,
    classic,
    clip,
    convolutions,
    deepseek_v4,
    dense,
    encoder_decoder,
    gemma,
    inkling,
    latent,
    linear_attention,
    modernbert,
    moe,
    moe_attention,
    multimodal,
    multimodal_text,
    nemotron_nas,
    remote,
    remote_multimodal,
    speech_encoder,
    state_space,
    swin,
    t5,
    text_encoder,
    vision_encoder,
)
from hubvram.architecture.families.interface import Read
from hubvram.architecture.layers import Architecture
from hubvram.config.document import ConfigDocument
from hubvram.config.reader import ModelConfig

_FILES: Final = (
    # Decoders, read by decoder.py.
    dense,  # llama's shape
    classic,  # from before llama
    gemma,  # 3n and 4: K and V of earlier layers, embeddings for each layer
    nemotron_nas,  # layers chosen one by one
    latent,  # multi-head latent attention: DeepSeek-V2 and after
    # Decoders with experts, read by experts.py.
    moe,  # one line each
    moe_attention,  # with attention of their own making too
    deepseek_v4,
    # Decoders with layers of several kinds, read by hybrid.py.
    state_space,  # mamba
    linear_attention,  # and gated recurrences
    convolutions,  # short ones
    inkling,
    # Encoders; encoder_tops.py says what stands on them.
    text_encoder,  # bert
    modernbert,  # and its decoder
    vision_encoder,  # vit
    swin,
    speech_encoder,  # wav2vec2
    clip,  # pairs of a text and a vision encoder
    # Encoder-decoders, read by seq2seq.py.
    bart,
    t5,
    encoder_decoder,  # any two text models
    # Text model, towers and projectors, read by composite.py.
    multimodal_text,
    multimodal,
    # Types whose code is not part of transformers.
    remote,
    remote_multimodal,
)

FAMILIES: Final[Mapping[str, Read]] = MappingProxyType(
    {model_type: read for file in _FILES for model_type, read in file.FAMILIES.items()}
)
"""model_type -> how to read its config."""


def architecture_of(config: ModelConfig) -> Architecture | None:
    """What a family derives from a config; None without a family. Raises ConfigError."""
    document = described(config)
    if document is None or document.model_type is None:
        return None
    return FAMILIES[document.model_type](document, config.architectures)


def described(config: ModelConfig) -> ConfigDocument | None:
    """The part of a config that a family reads: all of it, else the text model inside; None without a family."""
    if config.whole.model_type in multimodal.COMPOSITES and config.text_model_type not in FAMILIES:
        return None
    document = next((document for document in (config.whole, config.text) if document.model_type in FAMILIES), None)
    is_other = remote_multimodal.OTHERS.get(document.model_type or "") if document else None
    return None if document is None or (is_other is not None and is_other(document)) else document
