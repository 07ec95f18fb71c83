"""An encoder of blocks, each of which sees the one before it and the one behind it too, played (modeling_longt5.py).

In transient global attention, all see the sums of smaller blocks besides, which each layer makes anew.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from hubvram.architecture.attention_in_blocks import BlockwiseAttention
from hubvram.architecture.layers import Stack
from hubvram.memory.forward.encoder_decoder import play_layers
from hubvram.memory.forward.run import FP32, ID_BYTES, Run
from hubvram.memory.forward.sides_code import BothSides
from hubvram.memory.forward.tape import Peak, Tensor

_BOOL: Final = 1
_INT32: Final = 4


def play_longt5_encoder(run: Run, stack: Stack, sides: BothSides) -> tuple[Peak, ...]:
    """The encoder's peak, and moments at which more is shared."""
    mixer = stack.layers[0].mixer
    assert isinstance(mixer, BlockwiseAttention)
    sizes, ids = _Blocks.of(run, mixer), run.input_ids(run.tokens)
    mask = None if mixer.summed_tokens else run.tensor("mask", sizes.tokens, 3 * sizes.block, element_bytes=_BOOL)
    play_layers(run, replace(sides, attends=_Layers()), stack.groups(), sides.encoder)
    del ids, mask
    return run.tape.take_all()


