"""Decoders with state spaces (mamba), alone, between attention layers, or beside attention in the same layer.

What a state space is like is read under bamba's names; other model types say what they call them. The details
were read from each model's `modeling_*.py` in transformers 5.23.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from hubvram.architecture import patterns
from hubvram.architecture.attention import FullAttention
from hubvram.architecture.families.decoder import Traits, attention, dense, fixed, switch, usual_fields
from hubvram.architecture.families.experts import Experts, read_experts
from hubvram.architecture.families.fields import changed
from hubvram.architecture.families.hybrid import (
    FULL,
    HYBRID,
    LINEAR,
    Hybrid,
    always,
    by_indices,
    by_period,
    listed,
    no_mixer,
    no_mlp,
    read_hybrid,
)
from hubvram.architecture.families.interface import Read
from hubvram.architecture.layers import Architecture, Layer
from hubvram.architecture.mlp import DenseMLP, MoEMLP
from hubvram.architecture.parts import Block, Linear, Norms, Part, vector
from hubvram.architecture.recurrent import Mamba, Mamba2
from hubvram.checkpoint.components import Component
from hubvram.config.document import ConfigDocument

# ------------------------------------------------------------------------------------- state spaces


def mamba(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> Mamba:
    """A state space of the first kind."""
    hidden_size = config.size("hidden_size")
    return Mamba(
        hidden_size=hidden_size,
        intermediate_size=config.size("mamba_expand") * hidden_size,
        state_size=config.size("mamba_d_state"),
        conv_kernel=config.size("mamba_d_conv"),
        time_step_rank=_size_or_auto(config, "mamba_dt_rank") or -(-hidden_size // 16),
        use_bias=config.flag("mamba_proj_bias"),
        use_conv_bias=config.flag("mamba_conv_bias"),
    )


def _mamba_of_width(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> Mamba:
    """The same as wide as the file says: the config class computes the width, then takes the file's if there is one."""
    mixer = mamba(config, traits, index, window)
    return replace(mixer, intermediate_size=config.size_or_none("intermediate_size") or mixer.intermediate_size)


