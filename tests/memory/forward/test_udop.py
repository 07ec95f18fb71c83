"""Words and patches of a page, and the decoder beside them, term by term by hand."""

from __future__ import annotations

from typing import Any

from hubvram.architecture.layers import Architecture
from hubvram.memory.engines.transformers_sides import encode, knows, step
from hubvram.memory.forward.run import Sizes
from hubvram.memory.forward.tape import Share
from hubvram.memory.kv_cache import lengths
from hubvram.memory.workload import Attention
from tests.samples import architecture_of

WORDS, PATCHES = 96, 4
POSITIONS = WORDS + PATCHES
GIVEN = WORDS * 6 * 8 + 2 * 3 * 8 * 8
"""Of words, their ids, their mask and 4 numbers of their places, all 8 bytes; 3 channels of 8 x 8 pixels."""


def small(**changes: Any) -> Architecture:
    sizes = {"d_model": 64, "d_kv": 16, "num_heads": 4, "d_ff": 300, "num_layers": 2, "vocab_size": 100}
    return architecture_of({"model_type": "udop", **sizes, "image_size": 8, "patch_size": 4, **changes})


def page(attention: Attention = Attention.SDPA) -> Sizes:
    return Sizes(batch_size=3, tokens=POSITIONS, element_bytes=2, attention=attention)


def test_patches_are_positions_behind_the_words() -> None:
    assert lengths(small(), WORDS + 10, WORDS) == (10, POSITIONS)


def test_relative_places_of_each_sequence() -> None:
    peak = encode(small(), page())[0]
    # Embedded patches and positions, a place of 4 fp64 numbers for each of these, and whether it is seen. Of a pair,
    # whether it is seen; the biases that are there for 4 heads; and its distance, half, absolute distance, bucket, the
    # last one, and the smaller of both in 8 bytes each, and whether it is small.
    positions = PATCHES * 2 * 64 + POSITIONS * (2 * 64 + 4 * 8 + 8)
    pairs = POSITIONS**2 * (1 + 4 * 2 + 6 * 8 + 1)
    assert (peak.phase, peak.total_bytes) == ("relative positions", 3 * (GIVEN + positions + pairs))


def test_distances_in_the_text_are_the_same_for_all() -> None:
    architecture = small(relative_bias_args=[{"type": "1d"}])
    shared = max(peak.size_bytes(Share.ALL) for peak in encode(architecture, page()))
    assert shared == POSITIONS**2 * (6 * 8 + 1)


def test_the_decoder_starts_beside_all_positions() -> None:
    run = Sizes(batch_size=3, tokens=1, element_bytes=2, attention=Attention.SDPA, source_tokens=POSITIONS)
    peak, *_ = step(small(), run)
    # What the encoder says, whether it is seen, and its mask, and K and V of it as made; a token's id and mask, its
    # embedding, the layer's input, that with attention, normed, and Q. For all, biases of a pair, and zeros across.
    each = POSITIONS * (2 * 64 + 8 + 1 + 2 * 2 * 64) + 8 + 4 + 5 * 2 * 64
    assert peak.total_bytes == 3 * (GIVEN + each) + 2 * 4 * (1 + POSITIONS)


def test_attention_makes_a_mask_of_bias_and_mask_twice() -> None:
    # Wide heads: Q, K and V of 4 x 1,024; and beside the bias of 4 heads what it is with the mask, in two orders.
    peak = encode(small(d_kv=1024), page())[0]
    positions = PATCHES * 2 * 64 + POSITIONS * (3 * 2 * 64 + 4 * 8 + 8 + 3 * 2 * 4 * 1024)
    said = POSITIONS * 2 * 4 * 1024
    pairs = POSITIONS**2 * (1 + 2 * 2 * 4)
    assert peak.total_bytes == 3 * (GIVEN + positions + said + pairs)


def test_what_else_compares_is_not_known() -> None:
    assert knows(small())
    assert not knows(small(relative_bias_args=[{"type": "vertical"}, {"type": "1d"}]))
