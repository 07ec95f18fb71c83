"""Decoders from before llama: learned or ALiBi positions, plain MLPs, biases everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from math import lcm
from typing import Any, Final

from hubvram.architecture.attention import FullAttention, HiddenStatesAttention, OwnCacheAttention
from hubvram.architecture.attention_in_blocks import AttentionInChunks
from hubvram.architecture.families.decoder import (
    NO_GROUPS,
    Traits,
    attention,
    dense,
    fixed,
    four_times_hidden,
    read_decoder,
)
from hubvram.architecture.families.fields import changed, count_of
from hubvram.architecture.families.interface import Read
from hubvram.architecture.families.weights import norm
from hubvram.architecture.layers import Architecture
from hubvram.architecture.parts import Chunks, Linear, Tensor, Weight, vector
from hubvram.architecture.patterns import Window
from hubvram.checkpoint.components import Component
from hubvram.config.document import ConfigDocument

_BIASED: Final = Traits(
    read_mlp=four_times_hidden,
    qkv_bias=True,
    o_bias=True,
    mlp_bias=True,
    norm_bias=True,
    gated=False,
    activation="activation_function",
    rotary=False,
    overrides=NO_GROUPS,
)
"""GPT-2's layer without its positions."""

_DFF: Final = {"n_inner": "ffn_dim"}


# ---------------------------------------------------------------------------------------------- opt


def _projections(config: ConfigDocument) -> tuple[Weight, ...]:
    """From the embedding's width to hidden_size, and back before the head (opt-350m)."""
    hidden = config.size("hidden_size")
    width = config.size_or_none("word_embed_proj_dim") or hidden
    if width == hidden:
        return ()
    return (
        Linear(name="project_in", out_features=hidden, in_features=width, component=Component.EMBEDDING),
        Linear(name="project_out", out_features=width, in_features=hidden, component=Component.EMBEDDING),
    )


_OPT: Final = replace(
    _BIASED,
    names=_DFF,
    qkv_bias="enable_bias",
    o_bias="enable_bias",
    mlp_bias="enable_bias",
    learned_positions="max_position_embeddings",
    position_offset=2,
    embedding_size="word_embed_proj_dim",
    extras=_projections,
)


