"""Attention in which each block sees a few others, by hand."""

from __future__ import annotations

from hubvram.architecture.layers import Architecture
from hubvram.memory.engines.transformers_code import knows, play
from hubvram.memory.engines.transformers_sides import encode
from hubvram.memory.engines.transformers_sides import knows as knows_both
from hubvram.memory.forward.run import Sizes
from hubvram.memory.workload import Attention
from tests.samples import architecture_of

HEADS, HIDDEN, BLOCK, RANDOM = 2, 12, 2, 1
WHOLE = (5 + 2 * RANDOM) * BLOCK
"""Up to so many tokens, all see all."""
TOKENS, PADDED = WHOLE + 1, WHOLE + 2
SPARSE = {"attention_type": "block_sparse", "block_size": BLOCK, "num_random_blocks": RANDOM}


def big_bird(**changes: object) -> Architecture:
    sizes = {"hidden_size": HIDDEN, "num_attention_heads": HEADS, "intermediate_size": 8, "num_hidden_layers": 3}
    return architecture_of({"model_type": "big_bird", "architectures": ["BigBirdModel"], **sizes, **SPARSE, **changes})


def over(tokens: int) -> Sizes:
    return Sizes(batch_size=1, tokens=tokens, element_bytes=2, attention=Attention.EAGER)


def _made(mask_bytes: int) -> int:
    """All that attention over blocks makes of a sequence until its probabilities are those of all pairs."""
    middle, windows, seen = PADDED - 4 * BLOCK, PADDED // BLOCK - 2, (4 + RANDOM) * BLOCK
    # Q, K and V, and what heads say; K and V of the random blocks, of the others beside each, and of all that the
    # second and the last but one see; what heads say to these and to both ends, apart.
    widths = 4 * PADDED + 2 * windows * RANDOM * BLOCK + 2 * 3 * middle + 2 * 2 * seen + 4 * BLOCK
    # Scores and their softmax, of both ends, of those beside them, and of all others, whose parts are joined.
    scores = 4 * BLOCK * PADDED + 4 * BLOCK * seen + 3 * middle * (5 + RANDOM) * BLOCK
    # Which blocks are random, and a mask for each token of them; masks of those beside the ends.
    chosen = 8 * HEADS * windows * RANDOM * (1 + BLOCK * BLOCK)
    masks = 2 * seen * (8 * HEADS * BLOCK + mask_bytes)
    # How far apart neighbours are is not a sequence's own: one number, and three, for each block of the middle, and 3.
    places = 8 * (4 * (windows - 2) + 3)
    return 2 * HIDDEN * widths + 2 * HEADS * (scores + PADDED * PADDED) + chosen + masks + places


def test_a_longer_input_is_padded_and_seen_by_blocks() -> None:
    assert knows(big_bird())
    band = 3 * BLOCK * (PADDED - 4 * BLOCK)
    # Ids and mask, and both padded, with types; the embeddings, and the input of the layer; masks in 64 bits, and in
    # the model's own type, also of all tokens.
    outside = 8 * (2 * TOKENS + 3 * PADDED) + 2 * 2 * PADDED * HIDDEN + (8 + 2) * band + 2 * 2 * PADDED
    assert play(big_bird(), over(TOKENS))[0].total_bytes == outside + _made(mask_bytes=2)


def test_a_short_input_is_seen_whole() -> None:
    dense = play(big_bird(attention_type="original_full"), over(WHOLE))[0]
    assert play(big_bird(), over(WHOLE))[0].total_bytes == dense.total_bytes


def test_with_a_decoder_masks_stay_in_64_bits() -> None:
    heads = {"encoder_attention_heads": HEADS, "decoder_attention_heads": HEADS}
    sizes = {"d_model": HIDDEN, "encoder_ffn_dim": 8, "encoder_layers": 3}
    both = architecture_of({"model_type": "bigbird_pegasus", **heads, **sizes, **SPARSE})
    assert knows_both(both)
    # Ids; embeddings and those of positions, not padded; the input of the layer, and normed; masks.
    outside = 8 * TOKENS + 2 * HIDDEN * (2 * TOKENS + 2 * PADDED) + 8 * (3 * BLOCK * (PADDED - 4 * BLOCK) + PADDED)
    assert encode(both, over(TOKENS))[0].total_bytes == outside + _made(mask_bytes=8)
