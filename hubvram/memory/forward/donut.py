"""Donut's Swin, played: windows, stages and masks as in windows.py, but its classes keep other variables, and write
attention out themselves (modeling_donut_swin.py)."""

from __future__ import annotations

from hubvram.architecture.attention import BidirectionalAttention
from hubvram.architecture.layers import Architecture, Layer
from hubvram.architecture.mlp import DenseMLP
from hubvram.memory.forward.mlp import play_mlp
from hubvram.memory.forward.run import Run
from hubvram.memory.forward.tape import Peak, Tensor
from hubvram.memory.forward.windows import DIFFERENT, Place, at, is_swin_playable, mask_of_moved, merged, stages


def is_donut_playable(architecture: Architecture) -> bool:
    """As swin, but without learned positions: the class has one more of them than patches, and cannot add them."""
    return is_swin_playable(architecture) and all(weight.name != "positions" for weight in architecture.extras)


def play_donut(run: Run, architecture: Architecture, copies_logits: bool = False) -> tuple[Peak, ...]:
    """The peak before the head, and that at it (Program.play). Pixels are given in the type that is computed in."""
    image = architecture.image
    assert image is not None
    run.phase("embeddings")
    given = run.tensor("pixels", image.channels, image.height, image.width)
    _play_stages(run, architecture)
    before = run.tape.take_larger()
    run.phase("logits")
    hidden = run.features("hidden states", architecture.hidden_size)
    said = run.output("what the head says", architecture.head.out_features) if architecture.head else None
    del given, hidden, said
    return *before, run.tape.take()


def _play_stages(run: Run, architecture: Architecture) -> None:
    """Each beside the embeddings, its input, and what that was before squares of it were merged."""
    embedded: Tensor | None = None
    stage_input: Tensor | None = None
    before_merging: Tensor | None = None
    for stage in stages(architecture):
        place, layer = stage[0]
        at_place, size = at(run, run.batch_size, place.height * place.width), layer.norms.hidden_size
        if embedded is None:
            patches = at_place.features("embedded patches", size)
            embedded = at_place.norm(size)
            del patches
        hidden = None
        for index, (place, layer) in enumerate(stage[:DIFFERENT]):
            hidden = at_place.features("input of the layer", size) if index else None
            _play_layer(run, place, layer)
        del hidden
        hidden = at_place.features("output of the stage", size)
        run.phase("merging of patches")
        stage_input = merged(run, place, size) if stage[-1][1].extras else hidden
        before_merging = hidden
    del embedded, stage_input, before_merging


def _play_layer(run: Run, place: Place, layer: Layer) -> None:
    """DonutSwinLayer.forward, which names the moved patches, its windows, what attention makes of them, and that put
    back, until its end, each as it was before it moved too."""
    mixer, mlp, size = layer.mixer, layer.mlp, layer.norms.hidden_size
    assert isinstance(mixer, BidirectionalAttention) and isinstance(mlp, DenseMLP)
    whole = at(run, run.batch_size, place.height * place.width)
    windows = at(run, run.batch_size * place.windows, place.side**2)
    run.phase("norms")
    normed = whole.norm(size)
    filled = windows.features("filled up to windows", size)
    del normed
    run.phase("attention")
    moved = windows.features("moved", size) if place.is_moved else filled
    cut = windows.features("in the order of windows", size) if place.columns > 1 else moved
    mask = mask_of_moved(run, place) if place.is_moved else None
    said = _attend(run, windows, place, mixer)
    made = windows.features("O", mixer.o_size)
    del said
    in_order = windows.features("in the order of patches", size) if place.columns > 1 else made
    put_back = windows.features("moved back", size) if place.is_moved else in_order
    if place.is_filled_up:
        put_back = whole.features("without what was filled up", size)
    added = whole.features("sum with the residual", size)
    del filled
    run.phase("norms")
    normed = whole.norm(size)
    run.phase("mlp")
    play_mlp(whole, mlp)
    inner = whole.features("inner of the MLP", mlp.intermediate_size)
    del normed
    said = whole.features("what the MLP says", size)
    out = whole.features("sum with the residual", size)
    del moved, cut, mask, made, in_order, put_back, added, inner, said, out


def _attend(run: Run, windows: Run, place: Place, mixer: BidirectionalAttention) -> Tensor:
    """What the heads say: scores, scaled, with a bias for each pair of patches in a window and the mask of windows
    that moved; their softmax in the model's own type (DonutSwinSelfAttention.forward)."""
    heads, pairs = mixer.num_attention_heads, place.pairs
    made = windows.features("Q, K and V", mixer.q_size + mixer.k_size + mixer.v_size)
    copied = windows.features("Q and K in the order of heads", 2 * mixer.q_size)
    scores = windows.tensor("scores", heads, pairs)
    del copied
    scaled = windows.tensor("scores, scaled", heads, pairs)
    scores = scaled
    del scaled
    looked_up = run.shared("bias, heads innermost", pairs, heads)
    bias = run.shared("bias", heads, pairs)
    del looked_up
    scores = windows.tensor("scores with the bias", heads, pairs)
    if place.is_moved:
        scores = windows.tensor("scores with the mask", heads, pairs)
    probabilities = windows.tensor("probabilities", heads, pairs)
    in_heads = windows.features("V in the order of heads, or what heads say in it", mixer.q_size)
    said = windows.features("what heads say", mixer.q_size)
    del made, bias, scores, probabilities, in_heads
    return said
