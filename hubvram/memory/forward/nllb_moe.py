"""Experts as transformers 5.23 runs those of nllb-moe, played (modeling_nllb_moe.py, NllbMoeExperts.forward).

It takes a mask, which says of each token and expert whether that is the token's first choice, for numbers of experts:
the second expert reads each token once, and the first one all tokens as often as there are other experts. So what is
alive is the same however tokens choose, as long as none is without room (`moe_eval_capacity_token_fraction` 1, as
released). What the router makes before is less.
"""

from __future__ import annotations

from hubvram.architecture.mlp import MoEMLP
from hubvram.memory.forward.run import FP32, ID_BYTES, Run


def play_nllb_experts(run: Run, mlp: MoEMLP) -> None:
    """The first of the two that run, which is the one with more to read."""
    hidden, inner, experts = mlp.hidden_size, mlp.moe_intermediate_size, mlp.num_experts
    logits = run.features("router logits", experts, element_bytes=FP32)
    mask = run.features("first choices", experts, element_bytes=ID_BYTES)
    weights = run.features("weights of experts", experts)
    summed = run.features("what the experts say", hidden)
    marks = run.features("the mask, taken for numbers", experts * experts, element_bytes=ID_BYTES)
    times = experts - 1
    places = run.features("places of choices", 2 * times, element_bytes=ID_BYTES)
    read = run.features("tokens of the first expert", times * hidden)
    widths = run.features("up of it, and activated", 2 * times * inner)
    del widths
    said = run.features("what is activated, and what the expert says", times * (inner + hidden))
    del said
    said = run.features("what the expert says", times * hidden)
    weighed = run.features("weights of choices, and the same, weighed", times * (1 + hidden))
    del logits, mask, weights, summed, marks, places, read, said, weighed
