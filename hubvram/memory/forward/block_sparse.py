"""Attention to the blocks of tokens that an indexer chose, played: transformers' own code masks all others.

(modeling_minimax_m3_vl.py, MiniMaxM3VLIndexer.forward and build_block_mask)
"""

from __future__ import annotations

from functools import partial
from typing import Final

from hubvram.architecture.attention import FullAttention
from hubvram.architecture.attention_in_blocks import BlockSparseAttention
from hubvram.memory.forward.attention import keys_of, play_attention
from hubvram.memory.forward.run import FP32, Run
from hubvram.memory.forward.tape import Tensor

_PLACE: Final = 8
"""Of a block, as `topk` says it."""


def play_block_sparse_attention(run: Run, block: BlockSparseAttention) -> Tensor | None:
    """As over everything; and between the cache and the softmax the indexer and its mask."""
    mixer = block.keeps[0]
    if not isinstance(mixer, FullAttention):
        raise TypeError(f"no program for {mixer!r}")
    return play_attention(run, mixer, partial(_choose, run, block, mixer))


def _choose(run: Run, block: BlockSparseAttention, mixer: FullAttention) -> tuple[Tensor, ...]:
    """Scores of all tokens by the indexer's heads, in fp32, those of later ones masked; and of the largest in each
    block, which blocks. They stay, with a mask of all heads."""
    index = {linear.name: linear.out_features for linear in block.weights}
    width, size = index["index q"], index["index k"]
    heads, keys = width // size, keys_of(run, mixer)
    blocks = -(-keys // block.index_block_size)
    chosen = (heads, run.tokens, min(block.index_topk_blocks, blocks))
    query = run.features("the indexer's Q", width)
    in_fp32 = run.features("the same in fp32", width, element_bytes=FP32)
    copied = run.tensor("its K in fp32, and copied for its heads", keys, size + width, element_bytes=FP32)
    scores = run.tensor("its scores", heads, run.tokens, keys, element_bytes=FP32)
    del in_fp32, copied
    later = run.tensor("which tokens are later", run.tokens, keys, element_bytes=1)
    masked = run.tensor("its scores, masked", heads, run.tokens, keys, element_bytes=FP32)
    del query, scores, later, masked
    places = run.tensor("chosen blocks", *chosen, element_bytes=_PLACE)
    return places, _mask(run, mixer, keys, chosen, blocks)


def _mask(run: Run, mixer: FullAttention, keys: int, chosen: tuple[int, ...], blocks: int) -> Tensor:
    """Of blocks, then of tokens for all heads, with those that are later; the last of them is additive."""
    sizes = (mixer.num_attention_heads, run.tokens, keys)
    places = run.tensor("chosen blocks, or one that is none", *chosen, element_bytes=_PLACE)
    of_blocks = run.tensor("mask of blocks", *chosen[:2], blocks + 1)
    later = run.tensor("which tokens are later", run.tokens, keys, element_bytes=1)
    kept = run.tensor("what is in chosen blocks, is not later, and is not both", 3, *sizes, element_bytes=1)
    zeros = run.tensor("zeros", *sizes)
    mask = run.tensor("additive mask of all heads", *sizes)
    del places, of_blocks, later, kept, zeros
    return mask
