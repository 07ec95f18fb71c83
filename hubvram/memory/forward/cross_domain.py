"""Experts of one row and one column each, found by two halves of a key, beside an MLP, played (doge).

(modeling_doge.py, DogeCDMoE.forward)
"""

from __future__ import annotations

from dataclasses import replace
from math import isqrt

from hubvram.architecture.layers import Architecture, Layer
from hubvram.architecture.mlp import MoEMLP
from hubvram.architecture.parts import Block, Part
from hubvram.memory.forward.decoder import is_playable, play_decoder
from hubvram.memory.forward.mlp import play_shared_expert
from hubvram.memory.forward.run import ID_BYTES, Run
from hubvram.memory.forward.tape import Peak


def is_doge_playable(architecture: Architecture) -> bool:
    """Whether nothing but such experts stands in the way of a decoder."""
    return is_playable(_with_experts(architecture))


def play_doge(run: Run, architecture: Architecture, copies_logits: bool) -> tuple[Peak, Peak]:
    """A decoder, of whose experts the MLP beside them is the one that every token takes."""
    return play_decoder(run, _with_experts(architecture), copies_logits)


def _with_experts(architecture: Architecture) -> Architecture:
    return replace(architecture, layers=tuple(_with_mlp(layer) for layer in architecture.layers))


def _with_mlp(layer: Layer) -> Layer:
    return replace(layer, mlp=_experts_of(layer.mlp))


def _experts_of(part: Part | None) -> Part | None:
    if not (isinstance(part, Block) and part.kind == "cross_domain_moe"):
        return part
    number, hidden_size = next(weight.shape for weight in part.others if weight.name == "experts")
    return MoEMLP(
        hidden_size=hidden_size,
        num_experts=number,
        num_experts_per_tok=number - part.inactive // (2 * hidden_size),
        moe_intermediate_size=1,
        hidden_act="silu",
        shared_expert_intermediate_size=next(linear.out_features for linear in part.weights if linear.name == "up"),
    )


def play_cross_domain(run: Run, mlp: MoEMLP) -> None:
    """Scores and places of all pairs of halves, which stay; rows and columns of the chosen experts; then the MLP beside
    what they say."""
    keys, chosen = isqrt(mlp.num_experts), mlp.num_experts_per_tok
    pairs = keys * keys
    logits = run.features("scores of halves, as made and sorted", 4 * keys)
    places = run.features(
        "places of halves, of pairs and of the chosen", 2 * keys + pairs + 2 * chosen, element_bytes=ID_BYTES
    )
    scores = run.features("scores of pairs and of the chosen, and weights of these", pairs + 2 * chosen)
    taken = run.features("rows and columns of experts", 2 * chosen * mlp.hidden_size)
    weights = run.features("weights of experts", chosen)
    said = run.features("what the experts say", mlp.hidden_size)
    play_shared_expert(run, mlp)
    both = run.features("what the MLP says, and the sum of both", 2 * mlp.hidden_size)
    del both, logits, places, scores, taken, weights, said
