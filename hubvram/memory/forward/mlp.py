"""MLPs, played: one for all tokens; experts over the whole prompt; experts of a single decoded token."""

from __future__ import annotations

from typing import Final

from hubvram.architecture.mlp import DenseMLP, MoEMLP
from hubvram.architecture.parts import Part
from hubvram.memory.forward.run import Run

COPIED_EXPERTS: Final = "weights of the chosen experts, copied"

_PYTHON_ACTIVATIONS: Final = frozenset({"gelu_new", "gelu_python"})
"""Activations written out in Python: their intermediates are tensors too (activations.py)."""


def play_mlp(run: Run, mlp: Part | None) -> None:
    """What it says is the caller's to make."""
    if isinstance(mlp, MoEMLP) and run.code.experts is not None:
        run.code.experts(run, mlp)
    elif isinstance(mlp, MoEMLP):
        play_experts(run, mlp)
    elif isinstance(mlp, DenseMLP):
        _dense(run, mlp)
    else:
        raise TypeError(f"no program for {mlp!r}")


def _dense(run: Run, mlp: DenseMLP) -> None:
    """Gated: act(gate), up, product; all of gate and up where they are one matrix. Plain: before and after the act."""
    hidden, inner, signs = mlp.hidden_size, mlp.intermediate_size, None
    kept = inner  # of what is read by down
    if mlp.gated and run.code.gated_copies:
        both = run.features("gate and up of the MLP", 2 * inner)
        products = run.features("what is made of gate and up", (run.code.gated_copies - 2) * inner)
    elif mlp.gated and run.code.gating_in_fp32:
        both = run.features("gate and up of the MLP", 2 * inner)
        made = run.code.gating_bytes(run.element_bytes)
        products = run.features("act(gate), and its product with up", inner, element_bytes=made)
    elif mlp.gated and mlp.fused:
        run.linear(hidden, 2 * inner)
        kept = 3 * inner
        both = run.features("gate and up of the MLP", 2 * inner)
        products = run.features("act(gate), and its product with up", 2 * inner)
    elif mlp.gated:
        run.linear(hidden, inner)
        gate = run.features("gate, and act(gate)", inner * (1 + _ACTIVATED.get(mlp.hidden_act, 1)))
        del gate
        run.linear(hidden, inner, beside=inner)
        both = run.features("act(gate) and up of the MLP", 2 * inner)
        products = run.features("their product", inner)
        kept = 3 * inner if run.code.keeps_gated else inner
    else:
        run.linear(hidden, inner)
        both = run.features("up of the MLP", inner)
        if mlp.hidden_act == "xielu":  # which of its two branches each feature takes
            signs = run.features("signs", inner, element_bytes=1)
        products = run.features("act(up)", inner * (run.code.activated_copies or _ACTIVATED.get(mlp.hidden_act, 1)))
    if run.code.norms_inside:
        del both
        both = run.norm(inner)
    del both, products, signs
    run.linear(inner, hidden, beside=kept - (hidden if run.code.drops_normed else 0))


_ACTIVATED: Final = {**dict.fromkeys(_PYTHON_ACTIVATIONS, 3), "quick_gelu": 2, "relu2": 2, "xielu": 4}
"""Activation -> copies of a plain MLP's inner width beside what it reads, where it is not one kernel."""


def play_experts(run: Run, mlp: MoEMLP) -> None:
    """Routed ones, and the expert that every token takes, before or behind: what the first of the two says waits for
    the other. Experts of a latent read that, not the hidden states (modeling_nemotron_h.py, NemotronHMoE.forward)."""
    shared, first = bool(mlp.shared_expert_intermediate_size), run.code.shared_expert_first
    waits = None
    if shared and first:
        play_shared_expert(run, mlp)
        waits = run.features("what the shared expert says", mlp.hidden_size)
    latent = run.features("latent of the experts", mlp.moe_latent_size) if mlp.moe_latent_size else None
    _gathered(run, mlp) if run.decodes else _routed(run, mlp)
    del waits, latent
    if shared and not first:
        waits = run.features("what the experts say", mlp.hidden_size)
        play_shared_expert(run, mlp)
        del waits


