"""t5 and its kin: relative positions in a table of the first layer, one embedding for both sides, RMS norms.

Also what is made of two gemmas (t5gemma), and t5's decoder over patches of an image (pix2struct).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from hubvram.architecture import patterns
from hubvram.architecture.attention import BidirectionalAttention, CrossAttention, FullAttention
from hubvram.architecture.families.decoder import (
    Traits,
    attention,
    both_ways,
    cross_attention,
    dense,
    read_decoder,
    read_layers,
)
from hubvram.architecture.families.fields import LAYERS_LIMIT, changed, number_of_layers
from hubvram.architecture.families.interface import Read
from hubvram.architecture.families.seq2seq import Around, Name, Side, assemble, block_of, blockwise
from hubvram.architecture.families.towers import read_tower
from hubvram.architecture.families.towers_any_size import TOWERS
from hubvram.architecture.layers import Architecture, Image, Layer
from hubvram.architecture.mlp import DenseMLP, MoEMLP
from hubvram.architecture.parts import Norms, Part, Tensor, Weight, vector
from hubvram.checkpoint.components import Component
from hubvram.config.document import ConfigDocument
from hubvram.config.reader import inner_config


@dataclass(frozen=True, slots=True, kw_only=True)
class T5:
    """In what a model type differs from t5."""

    biased_everywhere: bool = False
    """Whether each layer has relative positions of its own, not only the first."""
    local_encoder: bool = False
    """Whether the encoder looks at a window (longt5)."""
    sparse: bool = False
    """Whether some layers have experts (switch_transformers)."""
    tied_by_file: bool = True
    """Whether false in `tie_word_embeddings` means that there is a head of its own."""
    gelu_by_tanh: bool = True
    """Whether `gated-gelu` is the one by tanh, not the exact one."""
    reads_pages: bool = False
    """Whether both sides see patches of an image, and places on a page (udop)."""


def _read_t5(config: ConfigDocument, architectures: tuple[str, ...], traits: T5) -> Architecture:
    """A model of t5's shape. Raises ConfigError.

    transformers 5 writes `tie_word_embeddings` true whatever the file said, and what it said as
    `scale_decoder_outputs`. A head that is not the embedding stays apart nevertheless (tie_weights).
    """
    said = [config.get(bool, key) for key in ("tie_word_embeddings", "scale_decoder_outputs")]
    around = Around(
        tied=not traits.tied_by_file or False not in said,
        unused=("EncDecAttention.relative_attention_bias.weight",),
    )
    return assemble(config, architectures, partial(_t5_side, config, traits), around)


def _t5_side(config: ConfigDocument, traits: T5, name: Name) -> Side:
    hidden_size = config.size("d_model")
    number = _t5_number(config, name)
    cross: tuple[Part, ...] = ()
    if name == "decoder":
        cross = (CrossAttention(**_t5_attention(config), encoder_hidden_size=hidden_size),)
    norms = Norms(count=2 + len(cross), hidden_size=hidden_size)
    return Side(
        hidden_size=hidden_size,
        vocab_size=config.size("vocab_size"),
        layers=tuple(
            Layer(
                mixer=_t5_mixer(config, traits, name, index),
                mlp=_t5_mlp(config, traits, name, index),
                norms=norms,
                others=cross,
            )
            for index in range(number)
        ),
        final_norm=Norms(count=1, hidden_size=hidden_size),
        extras=_page(config, name) if traits.reads_pages else (),
        image=_scan(config) if traits.reads_pages else None,
    )


def _page(config: ConfigDocument, name: Name) -> tuple[Weight, ...]:
    """Patches, learned places for the corners of a word's box, and relative positions in two directions more."""
    hidden_size, place = config.size("d_model"), Component.EMBEDDING
    kinds = config.get(list, "relative_bias_args")
    further = 2 if kinds is None else max(len(kinds) - 1, 0)  # the first is that of the first layer
    is_usual = kinds is None or kinds in (_BIASES[:1], _BIASES[:2], _BIASES)
    buckets = (config.size("relative_attention_num_buckets"), config.size("num_heads"))
    side = config.size("patch_size")
    weights: tuple[Weight, ...] = (
        Tensor(name="patches", shape=(hidden_size, config.size("num_channels"), side, side), component=place),
        vector("patches bias", hidden_size, place),
        Tensor(
            name="relative places" if is_usual else "other relative positions",
            shape=buckets,
            count=further,
            component=Component.ATTENTION,
        ),
    )
    if name == "decoder":
        return weights
    shape = (config.size("max_2d_position_embeddings"), hidden_size)
    return (*weights, Tensor(name="places", shape=shape, count=2, component=place))


