"""Kin of bart that few ask for, term by term by hand."""

from __future__ import annotations

from dataclasses import replace

from hubvram.memory.engines.transformers_sides import encode, step
from hubvram.memory.forward.run import Sizes
from hubvram.memory.forward.tape import Share
from hubvram.memory.workload import Attention
from tests.samples import architecture_of

FSMT = architecture_of(
    {
        "model_type": "fsmt", "d_model": 64, "max_position_embeddings": 50, "src_vocab_size": 100,
        "tgt_vocab_size": 90, "encoder_layers": 2, "decoder_layers": 2, "encoder_ffn_dim": 10, "decoder_ffn_dim": 10,
        "encoder_attention_heads": 4, "decoder_attention_heads": 4, "activation_function": "relu",
    }
)  # fmt: skip


def over(tokens: int, batch_size: int = 1) -> Sizes:
    return Sizes(batch_size=batch_size, tokens=tokens, element_bytes=2, attention=Attention.EAGER)


def test_the_decoder_of_fsmt_holds_little_of_its_own_tokens() -> None:
    # 2 sequences of 20 tokens: ids, what the encoder says, and K and V of all of it. The one token: its id; its
    # position, the layer's input and the residual. No mask, no embedding apart; and Q comes behind K and V.
    peak, _ = step(FSMT, replace(over(1, 2), source_tokens=20))
    assert peak.total_bytes == 2 * 20 * (8 + 2 * 3 * 64) + 2 * (8 + 2 * 3 * 64)


def test_its_table_grows_by_what_is_missing() -> None:
    inside, beyond = (encode(FSMT, over(tokens))[0] for tokens in (50, 60))
    assert inside.size_bytes(Share.ALL) == 0
    assert beyond.size_bytes(Share.ALL) == 10 * 2 * 64
