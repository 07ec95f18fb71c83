"""What fields are called by models that transformers' table does not know.

Config classes of transformers map their own names to the usual ones (`attribute_map`); for everything else
these are the names in use (transformers' attribute maps, and vLLM's transformers_utils/config.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_ALIASES: Final[Mapping[str, tuple[str, ...]]] = {
    "hidden_size": ("n_embd", "d_model", "model_dim", "dim", "embed_dim"),
    "num_hidden_layers": ("n_layer", "n_layers", "num_layers"),
    "num_attention_heads": ("n_head", "n_heads", "num_heads"),
    "num_key_value_heads": ("n_head_kv", "num_kv_heads", "n_kv_heads", "multi_query_group_num"),
    "head_dim": ("kv_channels", "attention_head_dim", "head_size", "d_head", "d_kv"),
    "intermediate_size": ("ffn_hidden_size", "n_inner", "ffn_dim", "d_ff"),
    "moe_intermediate_size": ("moe_ffn_hidden_size", "expert_ffn_hidden_size"),
    "hidden_act": ("activation_function", "hidden_activation"),
    "vocab_size": ("padded_vocab_size", "n_vocab"),
    "max_position_embeddings": ("n_positions", "n_ctx", "seq_length", "max_seq_len", "max_sequence_length"),
    "num_experts": ("num_local_experts", "n_routed_experts", "moe_num_experts"),
    "num_experts_per_tok": ("num_experts_per_token", "moe_topk", "moe_top_k", "top_k_experts", "moe_k"),
}


def aliases_in(data: Mapping[str, Any]) -> dict[str, str]:
    """Usual name -> the name that this config has for it, where it has another."""
    return {
        usual: next(name for name in names if name in data)
        for usual, names in _ALIASES.items()
        if usual not in data and any(name in data for name in names)
    }
