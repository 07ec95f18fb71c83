"""reformer's passes, term by term by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hubvram.architecture.layers import Architecture
from hubvram.memory.engines.transformers_code import knows, play
from hubvram.memory.forward.tape import Peak
from tests.memory.forward.test_programs import sizes
from tests.samples import architecture_of

_SMALL = {
    "model_type": "reformer", "is_decoder": True, "vocab_size": 32, "hidden_size": 16, "num_attention_heads": 2,
    "attention_head_size": 8, "feed_forward_size": 8, "axial_pos_embds": False, "max_position_embeddings": 4096,
    "local_attn_chunk_length": 16, "lsh_attn_chunk_length": 16, "num_buckets": 4,
}  # fmt: skip


def _architecture(*kinds: str, **others: Any) -> Architecture:
    return architecture_of({**_SMALL, "attn_layers": kinds, "num_hidden_layers": len(kinds), **others})


def _prompt(architecture: Architecture, tokens: int, batch_size: int) -> Peak:
    return play(architecture, sizes(tokens, batch_size))[0]


def test_local_scores_are_of_two_chunks() -> None:
    # 40 tokens run as 48. Beside the ids of 40: ids and a mask with padding; embeddings and two streams; what is
    # normed, less the same as it is cached; V of two chunks; places of 2 heads in one chunk and in two; of 2 x 32 pairs
    # scores, these less the sums of 2 rows, and exponentiated.
    of_token = 8 + 1 + 2 * 3 * 16 + 2 * 2 * 16 + 8 * 2 * 3 + 2 * 2 + 3 * 2 * 2 * 32
    assert _prompt(_architecture("local"), 40, 3).total_bytes == 3 * (40 * 8 + 48 * of_token)


def test_hashed_tokens_stand_in_as_many_orders_as_there_are_hashes() -> None:
    # The same; less the buckets that are cached, too, which are made already; for each of 3 hashes the way there and
    # back, and places, in one chunk and in two; Q, K and V, and V of two chunks; the scores.
    of_hash = 2 * 8 * 3 + 2 * 8 * 2 + 2 * (3 + 2) * 16 + 2 * 2 + 3 * 2 * 2 * 32
    of_token = 8 + 1 + 2 * 3 * 16 + 3 * of_hash
    assert _prompt(_architecture("lsh", num_hashes=3), 40, 3).total_bytes == 3 * (40 * 8 + 48 * of_token)


def test_a_step_sees_a_copy_of_states_for_each_head_and_hash() -> None:
    # 99 tokens before: ids of 100; embeddings, two streams, what is normed, Q of 3 hashes; the token's buckets. Of
    # 2 heads x 3 hashes x 2 chunks: states, which tokens they are; and Q, V, K normed, and that scaled. Less the state
    # and the buckets of this token, which are cached later.
    step = replace(sizes(1, 3), past_tokens=99, decodes=True, prompt_tokens=90)
    seen = 2 * 3 * 32 * (2 * 16 + 8 + 4 * 2 * 32)
    of_sequence = 100 * 8 + 2 * 16 * (3 + 1) + 3 * 2 * 2 * 32 + 8 * 6 + seen - 2 * 16 - 8 * 6
    assert play(_architecture("lsh", num_hashes=3, attention_head_size=32), step)[0].total_bytes == 3 * of_sequence


def test_positions_of_two_axes_are_made_for_all_rows_that_are_begun() -> None:
    # 100 tokens begin the second row of 64: all of both; the token's ids, embedding, and positions twice; its place.
    # Less the state of the token.
    axes = {"axial_pos_embds": True, "axial_pos_shape": [64, 64], "axial_pos_embds_dim": [4, 12]}
    step = replace(sizes(1, 3), past_tokens=99, decodes=True, prompt_tokens=90)
    peak = play(_architecture("local", local_attn_chunk_length=4, **axes), step)[0]
    assert peak.phase == "embeddings"
    assert peak.total_bytes == 3 * (100 * 8 + 128 * 2 * 16 + 3 * 2 * 16 - 2 * 16) + 8


def test_generate_needed_more_at_the_step_that_hashed_all() -> None:
    step = replace(sizes(1, 3), decodes=True, prompt_tokens=5, by_generate=True)
    hashed, later = (
        play(_architecture("lsh", num_buckets=1024), replace(step, past_tokens=behind))[0] for behind in (15, 30)
    )
    assert hashed.phase == later.phase == "hashes"
    # 15 more tokens: an id; less a state and buckets of 2 heads in floats, which are cached by then.
    assert later.total_bytes - hashed.total_bytes == 3 * 15 * (8 - 2 * 16 - 4 * 2)


@pytest.mark.parametrize("others", [{"is_decoder": False}, {"local_num_chunks_after": 1}])
def test_what_sees_later_tokens_is_no_decoder(others: dict[str, Any]) -> None:
    assert knows(_architecture("local"))
    assert not knows(_architecture("local", **others))
