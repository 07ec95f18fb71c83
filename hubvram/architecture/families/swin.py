"""Swin (2103.14030): attention within windows of patches, in stages of which each doubles the width."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from hubvram.architecture.attention import BidirectionalAttention
from hubvram.architecture.families import encoder_tops as tops
from hubvram.architecture.families.encoder_tops import LABELS, Top, Tops
from hubvram.architecture.families.fields import LAYERS_LIMIT, changed, ratio
from hubvram.architecture.families.interface import Read
from hubvram.architecture.families.towers import grid, patches, sides
from hubvram.architecture.families.weights import norm
from hubvram.architecture.layers import Architecture, Image, Layer
from hubvram.architecture.mlp import DenseMLP
from hubvram.architecture.parts import Linear, Norms, Tensor, Weight
from hubvram.checkpoint.components import Component
from hubvram.config.document import ConfigDocument

_STAGES_LIMIT: Final = 16
_TOPS: Final[Tops] = {"Model": Top(), "ForImageClassification": Top(rows=LABELS)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Swin:
    """In what a model type differs."""

    final_norm: bool = True
    more_positions: int = 0
    """Rows of learned positions, where there are any, beyond the patches."""


def _read(config: ConfigDocument, architectures: tuple[str, ...], swin: Swin) -> Architecture:
    """The architecture of such an encoder. Raises ConfigError."""
    width, stages = config.size("embed_dim"), _stages(config)
    out = width << len(stages) - 1
    head, around = tops.read_top(config, tops.top_of(_TOPS, architectures), out)
    return Architecture(
        model_type=config.model_type or config.require(str, "model_type"),
        hidden_size=out,
        vocab_size=0,
        max_position_embeddings=None,
        tie_word_embeddings=False,
        layers=tuple(
            _layer(config, width << stage, heads, is_last=index == depth - 1 and stage < len(stages) - 1)
            for stage, (depth, heads) in enumerate(stages)
            for index in range(depth)
        ),
        final_norm=Norms(count=int(swin.final_norm), hidden_size=out, bias=True),
        head=head,
        image=_image(config, len(stages)),
        extras=(*_embeddings(config, width, swin), *around),
    )


def _image(config: ConfigDocument, stages: int) -> Image:
    """What is left over at an edge makes a patch too; each stage but the last then merges squares of four."""
    height, width = sides(config, "image_size")
    tokens = 1
    for side, patch in zip((height, width), sides(config, "patch_size"), strict=True):
        patches = -(-side // patch)
        for _ in range(stages - 1):
            patches = -(-patches // 2)
        tokens *= patches
    return Image(channels=config.size("num_channels"), height=height, width=width, tokens=tokens)


def _stages(config: ConfigDocument) -> tuple[tuple[int, int], ...]:
    """(layers, heads) of each stage."""
    depths, heads = config.integers("depths"), config.integers("num_heads")
    if not 0 < len(depths) <= _STAGES_LIMIT or not all(0 < depth <= LAYERS_LIMIT for depth in depths):
        raise config.error("depths", f"expected the layers of 1 to {_STAGES_LIMIT} stages, found {list(depths)[:4]}")
    if len(heads) < len(depths) or not all(0 < number <= LAYERS_LIMIT for number in heads):
        raise config.error("num_heads", f"expected {len(depths)} numbers of heads or more, found {list(heads)[:4]}")
    return tuple(zip(depths, heads, strict=False))


def _embeddings(config: ConfigDocument, width: int, swin: Swin) -> tuple[Weight, ...]:
    place = Component.EMBEDDING
    rows = grid(config) + swin.more_positions if config.flag("use_absolute_embeddings") else 0
    return (
        *(
            Tensor(name=weight.name, shape=(weight.parameters,), component=place)
            for weight in patches(changed(config, hidden_size=width))
        ),
        *((Tensor(name="positions", shape=(rows, width), component=place),) if rows else ()),
        *norm("patch norm", width),
    )


def _layer(config: ConfigDocument, width: int, heads: int, *, is_last: bool) -> Layer:
    """Attention with a bias for each offset within a window, and an MLP; behind a stage, squares are merged."""
    if width % heads:
        raise config.error("num_heads", f"{heads} heads do not divide the width {width}")
    offsets = (2 * config.size("window_size") - 1) ** 2
    merge: tuple[Weight, ...] = (
        Linear(name="merge", out_features=2 * width, in_features=4 * width, component=Component.OTHER),
        *norm("merge norm", 4 * width),
    )
    return Layer(
        mixer=BidirectionalAttention(
            hidden_size=width,
            num_attention_heads=heads,
            num_key_value_heads=heads,
            head_dim=width // heads,
            qkv_bias=config.flag("qkv_bias"),
            o_bias=True,
            others=(Tensor(name="offsets", shape=(offsets, heads)),),
        ),
        mlp=DenseMLP(
            hidden_size=width,
            intermediate_size=int(width * ratio(config, "mlp_ratio")),
            hidden_act=config.require(str, "hidden_act"),
            gated=False,
            bias=True,
        ),
        norms=Norms(count=2, hidden_size=width, bias=True),
        extras=merge if is_last else (),
    )


FAMILIES: Final[Mapping[str, Read]] = {
    "swin": partial(_read, swin=Swin()),
    "donut-swin": partial(_read, swin=Swin(final_norm=False, more_positions=1)),
}
