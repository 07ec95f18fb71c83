"""Decoders from before llama: the rules that their default configs do not exercise.

Expected numbers are parameters of transformers 5.23's own classes, built from the same config on the meta device.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pytest

from hubvram.architecture.attention import FullAttention, SlidingAttention
from hubvram.errors import ConfigError
from hubvram.memory.kv_cache import knows_cache
from tests.samples import architecture_of

_USUAL: Final = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 100}
_OPT: Final = {**_USUAL, "model_type": "opt", "ffn_dim": 128, "max_position_embeddings": 50}
_FALCON: Final = {**_USUAL, "model_type": "falcon"}
_NEWER: Final = {**_FALCON, "new_decoder_architecture": True, "num_kv_heads": 2}
_N_EMBD: Final = {"n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 100, "n_inner": 96}
_REFORMER: Final = {
    "model_type": "reformer",
    "axial_pos_embds": False,
    "attn_layers": ["lsh", "local", "lsh"],
    "hidden_size": 64,
    "attention_head_size": 8,
    "num_attention_heads": 4,
    "feed_forward_size": 96,
    "vocab_size": 100,
    "max_position_embeddings": 50,
}
_MODERNBERT: Final = {
    **_USUAL,
    "model_type": "modernbert-decoder",
    "num_hidden_layers": 4,
    "intermediate_size": 96,
    "norm_bias": True,
    "classifier_bias": True,
    "attention_bias": True,
    "mlp_bias": True,
    "decoder_bias": False,
    "global_attn_every_n_layers": 2,
}


@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        ({**_OPT, "word_embed_proj_dim": 32, "do_layer_norm_before": False}, 77_568),
        ({**_OPT, "layer_norm_elementwise_affine": False, "enable_bias": False}, 75_264),
        ({**_FALCON, "multi_query": False, "parallel_attn": False, "alibi": True, "bias": True}, 106_496),
        (_NEWER, 97_152),
        ({**_NEWER, "num_ln_in_parallel_attn": 1, "ffn_hidden_size": 96}, 55_936),
        ({**_N_EMBD, "model_type": "gpt_bigcode", "n_positions": 50, "multi_query": False}, 68_416),
        ({**_N_EMBD, "model_type": "gptj", "rotary_dim": 8}, 70_948),
        (_REFORMER, 81_348),
        (_MODERNBERT, 153_152),
        ({**_MODERNBERT, "architectures": ["ModernBertDecoderForSequenceClassification"]}, 153_282),
        (
            {
                "model_type": "xlm",
                "emb_dim": 64,
                "n_layers": 2,
                "n_heads": 4,
                "vocab_size": 100,
                "max_position_embeddings": 50,
                "n_langs": 3,
            },
            109_988,
        ),
    ],
)
def test_variants(config: Mapping[str, Any], parameters: int) -> None:
    assert architecture_of(config).parameters == parameters


def test_bloom_files_of_old_name_their_width_n_embed() -> None:
    # 250,880 x 1,024 + 24 layers of 12 x 1,024 x 1,024 + 13 x 1,024, and two norms: as published for bloom-560m.
    config = {"model_type": "bloom", "n_embed": 1024, "n_layer": 24, "num_attention_heads": 16, "vocab_size": 250_880}
    assert architecture_of(config).parameters == 559_214_592


def test_newer_falcons_repeat_their_heads_before_they_cache_them() -> None:
    newer, older = architecture_of(_NEWER), architecture_of(_FALCON)
    assert isinstance(newer.layers[0].mixer, FullAttention)
    assert newer.layers[0].mixer.num_key_value_heads == 2
    assert newer.layers[0].mixer.cached_heads == newer.layers[0].mixer.num_attention_heads
    assert isinstance(older.layers[0].mixer, FullAttention)
    assert older.layers[0].mixer.num_key_value_heads == 1
    assert older.layers[0].mixer.cached_heads is None
    assert knows_cache(newer) and knows_cache(older)


def test_half_of_modernberts_window_is_behind_a_token() -> None:
    mixers = [layer.mixer for layer in architecture_of(_MODERNBERT).layers]
    assert [isinstance(mixer, SlidingAttention) for mixer in mixers] == [False, True, False, True]
    assert isinstance(mixers[1], SlidingAttention)
    assert mixers[1].sliding_window == 64


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({**_FALCON, "num_kv_heads": 3, "new_decoder_architecture": True}, "num_key_value_heads"),
        ({**_REFORMER, "attn_layers": ["local", "global"]}, r"attn_layers\[1\]"),
        ({**_REFORMER, "axial_pos_embds": True, "axial_pos_shape": [64]}, "axial_pos_embds_dim"),
        ({**_OPT, "word_embed_proj_dim": 0}, "word_embed_proj_dim"),
        ({**_MODERNBERT, "global_attn_every_n_layers": 0}, "global_attn_every_n_layers"),
        ({**_MODERNBERT, "local_attention": 1}, "sliding_window"),
    ],
)
def test_bad_values_are_named(config: Mapping[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        architecture_of(config)