def _read_opt(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """Norms may lack weights; the last one is only there where layers have theirs in front."""
    pre_norm, weighted = config.flag("do_layer_norm_before"), config.flag("layer_norm_elementwise_affine")
    final = weighted and pre_norm and not config.flag("_remove_final_layer_norm")
    traits = replace(_OPT, norms_per_layer=2 if weighted else 0, final_norms=int(final), pre_norm=pre_norm)
    return read_decoder(config, architectures, traits)


# ------------------------------------------------------------------------------------------- falcon


def _falcon_heads(config: ConfigDocument) -> Mapping[str, Any]:
    own = config.size_or_none("num_kv_heads") if config.flag("new_decoder_architecture") else None
    one = config.flag("multi_query") and not config.flag("new_decoder_architecture")
    return {"num_key_value_heads": 1 if one else own, "head_dim": None}


_FALCON: Final = replace(
    _BIASED,
    names={"n_inner": "ffn_hidden_size", "hidden_size": "n_embed"},
    qkv_bias="bias",
    o_bias="bias",
    mlp_bias="bias",
    activation="activation",
    fused_qkv=True,
    overrides=_falcon_heads,
)


def _read_falcon(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """The newer layers repeat K and V for all heads before they cache them."""
    new = config.flag("new_decoder_architecture")
    parallel_norms = config.get(int, "num_ln_in_parallel_attn")
    if parallel_norms is None and new:
        parallel_norms = 2
    norms = 2 if parallel_norms == 2 or not config.flag("parallel_attn") else 1
    traits = replace(_FALCON, caches_all_heads=new, norms_per_layer=norms, rotary=not config.flag("alibi"))
    return read_decoder(config, architectures, traits)


# ----------------------------------------------------------------------------------------- reformer


def _reformer_attention(config: ConfigDocument, traits: Traits, index: int, window: Window) -> AttentionInChunks:
    """Local attention, or that which hashes one matrix's vectors for queries and keys.

    What it keeps is known where it runs as a decoder, which looks at no later chunks (ReformerModelWithLMHead).
    """
    kind = config.strings("attn_layers")[index]
    if kind not in _REFORMER_MATRICES:
        raise config.error(f"attn_layers[{index}]", f"{kind!r} is neither local nor lsh")
    hidden, heads, head_dim = (
        config.size(key) for key in ("hidden_size", "num_attention_heads", "attention_head_size")
    )
    hashes = config.size("num_hashes") if kind == "lsh" else 0
    inner = heads * head_dim
    matrices = (Linear(name=name, out_features=inner, in_features=hidden) for name in _REFORMER_MATRICES[kind])
    out = Linear(name="o", out_features=hidden, in_features=inner)
    kinds = _REFORMER_MATRICES.keys() & config.strings("attn_layers")
    lengths = {name: config.size(f"{name}_attn_chunk_length") for name in kinds}
    decodes = config.flag("is_decoder") and not any(count_of(config, f"{name}_num_chunks_after") for name in lengths)
    states = HiddenStatesAttention(
        hidden_size=hidden, num_attention_heads=heads, num_key_value_heads=heads, head_dim=head_dim
    )
    return AttentionInChunks(
        kind=f"{kind}_attention",
        component=Component.ATTENTION,
        weights=(*matrices, out),
        keeps=(states,) if decodes else (),
        chunks=Chunks(
            chunk_length=lengths[kind],
            whole_tokens=lcm(*lengths.values()),
            short_tokens=min(lengths.values()),
            bucket_rows=heads * hashes,
        ),
        hidden_size=hidden,
        num_attention_heads=heads,
        head_dim=head_dim,
        num_chunks_before=count_of(config, f"{kind}_num_chunks_before"),
        num_hashes=hashes,
        num_buckets=config.one_or_more("num_buckets") if hashes else (),
    )


_AXIS_LIMIT: Final = 2**31
_REFORMER_MATRICES: Final[Mapping[str, tuple[str, ...]]] = {"local": ("q", "k", "v"), "lsh": ("q k", "v")}


def _reformer_positions(config: ConfigDocument) -> tuple[Weight, ...]:
    """A table for each axis of the positions, or one for all of them."""
    if not config.flag("axial_pos_embds"):
        table = (config.size("max_position_embeddings"), config.size("hidden_size"))
        return (Tensor(name="positions", shape=table, component=Component.EMBEDDING),)
    rows, widths = config.integers("axial_pos_shape"), config.integers("axial_pos_embds_dim")
    if len(rows) != len(widths) or not all(0 < size <= _AXIS_LIMIT for size in rows + widths):
        raise config.error("axial_pos_embds_dim", "it has not one credible width for each of axial_pos_shape")
    return tuple(
        Tensor(name="positions", shape=shape, component=Component.EMBEDDING) for shape in zip(rows, widths, strict=True)
    )


_REFORMER: Final = replace(
    _BIASED,
    read_mixer=_reformer_attention,
    names={"n_inner": "feed_forward_size"},
    activation="hidden_act",
    tied=False,
    head_bias=True,
    extras=_reformer_positions,
)


def _read_reformer(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """Its layers are reversible: two streams of hidden states meet in the last norm and the head."""
    number = len(config.strings("attn_layers"))
    architecture = read_decoder(changed(config, num_hidden_layers=number), architectures, _REFORMER)
    width, head = 2 * architecture.hidden_size, architecture.head
    return replace(
        architecture,
        final_norm=replace(architecture.final_norm, hidden_size=width),
        head=None if head is None else replace(head, in_features=width),
    )


# --------------------------------------------------------------------------- the oldest, and others


def _embedding_norm(config: ConfigDocument) -> tuple[Weight, ...]:
    return norm("embedding norm", config.size("hidden_size"))


def _cpmant_extras(config: ConfigDocument) -> tuple[Weight, ...]:
    segments = config.size("segment_types")
    rows = segments**2 + config.size("position_bias_num_buckets")
    prompts = config.size("prompt_types") * config.size("prompt_length")
    hidden, heads = config.size("hidden_size"), config.size("num_attention_heads")
    return (
        Tensor(name="prompts", shape=(prompts, hidden), component=Component.EMBEDDING),
        Tensor(name="segments", shape=(segments, hidden), component=Component.EMBEDDING),
        Tensor(name="relative positions", shape=(rows, heads), component=Component.ATTENTION),
    )


def _xlm_attention(config: ConfigDocument, traits: Traits, index: int, window: Window) -> FullAttention:
    """All tokens see each other, unless the config says otherwise."""
    return replace(attention(config, traits, index, window), masks_later=config.flag("causal"))


def _xlm_extras(config: ConfigDocument) -> tuple[Weight, ...]:
    hidden, languages = config.size("hidden_size"), config.size("n_langs")
    if languages == 1 or not config.flag("use_lang_emb"):
        return _embedding_norm(config)
    table = Tensor(name="languages", shape=(languages, hidden), component=Component.EMBEDDING)
    return (*_embedding_norm(config), table)


def _cpmant_attention(config: ConfigDocument, traits: Traits, index: int, window: Window) -> FullAttention:
    """With a prompt of its own before each text."""
    return replace(attention(config, traits, index, window), cached_before=config.size("prompt_length"))


def _xlnet_attention(config: ConfigDocument, traits: Traits, index: int, window: Window) -> FullAttention:
    """With a matrix for relative positions, three biases and two segments; what is kept are hidden states.

    That is how published models are set; what the class keeps with other settings is not described.
    """
    plain = attention(config, traits, index, window)
    per_head = (plain.num_attention_heads, plain.head_dim)
    others = (
        Linear(name="r", out_features=plain.q_size, in_features=plain.hidden_size),
        Tensor(name="r biases", shape=per_head, count=3),
        Tensor(name="segments", shape=(2, *per_head)),
    )
    heads, head_dim = per_head
    looks_both_ways = config.get(str, "attn_type") == "bi" and not config.flag("bi_data")
    keeps_all = config.flag("use_mems_eval") and not config.get(int, "reuse_len")
    make = HiddenStatesAttention if looks_both_ways and keeps_all else OwnCacheAttention
    return make(
        hidden_size=plain.hidden_size,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=head_dim,
        cached_before=1,  # where the next token will stand (prepare_inputs_for_generation)
        cached_tokens=config.get(int, "mem_len") or None,
        others=others,
    )


_GPTJ: Final = replace(
    _BIASED, qkv_bias=False, o_bias=False, parallel=True, head_bias=True, rotary=True, rotary_key="rotary_dim"
)

_TRAITS: Final[Mapping[str, Traits]] = {
    "bloom": replace(
        _BIASED,
        names={"hidden_size": "n_embed"},
        values=fixed(hidden_act="gelu"),
        activation="hidden_act",
        fused_qkv=True,
        extras=_embedding_norm,
    ),
    "gpt_bigcode": replace(
        _BIASED,
        overrides=lambda config: {"num_key_value_heads": 1 if config.flag("multi_query") else None, "head_dim": None},
        learned_positions="max_position_embeddings",
        fused_qkv=True,
    ),
    # Its local layers mask what is far away, but cache all of it.
    "gpt_neo": replace(
        _BIASED,
        names={"n_inner": "intermediate_size"},
        qkv_bias=False,
        learned_positions="max_position_embeddings",
    ),
    "gptj": _GPTJ,
    "codegen": replace(_GPTJ, fused_qkv=True),
    "mpt": replace(
        _BIASED,
        names={"max_position_embeddings": "max_seq_len"},
        values=fixed(hidden_act="gelu"),
        activation="hidden_act",
        qkv_bias=False,
        o_bias=False,
        mlp_bias=False,
        norm_bias=False,
        fused_qkv=True,
    ),
    "biogpt": replace(
        _BIASED,
        names={"n_inner": "intermediate_size"},
        activation="hidden_act",
        learned_positions="max_position_embeddings",
        position_offset=2,
    ),
    "xglm": replace(_BIASED, names=_DFF),
    "ctrl": replace(
        _BIASED, names={"n_inner": "dff"}, values=fixed(hidden_act="relu"), activation="hidden_act", head_bias=True
    ),
    "openai-gpt": replace(
        _BIASED,
        caches_nothing=True,
        activation="afn",
        fused_qkv=True,
        learned_positions="max_position_embeddings",
        final_norms=0,
        pre_norm=False,
    ),
    "cpmant": Traits(
        read_mlp=dense,
        names={"intermediate_size": "dim_ff", "head_dim": "dim_head"},
        values=fixed(hidden_act="gelu"),
        read_mixer=_cpmant_attention,
        tied=False,
        rotary=False,
        extras=_cpmant_extras,
    ),
    "xlm": replace(
        _BIASED,
        read_mixer=_xlm_attention,
        values=lambda config: {"hidden_act": "gelu" if config.flag("gelu_activation") else "relu"},
        activation="hidden_act",
        caches_nothing=True,
        learned_positions="max_position_embeddings",
        final_norms=0,
        pre_norm=False,
        head_bias=True,
        extras=_xlm_extras,
    ),
    "xlnet": replace(
        _BIASED,
        read_mixer=_xlnet_attention,
        names={"n_inner": "d_inner"},
        activation="ff_activation",
        final_norms=0,
        pre_norm=False,
        head_bias=True,
        extras=lambda config: (vector("mask", config.size("hidden_size"), Component.EMBEDDING),),
    ),
}

_READERS: Final[Mapping[str, Read]] = {
    "falcon": _read_falcon,
    "opt": _read_opt,
    "reformer": _read_reformer,
}

FAMILIES: Final[Mapping[str, Read]] = {
    **{model_type: partial(read_decoder, traits=traits) for model_type, traits in _TRAITS.items()},
    **_READERS,
}
