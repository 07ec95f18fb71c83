"""An architecture for model types without a family, from the usual fields and what the tensors are called.

Names say what there is (biases, norms, a gate, experts), shapes how large it is. Where config.json states another
size than the shapes show, or has a field that speaks of another kind of cache, nothing is derived; a default, or
a field that is missing, gives way to the shapes. Only layers of the usual making are understood: causal attention
with Q, K, V and O of its own, an MLP or experts, norms.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from math import prod
from typing import Final

from hubvram.architecture import patterns
from hubvram.architecture.attention import FullAttention, SlidingAttention
from hubvram.architecture.layers import Architecture, Layer
from hubvram.architecture.mlp import DenseMLP, MoEMLP
from hubvram.architecture.parts import Linear, Norms
from hubvram.architecture.reconcile import TOWERS
from hubvram.architecture.roles import (
    AROUND,
    INSIDE,
    LAYER,
    Found,
    NotUnderstoodError,
    Shape,
    listed,
    matrices_of,
    role_of,
)
from hubvram.checkpoint.buffers import buffer_kind
from hubvram.checkpoint.components import Component, component_of
from hubvram.checkpoint.tensors import TensorInfo
from hubvram.config.defaults import defaults_of, is_known
from hubvram.config.document import ConfigDocument
from hubvram.errors import ConfigError

_OTHER_CACHE: Final = re.compile(
    r"[qkv]_lora|latent|shar(e|ed|ing)_?kv|kv_?shar|(^|_)cla(_|$)|cross_layer|new_decoder_arch|compress|sparse_att"
    r"|mamba|ssm|rwkv|recurr|(^|_)conv(_|\d|$)|linear_(attn|att|key|value|num)|lightning|state_size|mem_len|chunk_size"
    r"|attention_(types|layers)|window|local_(attn|att|layer)|global_att|is_encoder_decoder|bidirection|diffusion"
)
"""Names of fields that, where they are set, say that a cache may be none of plain keys and values of each layer."""
_UNDERSTOOD: Final = frozenset(("sliding_window", "use_sliding_window", "max_window_layers"))
"""Those that are understood all the same."""
_CAUSAL: Final = ("ForCausalLM", "LMHeadModel")
_LISTED: Final = ("num_attention_heads", "num_key_value_heads", "head_dim", "intermediate_size")
"""Fields that may have a value for each layer."""


def derive(
    config: ConfigDocument, tensors: Iterable[TensorInfo], architectures: Sequence[str] | None = None
) -> Architecture:
    """The architecture. Raises NotUnderstoodError. `architectures`: config.json's, where `config` is a part of it."""
    try:
        names = config.strings("architectures") if architectures is None else architectures
        return _derive(config, tensors, names)
    except ConfigError as error:
        raise NotUnderstoodError(error.reason) from None


def _derive(config: ConfigDocument, tensors: Iterable[TensorInfo], architectures: Sequence[str]) -> Architecture:
    layers: dict[int, Found] = {}
    around = Found()
    stacks: dict[str, None] = {}
    unknown: dict[str, None] = {}
    has_towers = False
    for tensor in tensors:
        name, shape = tensor.name, tensor.shape
        if buffer_kind(name, len(shape)) is not None:
            continue
        component, match = component_of(name), LAYER.match(name)
        if component in TOWERS:
            has_towers = True
            continue
        role = role_of(component, name) if component in (AROUND if match is None else INSIDE) else None
        if role is None:
            unknown[re.sub("[0-9]+", "*", name)] = None
        elif match is None:
            around.add(component, role, shape)
        else:
            stacks[match["stack"]] = None
            layers.setdefault(int(match["index"]), Found()).add(component, role, shape)
    _check_cache(config, architectures, has_towers=has_towers)
    if unknown:
        raise NotUnderstoodError(f"it is not known what tensors like {listed(unknown)} are for")
    if len(stacks) != 1:
        raise NotUnderstoodError(f"its layers stand in {listed(stacks)}" if stacks else "it has no numbered layers")
    if sorted(layers) != list(range(len(layers))):
        raise NotUnderstoodError("its layers are not numbered from 0 on")
    return _architecture(config, [layers[index] for index in range(len(layers))], around)


def _check_cache(config: ConfigDocument, architectures: Sequence[str], *, has_towers: bool) -> None:
    """Whether it generates token by token, and keeps plain keys and values, as far as its config tells."""
    causal = (*_CAUSAL, "ForConditionalGeneration") if has_towers and config.path else _CAUSAL
    if architectures and not architectures[0].endswith(causal):
        raise NotUnderstoodError(f"nothing says that {listed(architectures[:1])} keeps a KV cache")
    model_type = config.model_type or ""
    if is_known(model_type) and "use_cache" not in defaults_of(model_type):
        raise NotUnderstoodError("its class in transformers keeps no KV cache")
    understood = _UNDERSTOOD | ({"sliding_window_pattern"} if config.strings("layer_types") else set())
    for key, value in {**config.defaults, **config.data}.items():
        if value and key not in understood and _OTHER_CACHE.search(key):
            raise NotUnderstoodError(f"{listed([key])} in its config may mean another cache than plain keys and values")