_BIASES: Final = [{"type": "1d"}, {"type": "horizontal"}, {"type": "vertical"}]
"""Relative positions of tokens, and of their places: `relative_bias_args` as it is where nothing is said."""


def _scan(config: ConfigDocument) -> Image:
    """Of the page: always square, and as large as the config says."""
    side = config.size("image_size")
    patches = (side // config.size("patch_size")) ** 2
    return Image(channels=config.size("num_channels"), height=side, width=side, tokens=patches)


def _t5_number(config: ConfigDocument, name: Name) -> int:
    """Layers; the decoder has as many as the encoder where nothing is said."""
    field = "num_decoder_layers" if name == "decoder" and config.size_or_none("num_decoder_layers") else "num_layers"
    return config.size(field, largest=LAYERS_LIMIT)


def _t5_attention(config: ConfigDocument) -> dict[str, Any]:
    heads = config.size("num_heads")
    return {
        "hidden_size": config.size("d_model"),
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "head_dim": config.size("d_kv"),
    }


def _t5_mixer(config: ConfigDocument, traits: T5, name: Name, index: int) -> Part:
    usual = _t5_attention(config)
    shape = (config.size("relative_attention_num_buckets"), config.size("num_heads"))
    biases: tuple[Weight, ...] = ()
    if index == 0 or traits.biased_everywhere:
        biases = (Tensor(name="relative positions", shape=shape),)
    if name == "decoder":
        return FullAttention(**usual, others=biases)
    if not traits.local_encoder:
        return BidirectionalAttention(**usual, others=biases)
    window = 2 * config.size("local_radius") + 1
    kind = config.require(str, "encoder_attention_type")
    if kind == "local":
        return blockwise("local_attention", BidirectionalAttention(**usual, sliding_window=window, others=biases))
    if kind != "transient-global":
        raise config.error("encoder_attention_type", f"{kind!r} is neither local nor transient-global")
    # Sums of blocks are looked at beside the window: a norm for them, and relative positions of their own.
    others = (*biases, *biases, vector("global norm", config.size("d_model")))
    attention = BidirectionalAttention(**usual, sliding_window=window, others=others)
    return blockwise("transient_global_attention", attention, summed_tokens=config.size("global_block_size"))


def _t5_mlp(config: ConfigDocument, traits: T5, name: Name, index: int) -> Part:
    hidden_size, width = config.size("d_model"), config.size("d_ff")
    if not traits.sparse:
        return _t5_dense(config, traits, hidden_size, width)
    activation = config.require(str, "dense_act_fn")
    step = _sparse_step(config, name)
    # index % step == 1, and each layer with a step of 1 (SwitchTransformersStack).
    if step <= 0 or index % step != 1 % step:
        return DenseMLP(hidden_size=hidden_size, intermediate_size=width, hidden_act=activation, gated=False)
    return MoEMLP(
        hidden_size=hidden_size,
        num_experts=config.size("num_experts"),
        num_experts_per_tok=1,
        moe_intermediate_size=width,
        hidden_act=activation,
        gated=False,
        router_bias=config.flag("router_bias"),
        capacity=config.size("expert_capacity"),
    )


def _sparse_step(config: ConfigDocument, name: Name) -> int:
    """One layer with experts among so many (switch_transformers)."""
    step = config.get(int, f"{name}_sparse_step")
    if step is not None:
        return step
    sparse, number = config.require(int, f"num_sparse_{name}_layers"), _t5_number(config, name)
    return number // sparse if sparse > 0 else number


def _t5_dense(config: ConfigDocument, traits: T5, hidden_size: int, width: int) -> DenseMLP:
    """`feed_forward_proj` is an activation, or `gated-` and one."""
    said = config.require(str, "feed_forward_proj")
    gate, _, activation = said.rpartition("-")
    if gate not in ("", "gated"):
        raise config.error("feed_forward_proj", f"{said!r} is neither an activation nor a gated one")
    return DenseMLP(
        hidden_size=hidden_size,
        intermediate_size=width,
        hidden_act="gelu_new" if traits.gelu_by_tanh and said == "gated-gelu" else activation,
        gated=bool(gate),
    )


_T5: Final[Mapping[str, T5]] = {
    "t5": T5(),
    "mt5": T5(),
    "umt5": T5(biased_everywhere=True),
    "longt5": T5(local_encoder=True, tied_by_file=False),
    "switch_transformers": T5(sparse=True),
    "udop": T5(gelu_by_tanh=False, reads_pages=True),
}

# ----------------------------------------------------------------------------- gemma with two sides


def _merged(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> Part:
    """Attention to earlier tokens and to the encoder's at once, with the same matrices (t5gemma2)."""
    mixer = attention(config, traits, index, window)
    return block_of("merged_attention", mixer, keeps=(mixer, cross_attention(config, traits, index)))


def _cross(config: ConfigDocument, traits: Traits, index: int, *, width: int) -> tuple[Part, ...]:
    return (cross_attention(config, traits, index, width),)


_GEMMA2: Final = Traits(
    read_mlp=dense,
    windows=patterns.every_other,
    qkv_bias="attention_bias",
    o_bias="attention_bias",
    norms_per_layer=4,
    activation="hidden_activation",
)
_GEMMA3: Final = replace(_GEMMA2, windows=patterns.all_but_every_sixth, qk_norm=True, rotary_tables=2)


def _gemma_side(config: ConfigDocument, traits: Traits, *, extras: tuple[Weight, ...] = ()) -> Side:
    hidden_size = config.size("hidden_size")
    return Side(
        hidden_size=hidden_size,
        vocab_size=config.size("vocab_size"),
        layers=read_layers(config, number_of_layers(config), traits),
        final_norm=Norms(count=1, hidden_size=hidden_size),
        max_position_embeddings=config.size_or_none("max_position_embeddings"),
        rotary_dim=config.size("head_dim"),
        rotary_tables=traits.rotary_tables,
        extras=extras,
    )


def _read_t5gemma(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """Two gemma2, of which the second attends to the first. Their embeddings are two."""
    encoder, decoder = inner_config(config, "encoder"), inner_config(config, "decoder")
    cross = partial(_cross, width=encoder.size("hidden_size"))
    sides = {
        "encoder": (encoder, replace(_GEMMA2, read_mixer=both_ways)),
        "decoder": (decoder, replace(_GEMMA2, read_others=cross, norms_per_layer=6)),
    }
    around = Around(
        tied=config.flag("tie_word_embeddings"),
        shares_embedding=False,
        dense_classifier=False,
        encodes_only=config.get(bool, "is_encoder_decoder") is False,
    )
    return assemble(config, architectures, lambda name: _gemma_side(*sides[name]), around)


def _read_t5gemma2(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """Two gemma3 with one embedding; the first one's vision tower counts as stored."""
    encoder, decoder = inner_config(inner_config(config, "encoder"), "text_config"), inner_config(config, "decoder")
    sides = {
        "encoder": (encoder, replace(_GEMMA3, read_mixer=both_ways)),
        "decoder": (decoder, replace(_GEMMA3, read_mixer=_merged)),
    }
    tied = config.flag("tie_word_embeddings")
    # The embedding of the token that ends an image belongs to both sides, as the rest does.
    end = vector("end of image", decoder.size("hidden_size"), Component.EMBEDDING)
    around = Around(
        tied=tied,
        shares_embedding=tied,
        unused=("decoder.embed_tokens.eoi_embedding",) if tied else (),
        dense_classifier=False,
        encodes_only=False,
    )
    return assemble(
        config,
        architectures,
        lambda name: _gemma_side(*sides[name], extras=(end,) if name == "encoder" or not tied else ()),
        around,
    )


# --------------------------------------------------------------------------------------- pix2struct


def _pix2struct_mixer(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> FullAttention:
    """T5's, with relative positions in a table of the first layer."""
    shape = (config.size("relative_attention_num_buckets"), config.size("num_attention_heads"))
    others = () if index else (Tensor(name="relative positions", shape=shape),)
    return replace(attention(config, traits, index, None), others=others)


def _read_pix2struct(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """T5's decoder over an encoder of patches."""
    text, vision = inner_config(config, "text_config"), inner_config(config, "vision_config")
    traits = Traits(
        read_mlp=dense,
        read_mixer=_pix2struct_mixer,
        read_others=partial(_cross, width=vision.size("hidden_size")),
        norms_per_layer=3,
        activation="dense_act_fn",
        rotary=False,
    )
    decoder = read_decoder(changed(text, intermediate_size=text.size("d_ff")), architectures, traits)
    encoder = read_tower(vision, TOWERS)
    return replace(
        decoder,
        model_type=config.model_type or decoder.model_type,
        tie_word_embeddings=config.flag("tie_word_embeddings"),
        stacks=() if encoder is None else (replace(encoder, name="encoder", component=None),),
    )


FAMILIES: Final[Mapping[str, Read]] = {
    **{model_type: partial(_read_t5, traits=traits) for model_type, traits in _T5.items()},
    "pix2struct": _read_pix2struct,
    "t5gemma": _read_t5gemma,
    "t5gemma2": _read_t5gemma2,
}
