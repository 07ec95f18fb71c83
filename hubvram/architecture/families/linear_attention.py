"""Decoders with linear attention or gated recurrences, alone or between attention layers.

The details were read from each model's `modeling_*.py` in transformers 5.23.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from hubvram.architecture import patterns
from hubvram.architecture.attention import FullAttention
from hubvram.architecture.families.decoder import Traits, attention, dense, fixed
from hubvram.architecture.families.experts import Experts, in_steps
from hubvram.architecture.families.fields import ratio
from hubvram.architecture.families.hybrid import FULL, LINEAR, SLIDING, Hybrid, always, by_interval, listed, read_hybrid
from hubvram.architecture.families.interface import Read
from hubvram.architecture.layers import Architecture
from hubvram.architecture.mlp import DenseMLP
from hubvram.architecture.parts import Block, Linear, State, Tensor, Weight, vector
from hubvram.architecture.recurrent import GatedDeltaNet, conv_state, recurrent_state
from hubvram.checkpoint.components import Component
from hubvram.config.document import ConfigDocument

# --------------------------------------------------------------------------------- linear attention


def delta_net(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> GatedDeltaNet:
    """Linear attention with a gated delta rule."""
    return GatedDeltaNet(
        hidden_size=config.size("hidden_size"),
        linear_num_key_heads=config.size("linear_num_key_heads"),
        linear_num_value_heads=config.size("linear_num_value_heads"),
        linear_key_head_dim=config.size("linear_key_head_dim"),
        linear_value_head_dim=config.size("linear_value_head_dim"),
        linear_conv_kernel_dim=config.size("linear_conv_kernel_dim"),
    )


def _olmo_delta_net(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> GatedDeltaNet:
    """The same, by default with the heads of the attention, of three quarters of their size, and V twice as wide."""
    heads, hidden_size = config.size("num_attention_heads"), config.size("hidden_size")
    key_heads = config.size_or_none("linear_num_key_heads") or heads
    key_head_dim = config.size_or_none("linear_key_head_dim") or int(0.75 * hidden_size / key_heads)
    if not key_head_dim:
        raise config.error("linear_num_key_heads", f"{key_heads} heads leave nothing of hidden_size {hidden_size}")
    return GatedDeltaNet(
        hidden_size=hidden_size,
        linear_num_key_heads=key_heads,
        linear_num_value_heads=config.size_or_none("linear_num_value_heads") or heads,
        linear_key_head_dim=key_head_dim,
        linear_value_head_dim=config.size_or_none("linear_value_head_dim") or 2 * key_head_dim,
        linear_conv_kernel_dim=config.size("linear_conv_kernel_dim"),
    )


def _olmo_layers(config: ConfigDocument, layers: int) -> Sequence[str]:
    """Attention in each fourth layer, and at least in the last."""
    return [FULL if index % 4 == 3 or (layers < 4 and index == layers - 1) else LINEAR for index in range(layers)]


def _read_olmo_hybrid(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """Norms stand behind attention, and before linear attention."""
    model = read_hybrid(config, architectures, _OLMO_HYBRID)
    layers = (replace(layer, pre_norm=not isinstance(layer.mixer, FullAttention)) for layer in model.layers)
    return replace(model, layers=tuple(layers))


# -------------------------------------------------------------------------------------- recurrences


def _rg_lru(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> Block:
    """Griffin's recurrent block (2402.19427): a convolution and a gated linear recurrence."""
    hidden, heads = config.size("hidden_size"), config.size("num_attention_heads")
    width = config.size_or_none("lru_width") or hidden
    block = width // heads
    return Block(
        kind="rg_lru",
        component=Component.SSM,
        weights=(
            Linear(name="x y", out_features=width, in_features=hidden, bias=True, count=2),
            Linear(name="out", out_features=hidden, in_features=width, bias=True),
        ),
        others=(
            Tensor(name="conv", shape=(width, 1, config.size("conv1d_width"))),
            vector("conv bias", width),
            Tensor(name="gates", shape=(heads, block, block), count=2),
            Tensor(name="gate biases", shape=(heads, block), count=2),
            vector("recurrence", width),
        ),
        # Kept in the module, not in the cache. Before the first decode step the convolution keeps an input less.
        kept_states=(conv_state(width, config.size("conv1d_width")), recurrent_state(width)),
    )