@dataclass(frozen=True, slots=True)
class _Blocks:
    """Sizes of a layer's blocks."""

    run: Run
    heads: int
    width: int
    """Of Q, K and V."""
    block: int
    """Tokens: those of the window to one side, and the one that looks."""
    number: int
    sums: int
    """How many sums all tokens see."""

    @classmethod
    def of(cls, run: Run, mixer: BlockwiseAttention) -> _Blocks:
        attention = mixer.attention
        block = ((attention.sliding_window or 1) + 1) // 2
        sums = run.tokens // mixer.summed_tokens if mixer.summed_tokens else 0
        return cls(run, attention.num_attention_heads, attention.q_size, block, -(-run.tokens // block), sums)

    @property
    def tokens(self) -> int:
        """Of all blocks, the last of which is padded."""
        return self.number * self.block

    @property
    def keys(self) -> int:
        """What a token sees."""
        return 3 * self.block + self.sums

    def scores(self, what: str, *, element_bytes: int | None = None) -> Tensor:
        return self.run.tensor(what, self.heads, self.tokens, self.keys, element_bytes=element_bytes)

    def pairs(self, what: str, *, element_bytes: int) -> Tensor:
        """(B, S, sums)"""
        return self.run.tensor(what, self.run.tokens, self.sums, element_bytes=element_bytes)


class _Layers:
    """The layers of one pass, with the bias of positions and padding that the first one makes for all."""

    def __init__(self) -> None:
        self._bias: Tensor | None = None

    def __call__(self, run: Run, mixer: BlockwiseAttention) -> None:
        """Scores of Q and K, added to in place, and their softmax in fp32; what heads say, in two orders."""
        sizes, hidden_size = _Blocks.of(run, mixer), mixer.attention.hidden_size
        summed = _sums(sizes, hidden_size) if mixer.summed_tokens else ()
        query = run.tensor("Q, padded", sizes.tokens, sizes.width)
        seen = _keys_and_values(sizes)
        copied = run.tensor("Q and K, block by block", sizes.tokens + sizes.number * sizes.keys, sizes.width)
        scores = sizes.scores("scores")
        del copied
        mask = side = None
        if mixer.summed_tokens:
            found = run.tensor("mask", sizes.tokens, 3 * sizes.block, element_bytes=_BOOL)
            mask = run.tensor("additive mask", sizes.tokens, 3 * sizes.block, element_bytes=FP32)
            del found
        if self._bias is None and mixer.summed_tokens:
            self._bias, side = _bias_beside_sums(sizes)
        elif self._bias is None:
            mask = run.tensor("additive mask", sizes.tokens, sizes.keys, element_bytes=FP32)
            self._bias = sizes.scores("bias of positions and mask", element_bytes=FP32)
        widened = sizes.scores("scores in fp32", element_bytes=FP32)
        softmax = sizes.scores("their softmax", element_bytes=FP32)
        del widened
        probabilities = sizes.scores("probabilities")
        del softmax
        copied = run.tensor("V, block by block", sizes.number * sizes.keys, sizes.width)
        said = run.tensor("what heads say", sizes.tokens, sizes.width)
        del copied
        ordered = run.tensor("the same in the order of tokens", sizes.tokens, sizes.width)
        del summed, query, seen, scores, mask, side, probabilities, said, ordered


def _keys_and_values(sizes: _Blocks) -> tuple[Tensor | None, ...]:
    """Of three blocks for each, and of all sums (_concatenate_3_blocks)."""
    run, tokens, width = sizes.run, sizes.tokens, sizes.width
    made = run.tensor("K and V, padded", 2 * tokens, width)
    ends = run.tensor("one of both, with a block more at both ends", tokens + 2 * sizes.block, width)
    joined = run.tensor("K and V of three blocks", 2 * 3 * tokens, width)
    del made, ends
    if not sizes.sums:
        return (joined,)
    sums = run.tensor("K and V of sums, for each block", 2 * sizes.number * sizes.sums, width)
    both = run.tensor("K and V of blocks and sums", 2 * sizes.number * sizes.keys, width)
    del joined
    return both, sums


def _sums(sizes: _Blocks, hidden_size: int) -> tuple[Tensor, ...]:
    """Which sum each token is in, and the sums, normed (_make_global_fixed_block_ids, _create_global_aggregates)."""
    run = sizes.run
    numbers = run.tensor("numbers of sums", run.tokens + sizes.sums, element_bytes=_INT32)
    marks = run.tensor("which sum each token is in", run.tokens, sizes.sums + 1, element_bytes=ID_BYTES)
    same = sizes.pairs("the same in the model's type", element_bytes=run.element_bytes)
    del marks
    copied = run.features("hidden states, turned", hidden_size)
    summed = run.tensor("sums", sizes.sums, hidden_size)
    del same, copied
    normed = run.tensor("sums, normed", sizes.sums, hidden_size)
    del summed
    return numbers, normed


def _bias_beside_sums(sizes: _Blocks) -> tuple[Tensor, Tensor]:
    """(That of blocks and of sums, in the model's type; that of sums alone, which keeps a name in the first layer.)"""
    run, heads, row = sizes.run, sizes.heads, 3 * sizes.block
    masked = run.tensor("bias of positions and mask", heads, sizes.tokens, row, element_bytes=FP32)
    own = run.tensor("the same in the model's type", heads, sizes.tokens, row)
    del masked
    mask = sizes.pairs("mask of sums, and additive", element_bytes=_BOOL + FP32)
    distances = sizes.pairs("distances of tokens and sums", element_bytes=ID_BYTES)
    # As in relative_positions.py, but of each sequence.
    found = sizes.pairs("halves of buckets, absolute distances, and whether small", element_bytes=2 * ID_BYTES + _BOOL)
    large = sizes.pairs("buckets, the last one, and the smaller of both", element_bytes=3 * ID_BYTES)
    del found, large
    buckets = sizes.pairs("their buckets", element_bytes=ID_BYTES)
    bias = sizes.pairs("bias of each token and sum", element_bytes=heads * run.element_bytes)
    wide = sizes.pairs("the same with its mask", element_bytes=heads * FP32)
    del mask, distances, buckets, bias
    padded = None
    if sizes.tokens > run.tokens:
        padded = run.tensor("the same, padded", heads, sizes.tokens, sizes.sums, element_bytes=FP32)
        wide = padded
    side = run.tensor("the same in the model's type", heads, sizes.tokens, sizes.sums)
    del wide, padded
    both = sizes.scores("bias of blocks and sums")
    del own
    return both, side
