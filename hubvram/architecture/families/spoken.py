"""Decoders that hear and speak by the codes of an audio codec (Mimi), with a small decoder for the codes of a frame.

Details from each model's `modeling_*.py` in transformers 5.23. The codec is no part of these architectures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from hubvram.architecture import patterns
from hubvram.architecture.families.decoder import Traits, dense, read_decoder
from hubvram.architecture.families.fields import LAYERS_LIMIT, changed
from hubvram.architecture.families.interface import Read
from hubvram.architecture.layers import DEPTH_DECODER, Architecture, Layer, Stack
from hubvram.architecture.parts import Block, Norms, Tensor
from hubvram.checkpoint.components import Component
from hubvram.config.document import ConfigDocument
from hubvram.config.reader import inner_config

_WHOLE: Final = "MoshiForConditionalGeneration"


def _moshi(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """`ffn_dim` counts gate and up; the embedding has a row more than the vocabulary, for what is before a text."""
    both = _even(config)
    traits = Traits(read_mlp=dense, windows=patterns.wherever_set, fused_mlp=True)
    model = read_decoder(changed(config, intermediate_size=both // 2), architectures, traits)
    model = replace(model, vocab_size=model.vocab_size + 1)
    return _with_sound(config, model) if _WHOLE in architectures else model


def _even(config: ConfigDocument) -> int:
    both = config.size("ffn_dim")
    if both % 2:
        raise config.error("ffn_dim", f"{both} is no even number")
    return both


def _with_sound(config: ConfigDocument, model: Architecture) -> Architecture:
    """As a whole: with a table for each code of a frame that is heard, and of one that is said."""
    codes = _codes(config)
    rows = _audio_words(config) + 1
    tables = Tensor(name="codes", shape=(rows, model.hidden_size), count=2 * codes, component=Component.EMBEDDING)
    return replace(model, whole_type=model.model_type, extras=(tables,), stacks=(_depth_decoder(config),))


def _codes(config: ConfigDocument) -> int:
    return config.size("num_codebooks", largest=LAYERS_LIMIT)


def _audio_words(config: ConfigDocument) -> int:
    return config.size_or_none("audio_vocab_size") or inner_config(config, "audio_encoder_config").size("codebook_size")


def _depth_decoder(whole: ConfigDocument) -> Stack:
    """Layers with matrices of their own for each code of a frame, all in one tensor: no quantizer packs these
    (MoshiFlexibleLinear). The last code is never read."""
    config = inner_config(whole, "depth_decoder_config")
    codes, words, hidden = _codes(whole), _audio_words(whole), config.size("hidden_size")
    heads = config.size("num_attention_heads")
    head_dim = config.size_or_none("head_dim") or hidden // heads
    query, key = heads * head_dim, (config.size_or_none("num_key_value_heads") or heads) * head_dim
    both = _even(config)

    def each(name: str, out_features: int, in_features: int, component: Component | None = None) -> Tensor:
        return Tensor(name=name, shape=(codes, out_features, in_features), component=component)

    mixer = Block(
        kind="depth_attention",
        component=Component.ATTENTION,
        others=(each("Q", query, hidden), each("K", key, hidden), each("V", key, hidden), each("O", hidden, query)),
    )
    mlp = Block(
        kind="depth_mlp",
        component=Component.MLP,
        others=(each("gate and up", both, hidden), each("down", hidden, both // 2)),
        stateless=True,
    )
    return Stack(
        name=DEPTH_DECODER,
        hidden_size=hidden,
        layers=(Layer(mixer=mixer, mlp=mlp, norms=Norms(count=2, hidden_size=hidden)),)
        * config.size("num_hidden_layers", largest=LAYERS_LIMIT),
        extras=(
            Tensor(name="text", shape=(whole.size("vocab_size") + 1, hidden), component=Component.EMBEDDING),
            Tensor(name="codes", shape=(words + 1, hidden), count=codes - 1, component=Component.EMBEDDING),
            each("projection", hidden, whole.size("hidden_size"), Component.OTHER),
            each("head", words, hidden, Component.HEAD),
        ),
    )


FAMILIES: Final[Mapping[str, Read]] = {"moshi": _moshi}
