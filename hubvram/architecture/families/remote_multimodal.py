"""Models of several parts whose code is not part of transformers: Molmo and MiniCPM-V.

What their configs leave out is what the published code has; the sums were compared with the Hub's totals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Final

from hubvram.architecture import patterns
from hubvram.architecture.families.composite import Composite, read_composite
from hubvram.architecture.families.decoder import Traits, dense, fixed, read_decoder, read_layers
from hubvram.architecture.families.fields import changed
from hubvram.architecture.families.interface import Read
from hubvram.architecture.families.projectors import Ends, gated_mlp, projector
from hubvram.architecture.families.towers import VIT, norms, read_tower
from hubvram.architecture.families.towers_fixed import TOWERS
from hubvram.architecture.families.weights import linear, norm
from hubvram.architecture.layers import Architecture, Stack
from hubvram.architecture.parts import Tensor
from hubvram.checkpoint.components import Component
from hubvram.config.document import ConfigDocument

# -------------------------------------------------------------------------------------------- Molmo

_MOLMO_TOWER: Final = MappingProxyType(
    {"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16, "hidden_act": "quick_gelu"}
)
"""CLIP's largest tower, of which a layer is left out: VisionBackboneConfig of modeling_molmo.py."""
_MOLMO_LAYERS: Final = 23
_MOLMO_POSITIONS: Final = 577
_MOLMO_PIXELS: Final = 588
_MOLMO_LAYERS_SEEN: Final = 2
_MOLMO_FURTHER_TOKENS: Final = 128

_MOLMO: Final = Traits(
    read_mlp=dense,
    qkv_bias="qkv_bias",
    qk_norm="attention_layer_norm",
    qk_norm_all_heads=True,
    fused_qkv=True,
    fused_mlp=True,
    values=fixed(hidden_act="silu"),
)


def _read_molmo_text(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """`intermediate_size` is that of both halves of its MLP. The head does not predict the tokens for images."""
    rows = config.size_or_none("embedding_size") or config.size("vocab_size")
    inner = config.size("intermediate_size")
    if inner % 2:
        raise config.error("intermediate_size", f"{inner} has no two halves")
    traits = replace(_MOLMO, pre_norm=not config.flag("norm_after"))
    architecture = read_decoder(changed(config, intermediate_size=inner // 2, vocab_size=rows), architectures, traits)
    return replace(architecture, vocab_size=rows + _MOLMO_FURTHER_TOKENS)


def _molmo_beside(whole: ConfigDocument, text: ConfigDocument) -> tuple[Stack, ...]:
    """The tower; attention that pools what two of its layers say of a few patches, and a gated MLP."""
    tower = ConfigDocument(model_id=whole.model_id, data=_MOLMO_TOWER, path="(vision).")
    size, out = tower.size("hidden_size"), text.size("hidden_size")
    seen = _MOLMO_LAYERS_SEEN * size
    vision = Stack(
        name=Component.VISION.value,
        hidden_size=size,
        layers=read_layers(tower, _MOLMO_LAYERS, VIT),
        extras=(
            linear("patch embedding", size, _MOLMO_PIXELS, bias=False),
            Tensor(name="positions", shape=(_MOLMO_POSITIONS, size)),
            Tensor(name="class token", shape=(size,)),
            *norms(tower),
            Tensor(name="padding", shape=(2, seen)),
        ),
        component=Component.VISION,
    )
    between = projector(
        Ends(whole=whole, text=text, tower=tower),
        linear("q k v", size, seen, count=3),
        linear("o", size, size),
        *gated_mlp(text.size("intermediate_size") // 2, size, out),
    )
    return vision, between


# ---------------------------------------------------------------------------------------- MiniCPM-V

_MINICPM_TEXT: Final = Traits(read_mlp=dense, qkv_bias=True, windows=patterns.from_max_window_layers)
_SIGLIP: Final = MappingProxyType(
    {"model_type": "siglip", "num_channels": 3, "hidden_act": "gelu_pytorch_tanh", "vision_use_head": False}
)


def _minicpm_beside(whole: ConfigDocument, text: ConfigDocument) -> tuple[Stack, ...]:
    """A SigLIP without its pooling head; learned queries that look at its patches."""
    section = whole.section("vision_config") or {}
    config = ConfigDocument(
        model_id=whole.model_id,
        data=section,
        path="vision_config.",
        model_type="siglip_vision_model",
        defaults=_SIGLIP,
    )
    tower = read_tower(config, TOWERS)
    if tower is None:
        return ()
    if whole.flag("drop_vision_last_layer"):
        tower = replace(tower, layers=tower.layers[:-1])
    out = text.size("hidden_size")
    resampler = projector(
        Ends(whole=whole, text=text, tower=config),
        Tensor(name="queries", shape=(whole.size("query_num"), out)),
        linear("patches", out, config.size("hidden_size"), bias=False),
        linear("q k v o", out, out, count=4),
        *norm("norm", out, None, count=3),
        Tensor(name="projection", shape=(out, out)),
    )
    return tower, resampler


def _has_experts(config: ConfigDocument) -> bool:
    return config.data.get("moe_num_experts") is not None


def _is_not_2_6(config: ConfigDocument) -> bool:
    """One type has had text models of four kinds."""
    return config.data.get("version") != 2.6


OTHERS: Final[Mapping[str, Callable[[ConfigDocument], bool]]] = {"molmo": _has_experts, "minicpmv": _is_not_2_6}
"""Types of which only some models are read -> whether one is another."""

_COMPOSITES: Final[Mapping[str, Composite]] = {
    "molmo": Composite(towers=(), read_text=_read_molmo_text, beside=_molmo_beside),
    "minicpmv": Composite(
        towers=(), read_text=partial(read_decoder, traits=_MINICPM_TEXT), beside=_minicpm_beside, has_head=True
    ),
}

FAMILIES: Final[Mapping[str, Read]] = {
    model_type: partial(read_composite, composite=composite) for model_type, composite in _COMPOSITES.items()
}