def _agreed(config: ConfigDocument, key: str, shown: int) -> int:
    """What the shapes show; an error where config.json itself says otherwise. A default says nothing."""
    stated = _stated(config, key)
    if stated not in (None, shown):
        raise config.error(key, f"config.json says {stated:,}, the shapes of the tensors say {shown:,}")
    return shown


def _stated(config: ConfigDocument, key: str) -> int | None:
    return None if config.defaulted((key,)) else config.size_or_none(key)


def _windows(config: ConfigDocument, number: int) -> list[int | None]:
    """By `layer_types`: a window without them may be that of some layers only (gemma2), as only code can tell."""
    if not config.strings("layer_types"):
        switched_off = config.is_a(bool, "use_sliding_window") and not config.flag("use_sliding_window")
        if config.size_or_none("sliding_window") is not None and not switched_off:
            raise config.error("sliding_window", "without layer_types it is not known which layers have it")
        return [None] * number
    windows = patterns.windows_of(config, number, patterns.never)
    plain = [window for window in windows if window is None or isinstance(window, int)]
    if len(plain) != number:
        raise config.error("layer_types", "attention in chunks is read for known types only")
    return plain


def _architecture(config: ConfigDocument, layers: Sequence[Found], around: Found) -> Architecture:
    number = _agreed(config, "num_hidden_layers", len(layers))
    tokens = around.one(Component.EMBEDDING, "tokens")
    if tokens is None or len(tokens) != 2 or not all(tokens):
        raise NotUnderstoodError("it has no embedding of the usual making")
    hidden, vocab = _agreed(config, "hidden_size", tokens[1]), _agreed(config, "vocab_size", tokens[0])
    positions = around.one(Component.EMBEDDING, "positions")
    longest = config.size_or_none("max_position_embeddings")
    if positions is not None and (len(positions) != 2 or positions[1] != hidden or positions[0] < (longest or 0)):
        raise NotUnderstoodError(f"learned positions of shape {list(positions)} do not fit its config")
    head = around.one(Component.HEAD, "head")
    if head not in (None, (vocab, hidden)):
        raise NotUnderstoodError(f"its head is none over the vocabulary, with a shape of {list(head or ())}")
    if (
        head is None
        and not config.path
        and config.is_a(bool, "tie_word_embeddings")
        and not config.flag("tie_word_embeddings")
    ):
        raise config.error("tie_word_embeddings", "config.json says false, and the files hold no head")
    windows = _windows(config, number)
    return Architecture(
        model_type=config.model_type or "unknown",
        hidden_size=hidden,
        vocab_size=vocab,
        max_position_embeddings=longest,
        tie_word_embeddings=head is None or config.flag("tie_word_embeddings"),
        layers=tuple(
            _layer(_at(config, index, number), found, hidden, windows[index]) for index, found in enumerate(layers)
        ),
        final_norm=_norms(around, hidden),
        head=Linear(
            name="head",
            out_features=vocab,
            in_features=hidden,
            bias=around.bias(Component.HEAD, "head", vocab),
        ),
        learned_positions=positions[0] if positions else 0,
    )


def _at(config: ConfigDocument, index: int, number: int) -> ConfigDocument:
    """The config of one layer, where fields have a value for each."""
    values = {}
    for key in _LISTED:
        if config.is_a(list, key):
            sizes = config.integers(key)
            if len(sizes) != number:
                raise config.error(key, f"it has values for {len(sizes)} layers, there are {number}")
            values[config.attribute_map.get(key, key)] = sizes[index]
    return replace(config, data={**config.data, **values}) if values else config


def _layer(config: ConfigDocument, found: Found, hidden: int, window: int | None) -> Layer:
    return Layer(
        mixer=_attention(config, found, hidden, window),
        mlp=_mlp(config, found, hidden),
        norms=_norms(found, hidden),
    )


def _norms(found: Found, hidden: int) -> Norms:
    weights, biases = (found.every(Component.NORM, role) for role in ("norm", "norm bias"))
    if {*weights, *biases} - {(hidden,)} or len(biases) not in (0, len(weights)):
        raise NotUnderstoodError(f"some of its norms are not over the {hidden:,} hidden states, or lack a bias")
    return Norms(count=len(weights), hidden_size=hidden, bias=bool(biases))


