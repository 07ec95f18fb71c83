"""Any encoder and any decoder as one, played: each by the program of its own type (VisionEncoderDecoderModel).

`generate()` keeps all that the encoder says, its pooler too, until the end; where the decoder's width is another, the
class turns it into that in each step again.
"""

from __future__ import annotations

from hubvram.architecture.attention import FullAttention
from hubvram.architecture.layers import Architecture
from hubvram.memory.forward.attention import play_scores
from hubvram.memory.forward.encoder import given_to
from hubvram.memory.forward.encoder_code import EncoderCode
from hubvram.memory.forward.encoder_decoder import BothSides, keys_and_values, play_step
from hubvram.memory.forward.run import Run
from hubvram.memory.forward.tape import Peak, Tensor


def play_pair_step(
    run: Run, architecture: Architecture, sides: BothSides, read: EncoderCode, *, copies_logits: bool
) -> tuple[Peak, ...]:
    """A forward of the decoder, beside what the encoder was given and said (Program.step)."""
    stack = architecture.encoder
    assert stack is not None and stack.alone is not None
    given = given_to(run, stack.alone, read)
    pooled = run.tensor("what the encoder's pooler says", stack.hidden_size)
    projects = any(weight.name == "encoder to decoder" for weight in architecture.extras)
    width = architecture.hidden_size
    projected = run.tensor("the same for the decoder", run.sizes.source_tokens, width) if projects else None
    peaks = play_step(run, architecture, sides, copies_logits=copies_logits, given=given)
    del given, pooled, projected
    return peaks


def mix_by_head(run: Run, mixer: FullAttention) -> Tensor | None:
    """Products of matrices, one for each head of each sequence (modeling_trocr.py, TrOCRAttention.forward)."""
    query = run.features("Q", mixer.q_size)
    keys, made = keys_and_values(run, mixer)
    is_ordered = run.tokens == 1 or mixer.num_attention_heads == 1
    ordered = None if is_ordered or run.is_alone else run.features("Q in the order of heads", mixer.q_size)
    del ordered
    play_scores(run, mixer.num_attention_heads, keys)
    probabilities = run.tensor("probabilities", mixer.num_attention_heads, run.tokens, keys)
    # Of one token both orders are the same.
    said = run.features("what heads say, by heads and by tokens", (1 if is_ordered else 2) * mixer.o_in_features)
    del said
    said = run.features("what heads say, and O", mixer.o_in_features + mixer.o_size)
    del query, made, probabilities, said
    return None
