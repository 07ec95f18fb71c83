"""What encoders hear, played: frames or samples, and the convolutions that make positions of them.

The workspace that a GPU's library takes for convolutions is not in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hubvram.architecture.layers import Stack
from hubvram.architecture.parts import Tensor as Table
from hubvram.memory.forward.run import Run
from hubvram.memory.forward.tape import Tensor


@dataclass(frozen=True, slots=True)
class Sound:
    """A kind of input that is heard."""

    given: Callable[[Run, Stack, int], Tensor]
    """What is heard for so many positions, which stays as long as the caller has it."""
    play: Callable[[Run, Stack], None]


def channels_of(stack: Stack, name: str) -> tuple[int, int]:
    """(channels that a convolution reads, channels that it makes)"""
    table = next(weight for weight in stack.extras if isinstance(weight, Table) and weight.name == name)
    return table.shape[1], table.shape[0]


# ------------------------------------------------------------------------------------------ whisper


def _mel_frames(run: Run, stack: Stack, positions: int) -> Tensor:
    """Two for each position: the second convolution has a step of two. `generate()` puts the segments that it hears
    next together, which are a copy (generation_whisper.py, _get_input_segment)."""
    copies = 2 if run.sizes.by_generate else 1
    return run.tensor("mel frames", copies * 2 * positions, channels_of(stack, "conv1")[0])


def _two_convolutions(run: Run, stack: Stack) -> None:
    """Each with what its activation makes (modeling_whisper.py, WhisperEncoder.forward)."""
    frames, width = 2 * run.tokens, stack.hidden_size
    first = run.tensor("of the first convolution, and activated", frames, 2 * width)
    del first
    first = run.tensor("of the first convolution", frames, width)
    second = run.tensor("of the second convolution, and activated", run.tokens, 2 * width)
    del first, second


WHISPER = Sound(_mel_frames, _two_convolutions)

# ----------------------------------------------------------------------------------- speech_to_text


def _kernels(stack: Stack) -> int:
    return sum(weight.name.startswith("conv ") and not weight.name.endswith("bias") for weight in stack.extras)


def _frames(run: Run, stack: Stack, positions: int) -> Tensor:
    """As many as can make the positions: each convolution halves them, and rounds up."""
    return run.tensor("frames", positions << _kernels(stack), channels_of(stack, "conv 0")[0])


def _gated_convolutions(run: Run, stack: Stack) -> None:
    """Frames in the order of features; then each convolution, with half as many features by its gate; back in the
    order of positions; scaled (modeling_speech_to_text.py, Conv1dSubsampler.forward)."""
    number = _kernels(stack)
    before = run.tensor("frames, features first", run.tokens << number, channels_of(stack, "conv 0")[0])
    for index in range(number):
        frames, (_, width) = run.tokens << (number - index - 1), channels_of(stack, f"conv {index}")
        made = run.tensor("of a convolution", frames, width)
        del before
        before = run.tensor("gated", frames, width // 2)
        del made
    ordered = run.features("positions first", stack.hidden_size)
    del before
    scaled = run.features("scaled", stack.hidden_size)
    del ordered, scaled


SPEECH_TO_TEXT = Sound(_frames, _gated_convolutions)


# ---------------------------------------------------------------------------------------- moonshine


def _samples(run: Run, stack: Stack, positions: int) -> Tensor:
    """The fewest that make the positions, turned into the model's own type; a mask of them is not given."""
    assert stack.waveform is not None
    return run.tensor("samples", stack.waveform.frames(positions)[0])


def _three_convolutions(run: Run, stack: Stack) -> None:
    """Each activated; the first is normed too, and stays for the second (modeling_moonshine.py, MoonshineEncoder)."""
    assert stack.waveform is not None
    _, *frames = stack.waveform.frames(run.tokens)
    before = None
    for index, (convolution, number) in enumerate(zip(stack.waveform.convolutions, frames, strict=True)):
        made = run.tensor("of a convolution", number, convolution.width)
        activated = run.tensor("frames, activated", number, convolution.width)
        del made
        before = activated
        if index == 0:
            before = run.tensor("frames, normed", number, convolution.width)
        del activated
    del before


MOONSHINE = Sound(_samples, _three_convolutions)