def _mamba_of_heads(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> Mamba:
    """The same in heads, each with its own part of the matrices behind the convolution (zamba)."""
    return replace(mamba(config, traits, index, window), num_heads=config.size("n_mamba_heads"))


def _normed_mamba(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> Mamba:
    """The same with norms of the time step, B and C (jamba)."""
    mixer = mamba(config, traits, index, window)
    norms = (("dt norm", mixer.time_step_rank), ("B norm", mixer.state_size), ("C norm", mixer.state_size))
    return replace(mixer, others=tuple(vector(name, size) for name, size in norms))


def mamba2(
    config: ConfigDocument,
    traits: Traits,
    index: int,
    window: patterns.Window,
    *,
    bias: str = "mamba_proj_bias",
    out_bias: str | None = None,
    gated_norm: bool | str = True,
) -> Mamba2:
    """A state space with heads: as many as `mamba_n_heads`, over the width that the config class computes."""
    heads, head_dim = config.size("mamba_n_heads"), _size_or_auto(config, "mamba_d_head")
    width = config.size_or_none("mamba_d_ssm") or config.size("mamba_expand") * config.size("hidden_size")
    head_dim = width // heads if head_dim is None else head_dim
    if heads * head_dim != width:
        raise config.error("mamba_n_heads", f"{heads} heads of {head_dim} do not make a width of {width}")
    return Mamba2(
        hidden_size=config.size("hidden_size"),
        num_heads=heads,
        head_dim=head_dim,
        state_size=config.size("mamba_d_state"),
        n_groups=config.size("mamba_n_groups"),
        conv_kernel=config.size("mamba_d_conv"),
        chunk_size=config.size("mamba_chunk_size"),
        use_bias=config.flag(bias),
        out_bias=config.flag(out_bias) if out_bias else None,
        use_conv_bias=config.flag("mamba_conv_bias"),
        gated_norm=switch(config, gated_norm),
    )


def _size_or_auto(config: ConfigDocument, key: str) -> int | None:
    """A dimension; None where it is left out or "auto", and follows from others."""
    if config.is_a(str, key) and config.get(str, key) == "auto":
        return None
    return config.size_or_none(key)


# ---------------------------------------------------------------------- between or beside attention


def _beside_mamba2(config: ConfigDocument, traits: Traits, index: int) -> tuple[Part, ...]:
    """A state space that reads what the attention reads (falcon_h1)."""
    return (mamba2(config, traits, index, None, out_bias="projectors_bias", gated_norm="mamba_rms_norm"),)


def _jamba_layers(config: ConfigDocument, layers: int) -> Sequence[bool]:
    """Experts in each `expert_layer_period`-th layer, from `expert_layer_offset` on, if there are several."""
    period, offset = config.size("expert_layer_period"), config.require(int, "expert_layer_offset")
    return [config.size("num_experts") > 1 and index % period == offset for index in range(layers)]


def _granite_layers(config: ConfigDocument, layers: int) -> Sequence[bool]:
    """Experts everywhere, if there are any."""
    return [bool(config.get(int, "num_local_experts"))] * layers


def _shared_mlp(config: ConfigDocument, traits: Traits, index: int) -> DenseMLP:
    """What stands beside the experts of others stands alone (granite-4.0-micro)."""
    return replace(dense(config, traits, index), intermediate_size=config.size("shared_intermediate_size"))


def _read_granite(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """Rotary positions only where `position_embedding_type` says so."""
    rotary = config.get(str, "position_embedding_type") == "rope"
    traits = replace(_GRANITE.traits, rotary=rotary)
    return read_hybrid(config, architectures, replace(_GRANITE, traits=traits))


# ------------------------------------------------------------------ layers of one part (nemotron_h)

_PATTERN: Final[Mapping[str, str]] = {"M": LINEAR, "*": FULL, "-": "mlp", "E": "moe"}


def _read_nemotron(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """Layers are counted by `layers_block_type` or the letters of `hybrid_override_pattern`, never by their number."""
    kinds: Sequence[str] = config.strings("layer_types")
    pattern = config.get(str, "hybrid_override_pattern")
    if not kinds and pattern:
        unknown = sorted(set(pattern) - set(_PATTERN))
        if unknown:
            raise config.error("hybrid_override_pattern", f"{unknown[0]!r} is no kind of layer")
        kinds = [_PATTERN[letter] for letter in pattern]
    kinds = list(kinds) or [LINEAR, "moe", FULL, "mlp"]
    return read_hybrid(changed(config, layer_types=kinds, num_hidden_layers=len(kinds)), architectures, _NEMOTRON)


def _nemotron_width(config: ConfigDocument) -> Mapping[str, int]:
    """Heads times their size, whatever `expand` says."""
    return {"mamba_d_ssm": config.size("mamba_n_heads") * config.size("mamba_d_head")}


def _nemotron_experts(config: ConfigDocument, traits: Traits, index: int) -> MoEMLP:
    """Experts without a gate, of a latent where `moe_latent_size` is set, and shared ones of the hidden states."""
    latent, bias = config.size_or_none("moe_latent_size"), switch(config, traits.mlp_bias)
    return replace(read_experts(config, traits, _NEMOTRON_EXPERTS), moe_latent_size=latent, latent_bias=bias)


_NEMOTRON_EXPERTS: Final = Experts(
    number="n_routed_experts", shared_width="moe_shared_expert_intermediate_size", correction_bias=True
)


# ------------------------------------------------------ attention that several layers share (zamba)

ReadAdapters = Callable[[ConfigDocument, Layer], tuple[Part, ...]]


def _over_two(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> FullAttention:
    """Attention that reads the hidden states and the embedding side by side."""
    hidden_size = config.size("hidden_size")
    width = config.size_or_none("attention_hidden_size") or 2 * hidden_size
    mixer = attention(changed(config, hidden_size=width), traits, index, window)
    return replace(mixer, o_features=hidden_size)


def _read_zamba(
    config: ConfigDocument,
    architectures: tuple[str, ...],
    *,
    hybrid: Hybrid,
    blocks: str | None = None,
    adapters: ReadAdapters | None = None,
) -> Architecture:
    """State spaces, before some of which attention and an MLP stand.

    Of these there are as many as the field `blocks` says, by default one, and the layers take turns with them.
    What each of those layers has for itself is a matrix behind them, and adapters.
    """
    model = read_hybrid(config, architectures, hybrid)
    config = usual_fields(config, hybrid.traits)
    number = config.size(blocks) if blocks else 1
    state_space = hybrid.mixers[LINEAR](config, hybrid.traits, 0, None)
    linear = Linear(name="linear", out_features=model.hidden_size, in_features=model.hidden_size)
    own = [Block(kind="linear", component=Component.OTHER, weights=(linear,), stateless=True)]
    found, layers = 0, []
    for layer in model.layers:
        mixer = layer.mixer
        if isinstance(mixer, FullAttention) and state_space is not None:
            others = (state_space, *own, *(adapters(config, layer) if adapters else ()))
            layer = replace(layer, others=others)
            if found < number:
                norms, wide = Norms(count=2, hidden_size=model.hidden_size), vector("norm", mixer.hidden_size, _NORM)
                layer = replace(layer, norms=norms, extras=(wide,))
            else:
                layer = replace(layer, shared_parts=tuple(part for part in (mixer, layer.mlp) if part is not None))
            found += 1
        layers.append(layer)
    return replace(model, layers=tuple(layers))


_NORM: Final = Component.NORM


def _zamba2_adapters(config: ConfigDocument, layer: Layer) -> tuple[Part, ...]:
    """What tells the layers with the same MLP, and with the same attention if so wanted, apart (LoRA, 2106.09685)."""
    rank, mlp, mixer = config.size("adapter_rank"), layer.mlp, layer.mixer
    found = []
    if isinstance(mlp, DenseMLP):
        found.append(_adapter(Component.MLP, mlp.hidden_size, 2 * mlp.intermediate_size, rank))
    if isinstance(mixer, FullAttention) and config.flag("use_shared_attention_adapter"):
        found.append(_adapter(Component.ATTENTION, mixer.hidden_size, mixer.hidden_size, rank, count=3))
    return tuple(found)


def _adapter(component: Component, inputs: int, outputs: int, rank: int, count: int = 1) -> Block:
    weights = (
        Linear(name="down", out_features=rank, in_features=inputs, count=count),
        Linear(name="up", out_features=outputs, in_features=rank, count=count),
    )
    return Block(kind="adapter", component=component, weights=weights, stateless=True)


def _read_zamba2(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """An MLP of four times the hidden size where nothing is said; rotary positions where `use_mem_rope` says so."""
    if config.size_or_none("intermediate_size") is None:
        config = changed(config, intermediate_size=4 * config.size("hidden_size"))
    traits = replace(_ZAMBA2.traits, rotary=config.flag("use_mem_rope"))
    hybrid = replace(_ZAMBA2, traits=traits)
    return _read_zamba(config, architectures, hybrid=hybrid, blocks="num_mem_blocks", adapters=_zamba2_adapters)


def _zamba_layers(config: ConfigDocument, layers: int) -> Sequence[str]:
    """The third layer, then each `attn_layer_period`-th of those behind it, from `attn_layer_offset` on."""
    period, offset = config.size("attn_layer_period"), config.require(int, "attn_layer_offset")
    behind = [HYBRID if index % period == offset else LINEAR for index in range(layers - 3)]
    return [LINEAR, LINEAR, HYBRID, *behind]


def _zamba2_layers(config: ConfigDocument, layers: int) -> Sequence[str]:
    """Zamba2-2.7B's, for 54 layers."""
    places = {6, 12, 18, 24, 30, 36, 42, 47, 51}
    return [HYBRID if index in places else LINEAR for index in range(54)]


# -------------------------------------------------------------------------------------- model types

_MAMBA_NAMES: Final[Mapping[str, str]] = {
    "mamba_d_state": "state_size",
    "mamba_d_conv": "conv_kernel",
    "mamba_expand": "expand",
    "mamba_dt_rank": "time_step_rank",
    "mamba_n_heads": "num_heads",
    "mamba_d_head": "head_dim",
    "mamba_n_groups": "n_groups",
    "mamba_chunk_size": "chunk_size",
    "mamba_proj_bias": "use_bias",
    "mamba_conv_bias": "use_conv_bias",
}

_STATE_SPACES_ONLY: Final = Traits(read_mlp=no_mlp, names=_MAMBA_NAMES, norms_per_layer=1, rotary=False)
_MAMBA: Final = Hybrid(kinds=always(LINEAR), mixers={LINEAR: _mamba_of_width}, traits=_STATE_SPACES_ONLY)

_GRANITE: Final = Hybrid(
    kinds=listed(always(LINEAR)),
    mixers={LINEAR: mamba2, FULL: attention},
    traits=Traits(read_mlp=_shared_mlp, qkv_bias="attention_bias", o_bias="attention_bias", fused_mlp=True),
    experts=Experts(
        number="num_local_experts",
        width="intermediate_size",
        shared_width="shared_intermediate_size",
        layers=_granite_layers,
    ),
)

_NEMOTRON: Final = Hybrid(
    kinds=listed(always(LINEAR)),
    mixers={LINEAR: partial(mamba2, bias="use_bias"), FULL: attention, "mlp": no_mixer, "moe": no_mixer},
    mlps={LINEAR: no_mlp, FULL: no_mlp, "moe": _nemotron_experts},
    traits=Traits(
        read_mlp=dense,
        names={
            "mamba_n_heads": "mamba_num_heads",
            "mamba_d_head": "mamba_head_dim",
            "mamba_d_state": "ssm_state_size",
            "mamba_n_groups": "n_groups",
            "mamba_d_conv": "conv_kernel",
            "mamba_chunk_size": "chunk_size",
            "mamba_conv_bias": "use_conv_bias",
        },
        values=_nemotron_width,
        activation="mlp_hidden_act",
        gated=False,
        mlp_bias="mlp_bias",
        norms_per_layer=1,
        rotary=False,
        tied=False,  # its class ties nothing
    ),
)

_ZAMBA: Final = Hybrid(
    kinds=listed(_zamba_layers),
    mixers={LINEAR: _mamba_of_heads, HYBRID: _over_two},
    mlps={LINEAR: no_mlp},
    traits=Traits(read_mlp=dense, norms_per_layer=1, rotary=False),
)

_ZAMBA2: Final = Hybrid(
    kinds=listed(_zamba2_layers),
    mixers={LINEAR: partial(mamba2, bias="add_bias_linear"), HYBRID: _over_two},
    mlps={LINEAR: no_mlp},
    traits=Traits(
        read_mlp=dense,
        names={
            "mamba_n_heads": "n_mamba_heads",
            "mamba_d_head": "mamba_headdim",
            "mamba_n_groups": "mamba_ngroups",
            "mamba_chunk_size": "chunk_size",
        },
        values=fixed(mamba_conv_bias=True),
        mlp_bias="add_bias_linear",
        norms_per_layer=1,
        fused_mlp=True,
    ),
)

_TYPES: Final[Mapping[str, Hybrid]] = {
    "mamba": _MAMBA,
    "falcon_mamba": _MAMBA,  # its norms of the time step, B and C have no weights
    "mamba2": replace(_MAMBA, mixers={LINEAR: mamba2}),
    "jamba": Hybrid(
        kinds=by_period,
        mixers={LINEAR: _normed_mamba, FULL: attention},
        traits=Traits(read_mlp=dense, rotary=False),
        experts=Experts(width="intermediate_size", layers=_jamba_layers),
    ),
    "bamba": Hybrid(
        kinds=by_indices("attn_layer_indices", other=LINEAR, absent=LINEAR),
        mixers={LINEAR: mamba2, FULL: attention},
        traits=Traits(
            read_mlp=dense,
            qkv_bias="attention_bias",
            o_bias="attention_bias",
            mlp_bias="mlp_bias",
            partial_rotary_key="partial_rotary_factor",
            partial_rotary_default=0.5,
        ),
    ),
    "falcon_h1": Hybrid(
        kinds=always(HYBRID),
        mixers={HYBRID: attention},
        traits=Traits(
            read_mlp=dense,
            read_others=_beside_mamba2,
            qkv_bias="attention_bias",
            o_bias="attention_bias",
            mlp_bias="mlp_bias",
        ),
    ),
}

FAMILIES: Final[Mapping[str, Read]] = {
    **{model_type: partial(read_hybrid, hybrid=hybrid) for model_type, hybrid in _TYPES.items()},
    "granitemoehybrid": _read_granite,
    "nemotron_h": _read_nemotron,
    "zamba": partial(_read_zamba, hybrid=_ZAMBA),
    "zamba2": _read_zamba2,
}
