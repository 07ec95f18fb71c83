"""Encoders in which each block of tokens sees a few others, played (modeling_big_bird.py, modeling_bigbird_pegasus.py).

The first and the last block see all, and all see them; the others also see themselves, both beside them, and a few
random ones. The probabilities are put into a matrix of all pairs of tokens nevertheless, and all that attention makes
has a name until then. A short input is looked at as by bert.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hubvram.architecture.attention import BidirectionalAttention
from hubvram.architecture.attention_in_blocks import BlockwiseAttention, SparseBidirectionalAttention
from hubvram.architecture.layers import Architecture, Stack
from hubvram.architecture.parts import Part
from hubvram.memory.forward.encoder import play_encoder, play_head, play_model
from hubvram.memory.forward.encoder_attention import attend, say
from hubvram.memory.forward.encoder_code import EncoderCode, Held, Until
from hubvram.memory.forward.encoder_decoder import play_layers
from hubvram.memory.forward.run import ID_BYTES, Run
from hubvram.memory.forward.sides_code import BothSides, padding_mask
from hubvram.memory.forward.tape import Peak, Tensor

_DENSE: Final = EncoderCode(scores=Until.SAID)


def _whole_blocks(mixer: Part | None, tokens: int) -> int:
    """Tokens of the blocks that these make; 0 where they are so few that all see all."""
    if not isinstance(mixer, SparseBidirectionalAttention):
        return 0
    block = mixer.block_size
    return 0 if tokens <= (5 + 2 * mixer.random_blocks) * block else -(-tokens // block) * block


@dataclass(frozen=True, slots=True)
class _Blocks:
    """Sizes of sparse attention over all blocks, the last of which is padded."""

    run: Run
    mixer: SparseBidirectionalAttention
    tokens: int

    @classmethod
    def of(cls, run: Run, mixer: Part | None) -> _Blocks | None:
        """None where all tokens see all."""
        tokens = _whole_blocks(mixer, run.tokens)
        return cls(run, mixer, tokens) if tokens and isinstance(mixer, SparseBidirectionalAttention) else None

    @property
    def middle(self) -> int:
        """Tokens but for two blocks at each end."""
        return self.tokens - 4 * self.mixer.block_size

    @property
    def random(self) -> int:
        """Tokens of the random blocks that one sees."""
        return self.mixer.random_blocks * self.mixer.block_size

    def masks(self) -> Tensor:
        """Which of three blocks each token of the middle sees, in 64 bits (create_masks_for_block_sparse_attn)."""
        return self.run.tensor("mask of the band", self.middle, 3 * self.mixer.block_size, element_bytes=ID_BYTES)


# ----------------------------------------------------------------------------------------- attention


def attend_blocks(
    run: Run, architecture: Architecture, mixer: BidirectionalAttention, code: EncoderCode, held: Held
) -> Tensor | None:
    """Of big_bird: masks of 64 bits are turned into the model's own type for each layer."""
    blocks = _Blocks.of(run, mixer)
    if blocks is None:
        return attend(run, architecture, mixer, code, held)
    masks = run.tensor("masks in the model's type", 3 * blocks.mixer.block_size * blocks.middle + 2 * blocks.tokens)
    probabilities = _sparse(blocks, mask_bytes=run.element_bytes)
    held.hold(code.said, run.features("what heads say, in the order of tokens", mixer.q_size))
    del masks
    return probabilities


def play_blocks(run: Run, mixer: BlockwiseAttention) -> Tensor | None:
    """Of bigbird_pegasus."""
    attention = mixer.attention
    blocks = _Blocks.of(run, attention)
    if blocks is None:
        made, held = run.features("Q, K and V", 3 * attention.q_size), Held()
        found = say(run, attention, _DENSE, held)
        del made, held
        return found
    return _sparse(blocks, mask_bytes=ID_BYTES)


