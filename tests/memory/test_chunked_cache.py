"""What is kept by chunks of tokens, beside hidden states."""

from __future__ import annotations

import pytest

from hubvram.architecture.parts import Chunks
from hubvram.memory.chunked_cache import bucket_bytes, filled_up, padding_bytes

# 3 heads x 2 hashes; beside layers of chunks of 24.
CHUNKS = Chunks(chunk_length=16, whole_tokens=48, short_tokens=16, bucket_rows=6)


@pytest.mark.parametrize(("tokens", "run"), [(1, 1), (16, 16), (17, 48), (48, 48), (49, 96)])
def test_a_prompt_is_filled_up_to_chunks_of_all_layers(tokens: int, run: int) -> None:
    assert filled_up(CHUNKS, tokens) == run


@pytest.mark.parametrize(
    ("tokens", "prompt", "row_bytes"),
    [
        (17, 17, 8),
        (100, 17, 8),
        # Not yet hashed: as a prompt that is attended to as a whole, and until there is a chunk.
        (16, 16, 0),
        (15, 14, 0),
        # Hashed at a step, and joined to nothing but floats.
        (16, 15, 4),
        (17, 16, 4),
        (100, 1, 4),
    ],
)
def test_buckets_are_integers_behind_a_long_prompt_alone(tokens: int, prompt: int, row_bytes: int) -> None:
    assert bucket_bytes(CHUNKS, tokens, prompt) == 6 * row_bytes


def test_padding_is_kept_with_its_buckets_until_the_first_step() -> None:
    assert padding_bytes(CHUNKS, 40, token_bytes=128) == (48 - 40) * (128 + 6 * 8)
    assert padding_bytes(CHUNKS, 12, token_bytes=128) == 0
