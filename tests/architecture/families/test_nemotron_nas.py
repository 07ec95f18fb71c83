"""Models whose layers were chosen by a search. Expected numbers are sums, written out beside them."""

from __future__ import annotations

from typing import Any, Final

import pytest

from hubvram.architecture.attention import SlidingAttention
from hubvram.errors import ConfigError
from hubvram.memory.kv_cache import knows_cache, kv_cache_bytes
from tests.samples import architecture_of

_NO_OP: Final = {"no_op": True}
_BLOCKS: Final = (
    {"attention": {"n_heads_in_group": 2}, "ffn": {"ffn_mult": 5.25}},
    {"attention": _NO_OP, "ffn": {"ffn_mult": 6.1}},
    {"attention": {"replace_with_linear": True}, "ffn": {"replace_with_linear": True}},
    {"attention": _NO_OP, "ffn": _NO_OP},
)


def config_of(*blocks: Any, **values: Any) -> dict[str, Any]:
    return {
        "model_type": "nemotron-nas",
        "hidden_size": 64,
        "intermediate_size": None,
        "num_hidden_layers": len(blocks),
        "num_attention_heads": 4,
        "num_key_value_heads": None,
        "vocab_size": 100,
        "block_configs": list(blocks),
        **values,
    }


def test_each_layer_is_as_its_block_says() -> None:
    layers = architecture_of(config_of(*_BLOCKS)).layers
    assert [layer.parameters for layer in layers] == [
        # q, o: 64 x 64; k, v of 2 heads: 32 x 64; 2/3 * 5.25 * 64 = 224, rounded up to 256; two norms.
        2 * 64 * 64 + 2 * 32 * 64 + 3 * 256 * 64 + 2 * 64,
        # 2/3 * 6.1 * 64 = 260, rounded up to 512; one norm.
        3 * 512 * 64 + 64,
        2 * 64 * 64 + 2 * 64,
        0,
    ]


def test_only_attention_caches() -> None:
    model = architecture_of(config_of(*_BLOCKS))
    assert knows_cache(model)
    assert kv_cache_bytes(model, tokens=10, batch_size=1, element_bytes=2) == 10 * 2 * 2 * 32


def test_a_window() -> None:
    model = architecture_of(config_of({"attention": {"n_heads_in_group": 4, "window_length": 8}, "ffn": _NO_OP}))
    assert isinstance(mixer := model.layers[0].mixer, SlidingAttention)
    assert (mixer.sliding_window, mixer.num_key_value_heads) == (8, 1)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (config_of(*_BLOCKS, num_hidden_layers=5), "block_configs: it lists 4 layers"),
        (config_of(1), r"block_configs\[0\]: expected an object"),
        (config_of({"attention": 1}), r"block_configs\[0\].attention: expected an object"),
        (config_of({}), r"block_configs\[0\].attention.n_heads_in_group: it is missing"),
        (config_of({"attention": {"n_heads_in_group": 3}}), "3 does not divide the 4"),
        (config_of({"attention": _NO_OP, "ffn": {}}), r"block_configs\[0\].ffn.intermediate_size: it is missing"),
        (config_of({"attention": _NO_OP, "ffn": {"ffn_mult": float("nan")}}), "ffn_mult: nan"),
        (config_of({"attention": _NO_OP, "ffn": {"ffn_mult": 1e30}}), "ffn_mult: 1e"),
        (config_of({"attention": _NO_OP, "ffn": {"ffn_mult": 1e-30}}), "ffn_mult: 1e-30 leaves no width"),
    ],
)
def test_what_cannot_be(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        architecture_of(config)
