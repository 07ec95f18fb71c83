"""zaya, played: Q and K convolved before attention, experts behind a router of several layers, an fp32 residual.

(modeling_zaya.py, ZayaModel.forward, ZayaDecoderLayer.forward)
"""

from __future__ import annotations

from hubvram.architecture.attention import FullAttention
from hubvram.architecture.layers import Architecture, Layer
from hubvram.architecture.mlp import MoEMLP
from hubvram.architecture.parts import Block, Linear, Part
from hubvram.memory.forward.attention import attend, cache_keys_and_values, keys_of
from hubvram.memory.forward.attention_in_blocks import attention_of, later_caches, masks_of
from hubvram.memory.forward.decoder import play_decoder
from hubvram.memory.forward.mlp import play_mlp
from hubvram.memory.forward.run import FP32, Run
from hubvram.memory.forward.tape import Peak, Tensor


def is_zaya_playable(architecture: Architecture) -> bool:
    """Whether every layer is such attention, and such experts."""
    return all(
        isinstance(mixer := group.layer.mixer, Block)
        and mixer.kind == "convolutional_attention"
        and isinstance(mlp := group.layer.mlp, Block)
        and mlp.kind == "moe"
        for group in architecture.groups()
    )


def play_zaya(run: Run, architecture: Architecture, copies_logits: bool) -> tuple[Peak, Peak]:
    """A decoder whose residual is fp32 from the first layer on."""
    return play_decoder(run, architecture, copies_logits, play_model=_play_model)


def _play_model(run: Run, architecture: Architecture) -> None:
    hidden_size, layers = architecture.hidden_size, architecture.layers
    embedded = run.features("embeddings", hidden_size)
    positions = run.position_ids()
    tables = run.along("cos and sin", 2 * run.rotary_dim * architecture.rotary_tables)
    masks = masks_of(run, architecture)
    for group in architecture.groups():
        later = later_caches(run, layers[group.indices[-1][1] + 1 :])
        hidden = run.features("hidden states", hidden_size, element_bytes=FP32)
        before = run.features(
            "what the router before made", 0 if group.indices[0][1] == 0 else _router_size(group.layer)
        )
        _play_layer(run, group.layer, hidden_size)
        del later, hidden, before
    run.phase("norms")
    hidden = run.features("hidden states", hidden_size, element_bytes=FP32)
    copied = _copied_for_norm(run, hidden_size)
    normed = run.norm(hidden_size)
    del embedded, positions, tables, masks, hidden, copied, normed


def _block(part: Part | None) -> Block:
    if not isinstance(part, Block):
        raise TypeError(f"no program for {part!r}")
    return part


def _linears(block: Block) -> dict[str, Linear]:
    weights = (*block.weights, *block.others)
    return {weight.name: weight for weight in weights if isinstance(weight, Linear)}


def _router_size(layer: Layer) -> int:
    return _linears(_block(layer.mlp))["router in"].out_features


def _masks_padding(run: Run) -> bool:
    """A decoded token is none (masking_utils.py, create_recurrent_attention_mask)."""
    return run.sizes.padded and not run.decodes


def _copied_for_norm(run: Run, hidden_size: int) -> Tensor | None:
    """Of the fp32 residual, in the type that the norm's weight has."""
    return run.features("the residual, turned for the norm", hidden_size) if run.element_bytes < FP32 else None


def _play_layer(run: Run, layer: Layer, hidden_size: int) -> None:
    run.phase("norms")
    copied = _copied_for_norm(run, hidden_size)
    normed = run.norm(hidden_size)
    del copied
    run.phase("attention")
    probabilities = _play_attention(run, layer)
    del normed
    run.phase("norms")
    said = run.features("what attention says", hidden_size)
    residual = _add_scaled(run, hidden_size)
    copied = _copied_for_norm(run, hidden_size)
    normed = run.norm(hidden_size)
    del copied, said
    run.phase("mlp")
    made = _play_experts(run, _block(layer.mlp), hidden_size)
    del normed
    said = run.features("what the experts say", hidden_size)
    summed = _add_scaled(run, hidden_size)
    del probabilities, made, residual, said, summed


