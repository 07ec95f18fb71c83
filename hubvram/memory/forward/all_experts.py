"""Experts that all compute all tokens, played: what the router did not choose, it weighs with nothing (llama4)."""

from __future__ import annotations

from hubvram.architecture.mlp import MoEMLP
from hubvram.memory.forward.mlp import play_shared_expert
from hubvram.memory.forward.run import Run


def play_all_experts(run: Run, mlp: MoEMLP) -> None:
    """Each token once for each expert, by its score; gate and up, and down; the shared expert beside what they say.

    The same over a prompt and for one decoded token (modeling_llama4.py, Llama4TextMoe.forward).
    """
    experts, hidden, inner = mlp.num_experts, mlp.hidden_size, mlp.moe_intermediate_size
    scores = run.features("router logits and scores", 2 * experts)
    repeated = run.features("tokens, once for each expert", experts * hidden)
    taken = run.features("the same by their scores", experts * hidden)
    del repeated
    gate_up = run.features("gate and up of the experts", 2 * experts * inner)
    products = run.features("act(gate), and its product with up", 2 * experts * inner)
    del products
    product = run.features("act(gate) by up", experts * inner)
    said = run.features("what the experts say", experts * hidden)
    del product, gate_up
    play_shared_expert(run, mlp)
    both = run.features("what the shared expert says, and the sum of the others", 2 * hidden)
    del both, said, taken, scores
