"""The encoder of Donut, played: swin as it was before it was written anew, so that its variables keep other tensors
(modeling_donut_swin.py)."""

from __future__ import annotations

from hubvram.architecture.attention import BidirectionalAttention
from hubvram.architecture.layers import Architecture, Layer
from hubvram.memory.forward.mlp import play_mlp
from hubvram.memory.forward.run import Run
from hubvram.memory.forward.tape import Peak, Tensor
from hubvram.memory.forward.windows import (
    DIFFERENT,
    Place,
    cut,
    embed,
    fill,
    is_swin_playable,
    mask_of_windows,
    merge,
    play_images,
    stages,
)


def is_donut_playable(architecture: Architecture) -> bool:
    """As of swin; patches have no learned positions in what was released."""
    return is_swin_playable(architecture) and not any(it.name == "positions" for it in architecture.extras)


def play_donut(run: Run, architecture: Architecture, copies_logits: bool = False) -> tuple[Peak, ...]:
    """The peak before the head, and that at it (Program.play)."""
    return play_images(run, architecture, _play_stages, copies=1, pools=True)


def _play_stages(run: Run, architecture: Architecture) -> None:
    """Each beside the embeddings, and beside what the one before left: its output before patches were merged, and
    behind that, which is the input."""
    embedded, before, given = None, None, None
    for stage in stages(architecture):
        place, layer = stage[0]
        at_place, size = run.over(tokens=place.height * place.width), layer.norms.hidden_size
        if embedded is None:
            embedded = embed(at_place, size)
        hidden = None
        for index, (place, layer) in enumerate(stage[:DIFFERENT]):
            hidden = at_place.features("input of the layer", size) if index else None
            _play_layer(run, place, layer)
        del hidden
        output = at_place.features("output of the stage", size)
        if stage[-1][1].extras:
            run.phase("merging of patches")
            given = merge(run, *stage[-1])
        before = output
        del output
    del embedded, before, given


def _play_layer(run: Run, place: Place, layer: Layer) -> None:
    """DonutSwinLayer.forward, which names until its end what windows are cut of, these, what attention makes of them,
    and that put back."""
    mixer, mlp, size, whole, windows = cut(run, place, layer)
    filled = fill(whole, windows, size)
    run.phase("attention")
    moved = windows.features("moved", size) if place.is_moved else filled
    ordered = windows.features("in the order of windows", size) if place.columns > 1 else None
    mask = mask_of_windows(run, place) if place.is_moved else None
    made = _attend(run, windows, place, mixer)
    put_back = windows.features("in the order of patches", size) if place.columns > 1 else None
    moved_back = windows.features("moved back", size) if place.is_moved else None
    if place.copies_rest(run):
        moved_back = whole.features("without what was filled up", size)
    added = whole.features("sum with the residual", size)
    del filled
    run.phase("norms")
    normed = whole.norm(size)
    run.phase("mlp")
    play_mlp(whole, mlp)
    inner = whole.features("inner of the MLP", mlp.intermediate_size)
    del normed
    said = whole.features("what the MLP says, and its sum with the residual", 2 * size)
    del moved, ordered, mask, made, put_back, moved_back, added, inner, said


def _attend(run: Run, windows: Run, place: Place, mixer: BidirectionalAttention) -> Tensor:
    """What attention makes, and O of it, which stays (DonutSwinSelfAttention.forward)."""
    heads, pairs, size = mixer.num_attention_heads, place.pairs, mixer.q_size
    made = windows.features("Q, K and V", size + mixer.k_size + mixer.v_size)
    copied = windows.features("Q and K in the order of heads", size + mixer.k_size)
    scores = windows.tensor("scores", heads, pairs)
    del copied
    scaled = windows.tensor("scores, scaled", heads, pairs)
    del scores
    looked_up = run.shared("bias, heads innermost", pairs, heads)
    bias = run.shared("bias", heads, pairs)
    del looked_up
    biased = windows.tensor("scores with their bias", heads, pairs)
    del scaled
    # With the mask they are made again; and so they are by the softmax.
    other = windows.tensor("scores before, or probabilities", heads, pairs)
    said = windows.features("V in the order of heads, and what they say", mixer.v_size + size)
    del said
    said = windows.features("what heads say, by heads and by tokens", 2 * size)
    del said
    said = windows.features("what heads say", size)
    del made, bias, biased, other
    output = windows.features("O", mixer.o_size)
    del said
    return output
