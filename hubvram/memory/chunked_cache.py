"""What a cache of hidden states holds by chunks: the buckets of tokens, and a prompt that was filled up to whole ones.

(modeling_reformer.py, ReformerAttention.forward, ReformerDynamicCache.update, ReformerModel.forward)
"""

from __future__ import annotations

from typing import Final

from hubvram.architecture.parts import Chunks

_INT64: Final = 8
_FP32: Final = 4


def filled_up(chunks: Chunks, tokens: int) -> int:
    """How many tokens run for a prompt of so many."""
    return tokens if tokens <= chunks.short_tokens else -(-tokens // chunks.whole_tokens) * chunks.whole_tokens


def bucket_bytes(chunks: Chunks, tokens: int, prompt_tokens: int) -> int:
    """Of each of all tokens, the prompt's among them, in one layer of one sequence.

    A prompt of more than a chunk is hashed. Behind a shorter one all tokens are, once there is a chunk of them, and
    their buckets are joined to an empty tensor, which is of floats.
    """
    if filled_up(chunks, prompt_tokens) > chunks.chunk_length:
        return chunks.bucket_rows * _INT64
    return chunks.bucket_rows * _FP32 if tokens >= chunks.chunk_length and tokens > prompt_tokens else 0


def padding_bytes(chunks: Chunks, prompt_tokens: int, token_bytes: int) -> int:
    """Behind the prompt: what is kept are views of all that ran, until the first step copies them."""
    padding = filled_up(chunks, prompt_tokens) - prompt_tokens
    return padding * (token_bytes + bucket_bytes(chunks, prompt_tokens, prompt_tokens))
