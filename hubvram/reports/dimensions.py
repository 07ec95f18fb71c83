"""The report's first table: the parts of a model, their dimensions, their parameters."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Final

from hubvram.architecture.attention import (
    BidirectionalAttention,
    ChunkedAttention,
    CrossAttention,
    FullAttention,
    LatentAttention,
    SharedKVAttention,
    SlidingAttention,
)
from hubvram.architecture.layers import Architecture, Layer, LayerGroup, Stack
from hubvram.architecture.mlp import DenseMLP, MoEMLP
from hubvram.architecture.parts import Norms, Part, Weight
from hubvram.architecture.reconcile import Reconciliation
from hubvram.checkpoint.components import Component
from hubvram.inspection import Model
from hubvram.reports.table import WIDTH, align
from hubvram.units import count, ranges

Row = tuple[str, str, str]
"""(what, its dimensions, its parameters)"""


def dimensions(model: Model, *, every_layer: bool) -> list[str]:
    """The table; `every_layer` lists the layers one by one. Without an architecture: what tensors' names say."""
    architecture, compared = model.architecture, model.reconciliation
    if architecture is None:
        return _components(compared)
    lines = []
    for label, text, parameters in (*_rows(architecture, every_layer=every_layer), *_shares(compared)):
        pieces = textwrap.wrap(text, WIDTH - 27) or [""]
        lines.append(f"  {label:<11} {pieces[0]:<{WIDTH - 27}} {parameters:>10}".rstrip())
        lines += [f"  {'':<11} {piece}" for piece in pieces[1:]]
    return lines


def _rows(architecture: Architecture, *, every_layer: bool) -> Iterator[Row]:
    for stack in architecture.stacks:
        yield from _stack(stack)
    if architecture.stacks:
        beside = sum(stack.parameters for stack in architecture.stacks)
        what = f"{architecture.model_type}, hidden {architecture.hidden_size:,}"
        yield "decoder", what, count(architecture.parameters - beside)
    yield from _embedding(architecture)
    groups = _listed(architecture) if every_layer else architecture.groups()
    for group in groups:
        yield from _layer(group, total=architecture.num_hidden_layers)
    if architecture.final_norm.parameters:
        yield "final norm", f"{architecture.final_norm.hidden_size:,}", count(architecture.final_norm.parameters)
    yield from _head(architecture)
    yield from _weights(architecture.extras)


def _components(compared: Reconciliation) -> list[str]:
    rows = [
        (component.value, f"{number:,}", f"{number / compared.total:.1%}")
        for component, number in sorted(compared.by_component.items(), key=lambda item: -item[1])
    ]
    return ["  " + line for line in align(rows)] if rows else []


def _shares(compared: Reconciliation) -> Iterator[Row]:
    """Which part of the parameters is in what, largest first."""
    shares = sorted(compared.by_component.items(), key=lambda item: -item[1])
    if compared.total:
        yield "shares", ", ".join(f"{name.value} {_percent(number / compared.total)}" for name, number in shares), ""


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else "<0.1%"


def _embedding(architecture: Architecture) -> Iterator[Row]:
    width, rows = architecture.embedding_size or architecture.hidden_size, architecture.vocab_size
    if rows:
        yield "embedding", f"{rows:,} x {width:,}", count(rows * width)
    if architecture.learned_positions:
        positions, width = architecture.learned_positions, architecture.position_size or architecture.hidden_size
        yield "positions", f"{positions:,} x {width:,}", count(positions * width)


def _head(architecture: Architecture) -> Iterator[Row]:
    head = architecture.head
    if architecture.has_tied_head:
        yield "head", "tied to the embedding", count(architecture.head_parameters)
    elif head is not None:
        yield "head", f"{head.out_features:,} x {head.in_features:,}", count(head.parameters)


def _weights(weights: tuple[Weight, ...]) -> Iterator[Row]:
    """Weights outside the layers, by what they are counted as."""
    groups: dict[Component, list[Weight]] = {}
    for weight in weights:
        groups.setdefault(weight.component or Component.OTHER, []).append(weight)
    for component, members in groups.items():
        yield component.value, ", ".join(map(_weight, members)), count(sum(each.parameters for each in members))


def _weight(weight: Weight) -> str:
    times = f"{weight.count:,} x " if weight.count > 1 else ""
    return f"{times}{weight.name} {' x '.join(f'{size:,}' for size in weight.shape)}".rstrip()


def _stack(stack: Stack) -> Iterator[Row]:
    """A tower in short: what it is, its layers, what stands around them."""
    yield (
        stack.name,
        f"{stack.model_type or ''}{', ' * bool(stack.model_type)}hidden {stack.hidden_size:,}",
        count(stack.parameters),
    )
    for group in stack.groups():
        yield from _layer(group, total=len(stack.layers))
    for _, text, parameters in _weights(stack.extras):
        yield "  around", text, parameters


def _listed(architecture: Architecture) -> list[LayerGroup]:
    return [LayerGroup(layer=layer, indices=((index, index),)) for index, layer in enumerate(architecture.layers)]


def _layer(group: LayerGroup, *, total: int) -> Iterator[Row]:
    layer = group.layer
    which = "" if group.count == total else _indices(group)
    label = f"{group.count} layers" if group.count > 1 else f"layer {group.indices[0][0]}"
    each = "each" if group.count > 1 else "in all"
    where = f", layers {which}" if which and group.count > 1 else ""
    shared = ", the weights of an earlier one" if layer.is_shared else ""
    yield label, f"{each}{where}{shared}", count(layer.parameters)
    for part in (layer.mixer, *layer.others, layer.mlp):
        if part is not None:
            yield from _part(part)
    yield from _around(layer)


