"""Experts as configs describe them: how many, how wide, in which layers. The model types are in moe.py and others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from hubvram.architecture.families.decoder import ReadMLP, Traits, dense, read_decoder, switch, usual_fields
from hubvram.architecture.families.fields import check_chosen, check_length, count_of, first_size, number_of_layers
from hubvram.architecture.layers import Architecture
from hubvram.architecture.mlp import MoEMLP
from hubvram.architecture.parts import Part, Weight
from hubvram.config.document import ConfigDocument

# ------------------------------------------------------------------------ which layers have experts

LayerRule = Callable[[ConfigDocument, int], Sequence[bool]]
"""(config, number of layers) -> for each layer, whether it has experts."""


def everywhere(config: ConfigDocument, layers: int) -> Sequence[bool]:
    """Experts in every layer (mixtral)."""
    return [True] * layers


def after(config: ConfigDocument, layers: int, *, dense_layers: str | int) -> Sequence[bool]:
    """Behind so many dense layers, or as many as a field says (glm4_moe)."""
    first = dense_layers if isinstance(dense_layers, int) else config.get(int, dense_layers) or 0
    return [index >= first for index in range(layers)]


def in_steps(config: ConfigDocument, layers: int) -> Sequence[bool]:
    """In each `decoder_sparse_step`-th layer that is not among `mlp_only_layers`, if there are experts (qwen3_moe)."""
    if config.get(int, "num_experts") == 0:
        return [False] * layers
    step, without = config.size("decoder_sparse_step"), set(config.integers("mlp_only_layers"))
    return [(index + 1) % step == 0 and index not in without for index in range(layers)]


def by_name(config: ConfigDocument, layers: int, *, usual: LayerRule) -> Sequence[bool]:
    """By `mlp_layer_types`, or the numbers that were `moe_layer_freq` before; else by the type's own rule."""
    kinds, key = config.strings("mlp_layer_types"), "mlp_layer_types"
    if not kinds and config.is_a(list, "moe_layer_freq"):
        key = "moe_layer_freq"
        kinds = tuple("sparse" if flag else "dense" for flag in config.integers(key))
    if not kinds:
        return usual(config, layers)
    check_length(config, key, kinds, layers)
    unknown = sorted(set(kinds) - {"dense", "sparse"})
    if unknown:
        raise config.error(key, f"{unknown[0]!r} is neither dense nor sparse")
    return [kind == "sparse" for kind in kinds]


# -------------------------------------------------------------------------------------- the experts


@dataclass(frozen=True, slots=True, kw_only=True)
class Experts:
    """What a model type's experts are like: the fields that say it, and what its code fixes."""

    number: str = "num_experts"
    chosen: str = "num_experts_per_tok"
    """The field that says how many a token takes, in all layers or in each."""
    width: str = "moe_intermediate_size"
    shared_number: str | None = None
    """The field with the number of shared experts, each as wide as the others."""
    shared_width: str | None = None
    """The field with the width of all shared experts together."""
    shared_gate: bool = False
    bias: bool = False
    router_bias: bool = False
    correction_bias: bool = False
    layers: LayerRule = everywhere
    others: tuple[Callable[[ConfigDocument], Weight], ...] = ()


def read_moe(config: ConfigDocument, architectures: tuple[str, ...], traits: Traits, experts: Experts) -> Architecture:
    """The architecture of a decoder with experts; `traits.read_mlp` reads its dense layers. Raises ConfigError."""
    return read_decoder(config, architectures, with_experts(config, traits, experts))


def with_experts(config: ConfigDocument, traits: Traits, experts: Experts) -> Traits:
    """The same with experts in the layers that have some."""
    config = usual_fields(config, traits)
    number = number_of_layers(config)
    sparse = experts.layers(config, number)
    chosen = for_each_layer(config, experts.chosen, number) if any(sparse) else ()

    def read_mlp(config: ConfigDocument, traits: Traits, index: int) -> Part | None:
        if not sparse[index]:
            return dense_mlp(config, traits, index)
        return read_experts(config, traits, experts, chosen[index])

    dense_mlp = traits.read_mlp
    return replace(traits, read_mlp=read_mlp)


def for_each_layer(config: ConfigDocument, key: str, layers: int) -> Sequence[int]:
    """A number for all layers, or a list of them (hunyuan_v1_moe)."""
    if not config.is_a(list, key):
        return [config.size(key)] * layers
    values = config.integers(key)
    check_length(config, key, values, layers)
    outside = next((value for value in values if not 0 < value <= _LARGEST), None)
    if outside is not None:
        raise config.error(key, f"{outside} is not between 1 and {_LARGEST:,}")
    return values


_LARGEST: Final = 2**20
"""More experts or heads than any layer has."""


def read_experts(config: ConfigDocument, traits: Traits, experts: Experts, chosen: int | None = None) -> MoEMLP:
    """The experts of one layer, of which a token takes `chosen`, or as many as the config says for all layers."""
    number, width = config.size(experts.number), config.size(experts.width)
    chosen = config.size(experts.chosen) if chosen is None else chosen
    check_chosen(config, experts.chosen, chosen, number)
    shared_width = width * count_of(config, experts.shared_number) + count_of(config, experts.shared_width)
    return MoEMLP(
        hidden_size=config.size("hidden_size"),
        num_experts=number,
        num_experts_per_tok=chosen,
        moe_intermediate_size=width,
        hidden_act=config.require(str, traits.activation),
        gated=traits.gated,
        expert_bias=experts.bias,
        shared_expert_intermediate_size=shared_width,
        shared_expert_bias=switch(config, traits.mlp_bias),
        shared_expert_gate=experts.shared_gate,
        router_bias=experts.router_bias,
        correction_bias=experts.correction_bias,
        others=tuple(read(config) for read in experts.others),
    )


def dense_of(*fields: str) -> ReadMLP:
    """Dense layers have a width of their own: the first of these fields that is not null."""

    def read_mlp(config: ConfigDocument, traits: Traits, index: int) -> Part:
        return replace(dense(config, traits, index), intermediate_size=first_size(config, *fields))

    return read_mlp


LOCAL: Final = Experts(number="num_local_experts", width="intermediate_size")
"""As GPT-OSS names its experts."""

WIDE: Final = Experts(width="intermediate_size")
"""Each as wide as a dense MLP would be (mixtral)."""

ROUTED: Final = Experts(number="n_routed_experts", shared_number="n_shared_experts", correction_bias=True)
"""As DeepSeek-V3 names its experts."""

BEHIND_DENSE: Final = replace(ROUTED, layers=partial(after, dense_layers="first_k_dense_replace"))
"""The same behind a few dense layers."""
