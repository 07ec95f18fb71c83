"""Words at their places on a page, and patches of an image of it, read by t5's encoder, played (modeling_udop.py).

A word takes the patch that it stands on into itself. All patches are positions behind the words: those that words took
are empty and masked, so that how many positions there are does not depend on places. To join patches and words takes
less than the places of both (combine_image_text_embeddings).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Final

from hubvram.architecture.attention import BidirectionalAttention
from hubvram.architecture.layers import Architecture, Image, Stack
from hubvram.memory.forward.encoder_decoder import is_playable, play_layers, play_step
from hubvram.memory.forward.relative_positions import play_buckets
from hubvram.memory.forward.run import ID_BYTES, Run
from hubvram.memory.forward.sides_code import BothSides
from hubvram.memory.forward.tape import Peak, Tensor

_CORNERS: Final = 4
"""Numbers that say a place: left, top, right and bottom."""
_FP64: Final = 8


def reads_places(architecture: Architecture) -> bool:
    """Whether relative positions are those of tokens, and then of places."""
    stack = architecture.encoder
    return stack is not None and _places_compared(stack) is not None and is_playable(architecture)


def play_udop_encoder(run: Run, stack: Stack, sides: BothSides) -> tuple[Peak, ...]:
    """The encoder's peak, and moments at which more is shared (UdopStack.forward)."""
    image = _image(stack)
    given = _given(run, image, run.tokens), _pixels(run, image)
    patches = run.tensor("patches", image.tokens, stack.hidden_size)
    places = run.features("places of words and patches", _CORNERS, element_bytes=_FP64)
    marks = run.features("which positions are seen", 1, element_bytes=ID_BYTES)
    _embed_places(run, stack.hidden_size)
    with_bias = replace(sides, makes_bias=partial(_make_bias, stack=stack))
    play_layers(_masked(run), with_bias, stack.groups(), sides.encoder)
    del given, patches, places, marks
    return run.tape.take_all()


def play_udop_step(run: Run, architecture: Architecture, sides: BothSides, *, copies_logits: bool) -> tuple[Peak, ...]:
    """A forward of the decoder (Program.step)."""
    assert architecture.encoder is not None
    image, source = _image(architecture.encoder), run.sizes.source_tokens
    pixels = _pixels(run, image)
    marks = run.tensor("which of the encoder's positions are seen", source, element_bytes=ID_BYTES)
    peaks = play_step(_masked(run), architecture, sides, copies_logits=copies_logits, given=_given(run, image, source))
    del pixels, marks
    return peaks


def _masked(run: Run) -> Run:
    """Patches that words took are masked, whether or not words are padded."""
    return run.over(padded=True)


def _image(stack: Stack) -> Image:
    assert stack.image is not None
    return stack.image


def _given(run: Run, image: Image, positions: int) -> Tensor:
    """Of words, as a tokenizer makes it."""
    words = positions - image.tokens
    return run.tensor("token ids of the input, their mask and places", words, 2 + _CORNERS, element_bytes=ID_BYTES)


def _pixels(run: Run, image: Image) -> Tensor:
    """In the model's own type, in which the caller gives them."""
    return run.tensor("pixels", image.channels, image.height, image.width)


def _embed_places(run: Run, hidden_size: int) -> None:
    """Each of the corners' numbers is embedded, and added to the sum of those before it; all beside the embeddings to
    which this is added in place (UdopCellEmbeddings.forward)."""
    run.phase("places")
    embedded = run.features("embeddings", hidden_size)
    numbers = run.features("places as whole numbers", _CORNERS, element_bytes=ID_BYTES)
    corners = run.features("embedded corners", _CORNERS * hidden_size)
    sums = run.features("two of their sums", 2 * hidden_size)
    del embedded, numbers, corners, sums


def _places_compared(stack: Stack) -> int | None:
    """In how many directions; None where something else is compared."""
    return next((weight.count for weight in stack.extras if weight.name == "relative places"), None)


def _make_bias(run: Run, *, stack: Stack) -> Tensor:
    """(B, heads, S, S): of distances in the text, which all sequences share; and of those on the page, each of which is
    added to what is there (RelativePositionBiasAggregated.forward)."""
    run.phase("relative positions")
    mixer, directions = stack.layers[0].mixer, _places_compared(stack)
    assert isinstance(mixer, BidirectionalAttention) and directions is not None
    heads, pairs = mixer.num_attention_heads, (run.tokens, run.tokens)
    total: Tensor | None = None
    for make in (run.shared, *directions * (run.tensor,)):
        distances = make("distances", *pairs, element_bytes=ID_BYTES)
        buckets = play_buckets(make, pairs, both_ways=True)
        del distances
        bias = make("bias of each pair", heads, *pairs)
        del buckets
        total = make("sum of biases", heads, *pairs)
        del bias
    assert total is not None
    run.phase("attention")
    return total
