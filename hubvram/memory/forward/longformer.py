"""An encoder that looks at a window by chunks which overlap by half, played (modeling_led.py, LEDEncoderSelfAttention).

Its input is padded to whole windows. Tokens that see everything, which are the caller's to name
(`global_attention_mask`), are not in it.
"""

from __future__ import annotations

from typing import Final

from hubvram.architecture.attention_in_blocks import BlockwiseAttention
from hubvram.architecture.layers import Stack
from hubvram.memory.forward.encoder_decoder import play_layers
from hubvram.memory.forward.run import FP32, ID_BYTES, Run
from hubvram.memory.forward.sides_code import BothSides
from hubvram.memory.forward.tape import Peak

_BOOL: Final = 1


def padded(stack: Stack, tokens: int) -> int:
    """To whole windows of the layer that has the widest (LEDEncoder._pad_to_window_size)."""
    windows = (_window(layer.mixer) for layer in stack.layers if isinstance(layer.mixer, BlockwiseAttention))
    window = max(windows, default=1)
    return -(-tokens // window) * window


def _window(mixer: BlockwiseAttention) -> int:
    return mixer.attention.sliding_window or 1


def play_led_encoder(run: Run, stack: Stack, sides: BothSides) -> tuple[Peak, ...]:
    """The encoder's peak, and moments at which more is shared.

    An input of whole windows is not padded, and has no second copy of its ids (LEDEncoder._pad_to_window_size): 8 bytes
    of each token, which are said all the same, so that a token more never takes less.
    """
    given, tokens = run.tokens, padded(stack, run.tokens)
    run = run.over(tokens=tokens)
    ids = run.input_ids(given)
    own = run.features("the same, padded", 1, element_bytes=ID_BYTES)
    embedded = run.features("embeddings", stack.hidden_size)
    run.phase("mask of all pairs")
    ones = run.features("padding mask", 1, element_bytes=ID_BYTES)
    copies = run.tensor("mask, inverted, filled, and multiplied", 4, tokens, tokens)
    del embedded, ones, copies
    # What is read of it is a row, which is a view (_prepare_4d_attention_mask_inverted).
    mask = run.tensor("mask of all pairs", tokens, tokens)
    marks = run.features("who is masked, and who sees all", 2, element_bytes=_BOOL)
    play_layers(run, sides, stack.groups(), sides.encoder)
    del ids, own, mask, marks
    return run.tape.take_all()


def play_longformer(run: Run, mixer: BlockwiseAttention) -> None:
    """Scores of Q and K chunk by chunk, put in rows of a window's width; the same of the mask; their softmax in fp32;
    of V, what heads say."""
    attention, window = mixer.attention, _window(mixer)
    heads, width, half = attention.num_attention_heads, attention.q_size, window // 2
    made = run.features("Q, K and V", 3 * width)
    _play_chunked_scores(run, heads, width, half)
    row = 2 * half + 1
    mask = run.features("mask of the window, by chunks", row)
    marks = run.features("who is masked, as numbers", 1, element_bytes=_BOOL + run.element_bytes)
    scores = run.features("scores", heads * row)
    softmax = run.features("their softmax, and where it is masked", 2 * heads * row, element_bytes=FP32)
    del scores, softmax
    probabilities = run.features("probabilities", heads * row)
    _play_chunked_values(run, heads, width, half)
    del made, mask, marks, probabilities


def _play_chunked_scores(run: Run, heads: int, width: int, half: int) -> None:
    """(_sliding_chunks_query_key_matmul, _mask_invalid_locations)"""
    run.phase("scores of chunks")
    chunks = run.tokens // half - 1
    copied = run.tensor("chunks of Q and K, copied", 2, chunks, 2 * half, width)
    scores = run.tensor("scores of chunks", heads, chunks, 2 * half, 2 * half)
    del copied
    skewed = run.tensor("the same with a row more", heads, chunks, 2 * half + 1, 2 * half)
    del scores
    rows = run.features("scores in rows", heads * (2 * half + 1))
    corners = run.shared("marks of both ends", 2, half, half + 1)
    ends = run.tensor("one end, and what is put there", 2, heads, half, half + 1)
    found = run.tensor("where", heads, half, half + 1, element_bytes=_BOOL)
    del skewed, rows, corners, ends, found
    run.phase("attention")


def _play_chunked_values(run: Run, heads: int, width: int, half: int) -> None:
    """(_sliding_chunks_matmul_attn_probs_value)"""
    chunks = run.tokens // half
    values = run.tensor("V with half a window at both ends", run.tokens + 2 * half, width)
    skewed = run.features("probabilities with room to be skewed", heads * (3 * half + 2))
    copied = run.tensor("chunks of V, copied", chunks, 3 * half, width)
    said = run.features("what heads say", width)
    del values, skewed, copied, said
