"""Griffin's recurrent block and the attention between such (recurrent_gemma), played.

(modeling_recurrent_gemma.py, RecurrentGemmaRecurrentBlock, RecurrentGemmaRglru, RecurrentGemmaAttention)
"""

from __future__ import annotations

from hubvram.architecture.attention import FullAttention
from hubvram.architecture.parts import Block
from hubvram.memory.forward.attention import play_attention
from hubvram.memory.forward.run import FP32, Run
from hubvram.memory.forward.tape import Tensor


def play_rg_lru(run: Run, mixer: Block) -> None:
    """A branch that gates, and one that is convolved and remembered; every step of a gate keeps its name until the
    scan is done, token by token."""
    run.phase("recurrence")
    conv, _ = mixer.states
    width, kernel = conv.shape
    gate = run.features("gate of what is said", width)
    convolved = _play_convolution(run, width, kernel)
    # Prompts were convolved in the order of channels, which is copied into that of tokens (Run.is_alone).
    ordered = run.features("the same in the order of tokens", 0 if run.decodes or run.is_alone else width)
    made = run.features("input gate, recurrent gate before and behind each step, its square", 5 * width)
    inputs = run.features("gated inputs", width)
    weighed = run.features("weights of inputs, three times", 3 * width)
    del weighed
    read = run.features("weights of inputs, weighed inputs, decays where no sequence begins", 3 * width)
    if run.decodes:
        state = run.tensor("the new state, and what is put in", 2, width, element_bytes=FP32)
    else:
        said = run.features("what tokens say", width)
        state = run.tensor("decay of a token in fp32, the state before and behind it", 3, width, element_bytes=FP32)
        del said
    del gate, convolved, ordered, made, inputs, read, state


def _play_convolution(run: Run, width: int, kernel: int) -> Tensor:
    """Of a prompt, longer by the padding on both sides; of one token the window, and that times the weights."""
    source = run.features("what is convolved", width)
    if run.decodes:
        window = run.tensor("the last inputs, with this one, and weighed", 2 * kernel, width)
        summed = run.features("their sum", width)
        del window, source, summed
        return run.features("convolved", width)
    convolved = run.tensor("convolved, and padded", run.tokens + kernel - 1, width)
    del source
    return convolved


def play_griffin_attention(run: Run, mixer: FullAttention) -> Tensor | None:
    """Each layer makes cos and sin of its own."""
    tables = run.shared("cos and sin", run.tokens, 2 * run.rotary_dim)
    probabilities = play_attention(run, mixer)
    del tables
    return probabilities
