"""Experts that a class runs one after the other, in a loop in Python: each for the tokens that chose it.

How many these are depends on the tokens. The most that can be alive is where all tokens choose the same experts;
the least, where they choose all experts evenly (`Sizes.evenly`).
"""

from __future__ import annotations

from dataclasses import replace

from hubvram.architecture.attention import FullAttention
from hubvram.architecture.mlp import MoEMLP
from hubvram.architecture.parts import Linear
from hubvram.memory.forward.attention import play_attention
from hubvram.memory.forward.mlp import play_shared_expert
from hubvram.memory.forward.run import FP32, ID_BYTES, Run
from hubvram.memory.forward.tape import Share, Tensor


class _Loop:
    """What the experts of one layer find, and what each makes for the tokens that chose it."""

    def __init__(self, run: Run, mlp: MoEMLP) -> None:
        self._run = run
        chosen = run.batch_size * run.tokens
        experts = mlp.num_experts_per_tok
        if run.sizes.evenly:
            chosen, experts = -(-chosen * experts // mlp.num_experts), mlp.num_experts
        self._tokens = chosen
        self.turns = range(min(2, experts))
        """What an expert leaves, the next one finds: two are as good as all of them."""

    def tensor(self, what: str, width: int, *, element_bytes: int | None = None) -> Tensor:
        """(tokens that chose the expert, width)"""
        return self._run.tape.new(what, Share.SEQUENCE, self._tokens, width, element_bytes or self._run.element_bytes)


def _choices(run: Run, mlp: MoEMLP, weight_bytes: int, columns: int) -> Tensor:
    """Weights of chosen experts, their numbers, and a mask of 64 bits for each number that there can be."""
    chosen = mlp.num_experts_per_tok
    return run.tensor(
        "choices of experts, and their mask", run.tokens, chosen, element_bytes=weight_bytes + (1 + columns) * ID_BYTES
    )


def play_dbrx_attention(run: Run, mixer: FullAttention) -> None:
    """What one matrix makes is clamped. The function around attention and norms keeps no probabilities
    (DbrxAttention.forward, DbrxNormAttentionNorm.forward)."""
    clamped = run.features("Q, K and V, and clamped, less those cached", 2 * mixer.q_size + mixer.k_size + mixer.v_size)
    del clamped
    play_attention(run, mixer)


def play_dbrx_experts(run: Run, mlp: MoEMLP) -> None:
    """Gate and up are matrices of their own (DbrxFFN.forward, DbrxExperts.forward, DbrxExpertGLU.forward)."""
    hidden, inner, loop = mlp.hidden_size, mlp.moe_intermediate_size, _Loop(run, mlp)
    logits = run.features("router logits", mlp.num_experts)
    choices = _choices(run, mlp, run.element_bytes, mlp.num_experts + 1)
    summed = run.features("what the experts say", hidden)
    said = places = None
    for _ in loop.turns:
        places = loop.tensor("places of choices", 2, element_bytes=ID_BYTES)
        taken = loop.tensor("tokens of an expert", hidden)
        widths = loop.tensor("act(gate), up, and their product", 3 * inner)
        answer = loop.tensor("what an expert says", hidden)
        del taken, widths
        said = answer
        said = loop.tensor("the same, weighed", hidden)
        del answer
    del logits, choices, summed, said, places


def play_step3p5_experts(run: Run, mlp: MoEMLP) -> None:
    """Gate and up are one matrix, and clamped; weights of choices are fp32, and so is what they weigh, which the next
    expert finds (modeling_step3p7.py, Step3p7SparseMoeBlock.forward, Step3p7Experts.forward)."""
    hidden, inner, loop = mlp.hidden_size, mlp.moe_intermediate_size, _Loop(run, mlp)
    play_shared_expert(run, mlp)
    shared = run.features("what the shared expert says", hidden)
    logits = run.features("router logits", mlp.num_experts)
    choices = _choices(run, mlp, FP32, mlp.num_experts + 1)
    summed = run.features("what the experts say", hidden)
    current = places = None
    for _ in loop.turns:
        places = loop.tensor("places of choices", 2, element_bytes=ID_BYTES)
        taken = loop.tensor("tokens of an expert", hidden)
        gate_up = loop.tensor("gate and up of an expert", 2 * inner)
        del taken
        clamped = loop.tensor("act(gate) and up, clamped, and their product", 3 * inner)
        del gate_up, clamped
        current = loop.tensor("product of gate and up", inner)
        said = loop.tensor("what an expert says", hidden)
        weight = loop.tensor("weight of the choice", 1, element_bytes=FP32)
        weighed = loop.tensor("the same, weighed, in fp32", hidden, element_bytes=FP32)
        current = weighed
        del said, weight, weighed
    del shared, logits, choices, summed, current, places


def play_longcat_experts(run: Run, mlp: MoEMLP) -> None:
    """Experts that hand back what they get stand beside the others, in logits and mask. What each expert reads, and
    its gate and up, stay until the next has its own; the router reads and weighs in fp32
    (modeling_longcat_flash.py, LongcatFlashTopkRouter.forward, LongcatFlashExperts.forward)."""
    hidden, inner = mlp.hidden_size, mlp.moe_intermediate_size
    idle = sum(rows.out_features for rows in mlp.others if isinstance(rows, Linear))
    number = mlp.num_experts + idle
    loop = _Loop(run, replace(mlp, num_experts=number))
    read = router = None
    if run.element_bytes < FP32:
        read = run.features("hidden states in fp32", hidden, element_bytes=FP32)
        router = run.shared("the router in fp32", number, hidden, element_bytes=FP32)
    logits = run.features("router logits", number, element_bytes=FP32)
    del read, router
    choices = _choices(run, mlp, FP32, number)
    summed = run.features("what the experts say", hidden)
    places = taken = gate_up = current = None
    for _ in loop.turns:
        places = loop.tensor("places of choices", 2, element_bytes=ID_BYTES)
        taken = loop.tensor("tokens of an expert", hidden)
        gate_up = loop.tensor("gate and up of an expert", 2 * inner)
        products = loop.tensor("act(gate), and its product with up", 2 * inner)
        del products
        current = loop.tensor("product of gate and up", inner)
        current = loop.tensor("what an expert says", hidden)
        weight = loop.tensor("weight of the choice", 1, element_bytes=FP32)
        weighed = loop.tensor("the same, weighed, in fp32", hidden, element_bytes=FP32)
        current = weighed
        del weight, weighed
        if run.element_bytes < FP32:
            turned = loop.tensor("the same, turned back", hidden)
            del turned
    del logits, choices, summed, places, taken, gate_up, current
