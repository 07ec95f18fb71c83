"""Text encoders: every token sees all others. Some of them can be turned into decoders (`is_decoder`).

The details were read from each model's `modeling_*.py` in transformers 5.23; what stands on top is in encoder_tops.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from hubvram.architecture import patterns
from hubvram.architecture.adapters import LanguageAdapters
from hubvram.architecture.attention import FullAttention
from hubvram.architecture.attention_in_blocks import SparseBidirectionalAttention
from hubvram.architecture.families import encoder_tops as tops
from hubvram.architecture.families.decoder import (
    Switch,
    Traits,
    attention,
    both_ways,
    cross_attention,
    dense,
    read_layers,
    switch,
    usual_fields,
)
from hubvram.architecture.families.fields import LAYERS_LIMIT, head_dim_of, number_of_layers, sparse_blocks
from hubvram.architecture.families.interface import Read
from hubvram.architecture.families.weights import norm
from hubvram.architecture.layers import Architecture, Layer
from hubvram.architecture.mlp import DenseMLP
from hubvram.architecture.parts import Linear, Norms, Part, Tensor, Weight, vector
from hubvram.checkpoint.components import Component
from hubvram.config.document import ConfigDocument
from hubvram.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """In what a text encoder differs from bert, beside the traits of its layers."""

    layers: Traits
    tops: tops.Tops
    positions: Switch = True
    """Whether the tokens' embedding has learned positions added, where the traits name a field for their number."""
    token_types: bool = True
    embedding_norm: Switch = True
    norm_behind_projection: bool = False
    """Whether the embedding's norm is as wide as the hidden states, where the embedding is not."""
    projection: bool | None = None
    """Whether a matrix leads from the embedding to the hidden states; None where it does if they differ in width."""
    projection_bias: bool = True
    final_norm: Switch = False
    unused_positions: tuple[str, ...] = ()
    """Ends of names of learned positions that files may keep although the model rotates."""
    shared_layers: bool = False
    """Whether a few groups of layers are used again and again (albert)."""
    counts_from_padding: bool = False
    """Whether the first position is the one behind that of padding (roberta)."""


def read_encoder(config: ConfigDocument, architectures: tuple[str, ...], encoder: Encoder) -> Architecture:
    """The architecture of a text encoder. Raises ConfigError."""
    traits = encoder.layers
    config = usual_fields(config, traits)
    hidden_size = config.size("hidden_size")
    width = (config.size_or_none(traits.embedding_size) if traits.embedding_size else None) or hidden_size
    positions = traits.learned_positions if switch(config, encoder.positions) else None
    norms = 1 if switch(config, encoder.final_norm) else 0
    head, around = tops.read_top(config, tops.top_of(encoder.tops, architectures), hidden_size)
    return Architecture(
        model_type=config.model_type or config.require(str, "model_type"),
        hidden_size=hidden_size,
        vocab_size=config.size("vocab_size"),
        max_position_embeddings=config.size_or_none("max_position_embeddings"),
        tie_word_embeddings=config.flag("tie_word_embeddings"),
        layers=_layers(config, encoder),
        final_norm=Norms(count=norms, hidden_size=hidden_size, bias=switch(config, traits.norm_bias)),
        head=head,
        head_reads_all=tops.reads_all(architectures),
        embedding_size=None if width == hidden_size else width,
        learned_positions=config.size(positions) if positions else 0,
        position_size=None if width == hidden_size else width,
        first_position=_first_position(config, positions) if positions and encoder.counts_from_padding else 0,
        rotary_dim=head_dim_of(config) if switch(config, traits.rotary) else 0,
        rotary_tables=traits.rotary_tables,
        extras=(
            *_embedding(config, encoder, width, hidden_size),
            *(traits.extras(config) if traits.extras else ()),
            *around,
        ),
        unused=() if positions else encoder.unused_positions,
    )


def _first_position(config: ConfigDocument, positions: str) -> int:
    """Behind that of padding, which has the number that padding has as a token."""
    padding = config.get(int, "pad_token_id")
    return padding + 1 if padding is not None and 0 <= padding < config.size(positions) - 1 else 0


