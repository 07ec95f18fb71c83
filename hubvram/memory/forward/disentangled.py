"""Attention to what a token is and to where it is, played (deberta, 2006.03654).

Beside the scores of contents stand those of content to position and of position to content: of all distances first
(`span` to each side), then gathered for each pair of tokens. Both are taken to be there, as in all that is published.
"""

from __future__ import annotations

from hubvram.architecture.attention import BidirectionalAttention
from hubvram.architecture.layers import Architecture
from hubvram.architecture.parts import Tensor as Table
from hubvram.memory.forward.encoder_code import EncoderCode, Held
from hubvram.memory.forward.run import ID_BYTES, Run
from hubvram.memory.forward.tape import Tensor


def distances(architecture: Architecture) -> int:
    """How many the table of distances has; 0 without one."""
    tables = (it for it in architecture.extras if isinstance(it, Table) and it.name == "distances")
    return next((table.shape[0] for table in tables), 0)


def looks_at_distances(architecture: Architecture) -> bool:
    """Whether it has the table that these programs read."""
    return distances(architecture) > 0


def attend_by_head(
    run: Run, architecture: Architecture, mixer: BidirectionalAttention, code: EncoderCode, held: Held
) -> None:
    """Q, K and V are copied into the order of heads; so are K and Q of the distances, for each sequence.

    (modeling_deberta_v2.py, DisentangledSelfAttention)
    """
    span, heads = distances(architecture), mixer.num_attention_heads
    made = run.features("Q, K and V in the order of heads", 3 * mixer.q_size)
    scores = _scores(run, heads)
    of_distances = run.tensor("K and Q of the distances", span, 2 * mixer.q_size)
    looked_up = _of_all_distances(run, heads, span)
    of_content, places = _scores(run, heads), _places(run)
    del looked_up
    scaled = _scores(run, heads)
    bias = _scores(run, heads)
    del scaled
    looked_up = _of_all_distances(run, heads, span)
    of_position, more_places = _scores(run, heads), _places(run)
    del looked_up
    scaled = _scores(run, heads)
    del of_content, of_position, scaled, of_distances, places, more_places
    _finish(run, mixer, code, held)
    del made, scores, bias


def attend_joined(
    run: Run, architecture: Architecture, mixer: BidirectionalAttention, code: EncoderCode, held: Held
) -> None:
    """One matrix makes Q, K and V; biases, and the scale of Q, make Q and V anew. As many distances as tokens count.

    (modeling_deberta.py, DisentangledSelfAttention)
    """
    heads, span = mixer.num_attention_heads, min(2 * run.tokens, distances(architecture))
    made = run.features("Q, K and V in one, and Q and V with their biases", 5 * mixer.q_size)
    copied = run.features("Q and K in the order of heads", 2 * mixer.q_size)
    scores = _scores(run, heads)
    del copied
    keys = run.shared("K of the distances", span, mixer.q_size)
    looked_up = _looked_up(run, mixer, span)
    of_content, places = _scores(run, heads), _places(run)
    del looked_up
    bias = _scores(run, heads)
    queries = run.shared("Q of the distances", span, mixer.q_size)
    more_places = _places(run)
    looked_up = _looked_up(run, mixer, span)
    of_position = _scores(run, heads)
    del looked_up, of_content, of_position, keys, queries, places, more_places
    _finish(run, mixer, code, held)
    del made, scores, bias


def _scores(run: Run, heads: int, copies: int = 1) -> Tensor:
    return run.tensor("scores", copies, heads, run.tokens, run.tokens)


def _of_all_distances(run: Run, heads: int, span: int) -> Tensor:
    return run.tensor("scores of all distances", heads, run.tokens, span)


def _looked_up(run: Run, mixer: BidirectionalAttention, span: int) -> Tensor:
    """Beside it while it is made: the distances for each sequence, and Q or K, in the order of heads."""
    copied = run.tensor("distances, and Q or K, in the order of heads", span + run.tokens, mixer.q_size)
    looked_up = _of_all_distances(run, mixer.num_attention_heads, span)
    del copied
    return looked_up


def _places(run: Run) -> Tensor:
    """The place in the table for each pair of tokens."""
    return run.shared("places of the distances", run.tokens, run.tokens, element_bytes=ID_BYTES)


def _finish(run: Run, mixer: BidirectionalAttention, code: EncoderCode, held: Held) -> None:
    """Beside the bias: scores before and behind masking, or their softmax; then what heads say."""
    heads, pairs = mixer.num_attention_heads, (run.tokens, run.tokens)
    masks = run.tensor("mask, and its opposite", *pairs, 2, element_bytes=1)
    scores = _scores(run, heads)
    del masks
    mask = run.tensor("mask", *pairs, element_bytes=1)
    probabilities = _scores(run, heads)
    said = run.features("V in the order of heads, or what heads say in it", mixer.q_size)
    held.hold(code.said, run.features("what heads say", mixer.q_size))
    del mask, scores, probabilities, said
