"""prophetnet, term by term by hand."""

from __future__ import annotations

from hubvram.architecture.layers import Architecture
from hubvram.memory.engines.transformers_sides import encode, step
from hubvram.memory.forward.run import Sizes
from hubvram.memory.forward.tape import Share
from hubvram.memory.workload import Attention
from tests.samples import architecture_of

CACHED = 2 * 2 * 64 * 2
"""Of a token by two layers: K and V of 64 features in bf16."""


def small(*, ngram: int = 2, inner: int = 16) -> Architecture:
    return architecture_of(
        {
            "model_type": "prophetnet", "hidden_size": 64, "vocab_size": 100, "max_position_embeddings": 100,
            "num_encoder_layers": 2, "num_decoder_layers": 2, "num_encoder_attention_heads": 4,
            "num_decoder_attention_heads": 4, "encoder_ffn_dim": inner, "decoder_ffn_dim": inner, "ngram": ngram,
        }
    )  # fmt: skip


def over(tokens: int, batch_size: int, *, source: int = 0, past: int = 0) -> Sizes:
    return Sizes(
        batch_size=batch_size,
        tokens=tokens,
        element_bytes=2,
        attention=Attention.EAGER,
        source_tokens=source,
        past_tokens=past,
        decodes=past > 0,
    )


def test_the_first_step_makes_tables_of_all_positions() -> None:
    # Of 99 positions and their pairs: distances, and twice as many in streams; buckets of the former in 32 bits; of the
    # latter the distances turned round, zeros, and the larger of both.
    *_, tables = step(small(), over(1, 3, source=20))
    assert tables.phase == "buckets of distances"
    assert tables.size_bytes(Share.ALL) == 99 * 8 + 99 * 99 * (8 * 3 + 4 + 2 * 8 * 3)
    # Ids, what the encoder says; the token's id and position, both embedded; and nothing is cached yet.
    assert tables.size_bytes(Share.SEQUENCE) == 3 * (20 * (8 + 128) + 2 * (8 + 128) - CACHED * (1 + 20))


def test_many_streams_have_masks_that_are_more() -> None:
    # Of 9 streams and 100 x 100 pairs: what is not seen of the tokens, and (for all) of themselves; both in bf16, and
    # together; rows and columns; which stream; two numbers. And the mask of the token.
    _, _, masks, *_ = step(small(ngram=9), over(1, 3, source=20))
    assert masks.phase == "masks of streams"
    assert masks.size_bytes(Share.ALL) == 100 * 100 * (9 + 1 + 4 * 2 * 9) + 2 * 100 * 8 + 9 * 8 + 2 * 2 + 2


def test_streams_see_copies_of_all_that_is_cached() -> None:
    # At 32 tokens: K and V that 2 streams see, of these and of their own, and V once more in another order; three times
    # scores of 4 heads, of both; Q, K, V and the layer's input of 3; the token embedded, and what attention says of it;
    # streams embedded, their Q, their hidden states, and what heads say of them.
    peak, *_ = step(small(), over(1, 2, source=20, past=31))
    seen = 3 * 2 * 33 * 128 + 3 * 2 * 4 * (32 + 2 * 33)
    assert peak.size_bytes(Share.SEQUENCE) == 2 * (20 * (8 + 128) + 32 * 8 + seen + 128 * (3 * 4 + 2 + 4 * 2))
    assert peak.size_bytes(Share.ALL) == 8 + 2 * 128


def test_the_encoder_keeps_what_attention_says_beside_its_mlp() -> None:
    # Of 10 tokens: ids, positions, both embedded; the layer's input; what attention says, and that normed with the
    # input; 2,000 before and after the activation.
    wide, *_ = encode(small(inner=2000), over(10, 3))
    assert wide.total_bytes == 3 * 10 * (16 + 128 * (2 + 3) + 2 * 2 * 2000)
    # Or Q, K, V, probabilities of 4 heads, and what these say in two orders.
    narrow, *_ = encode(small(), over(10, 3))
    assert narrow.total_bytes == 3 * 10 * (16 + 128 * (2 + 1 + 5) + 2 * 4 * 10)