def _around(layer: Layer) -> Iterator[Row]:
    if layer.norms.parameters:
        yield "  norms", _norms(layer.norms), count(layer.norms.parameters)
    for component, text, parameters in _weights(layer.extras):
        yield f"  {component}", text, parameters


def _norms(norms: Norms) -> str:
    return f"{norms.count} x {norms.hidden_size:,}{' with bias' if norms.bias else ''}"


def _indices(group: LayerGroup) -> str:
    """`0-4, 6-10`, or for a regular comb `0, 2, 4, ... 24`."""
    members = [index for first, last in group.indices for index in range(first, last + 1)]
    steps = {right - left for left, right in pairwise(members)}
    if len(members) > 4 and len(steps) == 1 and steps != {1}:
        return f"{members[0]}, {members[1]}, {members[2]} ... {members[-1]}"
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges(members))


def _part(part: Part) -> Iterator[Row]:
    """By what is known of its class; any other part shows its weights."""
    show = next((_SHOW[kind] for kind in type(part).__mro__ if kind in _SHOW), _by_weights)
    return show(part)


def _by_weights(part: Part) -> Iterator[Row]:
    label = part.kind.replace("_", " ")
    if len(label) > 9:
        yield f"  {part.component.value}", label, count(part.parameters)
        label, parameters = "", ""
    else:
        label, parameters = f"  {label}", count(part.parameters)
    yield label, ", ".join(map(_weight, (*part.linears, *part.tensors))), parameters


def _attention(mixer: FullAttention) -> Iterator[Row]:
    bias = {
        (True, True): ", with biases",
        (True, False): ", Q K V with biases",
        (False, True): ", O with bias",
    }.get((mixer.qkv_bias, mixer.o_bias), "")
    yield (
        "  cross" if isinstance(mixer, CrossAttention) else "  attention",
        _sizes(mixer) + bias,
        count(mixer.parameters),
    )
    yield "", _heads(mixer), ""


def _sizes(mixer: FullAttention | LatentAttention) -> str:
    return f"Q {mixer.q_size:,}  K {mixer.k_size:,}  V {mixer.v_size:,}  O {mixer.o_size:,}"


def _latent(mixer: LatentAttention) -> Iterator[Row]:
    heads = f"{mixer.num_attention_heads} heads of {mixer.qk_nope_head_dim} + {mixer.qk_rope_head_dim} rotated"
    ranks = f"K and V through a latent of {mixer.kv_lora_rank:,} + {mixer.qk_rope_head_dim}"
    if mixer.q_lora_rank:
        ranks += f", Q through {mixer.q_lora_rank:,}"
    indexer = f"; an indexer of {mixer.index_n_heads} heads of {mixer.index_head_dim}" if mixer.index_n_heads else ""
    yield "  attention", _sizes(mixer), count(mixer.parameters)
    yield "", f"{heads}, V of {mixer.v_head_dim}; {ranks}{indexer}", ""


def _heads(mixer: FullAttention) -> str:
    groups = mixer.num_key_value_heads
    heads = f"{mixer.num_attention_heads} heads, {groups} KV head{'s' * (groups != 1)} of {mixer.head_dim}"
    return heads + (", Q and K normed" if mixer.qk_norm else "") + _reach(mixer)


def _reach(mixer: FullAttention) -> str:
    """What it looks at, where that is not all earlier tokens."""
    if isinstance(mixer, CrossAttention):
        return f", over what the encoder says ({mixer.encoder_hidden_size:,} wide)"
    if isinstance(mixer, ChunkedAttention):
        return f", in chunks of {mixer.attention_chunk_size:,} tokens"
    words = ""
    if isinstance(mixer, SharedKVAttention):
        words = ", K and V of an earlier layer"
    if isinstance(mixer, BidirectionalAttention):
        words = ", both ways"
    if isinstance(mixer, SlidingAttention | BidirectionalAttention | SharedKVAttention) and mixer.sliding_window:
        words += f", window of {mixer.sliding_window:,} tokens"
    return words


def _dense(mlp: DenseMLP) -> Iterator[Row]:
    names = "gate, up, down" if mlp.gated else "up, down"
    yield "  mlp", f"{names} {mlp.intermediate_size:,}{', with biases' if mlp.bias else ''}", count(mlp.parameters)


def _experts(mlp: MoEMLP) -> Iterator[Row]:
    names = "gate, up, down" if mlp.gated else "up, down"
    yield "  experts", f"{mlp.num_experts} x {names} {mlp.moe_intermediate_size:,}", count(mlp.expert_parameters)
    shared = mlp.shared_expert_intermediate_size
    beside = f", beside a shared one of {shared:,}" if shared else ""
    yield "", f"{mlp.num_experts_per_tok} chosen per token{beside}", ""
    yield "  router", f"{mlp.num_experts:,} x {mlp.hidden_size:,}", count(mlp.router_parameters)


_SHOW: Final[Mapping[type, Callable[..., Iterator[Row]]]] = {
    FullAttention: _attention,
    LatentAttention: _latent,
    DenseMLP: _dense,
    MoEMLP: _experts,
}
