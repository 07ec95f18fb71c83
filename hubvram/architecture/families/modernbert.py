"""ModernBERT, and the decoder of its shape: windows in two of three layers, a head with a matrix and a norm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from hubvram.architecture import patterns
from hubvram.architecture.families import encoder_tops as tops
from hubvram.architecture.families.decoder import Traits, both_ways, dense, fixed, read_decoder
from hubvram.architecture.families.interface import Read
from hubvram.architecture.families.text_encoder import Encoder, read_encoder
from hubvram.architecture.families.weights import linear, norm
from hubvram.architecture.layers import Architecture
from hubvram.architecture.parts import Weight
from hubvram.checkpoint.components import Component
from hubvram.config.document import ConfigDocument


def _window(config: ConfigDocument) -> Mapping[str, Any]:
    return {"sliding_window": config.size_or_none("local_attention")}


def _half_window(config: ConfigDocument) -> Mapping[str, Any]:
    """Windows reach both ways: half of one is behind a token."""
    return {"sliding_window": (config.size_or_none("local_attention") or 0) // 2}


def _every_third_is_full(config: ConfigDocument, layers: int) -> patterns.Windows:
    every = config.size_or_none("global_attn_every_n_layers") or 3
    window = config.size("sliding_window")
    return [window if index % every else None for index in range(layers)]


def _norm_but_first(config: ConfigDocument, index: int) -> tuple[Weight, ...]:
    """Before attention; in the first layer the embedding's norm stands there already."""
    return _norm(config, "attention norm") if index else ()


def _norm(config: ConfigDocument, name: str, component: Component = Component.NORM) -> tuple[Weight, ...]:
    return norm(name, config.size("hidden_size"), component, bias=config.flag("norm_bias"))


_LAYERS: Final = Traits(
    read_mlp=dense,
    windows=_every_third_is_full,
    layer_extras=_norm_but_first,
    qkv_bias="attention_bias",
    o_bias="attention_bias",
    mlp_bias="mlp_bias",
    norm_bias="norm_bias",
    norms_per_layer=1,
    fused_mlp=True,
    activation="hidden_activation",
    rotary_tables=2,
)

_ENCODER: Final = Encoder(
    layers=replace(_LAYERS, read_mixer=both_ways, values=_window, fused_qkv=True),
    tops=tops.MODERNBERT,
    token_types=False,
    final_norm=True,
)

_DECODER: Final = replace(
    _LAYERS,
    values=_half_window,
    overrides=fixed(num_key_value_heads=None),
    extras=lambda config: _norm(config, "embedding norm"),
    head_bias="decoder_bias",
)


def _read_decoder(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """What stands on top has a matrix and a norm of its own before the head."""
    architecture = read_decoder(config, architectures, _DECODER)
    head, hidden, bias = architecture.head, config.size("hidden_size"), config.flag("classifier_bias")
    if head is None:
        return architecture
    top = linear("head", hidden, hidden, bias=bias, component=Component.HEAD)
    if head.out_features != architecture.vocab_size:
        head = replace(head, bias=bias)
    extras = (*architecture.extras, top, *_norm(config, "head norm", Component.HEAD))
    return replace(architecture, extras=extras, head=head)


FAMILIES: Final[Mapping[str, Read]] = {
    "modernbert": partial(read_encoder, encoder=_ENCODER),
    "modernbert-decoder": _read_decoder,
}