def _sparse(blocks: _Blocks, *, mask_bytes: int) -> Tensor:
    """Masks have elements of `mask_bytes`; those of random blocks, always of 64 bits (bigbird_block_sparse_attention).

    At its peak, all is alive that it made, and the matrix of all pairs is made.
    """
    run, mixer, tokens, middle, random = blocks.run, blocks.mixer, blocks.tokens, blocks.middle, blocks.random
    heads, width, block = mixer.num_attention_heads, mixer.q_size, mixer.block_size
    made = run.tensor("Q, K and V", tokens, 3 * width)
    windows = tokens // block - 2
    random_blocks = run.tensor("random blocks", heads, windows, mixer.random_blocks, element_bytes=ID_BYTES)
    random_mask = run.tensor("mask of random blocks", heads, windows * block, random, element_bytes=ID_BYTES)
    gathered = run.tensor("K and V of random blocks", 2 * windows * random, width)
    # The first and the last block: scores and their softmax, and what heads say.
    ends = run.tensor("scores of blocks that see all, and their softmax", 2 * 2, heads, block, tokens)
    # The second and the last but one: K and V of what they see, and the same.
    seen = 4 * block + random
    nearly = run.tensor("K and V of the blocks beside these", 2 * 2 * seen, width)
    nearly_scores = run.tensor("their scores, and their softmax", 2 * 2, heads, block, seen)
    nearly_masks = run.tensor("their masks", 2 * (heads * block * ID_BYTES + mask_bytes), seen, element_bytes=1)
    said = run.tensor("what heads say to two blocks at each end", 4 * block, width)
    # All others.
    beside = run.tensor("K and V of three blocks each", 2 * 3 * middle, width)
    row = 5 * block + random
    scores = run.tensor("scores in four parts, joined, and their softmax", 3, heads, middle, row)
    joined = run.tensor("what heads say to all", tokens, width)
    pairs = run.tensor("probabilities of all pairs of tokens", heads, tokens, tokens)
    places = run.shared("places of blocks beside each", (1 + 3) * (windows - 2) + 3, element_bytes=ID_BYTES)
    del made, random_blocks, random_mask, gathered, ends, nearly, nearly_scores, nearly_masks, said, beside, scores
    del joined, places
    return pairs


# ------------------------------------------------------------------------------------------ encoders


def play_big_bird(
    run: Run, architecture: Architecture, copies_logits: bool = False, *, code: EncoderCode
) -> tuple[Peak, ...]:
    """The peak before the head, and that at it. What is padded are ids, mask and types of tokens.

    An input of whole blocks is not padded, and these copies are not made of it (24 bytes of each token, not 1 of 1000):
    they are counted nevertheless, or one token more would take less.
    """
    blocks = _Blocks.of(run, architecture.layers[0].mixer)
    if blocks is None:
        return play_encoder(run, architecture, copies_logits, code=code)
    ids = run.tensor("ids and mask", run.tokens, 2, element_bytes=ID_BYTES)
    own = _padded(run, blocks)
    padded = own.features("ids, mask, and types, padded", 3, element_bytes=ID_BYTES)
    masks = blocks.masks()
    play_model(own, architecture, code)
    before = own.tape.take()
    del padded, masks
    over = run.tensor("hidden states of the padding", own.tokens - run.tokens, architecture.hidden_size)
    play_head(run, architecture, code)
    del ids, over
    return before, run.tape.take()


def _padded(run: Run, blocks: _Blocks) -> Run:
    """The same over whole blocks, whose masks are made whether or not the caller pads."""
    return run.over(tokens=blocks.tokens, padded=False)


def padded_to_blocks(stack: Stack, tokens: int) -> int:
    """For how many tokens a decoder holds what an encoder says."""
    mixer = stack.layers[0].mixer
    assert isinstance(mixer, BlockwiseAttention)
    return _whole_blocks(mixer.attention, tokens) or tokens


def play_bigbird_encoder(run: Run, stack: Stack, sides: BothSides) -> tuple[Peak, ...]:
    """The encoder's peak, and moments at which more is shared. What is padded are hidden states, and a mask."""
    mixer = stack.layers[0].mixer
    assert isinstance(mixer, BlockwiseAttention)
    blocks = _Blocks.of(run, mixer.attention)
    ids = run.input_ids(run.tokens)
    embedded = run.features("embeddings", stack.hidden_size)
    rows = run.shared("embedded positions", run.tokens, stack.hidden_size)
    masks: Tensor | None = None
    mask: Tensor | None
    if blocks is not None:
        masks = blocks.masks()
        mask = run.tensor("mask, padded", blocks.tokens, element_bytes=ID_BYTES)
        run = _padded(run, blocks)
    else:
        mask = padding_mask(run)
    play_layers(run, sides, stack.groups(), sides.encoder)
    del ids, embedded, rows, masks, mask
    return run.tape.take_all()
