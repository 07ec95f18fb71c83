"""Any two models as one, an encoder and a decoder of types of their own (also one that sees or hears)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from hubvram.architecture.families.interface import Read
from hubvram.architecture.families.seq2seq import Name, stack_of
from hubvram.architecture.families.towers import grid, sides
from hubvram.architecture.families.weights import linear
from hubvram.architecture.layers import Architecture, Stack
from hubvram.architecture.parts import Weight
from hubvram.checkpoint.components import Component
from hubvram.config.document import ConfigDocument
from hubvram.config.reader import inner_config


def _read_pair(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """An encoder and a decoder of types of their own, each read by its family."""
    encoder, decoder = _half(config, "encoder", "Model"), _half(config, "decoder", "ForCausalLM")
    between: tuple[Weight, ...] = ()
    width = inner_config(config, "decoder").size_or_none("cross_attention_hidden_size")
    # Speech says its width behind an adapter; the matrix goes by the width before it.
    said = inner_config(config, "encoder").size_or_none("output_hidden_size") or encoder.hidden_size
    if said != decoder.hidden_size and width is None:
        sizes = decoder.hidden_size, encoder.hidden_size
        between = (linear("encoder to decoder", *sizes, component=Component.PROJECTOR),)
    return replace(
        decoder,
        model_type=config.model_type or config.require(str, "model_type"),
        extras=(*decoder.extras, *between),
        stacks=(*decoder.stacks, _encoder(config, encoder)),
        shares_embedding=False,
        decoder_type=decoder.model_type,
    )


def _encoder(config: ConfigDocument, encoder: Architecture) -> Stack:
    stack = stack_of(encoder, source_tokens=_source_tokens(config, encoder))
    return replace(stack, model_type=encoder.model_type, alone=encoder)


_TOKENS_BESIDE: Final[Mapping[str, int]] = {
    **dict.fromkeys(("vit", "beit", "data2vec-vision", "dinov2", "vit_msn", "dinov2_with_registers", "dinov3_vit"), 1),
    "deit": 2,
    "ijepa": 0,
}
"""Encoders that say something for each patch, and for so many tokens beside them; and for registers."""


def _source_tokens(config: ConfigDocument, encoder: Architecture) -> int | None:
    """How many positions an image has for the decoder, as in Stack."""
    if config.model_type != "vision-encoder-decoder":
        return None
    document = inner_config(config, "encoder")
    if encoder.model_type in _TOKENS_BESIDE:
        registers = document.get(int, "num_register_tokens") or 0
        return grid(document) + _TOKENS_BESIDE[encoder.model_type] + registers
    if encoder.model_type not in ("swin", "donut-swin"):
        return 0
    # What is left over at an edge makes a patch too; each stage but the last then merges squares of four.
    height, width = (
        -(-side // patch)
        for side, patch in zip(sides(document, "image_size"), sides(document, "patch_size"), strict=True)
    )
    merged = 1 << len(document.integers("depths")) - 1
    return -(-height // merged) * -(-width // merged)


def _half(config: ConfigDocument, name: Name, class_name: str) -> Architecture:
    # The families of text models are in files beside this one, which their common table imports.
    from hubvram.architecture.families import FAMILIES

    if config.section(name) is None:
        raise config.error(name, "it is missing, and which two models these are is said nowhere else")
    document = inner_config(config, name)
    read = FAMILIES.get(document.model_type or "")
    if read is None or document.model_type == config.model_type:
        raise document.error("model_type", f"{document.model_type!r} is not one that hubvram understands yet")
    names = {"bert-generation": "Decoder"} if name == "decoder" else {}
    return read(document, (names.get(document.model_type or "", class_name),))


FAMILIES: Final[Mapping[str, Read]] = dict.fromkeys(
    ("encoder-decoder", "speech-encoder-decoder", "vision-encoder-decoder"), _read_pair
)
