"""jetmoe, played: experts make Q and O of attention too, and all experts run over tokens that are sorted by them.

(modeling_jetmoe.py; sizes of what all experts make together do not depend on how tokens choose)
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from hubvram.architecture.attention import FullAttention
from hubvram.architecture.layers import Architecture, Layer
from hubvram.architecture.mlp import MoEMLP
from hubvram.architecture.parts import Block
from hubvram.memory.forward.attention import attend, cache, keys_of
from hubvram.memory.forward.decoder import play_decoder
from hubvram.memory.forward.modeling_code import Kept, with_traits
from hubvram.memory.forward.rotation import Widths, halves
from hubvram.memory.forward.run import FP32, ID_BYTES, Run
from hubvram.memory.forward.tape import Peak, Tensor


def is_jetmoe_playable(architecture: Architecture) -> bool:
    """Whether every layer is such attention, and experts."""
    return all(
        _attention_of(group.layer) is not None and type(group.layer.mlp) is MoEMLP and not group.layer.others
        for group in architecture.groups()
    )


def _attention_of(layer: Layer) -> FullAttention | None:
    """As attention, with as many heads as its experts make for a token."""
    if not (isinstance(layer.mixer, Block) and layer.mixer.kind == "mixture_of_attention_heads"):
        return None
    return next(part for part in layer.mixer.keeps if isinstance(part, FullAttention))


def play_jetmoe(run: Run, architecture: Architecture, copies_logits: bool) -> tuple[Peak, Peak]:
    """A decoder with such attention, whose experts are as many as the others."""
    layers = tuple(replace(layer, mixer=_attention_of(layer)) for layer in architecture.layers)
    first = layers[0]
    if not (isinstance(first.mixer, FullAttention) and isinstance(first.mlp, MoEMLP)):
        raise TypeError(f"no program for {first!r}")
    code = with_traits(run.code, attention=partial(play_attention_of_experts, num_experts=first.mlp.num_experts))
    run = Run(run.sizes, code, rotary_dim=first.mixer.head_dim, max_positions=run.max_positions)
    return play_decoder(run, replace(architecture, layers=layers), copies_logits)


def _route(run: Run, num_experts: int, chosen: int) -> tuple[Tensor, Tensor]:
    """Logits in fp32; and of each choice its place, its token and its weight (JetMoeTopKGating.forward)."""
    logits = run.features("router logits", num_experts, element_bytes=FP32)
    return logits, run.features("choices of experts", chosen, element_bytes=2 * ID_BYTES + run.element_bytes)


def play_attention_of_experts(run: Run, mixer: FullAttention, *, num_experts: int) -> Kept:
    """Q by experts, in their order and in that of tokens; K and V by one matrix, repeated for each choice; O by experts
    again. The layer keeps the router's logits (JetMoeAttention.forward, JetMoeMoA.map, JetMoeMoA.reduce)."""
    hidden, chosen = mixer.hidden_size, mixer.num_attention_heads // mixer.num_key_value_heads
    logits, choices = _route(run, num_experts, chosen)
    taken = run.features("tokens, for each choice", chosen * hidden)
    ordered = run.features("Q of all experts, zeros, and in the order of tokens", 3 * mixer.q_size)
    del taken, ordered
    query = run.features("Q", mixer.q_size)
    halves(run, Widths(mixer.q_size, mixer.k_size, mixer.q_size, mixer.k_size))
    cache(
        run, 2 * mixer.k_size + mixer.v_size, mixer.k_size, keys_of(run, mixer)
    )  # Views of one matrix, and K rotated.
    cached = run.sizes.cached
    unpacked = run.packing("K and V unpacked", cached.unpacked_bytes) if cached else None
    repeated = run.tensor("K and V repeated for each choice", keys_of(run, mixer), 2 * mixer.q_size)
    heads = replace(mixer, num_key_value_heads=mixer.num_attention_heads)
    probabilities = attend(run, heads, keys_of(run, mixer))
    said = run.features("what heads say, and for each choice", 2 * mixer.q_size)
    _say(run, hidden, chosen)
    del choices, query, unpacked, repeated, probabilities, said
    return logits


def _say(run: Run, hidden: int, chosen: int) -> None:
    """What experts say, once by expert and once together, or weighed; then their sum, by zeros, and with a bias."""
    said = run.features("what the experts say, twice", 2 * chosen * hidden)
    del said
    summed = run.features("what the experts say, zeros, their sum, and with a bias", (chosen + 3) * hidden)
    del summed


def play_jetmoe_experts(run: Run, mlp: MoEMLP) -> None:
    """Gate and up of all experts, once by expert and once together, which stay
    (JetMoeMoE.forward, JetMoeParallelExperts.forward)."""
    hidden, chosen, inner = (
        mlp.hidden_size,
        mlp.num_experts_per_tok,
        mlp.num_experts_per_tok * mlp.moe_intermediate_size,
    )
    logits, choices = _route(run, mlp.num_experts, chosen)
    taken = run.features("tokens, for each choice", chosen * hidden)
    twice = run.features("gate and up of the experts, twice", 4 * inner)
    del twice
    gate_up = run.features("gate and up of the experts", 2 * inner)
    products = run.features("act(gate), and its product with up", 2 * inner)
    del products
    product = run.features("act(gate) by up", inner)
    _say(run, hidden, chosen)
    del logits, choices, taken, gate_up, product
