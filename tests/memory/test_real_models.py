"""Tiny models really run: what their cache holds once decoding runs. Extra: needs torch and transformers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from hubvram.memory.kv_cache import kv_cache_bytes, prefill_excess_bytes
from tests.samples import architecture_of

torch: Any = pytest.importorskip("torch", reason="torch, which runs the models, is not installed")
transformers: Any = pytest.importorskip("transformers", reason="transformers, whose models are run, is not installed")

SMALL = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 128,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
MODELS: dict[str, Mapping[str, Any]] = {
    "llama": SMALL,
    "mistral": {**SMALL, "sliding_window": 8},
    "mixtral": {**SMALL, "num_local_experts": 4, "sliding_window": None},
    "qwen2": {**SMALL, "sliding_window": 8, "use_sliding_window": True, "max_window_layers": 1},
    "qwen3": {**SMALL, "head_dim": 32},
    "qwen3_moe": {**SMALL, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32},
    "gemma": {**SMALL, "num_key_value_heads": 1, "head_dim": 32},
    "gemma2": {**SMALL, "head_dim": 16, "sliding_window": 8},
    "gemma3_text": {**SMALL, "head_dim": 16, "sliding_window": 8, "num_hidden_layers": 7},
    "phi3": {**SMALL, "sliding_window": 8},
    "gpt2": {"n_embd": 64, "n_layer": 3, "n_head": 4, "vocab_size": 128, "n_positions": 64},
    "gpt_neox": {key: value for key, value in SMALL.items() if key != "num_key_value_heads"},
}


def held_bytes(cache: Any) -> int:
    """Bytes of the storages behind keys and values: views are counted as what they keep alive."""
    storages = {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
        for layer in cache.layers
        for tensor in (layer.keys, layer.values)
    }
    return sum(storages.values())


def shown_bytes(cache: Any) -> int:
    return sum(
        tensor.numel() * tensor.element_size() for layer in cache.layers for tensor in (layer.keys, layer.values)
    )


@pytest.mark.parametrize("tokens", [5, 7, 8, 9, 20])
@pytest.mark.parametrize("model_type", MODELS)
def test_the_cache_of_a_run_holds_what_is_said(model_type: str, tokens: int) -> None:
    values = MODELS[model_type]
    config = transformers.CONFIG_MAPPING[model_type](**values)
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    architecture = architecture_of({"model_type": model_type, **values})
    batch = {"batch_size": 3, "element_bytes": 4}
    cache = transformers.DynamicCache(config=config)
    with torch.no_grad():
        step = model(torch.full((3, tokens), 5), past_key_values=cache, use_cache=True)
        after_prefill = kv_cache_bytes(architecture, tokens=tokens, **batch)
        excess = prefill_excess_bytes(architecture, tokens=tokens, **batch)
        assert held_bytes(cache) == after_prefill + excess
        for more in (1, 2, 3):
            token = step.logits[:, -1:].argmax(dim=-1)
            step = model(token, past_key_values=cache, use_cache=True)
            assert held_bytes(cache) == kv_cache_bytes(architecture, tokens=tokens + more, **batch)
            assert shown_bytes(cache) <= held_bytes(cache)