def _attention(config: ConfigDocument, found: Found, hidden: int, window: int | None) -> FullAttention:
    attention = Component.ATTENTION
    q_size, fused = found.linear(attention, "o", hidden), found.linear(attention, "qkv", hidden)
    q, k, v = (found.linear(attention, role, hidden) for role in "qkv")
    if fused is not None and q_size is not None and (q, k, v) == (None, None, None):
        q, k, v = q_size, (fused - q_size) // 2, fused - q_size - (fused - q_size) // 2
    if q is None or k is None or v is None or q_size != q or k != v or k <= 0:
        raise NotUnderstoodError("it has layers without Q, K, V and O of the usual sizes")
    norms = [found.one(attention, role) for role in ("q norm", "k norm")]
    head_dim = _head_dim(config, q, norms[0])
    heads, groups = _agreed(config, "num_attention_heads", q // head_dim), k // head_dim
    if q % head_dim or k % head_dim or heads % groups:
        raise config.error("num_attention_heads", f"heads of {head_dim:,} do not divide Q's {q:,} and K's {k:,}")
    sizes = [prod(norm) for norm in norms if norm is not None]
    if sizes not in ([], [head_dim, head_dim], [q, k]):
        raise NotUnderstoodError("its norms of Q and K are neither over a head nor over all of them")
    biases = {role: found.bias(attention, role, size) for role, size in (("q", q), ("k", k), ("v", v), ("o", hidden))}
    if fused is not None:
        biases |= dict.fromkeys("qkv", found.bias(attention, "qkv", fused))
    norm_biases = [found.one(attention, f"{role} norm bias") for role in "qk"]
    if biases["q"] != biases["v"] or norm_biases not in ([None, None], norms):
        raise NotUnderstoodError("some of its attention has biases that the rest lacks")
    make: Callable[..., FullAttention] = FullAttention
    if window is not None:
        make = partial(SlidingAttention, sliding_window=window)
    return make(
        hidden_size=hidden,
        num_attention_heads=heads,
        num_key_value_heads=_agreed(config, "num_key_value_heads", groups),
        head_dim=head_dim,
        qkv_bias=biases["q"],
        k_bias=biases["k"],
        o_bias=biases["o"],
        qk_norm=bool(sizes),
        qk_norm_all_heads=bool(sizes) and sizes != [head_dim, head_dim],
        qk_norm_bias=norm_biases[0] is not None,
        fused_qkv=fused is not None,
    )


def _head_dim(config: ConfigDocument, q: int, norm: Shape | None) -> int:
    """As config.json says it, or the number of heads; else by a norm over one, or the default number."""
    stated, heads = _stated(config, "head_dim"), _stated(config, "num_attention_heads")
    if stated is None and heads is None and norm is not None and len(norm) == 1 and 0 < norm[0] < q:
        return norm[0]
    if stated is None and q % (heads or config.size("num_attention_heads")):
        raise config.error("num_attention_heads", f"it does not divide the {q:,} features of Q")
    return stated or q // (heads or config.size("num_attention_heads"))


def _mlp(config: ConfigDocument, found: Found, hidden: int) -> DenseMLP | MoEMLP | None:
    if found.has(Component.EXPERTS) or found.has(Component.ROUTER):
        return _experts(config, found, hidden)
    matrices = matrices_of(found, Component.MLP, hidden)
    if matrices is None:
        return None
    return DenseMLP(
        hidden_size=hidden,
        intermediate_size=_agreed(config, "intermediate_size", matrices.inner),
        hidden_act=config.get(str, "hidden_act") or "unknown",
        gated=matrices.gated,
        bias=matrices.bias,
        fused=matrices.fused,
    )


def _experts(config: ConfigDocument, found: Found, hidden: int) -> MoEMLP:
    """Experts, and a shared one that every token takes."""
    router = Component.ROUTER
    rows, chosen = found.linear(router, "router", hidden), config.size("num_experts_per_tok")
    if rows is None:
        raise NotUnderstoodError("its experts have no router of the usual making")
    number = _agreed(config, "num_experts", rows)
    matrices = matrices_of(found, Component.EXPERTS, hidden, count=number)
    shared = matrices_of(found, Component.EXPERTS, hidden, prefix="shared ")
    if matrices is None or found.has(Component.MLP) or (shared and shared.gated != matrices.gated) or chosen > number:
        raise NotUnderstoodError("its experts are not of the usual making")
    gate, correction = found.one(router, "shared gate"), found.one(router, "correction")
    if gate not in (None, (1, hidden)) or correction not in (None, (number,)):
        raise NotUnderstoodError("its router is not of the usual making")
    width = "intermediate_size" if config.size_or_none("moe_intermediate_size") is None else "moe_intermediate_size"
    return MoEMLP(
        hidden_size=hidden,
        num_experts=number,
        num_experts_per_tok=chosen,
        moe_intermediate_size=_agreed(config, width, matrices.inner),
        hidden_act=config.get(str, "hidden_act") or "unknown",
        gated=matrices.gated,
        shared_expert_intermediate_size=shared.inner if shared else 0,
        shared_expert_bias=shared is not None and shared.bias,
        shared_expert_gate=gate is not None,
        router_bias=found.bias(router, "router", number),
        correction_bias=correction is not None,
    )
