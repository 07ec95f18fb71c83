"""What of transformers 5.23 is in fp32 where the model is in 16 bit, or has to be so all of it.

By `_keep_in_fp32_modules_strict`, in fp16 and bf16 alike; or as their forward turns them for good. Left out are vectors
of a few kilobytes: norms, and the corrections of routers, which files have in fp32 anyway.
"""

from __future__ import annotations

from typing import Final

from hubvram.architecture.layers import Architecture
from hubvram.architecture.mlp import MoEMLP

_HEADS: Final = frozenset({"hy_v4"})
_ROUTERS: Final = frozenset(
    {
        *("beam", "ernie4_5_moe", "ernie4_5_vl_moe_text", "flint", "inkling2_text"),
        # Turned by the first forward (modeling_switch_transformers.py, modeling_nllb_moe.py: `router_dtype`).
        *("switch_transformers", "nllb-moe"),
    }
)

_GENERATE: Final = frozenset({"xlnet"})
"""Their own `generate()` makes masks in fp32, which meet weights in a product of one type
(XLNetLMHeadModel.prepare_inputs_for_generation: `target_mapping`)."""


def generates_in(architecture: Architecture, dtype: str) -> bool:
    """Whether `generate()` runs where the model is in this type."""
    return dtype == "fp32" or architecture.model_type not in _GENERATE


def always_in_fp32(architecture: Architecture) -> int:
    """Parameters of the head, and of routers."""
    encoder, head = architecture.encoder, architecture.head
    kept = 0
    if architecture.model_type in _HEADS and head is not None and not architecture.has_tied_head:
        kept += head.parameters
    if architecture.model_type in _ROUTERS:
        layers = (*architecture.layers, *(encoder.layers if encoder is not None else ()))
        kept += sum(layer.mlp.router.parameters for layer in layers if isinstance(layer.mlp, MoEMLP))
    return kept
