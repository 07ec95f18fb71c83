"""t5 with experts of which each token takes one, if it has room, played (modeling_switch_transformers.py)."""

from __future__ import annotations

from hubvram.architecture.mlp import MoEMLP
from hubvram.memory.forward.run import FP32, ID_BYTES, Run
from hubvram.memory.forward.sides_code import padding_mask
from hubvram.memory.forward.tape import Share, Tensor


def mask_padding(run: Run) -> Tensor | None:
    """An encoder's, in the model's own type and without rows, is made whether or not something is padded."""
    return padding_mask(run) if run.sizes.source_tokens else run.features("mask, inverted", 1)


def play_switch_experts(run: Run, mlp: MoEMLP) -> None:
    """The router reads in fp32. An expert takes no more tokens of a sequence than there is room for
    (SwitchTransformersTop1Router.forward, SwitchTransformersExperts.forward)."""
    hidden, inner = mlp.hidden_size, mlp.moe_intermediate_size
    logits, choices = _play_router(run, mlp)
    summed = run.features("what the experts say", hidden)
    said = places = None
    for taken in _turns(run, mlp):
        places = _taken(run, "places of choices", taken, 2 * ID_BYTES)
        read = _taken(run, "tokens of an expert", taken, hidden * run.element_bytes)
        widths = _taken(run, "up of an expert, and activated", taken, 2 * inner * run.element_bytes)
        del widths
        answer = _taken(run, "what is activated, and what an expert says", taken, (inner + hidden) * run.element_bytes)
        del answer
        answer = _taken(run, "what an expert says", taken, hidden * run.element_bytes)
        weight = _taken(run, "weight of the choice", taken, run.element_bytes)
        said = _taken(run, "the same, weighed", taken, hidden * run.element_bytes)
        del answer, weight, read
    del logits, choices, summed, said, places


def _turns(run: Run, mlp: MoEMLP) -> tuple[int, int]:
    """Tokens of two experts, the second of which finds what the first one leaves: at most, all that it has room for,
    and as many as can be left for the first."""
    tokens, room = run.batch_size * run.tokens, run.batch_size * min(run.tokens, mlp.capacity or run.tokens)
    if run.sizes.evenly:
        taken = min(room, -(-tokens // mlp.num_experts))
        return taken, taken
    return min(room, tokens - room), room


def _taken(run: Run, what: str, tokens: int, element_bytes: int) -> Tensor:
    """(tokens that the expert takes, of all sequences, element_bytes)"""
    return run.tape.new(what, Share.SEQUENCE, tokens, element_bytes)


def _play_router(run: Run, mlp: MoEMLP) -> tuple[Tensor, Tensor]:
    """Returns logits, and what says which token each expert takes, in 64 bits, with the weight of each choice."""
    experts = mlp.num_experts
    read = None
    if run.element_bytes < FP32:
        read = run.features("hidden states in fp32", mlp.hidden_size, element_bytes=FP32)
    logits = run.features("router logits", experts, element_bytes=FP32)
    softmax = run.features("their softmax", experts, element_bytes=FP32)
    weights = run.features("weights of experts", experts) if run.element_bytes < FP32 else softmax
    del softmax
    chosen = run.features("which one a token chooses", experts, element_bytes=ID_BYTES)
    order = run.features("which one of its tokens it is", experts, element_bytes=ID_BYTES)
    fits = run.features("whether there is room", experts, element_bytes=1)
    kept = run.features("choices", experts, element_bytes=ID_BYTES)
    del chosen, order, fits, kept, read, weights
    return logits, run.features("choices, and their weight", ID_BYTES * experts + run.element_bytes, element_bytes=1)