def _half_dense(config: ConfigDocument, traits: Traits, index: int) -> DenseMLP:
    """`intermediate_size` counts gate and up together (recurrent_gemma)."""
    mlp = dense(config, traits, index)
    return replace(mlp, intermediate_size=mlp.intermediate_size // 2)


def _recurrent_gemma_layers(config: ConfigDocument, layers: int) -> Sequence[str]:
    """`block_types`, over and over."""
    blocks = config.strings("block_types")
    if not blocks or set(blocks) - {"recurrent", "attention"}:
        raise config.error("block_types", "it is no list of 'recurrent' and 'attention'")
    return [LINEAR if blocks[index % len(blocks)] == "recurrent" else SLIDING for index in range(layers)]


def _rwkv(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> Block:
    """RWKV-4's time mixing (2305.13048)."""
    hidden = config.size("hidden_size")
    width = config.size_or_none("attention_hidden_size") or hidden
    return Block(
        kind="rwkv",
        component=Component.SSM,
        weights=(
            Linear(name="k v r", out_features=width, in_features=hidden, count=3),
            Linear(name="o", out_features=hidden, in_features=width),
        ),
        others=(
            Tensor(name="time", shape=(width,), count=2),
            Tensor(name="mix", shape=(hidden,), count=3),
        ),
        kept_states=(State(name="token before", shape=(hidden,)), recurrent_state(3, width)),
    )


def _channel_mix(config: ConfigDocument, traits: Traits, index: int) -> Block:
    """RWKV-4's MLP, which looks at the token before too."""
    hidden = config.size("hidden_size")
    inner = config.size_or_none("intermediate_size") or 4 * hidden
    return Block(
        kind="channel_mix",
        component=Component.MLP,
        weights=(
            Linear(name="key", out_features=inner, in_features=hidden),
            Linear(name="value", out_features=hidden, in_features=inner),
            Linear(name="receptance", out_features=hidden, in_features=hidden),
        ),
        others=(Tensor(name="mix", shape=(hidden,), count=2),),
        kept_states=(State(name="token before", shape=(hidden,)),),
    )


def _norm_before_first(config: ConfigDocument, index: int) -> tuple[Weight, ...]:
    """A norm of the embedding stands in the first layer (rwkv)."""
    norm = Tensor(name="pre_ln", shape=(config.size("hidden_size"),), count=2, component=Component.NORM)
    return () if index else (norm,)


def _mlstm(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> Block:
    """The xLSTM's matrix memory (2405.04517)."""
    hidden, heads, bias = config.size("hidden_size"), config.size("num_heads"), config.flag("use_bias")
    qk, v = _share_of_hidden(config, "qk_dim_factor"), _share_of_hidden(config, "v_dim_factor")
    return Block(
        kind="mlstm",
        component=Component.SSM,
        weights=(
            Linear(name="q k", out_features=qk, in_features=hidden, bias=bias, count=2),
            Linear(name="v gate", out_features=v, in_features=hidden, bias=bias, count=2),
            Linear(name="i f", out_features=heads, in_features=hidden, bias=True, count=2),
            Linear(name="o", out_features=hidden, in_features=v, bias=bias),
        ),
        others=(Tensor(name="norm", shape=(heads, v // heads), count=1 + bias),),
        kept_states=(
            State(name="c", shape=(heads, qk // heads, v // heads)),
            State(name="n", shape=(heads, qk // heads)),
            State(name="m", shape=(heads,)),
        ),
    )


def _xlstm_mlp(config: ConfigDocument, traits: Traits, index: int) -> DenseMLP:
    """A factor of the hidden size wide, rounded up."""
    width, multiple = _share_of_hidden(config, "ffn_proj_factor"), config.size("ffn_round_up_to_multiple_of")
    return DenseMLP(
        hidden_size=config.size("hidden_size"),
        intermediate_size=multiple * -(-width // multiple),
        hidden_act="silu",
        bias=config.flag("use_bias"),
    )


def _share_of_hidden(config: ConfigDocument, key: str) -> int:
    """A factor times the hidden size."""
    return int(config.size("hidden_size") * ratio(config, key))


def _read_xlstm(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """The last norm has no bias, whatever the others have."""
    model = read_hybrid(config, architectures, _XLSTM)
    return replace(model, final_norm=replace(model.final_norm, bias=False))


# -------------------------------------------------------------------------------------- model types

_QWEN: Final = Hybrid(
    kinds=listed(by_interval),
    mixers={LINEAR: delta_net, FULL: attention},
    traits=Traits(
        read_mlp=dense,
        qkv_bias="attention_bias",
        o_bias="attention_bias",
        qk_norm=True,
        output_gate=True,
        partial_rotary_key="partial_rotary_factor",
        partial_rotary_default=0.25,
    ),
)
_QWEN_EXPERTS: Final = Experts(shared_width="shared_expert_intermediate_size", shared_gate=True)

_OLMO_HYBRID: Final = Hybrid(
    kinds=listed(_olmo_layers),
    mixers={LINEAR: _olmo_delta_net, FULL: attention},
    traits=Traits(
        read_mlp=dense,
        qkv_bias="attention_bias",
        o_bias="attention_bias",
        qk_norm=True,
        qk_norm_all_heads=True,
    ),
)

_XLSTM: Final = Hybrid(
    kinds=always(LINEAR),
    mixers={LINEAR: _mlstm},
    traits=Traits(
        read_mlp=_xlstm_mlp,
        names={"num_hidden_layers": "num_blocks"},
        values=fixed(num_blocks=32),
        norm_bias="use_bias",
        rotary=False,
    ),
)

_TYPES: Final[Mapping[str, Hybrid]] = {
    "qwen3_next": replace(_QWEN, experts=replace(_QWEN_EXPERTS, layers=in_steps)),
    "qwen3_5_text": _QWEN,
    "qwen3_5_moe_text": replace(_QWEN, experts=_QWEN_EXPERTS),
    "recurrent_gemma": Hybrid(
        kinds=_recurrent_gemma_layers,
        mixers={LINEAR: _rg_lru, SLIDING: attention},
        traits=Traits(
            read_mlp=_half_dense,
            qkv_bias="attention_bias",
            o_bias=True,
            mlp_bias=True,
            activation="hidden_activation",
            partial_rotary_key="partial_rotary_factor",
            partial_rotary_default=0.5,
        ),
    ),
    "rwkv": Hybrid(
        kinds=always(LINEAR),
        mixers={LINEAR: _rwkv},
        traits=Traits(read_mlp=_channel_mix, layer_extras=_norm_before_first, norm_bias=True, rotary=False),
    ),
}

FAMILIES: Final[Mapping[str, Read]] = {
    **{model_type: partial(read_hybrid, hybrid=hybrid) for model_type, hybrid in _TYPES.items()},
    "olmo_hybrid": _read_olmo_hybrid,
    "xlstm": _read_xlstm,
}