def _layers(config: ConfigDocument, encoder: Encoder) -> tuple[Layer, ...]:
    number = number_of_layers(config)
    if not encoder.shared_layers:
        return read_layers(config, number, encoder.layers)
    groups = config.size("num_hidden_groups", largest=number)
    inner = config.size("inner_group_num", largest=LAYERS_LIMIT // number)
    (layer,) = read_layers(config, 1, encoder.layers)
    again = replace(layer, is_shared=True)
    # Each group stands for an equal stretch of the model.
    new = [index == 0 or index * groups // number > (index - 1) * groups // number for index in range(number)]
    return tuple(layer if new[index] else again for index in range(number) for _ in range(inner))


def _embedding(config: ConfigDocument, encoder: Encoder, width: int, hidden_size: int) -> tuple[Weight, ...]:
    """What stands around the tokens' embedding: token types, a norm, a projection."""
    found: list[Weight] = []
    if encoder.token_types and (config.get(int, "type_vocab_size") or 0) > 0:
        found.append(_table("token types", config.size("type_vocab_size"), width))
    if switch(config, encoder.embedding_norm):
        size = hidden_size if encoder.norm_behind_projection else width
        found += norm("embedding norm", size, bias=switch(config, encoder.layers.norm_bias))
    if encoder.projection or (encoder.projection is None and width != hidden_size):
        found.append(_projection(hidden_size, width, bias=encoder.projection_bias))
    return tuple(found)


def _table(name: str, rows: int, width: int) -> Tensor:
    """An embedding beside that of the tokens."""
    return Tensor(name=name, shape=(rows, width), component=Component.EMBEDDING)


def _projection(rows: int, columns: int, *, bias: bool = True) -> Linear:
    component = Component.EMBEDDING
    return Linear(name="projection", out_features=rows, in_features=columns, bias=bias, component=component)


def encode_or_decode(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> FullAttention:
    """Attention to all other tokens, or to earlier ones only in a decoder."""
    return (attention if config.flag("is_decoder") else both_ways)(config, traits, index, window)


def _dense_or_sparse(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> FullAttention:
    """big_bird: over blocks, or plain, which a decoder's always is."""
    if config.require(str, "attention_type") == "original_full" or config.flag("is_decoder"):
        return encode_or_decode(config, traits, index, window)
    return attention(config, traits, index, None, make=partial(SparseBidirectionalAttention, **sparse_blocks(config)))


def _has_cross(config: ConfigDocument) -> bool:
    return config.flag("is_decoder") and config.flag("add_cross_attention")


def _cross(config: ConfigDocument, traits: Traits, index: int) -> tuple[Part, ...]:
    """A decoder's attention to what an encoder said."""
    if not _has_cross(config):
        return ()
    return (cross_attention(config, traits, index),)


def _cross_norm(config: ConfigDocument, index: int) -> tuple[Weight, ...]:
    return norm("cross-attention norm", config.size("hidden_size")) if _has_cross(config) else ()


# -------------------------------------------------------------- what single model types have beside


def _relative_positions(config: ConfigDocument) -> tuple[Weight, ...]:
    """A bias per distance and head, the same in all layers (mpnet)."""
    shape = (config.size("relative_attention_num_buckets"), config.size("num_attention_heads"))
    return (Tensor(name="relative positions", shape=shape, component=Component.ATTENTION),)


def _sinusoids(config: ConfigDocument) -> tuple[Weight, ...]:
    """The rotation's sines and cosines, which roformer stores."""
    return (_table("positions", config.size("max_position_embeddings"), head_dim_of(config)),)


def _tasks(config: ConfigDocument) -> tuple[Weight, ...]:
    """Types of tasks (ernie)."""
    if not config.flag("use_task_id"):
        return ()
    return (_table("task types", config.size("task_type_vocab_size"), config.size("hidden_size")),)


def _sounds_and_shapes(config: ConfigDocument) -> tuple[Weight, ...]:
    """How a character is said and what it looks like (roc_bert)."""
    hidden = inputs = config.size("hidden_size")
    found: list[Weight] = []
    for name, what in (("pronunciation", "sounds"), ("shape", "shapes")):
        width = config.size(f"{name}_embed_dim")
        found.append(_table(what, config.size(f"{name}_vocab_size"), width))
        inputs += width if config.flag(f"enable_{name}") else 0
    if config.flag("concat_input"):
        found.append(_projection(hidden, inputs))
    return tuple(found)


def _cross_and_adapters(config: ConfigDocument, traits: Traits, index: int) -> tuple[Part, ...]:
    """A small MLP for each language (xmod)."""
    hidden, languages = config.size("hidden_size"), config.strings("languages")
    inner = hidden // config.size("adapter_reduction_factor")
    down = Linear(name="down", out_features=inner, in_features=hidden, bias=True, count=len(languages))
    up = Linear(name="up", out_features=hidden, in_features=inner, bias=True, count=len(languages))
    adapters = LanguageAdapters(
        kind="language_adapters",
        component=Component.MLP,
        weights=(down, up),
        stateless=True,
        reuses_norm=config.flag("adapter_reuse_layer_norm"),
        knows_language=config.get(str, "default_language") in languages,
    )
    return (*_cross(config, traits, index), adapters)


def _adapter_norm(config: ConfigDocument, index: int) -> tuple[Weight, ...]:
    own = norm("adapter norm", config.size("hidden_size")) if config.flag("adapter_layer_norm") else ()
    return (*_cross_norm(config, index), *own)


_POSITION_TERMS: Final = {"c2p": "position k", "p2c": "position q"}
"""How content looks at positions and positions look at content -> the matrix for it."""


def _disentangled(
    config: ConfigDocument, traits: Traits, index: int, window: patterns.Window, *, key_bias: bool
) -> FullAttention:
    """Attention to what a token is and to where it is, with matrices of its own for each (deberta, 2006.03654)."""
    whole, hidden = both_ways(config, traits, index, window), config.size("hidden_size")
    if not key_bias:
        whole = replace(whole, k_bias=False)
    if not config.flag("relative_attention") or config.flag("share_att_key"):
        return whole
    terms = _position_terms(config)
    others = tuple(
        Linear(name=name, out_features=hidden, in_features=hidden, bias=key_bias or term == "p2c")
        for term, name in _POSITION_TERMS.items()
        if term in terms
    )
    return replace(whole, others=others)


def _position_terms(config: ConfigDocument) -> tuple[str, ...]:
    """`pos_att_type`: a list, in old configs one string."""
    try:
        return config.strings("pos_att_type")
    except ConfigError:
        return tuple(term.strip() for term in config.require(str, "pos_att_type").lower().split("|"))


def _distances(config: ConfigDocument) -> tuple[Weight, ...]:
    """What deberta has once for all layers: an embedding of distances, its norm, a convolution (deberta-v2)."""
    hidden = config.size("hidden_size")
    found: list[Weight] = []
    if config.flag("relative_attention"):
        spans = [name for name in ("position_buckets", "max_relative_positions") if (config.get(int, name) or 0) > 0]
        found.append(_table("distances", 2 * config.size((*spans, "max_position_embeddings")[0]), hidden))
    if "layer_norm" in (config.get(str, "norm_rel_ebd") or "").lower().split("|"):
        found += norm("distance norm", hidden)
    if (config.get(int, "conv_kernel_size") or 0) > 0:
        shape = (hidden, hidden // (config.size_or_none("conv_groups") or 1), config.size("conv_kernel_size"))
        found.append(Tensor(name="convolution", shape=shape, component=Component.SSM))
        found.append(vector("convolution bias", hidden, Component.SSM))
        found += norm("convolution norm", hidden)
    return tuple(found)


def _biased_behind(config: ConfigDocument, traits: Traits, index: int) -> DenseMLP:
    """Only the second matrix has a bias (gte)."""
    return replace(dense(config, traits, index), others=(vector("down bias", config.size("hidden_size")),))


_OLD_NAMES: Final = {
    "hidden_size": "n_embd",
    "intermediate_size": "n_inner",
    "num_attention_heads": "n_head",
    "num_hidden_layers": "n_layer",
    "max_position_embeddings": "n_positions",
}
"""What the first nomic_bert's config.json calls its fields."""


def _old_names(config: ConfigDocument) -> Mapping[str, Any]:
    found = {name: config.size_or_none(old) for name, old in _OLD_NAMES.items()}
    return {name: size for name, size in found.items() if size is not None} | {"tie_word_embeddings": True}


def _positions_of_esm(config: ConfigDocument) -> Mapping[str, Any]:
    kind = config.get(str, "position_embedding_type")
    # The activation is fixed by esm's code, which writes it out.
    return {"esm_activation": "gelu_python", "learned_positions": kind == "absolute", "rotates": kind == "rotary"}


def _contacts(config: ConfigDocument) -> tuple[Weight, ...]:
    """Which residues touch, from all attention (esm)."""
    maps = number_of_layers(config) * config.size("num_attention_heads")
    return (tops.linear("contacts", 1, maps),)


_BERT: Final = Traits(
    read_mlp=dense,
    read_mixer=encode_or_decode,
    read_others=_cross,
    layer_extras=_cross_norm,
    qkv_bias=True,
    o_bias=True,
    mlp_bias=True,
    norm_bias=True,
    pre_norm=False,
    gated=False,
    rotary=False,
    learned_positions="max_position_embeddings",
)
_PRE_NORM: Final = replace(_BERT, pre_norm=True)
_ENCODER: Final = replace(_BERT, read_mixer=both_ways, read_others=None, layer_extras=None)
_ROTARY: Final = replace(_ENCODER, learned_positions=None, rotary=True)
_GTE: Final = Encoder(layers=replace(_ROTARY, read_mlp=_biased_behind, mlp_bias=False, gated=True), tops=tops.GTE)
_ROBERTA: Final = Encoder(layers=_BERT, tops=tops.ROBERTA, counts_from_padding=True)
_DEBERTA: Final = replace(_ENCODER, embedding_size="embedding_size", extras=_distances)

_ENCODERS: Final[Mapping[str, Encoder]] = {
    "bert": Encoder(tops=tops.BERT, layers=_BERT),
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "camembert": _ROBERTA,
    "data2vec-text": _ROBERTA,
    "roberta-prelayernorm": replace(_ROBERTA, layers=_PRE_NORM, final_norm=True),
    "xlm-roberta-xl": replace(_ROBERTA, layers=_PRE_NORM, embedding_norm=False, final_norm=True),
    "xmod": replace(
        _ROBERTA,
        layers=replace(_BERT, read_others=_cross_and_adapters, layer_extras=_adapter_norm, pre_norm="pre_norm"),
        final_norm="pre_norm",
    ),
    "ernie": Encoder(tops=tops.BERT, layers=replace(_BERT, extras=_tasks)),
    "megatron-bert": Encoder(tops=tops.BERT, layers=_PRE_NORM, embedding_norm=False, final_norm=True),
    "big_bird": Encoder(layers=replace(_BERT, qkv_bias="use_bias", read_mixer=_dense_or_sparse), tops=tops.BIG_BIRD),
    "bert-generation": Encoder(layers=_BERT, tops=tops.BERT_GENERATION, token_types=False),
    "roc_bert": Encoder(layers=replace(_BERT, extras=_sounds_and_shapes), tops=tops.ROC_BERT),
    "rembert": Encoder(
        layers=replace(_BERT, embedding_size="input_embedding_size"), tops=tops.REMBERT, projection=True
    ),
    "electra": Encoder(layers=replace(_BERT, embedding_size="embedding_size"), tops=tops.ELECTRA),
    "roformer": Encoder(
        layers=replace(_BERT, learned_positions=None, rotary=True, embedding_size="embedding_size", extras=_sinusoids),
        tops=tops.ROFORMER,
    ),
    "distilbert": Encoder(
        layers=replace(_ENCODER, names={"intermediate_size": "hidden_dim"}, activation="activation"),
        tops=tops.DISTILBERT,
        token_types=False,
    ),
    "albert": Encoder(
        layers=replace(_ENCODER, embedding_size="embedding_size"),
        tops=tops.ALBERT,
        projection=True,
        shared_layers=True,
    ),
    "mpnet": replace(_ROBERTA, layers=replace(_ENCODER, extras=_relative_positions), token_types=False),
    "deberta": Encoder(
        layers=replace(_DEBERTA, read_mixer=partial(_disentangled, key_bias=False)),
        tops=tops.DEBERTA,
        positions="position_biased_input",
        norm_behind_projection=True,
        projection_bias=False,
    ),
    "deberta-v2": Encoder(
        layers=replace(_DEBERTA, read_mixer=partial(_disentangled, key_bias=True)),
        tops=tops.DEBERTA,
        positions="position_biased_input",
        norm_behind_projection=True,
        projection_bias=False,
    ),
    "gte": _GTE,
    "new": replace(_GTE, layers=replace(_GTE.layers, fused_mlp=True, fused_qkv=True)),
    "nomic_bert": Encoder(
        layers=replace(_ROTARY, values=_old_names, qkv_bias=False, o_bias=False, mlp_bias=False, gated=True),
        tops=tops.GTE,
    ),
    "jina_embeddings_v3": Encoder(layers=_ROTARY, tops=tops.ROBERTA),
    "eurobert": Encoder(
        layers=Traits(
            read_mlp=dense,
            read_mixer=both_ways,
            qkv_bias="attention_bias",
            o_bias="attention_bias",
            mlp_bias="mlp_bias",
        ),
        tops=tops.EUROBERT,
        token_types=False,
        embedding_norm=False,
        final_norm=True,
    ),
    "esm": Encoder(
        layers=replace(
            _BERT,
            values=_positions_of_esm,
            extras=_contacts,
            pre_norm=True,
            rotary="rotates",
            activation="esm_activation",
            caches_nothing=True,  # as a decoder neither
        ),
        tops=tops.ROBERTA,
        positions="learned_positions",
        counts_from_padding=True,
        token_types=False,
        embedding_norm="emb_layer_norm_before",
        final_norm=True,
        unused_positions=("embeddings.position_embeddings.weight",),
    ),
}

FAMILIES: Final[Mapping[str, Read]] = {
    model_type: partial(read_encoder, encoder=encoder) for model_type, encoder in _ENCODERS.items()
}
