"""Two gemmas as one model, term by term by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hubvram.architecture.layers import Architecture
from hubvram.memory.engines.transformers_sides import encode, step
from hubvram.memory.forward.run import Sizes
from hubvram.memory.forward.tape import Share
from hubvram.memory.workload import Attention
from tests.samples import architecture_of

SIDE = {
    "hidden_size": 64, "num_hidden_layers": 6, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32,
    "vocab_size": 100, "hidden_activation": "gelu_pytorch_tanh", "sliding_window": 10,
}  # fmt: skip


def t5gemma(inner: int) -> Architecture:
    side = {**SIDE, "intermediate_size": inner}
    return architecture_of({"model_type": "t5gemma", "encoder": side, "decoder": side})


def t5gemma2(inner: int, **encoder: Any) -> Architecture:
    side = {**SIDE, "intermediate_size": inner}
    text = {"text_config": {**side, **encoder}}
    return architecture_of({"model_type": "t5gemma2", "encoder": text, "decoder": side})


def over(tokens: int, batch_size: int = 1, attention: Attention = Attention.SDPA) -> Sizes:
    return Sizes(batch_size=batch_size, tokens=tokens, element_bytes=2, attention=attention)


def test_encoder_of_t5gemma() -> None:
    # 40 tokens: ids and marks of padding in 64 bits; a mask of the window; and of 64 features the embeddings as they
    # were, the layer's input, residual and normed beside act(gate), up and their product of 1,000 each. The layer has
    # a name for the probabilities of 4 heads until its end.
    (peak,) = encode(t5gemma(1000), over(40, 3, Attention.EAGER))
    assert peak.size_bytes(Share.SEQUENCE) == 3 * 40 * (16 + 2 * 40 + 2 * (4 * 64 + 3 * 1000 + 4 * 40))
    # Position ids, cos and sin.
    assert peak.size_bytes(Share.ALL) == 40 * (8 + 2 * 2 * 32)


def test_encoder_of_t5gemma2() -> None:
    # Without marks of padding; the window's mask is one for all, and so are cos and sin of both kinds of layers.
    mlp, *_ = encode(t5gemma2(1000), over(40, 3))
    assert mlp.size_bytes(Share.SEQUENCE) == 3 * 40 * (8 + 2 * (4 * 64 + 3 * 1000))
    assert mlp.size_bytes(Share.ALL) == 40 * (40 + 8 + 2 * 2 * 2 * 32)


def test_distances_are_measured_in_64_bits() -> None:
    # Before the layers: ids, and the embeddings. How far apart tokens are, and the negative; three times a boolean;
    # positions of both, and the embedding's, in 64 bits, and a boolean of each. However wide the window is.
    *_, distances = encode(t5gemma2(1000, sliding_window=10_000), over(700))
    assert distances.phase == "mask of the window"
    assert distances.size_bytes(Share.SEQUENCE) == 700 * (8 + 2 * 64)
    assert distances.size_bytes(Share.ALL) == 700 * 700 * (2 * 8 + 3) + 700 * (3 * 8 + 1)


def test_a_later_step_joins_what_is_cached() -> None:
    # 50 tokens with this one, 200 of the encoder: ids of both, what the encoder says. Masks of both, one for each kind
    # of layers, of which those with a window see 10 of their own; and one in bf16 for sdpa. Of the token, the
    # embeddings, the layer's input and its norm; Q and what heads say, of 4 x 32, and a sum of each head. K and V of
    # both, of 2 x 32 each. One layer of six has no window, and is the last.
    sizes = replace(over(1), source_tokens=200, past_tokens=49, decodes=True)
    peak, _ = step(t5gemma2(100), sizes, copies_logits=False)
    sequence = 50 * 8 + 200 * (8 + 2 * 64) + 250 + 210 + 2 * 250 + 2 * (3 * 64 + 2 * 4 * 32) + 4 * 4
    assert peak.size_bytes(Share.SEQUENCE) == sequence + 250 * 2 * (2 * 2 * 32)