def play_shared_expert(run: Run, mlp: MoEMLP) -> None:
    """The inner widths of the one that every token takes."""
    hidden, width = mlp.hidden_size, mlp.shared_expert_intermediate_size
    run.linear(hidden, width)
    if mlp.gated:
        run.linear(hidden, width, beside=width)
    copies = (run.code.gated_copies or 3) if mlp.gated else 1 + _ACTIVATED.get(mlp.hidden_act, 1)
    inner = run.features("inner of the shared expert", copies * width)
    del inner
    run.linear(width, hidden, beside=width)


def _routed(run: Run, mlp: MoEMLP) -> None:
    """All chosen tokens through all experts, sorted by expert (integrations/moe.py, grouped_mm_experts_forward).

    Up: the chosen tokens, gate and up (and their biases), act(gate) and the product. Down: what experts say,
    weighed, and in the order of tokens again.

    Beside these each token's router logits and, for each choice, its expert (as chosen, sorted, in 32 bits), its place
    in the order (and back again, in the down phase) and its weight before and after sorting.
    """
    code, chosen, hidden = run.code, mlp.num_experts_per_tok, mlp.moe_latent_size or mlp.hidden_size
    weight = code.choice_bytes(run.element_bytes)
    logits = run.features("router logits", mlp.num_experts, element_bytes=code.logit_bytes(run.element_bytes))
    places = run.tensor("choices of experts", run.tokens, chosen, element_bytes=28 + 2 * weight)
    inner, bias = mlp.moe_intermediate_size, int(mlp.expert_bias)
    made = code.gating_bytes(run.element_bytes) if mlp.gated else run.element_bytes * _ACTIVATED.get(mlp.hidden_act, 1)
    taken = run.tensor("tokens, for each choice", run.tokens, chosen, hidden)
    gate_up = run.tensor("gate and up of the experts", run.tokens, chosen, (1 + bias) * (2 if mlp.gated else 1) * inner)
    products = run.tensor("act(gate), and its product with up", run.tokens, chosen, inner, element_bytes=made)
    del taken, gate_up, products
    back = run.tensor("places in the order of tokens", run.tokens, chosen, element_bytes=8)
    said = run.tensor("what the experts say, twice", run.tokens, chosen, (2 + bias) * hidden)
    weighed = run.tensor("the same, weighed, twice", run.tokens, chosen, 2 * hidden, element_bytes=weight)
    del logits, places, back, said, weighed


def _gathered(run: Run, mlp: MoEMLP) -> None:
    """One step of `generate()`: the chosen experts' weights are gathered for each token, beside the token and its
    inner width (integrations/moe.py, batched_mm_experts_forward; generation/utils.py switches grouped_mm to batched_mm
    for decoding)."""
    code, chosen, hidden = run.code, mlp.num_experts_per_tok, mlp.moe_latent_size or mlp.hidden_size
    inner, matrices = mlp.moe_intermediate_size, 3 if mlp.gated else 2
    logits = run.features("router logits", mlp.num_experts, element_bytes=code.logit_bytes(run.element_bytes))
    choices = run.tensor("chosen experts", run.tokens, chosen, element_bytes=8 + code.choice_bytes(run.element_bytes))
    biases = (matrices - 1) * inner if mlp.expert_bias else 0
    weights = None
    if run.linears is None or run.linears.copies_experts:
        weights = run.tensor(COPIED_EXPERTS, run.tokens, chosen, matrices, inner, hidden)
    else:  # Gate and up, and what the gate makes of them, are alive beside the token.
        inner *= matrices - 1 + (code.gate_copies if mlp.gated else 1)
    taken = run.tensor("tokens, and inner, for each choice", run.tokens, chosen, biases + hidden + inner)
    del logits, choices, weights, taken
