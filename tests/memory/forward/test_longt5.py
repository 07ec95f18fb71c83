"""Encoders of blocks that see those beside them, and sums of others, by hand."""

from __future__ import annotations

from hubvram.architecture.layers import Architecture
from hubvram.memory.engines.transformers_sides import encode, knows, step
from hubvram.memory.forward.run import Sizes
from hubvram.memory.workload import Attention
from tests.samples import architecture_of

HEADS, WIDTH, HIDDEN = 2, 16, 12
TOKENS, BLOCK, PADDED = 10, 4, 12


def longt5(**changes: object) -> Architecture:
    sizes = {"d_model": HIDDEN, "num_heads": HEADS, "d_kv": WIDTH // HEADS, "d_ff": 8, "num_layers": 3}
    return architecture_of({"model_type": "longt5", **sizes, "local_radius": BLOCK - 1, **changes})


def over(tokens: int) -> Sizes:
    return Sizes(batch_size=1, tokens=tokens, element_bytes=2, attention=Attention.EAGER)


def test_each_block_sees_three_and_the_bias_stays_in_fp32() -> None:
    assert knows(longt5())
    row = 3 * BLOCK
    scores = HEADS * PADDED * row
    # Ids and a mask of fp32; the embeddings, which the first layer reads, and normed; the mask of blocks, and in fp32.
    outside = (8 + 4) * TOKENS + 2 * 2 * TOKENS * HIDDEN + (1 + 4) * PADDED * row
    # Q, and K and V of three blocks for each; scores and twice more in fp32; the bias, in fp32 too.
    inside = 2 * (1 + 2 * 3) * PADDED * WIDTH + (2 + 2 * 4 + 4) * scores
    (peak,) = encode(longt5(), over(TOKENS))
    assert peak.total_bytes == outside + inside


def test_all_see_sums_of_smaller_blocks() -> None:
    sums, blocks = TOKENS // 2, PADDED // BLOCK
    row = 3 * BLOCK + sums
    scores = HEADS * PADDED * row
    outside = (8 + 4) * TOKENS + 3 * 2 * TOKENS * HIDDEN
    # Which sum each token is in, as 32 bits; the sums themselves; K and V of them for each block, and in K and V.
    seen = 4 * (TOKENS + sums) + 2 * sums * HIDDEN + 2 * (PADDED + 2 * blocks * (sums + row)) * WIDTH
    # Scores, their bias, and twice more in fp32; the mask of blocks in fp32, which each layer makes.
    inside = (2 + 2 + 2 * 4) * scores + 4 * PADDED * 3 * BLOCK
    (peak,) = encode(longt5(encoder_attention_type="transient-global", global_block_size=2), over(TOKENS))
    assert peak.total_bytes == outside + seen + inside


def test_its_loop_holds_probabilities_of_the_layer_before() -> None:
    first = Sizes(batch_size=1, tokens=1, element_bytes=2, attention=Attention.EAGER, source_tokens=TOKENS)
    one, two = (step(longt5(num_decoder_layers=layers), first, copies_logits=False)[0] for layers in (1, 2))
    # Of the token itself, and of all that the encoder said, for which there are zeros too, from the first layer on;
    # and what the second one reads, beside the embedding.
    assert two.total_bytes - one.total_bytes == 2 * HEADS * (1 + 2 * TOKENS) + 2 * HIDDEN
