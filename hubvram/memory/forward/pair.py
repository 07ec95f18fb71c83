"""Any encoder and any decoder as one, played: each by the program of its own type (EncoderDecoderModel,
VisionEncoderDecoderModel).

`generate()` keeps all that the encoder says, its pooler too, until the end; where the decoder's width is another, the
class turns it into that in each step again.
"""

from __future__ import annotations

from hubvram.architecture.layers import Architecture
from hubvram.memory.forward.encoder import given_to, width_before_head
from hubvram.memory.forward.encoder_code import EncoderCode
from hubvram.memory.forward.encoder_decoder import BothSides, play_step
from hubvram.memory.forward.run import Run
from hubvram.memory.forward.tape import Peak


def play_pair_step(
    run: Run, architecture: Architecture, sides: BothSides, read: EncoderCode, *, copies_logits: bool
) -> tuple[Peak, ...]:
    """A forward of the decoder, beside what the encoder was given and said (Program.step)."""
    stack = architecture.encoder
    assert stack is not None and stack.alone is not None
    source, transformed = run.sizes.source_tokens, width_before_head(architecture)
    given = given_to(run, stack.alone, read, source)
    pooled = run.tensor("what the encoder's pooler says", stack.hidden_size) if _has_pooler(stack.alone) else None
    projects = any(weight.name == "encoder to decoder" for weight in architecture.extras)
    width = architecture.hidden_size
    projected = run.tensor("the same for the decoder", source, width) if projects else None
    peaks = play_step(run, architecture, sides, copies_logits=copies_logits, given=given, transformed=transformed)
    del given, pooled, projected
    return peaks


def _has_pooler(encoder: Architecture) -> bool:
    """Those that see all have one, be it without weights (modeling_donut_swin.py, DonutSwinModel)."""
    return encoder.image is not None or any(weight.name == "pooler" for weight in encoder.extras)
