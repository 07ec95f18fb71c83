"""Any encoder and any decoder as one, played: each by the program of its own type (EncoderDecoderModel,
SpeechEncoderDecoderModel, VisionEncoderDecoderModel).

`generate()` keeps all that the encoder says, its pooler too, until the end, and the features that wav2vec2 made frames
of; where the decoder's width is another, the class turns what is said into that in each step again.
"""

from __future__ import annotations

from dataclasses import replace

from hubvram.architecture.layers import Architecture, Stack, Waveform
from hubvram.memory.forward.encoder import given_to, width_before_head
from hubvram.memory.forward.encoder_code import EncoderCode, Types
from hubvram.memory.forward.encoder_decoder import attention_across, play_step
from hubvram.memory.forward.run import ID_BYTES, Run
from hubvram.memory.forward.sides_code import BothSides
from hubvram.memory.forward.speech import MASK_BYTES, given_samples
from hubvram.memory.forward.tape import Peak, Tensor


def play_pair_step(
    run: Run, architecture: Architecture, sides: BothSides, read: EncoderCode | None, *, copies_logits: bool
) -> tuple[Peak, ...]:
    """A forward of the decoder, beside what the encoder was given and said (Program.step); `read` is how one computes
    that hears nothing."""
    stack = architecture.encoder
    assert stack is not None and stack.alone is not None
    says = _as_it_says(stack)
    given, *others = _kept_of_sound(run, stack.alone) if read is None else _kept(run, stack.alone, read)
    handed_over = _hand_over(run, architecture, says)
    peaks = play_step(
        run,
        replace(architecture, stacks=(says,)),
        sides,
        copies_logits=copies_logits,
        given=given,
        transformed=width_before_head(architecture),
    )
    del given, others, handed_over
    return peaks


def is_projected(architecture: Architecture) -> bool:
    """Whether the class makes what the encoder says as wide as the decoder."""
    return any(weight.name == "encoder to decoder" for weight in architecture.extras)


def _as_it_says(stack: Stack) -> Stack:
    """As wide as its adapter makes it."""
    said_size = stack.waveform.said_size if stack.waveform else None
    return replace(stack, hidden_size=said_size or stack.hidden_size)


def _hand_over(run: Run, architecture: Architecture, stack: Stack) -> tuple[Tensor | None, ...]:
    """What the class makes for the decoder before its forward, in every step."""
    run.phase("handover")
    source, sound = run.sizes.source_tokens, stack.waveform
    said = run.tensor("what the encoder says", source, stack.hidden_size)
    ids = run.tensor("token ids", run.keys, element_bytes=ID_BYTES)
    not_yet = (
        run.not_yet_cached(layer.mixer for layer in architecture.layers),
        run.across_not_yet_cached(attention_across(architecture.layers)),
    )
    width = architecture.hidden_size
    projected = run.tensor("the same for the decoder", source, width) if is_projected(architecture) else None
    mask = _mask_positions(run, sound) if sound and sound.all_normed else None
    del said, ids, not_yet
    return projected, mask


def _mask_positions(run: Run, waveform: Waveform) -> Tensor:
    """Of each position whether it is none of padding, by the sums of the samples' mask
    (modeling_wav2vec2.py, _get_feature_vector_attention_mask)."""
    source = run.sizes.source_tokens
    samples = waveform.frames(waveform.adapted(source)[0])[0]
    sums = run.tensor("sums of the mask of samples, and the number of positions", samples + 1, element_bytes=ID_BYTES)
    made = run.tensor("mask of positions, its sums, and these turned", source, element_bytes=MASK_BYTES + 2 * ID_BYTES)
    del sums, made
    return run.tensor("mask of positions", source, element_bytes=1)


def _kept(run: Run, encoder: Architecture, read: EncoderCode) -> tuple[Tensor | None, ...]:
    """What it was given, and what its pooler says: those that see all have one, be it without weights
    (modeling_donut_swin.py, DonutSwinModel)."""
    has_pooler = encoder.image is not None or any(weight.name == "pooler" for weight in encoder.extras)
    pooled = run.tensor("what the encoder's pooler says", encoder.hidden_size) if has_pooler else None
    return given_to(run, encoder, read, run.sizes.source_tokens), pooled, _longer_types(run, encoder, read)


def _longer_types(run: Run, encoder: Architecture, read: EncoderCode) -> Tensor | None:
    """`generate()` makes the types of the encoder's tokens longer by each new one, which nobody reads
    (generation/utils.py, _update_model_kwargs_for_generation)."""
    is_given = encoder.image is None and read.types is Types.TOKENIZER
    if not (is_given and run.decodes and run.sizes.by_generate):
        return None
    return run.tensor("types of tokens, made longer", run.sizes.source_tokens + run.past_tokens, element_bytes=ID_BYTES)


def _kept_of_sound(run: Run, encoder: Architecture) -> tuple[Tensor | None, ...]:
    """Samples, and the features of frames (modeling_wav2vec2.py, Wav2Vec2BaseModelOutput)."""
    waveform = encoder.waveform
    assert waveform is not None
    frames = waveform.adapted(run.sizes.source_tokens)[0]
    features = run.tensor("features of frames", frames, waveform.convolutions[-1].width)
    return *given_samples(run, waveform, frames), features