def _add_scaled(run: Run, hidden_size: int) -> Tensor:
    """What was said, and the residual, each with a bias and by a scale; then their sum, in fp32
    (ZayaResidualScaling.forward)."""
    said = run.features("what was said, scaled", hidden_size)
    scaled = run.features("residual, scaled", hidden_size, element_bytes=FP32)
    summed = run.features("the sum of both, or the residual with its bias", hidden_size, element_bytes=FP32)
    del said, scaled
    return summed


# ------------------------------------------------------------------------------------- attention


def _play_attention(run: Run, layer: Layer) -> Tensor | None:
    """Q, K and V as convolved; their norms and rotation take less than that did. States count as cached already."""
    mixer = attention_of(layer)
    not_yet = run.not_yet_cached((mixer,))
    masked = run.features("the same, with zeros for padding", mixer.hidden_size) if _masks_padding(run) else None
    play_projection(run, _block(layer.mixer), mixer)
    del masked, not_yet
    query = run.features("Q", mixer.q_size)
    cache_keys_and_values(run, mixer)
    cached = run.sizes.cached
    unpacked = run.packing("K and V unpacked", cached.unpacked_bytes) if cached else None
    probabilities = attend(run, mixer, keys_of(run, mixer))
    del query, unpacked
    return probabilities


def play_projection(run: Run, block: Block, mixer: FullAttention) -> None:
    """Q and K, joined, padded and convolved twice; to these means of both are added. V in two halves, of which one is
    that of the token before (ZayaCCAProjection.forward)."""
    both, query, key = mixer.q_size + mixer.k_size, mixer.q_size, mixer.k_size
    before = block.states[0].shape[-1]
    of_heads = next(weight.shape[-1] for weight in block.others if weight.name == "convolution of heads") - 1
    projected = run.features("Q and K", both)
    joined = run.features("Q and K, joined", both)
    repeated = query if mixer.num_key_value_heads != mixer.num_attention_heads else 0
    keys = run.features("K repeated for all heads", repeated) if repeated else None
    sums = run.features("Q and K added up, and halved", 2 * query)
    del sums
    queries = run.features("mean of Q and K", query)
    means = run.features("the same of each head of K", key)
    del keys
    padded = run.tensor("joined, behind the last ones", run.tokens + before, both)
    del joined
    last = run.tensor("the last ones", before, both)
    once = run.tensor("convolved once", run.tokens + of_heads, both)
    del padded
    twice = run.features("convolved twice", both)
    del once
    added = run.features("Q and K convolved, with the means", both)
    first = None if run.decodes else run.tensor("V before the first token", 1, mixer.v_size // 2)
    values = run.features(
        "V: of this token, of the one before as it was made and moved, and joined", 3 * mixer.v_size // 2
    )
    joined = run.features("V, joined", mixer.v_size)
    del projected, queries, means, last, twice, added, first, values, joined


# --------------------------------------------------------------------------------------- experts


def _play_experts(run: Run, block: Block, hidden_size: int) -> Tensor:
    """Which of them, or none, a router says that hears the one before; what it hands on is returned."""
    linears = _linears(block)
    size, classes = linears["router in"].out_features, linears["router out"].out_features
    hidden = run.features("what the router reads", size)
    made = run.features("the same, for the next layer", size)
    normed = run.norm(size)
    inner = run.features("inner of the router, and activated", 2 * size)
    del hidden, normed, inner
    experts = linears["gate up"]
    mlp = MoEMLP(
        hidden_size=hidden_size,
        num_experts=classes,
        num_experts_per_tok=1,
        moe_intermediate_size=experts.out_features // 2,
        hidden_act="silu",
    )
    play_mlp(run, mlp)
    return made
