"""Swin, played: attention within windows of patches, which move by half of one in every second layer, in stages, each
of which makes one patch of four (modeling_swin.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import isqrt
from typing import Final, NamedTuple

from hubvram.architecture.attention import BidirectionalAttention
from hubvram.architecture.layers import Architecture, Layer
from hubvram.architecture.mlp import DenseMLP
from hubvram.architecture.parts import Tensor as Table
from hubvram.memory.forward.encoder_attention import say
from hubvram.memory.forward.encoder_code import EncoderCode, Held, Until
from hubvram.memory.forward.mlp import play_mlp
from hubvram.memory.forward.run import Run
from hubvram.memory.forward.tape import Peak, Tensor

_CODE: Final = EncoderCode(qkv=Until.PROJECTED, said=Until.PROJECTED)
DIFFERENT: Final = 3
"""Layers of a stage: the first, one that moves windows behind it, and one that does not; others are as these."""
_BYTE: Final = 1
"""Of a boolean."""


class Place(NamedTuple):
    """Where a layer stands: the patches that it sees, in windows of `side` x `side`."""

    height: int
    width: int
    side: int
    is_moved: bool

    @property
    def rows(self) -> int:
        """Of windows; those at an edge are filled up."""
        return -(-self.height // self.side)

    @property
    def columns(self) -> int:
        return -(-self.width // self.side)

    @property
    def windows(self) -> int:
        return self.rows * self.columns

    @property
    def pairs(self) -> int:
        """Of the patches of a window."""
        return self.side**4

    @property
    def squares(self) -> int:
        """Of four patches; what is left over at an edge makes one too."""
        return -(-self.height // 2) * -(-self.width // 2)

    def copies_rest(self, run: Run) -> bool:
        """Whether what is left without what was filled up is copied: rows below the last of one image are a view."""
        return bool(self.width % self.side or (self.height % self.side and not run.is_alone))


def is_swin_playable(architecture: Architecture) -> bool:
    """Whether the patches are square, and no stage has fewer of them along a side than its windows: the class cannot
    run those."""
    return _patch_side(architecture) > 0 and all(
        min(place.height, place.width) >= place.side for stage in stages(architecture) for place, _ in stage
    )


def play_swin(run: Run, architecture: Architecture, copies_logits: bool = False) -> tuple[Peak, ...]:
    """The peak before the head, and that at it (Program.play)."""
    return play_images(run, architecture, _play_stages, copies=2)


def play_images(
    run: Run,
    architecture: Architecture,
    play_stages: Callable[[Run, Architecture], None],
    copies: int,
    pools: bool = False,
) -> tuple[Peak, ...]:
    """Stages, then the head, beside so many copies of hidden states, and what they are pooled to. Pixels are given in
    the type that is computed in."""
    image, hidden_size = architecture.image, architecture.hidden_size
    assert image is not None
    run.phase("embeddings")
    given = run.tensor("pixels", image.channels, image.height, image.width)
    play_stages(run, architecture)
    before = run.tape.take_larger()
    run.phase("logits")
    hidden = run.features("hidden states, and normed" if copies > 1 else "hidden states", copies * hidden_size)
    pooled = run.tensor("pooled", hidden_size) if pools else None
    said = run.output("what the head says", architecture.head.out_features) if architecture.head else None
    del given, hidden, pooled, said
    return *before, run.tape.take()


def _play_stages(run: Run, architecture: Architecture) -> None:
    """Each beside the embeddings, and beside what the one before left: its output, which is the input, the same with
    features first, and the probabilities of its last layer."""
    left: tuple[Tensor | None, ...] = ()
    embedded = None
    for stage in stages(architecture):
        place, layer = stage[0]
        at_place, size = run.over(tokens=place.height * place.width), layer.norms.hidden_size
        if embedded is None:
            embedded = embed(at_place, size)
        hidden, before = None, None
        for index, (place, layer) in enumerate(stage[:DIFFERENT]):
            hidden = at_place.features("input of the layer", size) if index else None
            before = _play_layer(run, place, layer, before)
        del hidden
        hidden = at_place.features("output of the stage", size)
        run.phase("merging of patches")
        left = (*_merged(run, *stage[-1]), before)
        del hidden
    del left, embedded


def _play_layer(run: Run, place: Place, layer: Layer, before: Tensor | None) -> Tensor | None:
    """SwinLayer.forward, which names its windows, what attention makes of them, and that put back, until its end; and
    returns the probabilities. `before` are those of the layer before."""
    mixer, mlp, size, whole, windows = cut(run, place, layer)
    filled = fill(whole, windows, size)
    run.phase("attention")
    moved = windows.features("moved", size) if place.is_moved else None
    ordered = windows.features("in the order of windows", size) if place.columns > 1 else moved
    del moved
    mask = mask_of_windows(run, place) if place.is_moved else None
    probabilities, held = _attend(run, windows, place, mixer)
    made = windows.features("O", mixer.o_size)
    held.let_go(Until.PROJECTED)
    put_back = windows.features("in the order of patches", size) if place.columns > 1 else None
    if place.is_moved:
        put_back = windows.features("moved back", size)
    if place.copies_rest(run):
        put_back = whole.features("without what was filled up", size)
    added = whole.features("sum with the residual", size)
    del filled
    run.phase("norms")
    normed = whole.norm(size)
    run.phase("mlp")
    play_mlp(whole, mlp)
    inner = whole.features("inner of the MLP", mlp.intermediate_size)
    said = whole.features("what the MLP says", size)
    del inner
    out = whole.features("sum with the residual", size)
    del ordered, mask, made, put_back, added, normed, said, out, before
    return probabilities


def _attend(run: Run, windows: Run, place: Place, mixer: BidirectionalAttention) -> tuple[Tensor | None, Held]:
    """Q, K and V; a bias for each pair of patches in a window; where windows moved, the mask for each image, if there
    are several, and the sum of both (SwinAttention.forward)."""
    held, heads = Held(), mixer.num_attention_heads
    held.has_bias = True
    held.hold(Until.PROJECTED, windows.features("Q, K and V", mixer.q_size + mixer.k_size + mixer.v_size))
    looked_up = run.shared("bias, heads innermost", place.pairs, heads)
    held.hold(Until.PROJECTED, run.shared("bias", heads, place.pairs))
    del looked_up
    if place.is_moved:
        if not run.is_alone:
            held.hold(Until.PROJECTED, run.tensor("mask of windows", place.windows, place.pairs))
        held.hold(Until.PROJECTED, run.tensor("mask with the bias", place.windows, heads, place.pairs))
    return say(windows, mixer, _CODE, held), held


class Cut(NamedTuple):
    """What a layer is made of, and the pass over whole images and over windows of them."""

    mixer: BidirectionalAttention
    mlp: DenseMLP
    hidden_size: int
    whole: Run
    windows: Run


def cut(run: Run, place: Place, layer: Layer) -> Cut:
    """A layer of windows where it stands."""
    mixer, mlp = layer.mixer, layer.mlp
    assert isinstance(mixer, BidirectionalAttention) and isinstance(mlp, DenseMLP)
    whole = run.over(tokens=place.height * place.width)
    windows = run.over(batch_size=run.batch_size * place.windows, tokens=place.side**2)
    return Cut(mixer, mlp, layer.norms.hidden_size, whole, windows)


def embed(run: Run, hidden_size: int) -> Tensor:
    """Patches, normed."""
    patches = run.features("embedded patches", hidden_size)
    embedded = run.norm(hidden_size)
    del patches
    return embedded


def fill(whole: Run, windows: Run, hidden_size: int) -> Tensor:
    """What attention is to read, normed, and filled up to windows."""
    whole.phase("norms")
    normed = whole.norm(hidden_size)
    filled = windows.features("filled up to windows", hidden_size)
    del normed
    return filled


def mask_of_windows(run: Run, place: Place) -> Tensor:
    """Of what was not beside each other before windows moved: differences, the same with -100 and with 0 for them, and
    where that is (SwinLayer.get_attn_mask)."""
    differences = run.shared("differences of places", place.windows, place.pairs)
    marked = run.shared("the same, marked", place.windows, place.pairs)
    same = run.shared("where they are none", place.windows, place.pairs, element_bytes=_BYTE)
    mask = run.shared("mask of moved windows", place.windows, place.pairs)
    del differences, marked, same
    return mask


def _merged(run: Run, place: Place, layer: Layer) -> tuple[Tensor, ...]:
    """Squares merged; behind the last stage nothing is. And a copy of it with features first
    (SwinStage.get_reshaped_hidden_states)."""
    size, patches = layer.norms.hidden_size, place.height * place.width
    if not layer.extras:
        return (run.tensor("features first", patches, size),)
    out = merge(run, place, layer)
    return out, run.tensor("the same, features first", place.squares, 2 * size)


def merge(run: Run, place: Place, layer: Layer) -> Tensor:
    """Squares of four side by side, normed, and through a matrix (SwinPatchMerging.forward)."""
    size, merged = layer.norms.hidden_size, run.over(tokens=place.squares)
    padded = merged.features("filled up to squares", 4 * size) if place.height % 2 or place.width % 2 else None
    squares = merged.features("squares side by side", 4 * size)
    del padded
    normed = merged.norm(4 * size)
    del squares
    out = merged.features("input of the stage", 2 * size)
    del normed
    return out


def stages(architecture: Architecture) -> Iterator[list[tuple[Place, Layer]]]:
    """The layers of each, and where they stand; squares are merged behind each but the last."""
    image, patch = architecture.image, _patch_side(architecture)
    assert image is not None
    height, width = -(-image.height // patch), -(-image.width // patch)
    stage: list[tuple[Place, Layer]] = []
    for layer in architecture.layers:
        side = window_side(layer)
        is_moved = len(stage) % 2 == 1 and min(height, width) > side and side > 1
        stage.append((Place(height, width, side, is_moved), layer))
        if layer.extras:
            yield stage
            stage, height, width = [], -(-height // 2), -(-width // 2)
    yield stage


def window_side(layer: Layer) -> int:
    """From the table of offsets, which has (2 x side - 1) x (2 x side - 1) rows."""
    assert isinstance(layer.mixer, BidirectionalAttention)
    (offsets,) = (it for it in layer.mixer.others if isinstance(it, Table))
    return (isqrt(offsets.shape[0]) + 1) // 2


def _patch_side(architecture: Architecture) -> int:
    """From the convolution that makes patches; 0 where they are not square."""
    image, width = architecture.image, architecture.layers[0].norms.hidden_size
    (weight,) = (it for it in architecture.extras if it.name == "patch embedding")
    pixels = weight.parameters // (width * image.channels) if image else 0
    side = isqrt(pixels)
    return side if side * side == pixels else 0
