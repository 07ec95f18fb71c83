"""An encoder of sound, played: convolutions make frames of samples, positions of frames, and layers see all of them
(modeling_wav2vec2.py, Wav2Vec2Model.forward, and its kin).

What is given is what a feature extractor makes of recordings of one length: samples, turned into the model's own type
by the caller, for the class does not do it; and a mask of ones where every convolution has a norm, the kind of model
that is to be given one (feature_extraction_wav2vec2.py, Wav2Vec2FeatureExtractor: return_attention_mask; what an
extractor really does, preprocessor_config.json says, which is not read). The convolutions are the peak but for long
recordings in eager attention. Norms and convolutions read their channels in one order, and copy what is in the other
(ATen, native_layer_norm and convolution: `contiguous()`). Not played: the small MLP for a language behind each layer
(MMS), which takes less than the layer does. The workspace that a GPU's library takes for convolutions is not in it.
"""

from __future__ import annotations

from dataclasses import dataclass

from hubvram.architecture.layers import Architecture, Waveform
from hubvram.architecture.parts import Linear, Weight
from hubvram.architecture.parts import Tensor as Table
from hubvram.memory.forward.encoder import play_layers
from hubvram.memory.forward.encoder_code import EncoderCode
from hubvram.memory.forward.gated_positions import play_shared_bias
from hubvram.memory.forward.run import ID_BYTES, Run
from hubvram.memory.forward.tape import Peak, Tensor

MASK_BYTES = 4
"""Of each sample: int32, as feature extractors make it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechCode:
    """One model type's."""

    layers: EncoderCode
    returns_features: bool = True
    """Whether what the layers' input was made of stays for the head (not in modeling_hubert.py)."""
    quantizes: bool = False
    """Whether its class for pretraining says which code each frame is (modeling_wav2vec2.py)."""
    projects_before: bool = True
    """Whether the hidden states are projected to the codes' width before that (else behind, modeling_unispeech.py)."""


def play_speech(
    run: Run, architecture: Architecture, copies_logits: bool = False, *, code: SpeechCode
) -> tuple[Peak, ...]:
    """The peak before the head, moments at which all sequences share more, and the peak at the head."""
    waveform = architecture.waveform
    assert waveform is not None
    given = given_samples(run, waveform, run.tokens)
    features = _play_model(run, architecture, waveform, code)
    before = run.tape.take_larger()
    if not code.returns_features:
        del features
    others = _layers_before(run, architecture, waveform)
    if code.quantizes and _find(architecture, "codevectors"):
        _quantize(run, architecture, code)
    elif architecture.head is not None:
        _play_head(run, architecture, waveform, architecture.head)
    del given, others
    return *before, run.tape.take()


def given_samples(run: Run, waveform: Waveform, frames: int) -> tuple[Tensor | None, ...]:
    """The fewest that so many frames are made of, and their mask."""
    samples = waveform.frames(frames)[0]
    given = run.tensor("samples", samples)
    mask = run.tensor("mask of samples", samples, element_bytes=MASK_BYTES) if waveform.all_normed else None
    return given, mask


def _play_model(run: Run, architecture: Architecture, waveform: Waveform, code: SpeechCode) -> Tensor:
    """Returns the features that the layers' input was made of, which the model's forward holds."""
    hidden_size, pre_norm = architecture.hidden_size, architecture.layers[0].pre_norm
    features = _convolve(run, waveform)
    run.phase("projection")
    if _find(architecture, "frame norm"):
        features = _norm(run, features, waveform)
    projected = run.features("projected features", hidden_size)
    masked = hidden_size + 1  # features of each frame, and the frame itself
    mask = run.features("masks of frames", masked, element_bytes=1) if waveform.all_normed else None
    positions = _positions(run, architecture)
    hidden = run.features("sum with positions", hidden_size)
    if not pre_norm:
        normed = run.norm(hidden_size)
        del normed
    del hidden
    bias = play_shared_bias(run, architecture)
    others = _layers_before(run, architecture, waveform)
    left = play_layers(run, architecture, code.layers)
    if pre_norm:
        run.phase("norms")
        hidden = run.features("hidden states", hidden_size)
        normed = run.norm(hidden_size)
        del hidden, normed
    del projected, positions, bias, others, left
    if waveform.adapter:
        _adapt(run, waveform, hidden_size)
    del mask
    return features


def _adapt(run: Run, waveform: Waveform, hidden_size: int) -> None:
    """Convolutions with gates behind the layers, whose output stays (modeling_wav2vec2.py, Wav2Vec2Adapter.forward);
    each reads its channels first."""
    run.phase("adapter")
    width = waveform.said_size or hidden_size
    said = run.features("hidden states", hidden_size)
    before = None
    if width != hidden_size:
        projected = run.features("projected", width)
        before = run.norm(width)
        del projected
    ordered: Tensor | None = run.features("frames, channels first", width)
    number = run.tokens
    for convolution in waveform.adapter:
        number = (number + 2 - convolution.kernel) // convolution.step + 1
        made = run.tensor("of a convolution", number, 2 * width)
        ordered = None
        gated = run.tensor("gated", number, width)
        before = gated
        del made, gated
    del said, before, ordered


def _find(architecture: Architecture, name: str) -> Weight | None:
    """A weight around the layers, by its name."""
    return next((weight for weight in architecture.extras if weight.name == name), None)


def _layers_before(run: Run, architecture: Architecture, waveform: Waveform) -> Tensor | None:
    """What the layers before the last were given, where it is kept (backbone_utils.py, filter_output_hidden_states)."""
    width = (len(architecture.layers) - 1) * architecture.hidden_size
    return run.features("inputs of the layers before", width) if waveform.is_labelled else None


# -------------------------------------------------------------------------------------------- frames


def _convolve(run: Run, waveform: Waveform) -> Tensor:
    """Each makes frames, which are normed if it has a norm, and activated, while what it read has a name."""
    run.phase("convolutions")
    frames, before, width, every = waveform.frames(run.tokens), None, 1, waveform.all_normed
    for index, convolution in enumerate(waveform.convolutions):
        number = frames[index + 1]
        copied = run.tensor("frames, channels first", frames[index], width) if every and index else None
        width = convolution.width
        made = run.tensor("of a convolution", number, width)
        del copied
        if every or index == 0:
            rows = run.tensor("the norm's rows", number if every else width, element_bytes=run.code.norm_row_bytes)
            ordered = run.tensor("frames, channels last", number, width) if every else None
            normed = run.tensor("frames, normed", number, width)
            made = normed
            del rows, ordered, normed
        activated = run.tensor("frames, activated", number, width)
        before = activated
        del made, activated
    assert before is not None
    return before


def _norm(run: Run, features: Tensor, waveform: Waveform) -> Tensor:
    """Of what the convolutions made: copied where its channels come first."""
    width = waveform.convolutions[-1].width
    ordered = None if waveform.all_normed else run.features("features, channels last", width)
    normed = run.norm(width, "features, normed")
    del ordered
    return normed


# ---------------------------------------------------------------------------------------- positions


def _positions(run: Run, architecture: Architecture) -> Tensor:
    """A convolution over many frames, activated: an even number of them makes one frame too many. Its weight is made
    of direction and length anew (torch.nn.utils.parametrizations.weight_norm)."""
    run.phase("positions")
    hidden_size, table = architecture.hidden_size, _find(architecture, "positions")
    assert isinstance(table, Table)
    frames = run.tokens + 1 - table.shape[-1] % 2
    if _find(architecture, "position norm") is None and _find(architecture, "length") is None:
        return _normed_positions(run, table.count, hidden_size, frames)
    normed = run.features("frames, normed", hidden_size) if _find(architecture, "position norm") else None
    weight = run.shared("weight of positions", *table.shape) if _find(architecture, "length") else None
    ordered = run.features("frames, channels first", hidden_size)
    made = run.tensor("positions", frames, hidden_size)
    del ordered, weight, normed
    activated = run.features("positions, activated", hidden_size)
    del made
    return activated


def _normed_positions(run: Run, number: int, hidden_size: int, frames: int) -> Tensor:
    """A few smaller convolutions, each normed (modeling_data2vec_audio.py, Data2VecAudioPositionalConvLayer)."""
    before = None
    for _ in range(number):
        ordered = run.features("frames, channels first", hidden_size)
        made = run.tensor("positions", frames, hidden_size)
        del ordered
        ordered = run.features("positions, channels last", hidden_size)
        normed = run.norm(hidden_size)
        del made, ordered
        activated = run.features("positions, activated", hidden_size)
        before = activated
        del normed, activated
    assert before is not None
    return before


# --------------------------------------------------------------------------------------------- head


def _play_head(run: Run, architecture: Architecture, waveform: Waveform, head: Linear) -> None:
    """What it says of each frame, or of all; through a matrix where it has one. It may read a sum of what all layers
    said, each weighed."""
    run.phase("head")
    hidden_size = architecture.hidden_size
    hidden = run.features("hidden states", hidden_size)
    kept = 1 + architecture.layers[0].pre_norm  # then the hidden states are what a norm makes of what it says
    last = run.features("what the last layer was given, and says", kept * hidden_size) if waveform.is_labelled else None
    weighs = _find(architecture, "layer weights") is not None
    summed = _sum_layers(run, len(architecture.layers) + 1, hidden_size) if weighs else None
    projected = _project(run, _find(architecture, "dense"), is_masked=waveform.all_normed)
    logits = run.output("what the head says", run.tokens if architecture.head_reads_all else 1, head.out_features)
    del logits
    del hidden, last, summed, projected


def _project(run: Run, dense: Weight | None, *, is_masked: bool) -> Tensor | None:
    """To the width that the head reads; what is padding counts as zeros."""
    if not isinstance(dense, Linear):
        return None
    width = dense.out_features
    projected = run.features("projected", width)
    if is_masked:
        mask = run.features("mask of frames, for each feature, and its inverse", 1 + 2 * width, element_bytes=1)
        del mask
    return projected


def _sum_layers(run: Run, number: int, hidden_size: int) -> Tensor:
    """Of what all of them said."""
    weights = run.shared("weights of layers", number)
    weighed = run.features("what all layers said, side by side, and weighed", 2 * number * hidden_size)
    summed = run.features("their sum", hidden_size)
    del weights, weighed
    return summed


def _quantize(run: Run, architecture: Architecture, code: SpeechCode) -> None:
    """Which code of each group a frame is: this is multiplied by 1, and all others by 0 (modeling_wav2vec2.py,
    Wav2Vec2GumbelVectorQuantizer.forward)."""
    codes, hidden_projection, code_projection = (
        _find(architecture, name) for name in ("codevectors", "hidden projection", "code projection")
    )
    run.phase("head")
    assert isinstance(codes, Table)
    assert isinstance(hidden_projection, Linear)
    assert isinstance(code_projection, Linear)
    number, width = codes.shape
    hidden = run.features("hidden states", architecture.hidden_size)
    shared_size = hidden_projection.out_features
    projected = run.output("hidden states, projected", run.tokens, shared_size) if code.projects_before else None
    logits = run.features("logits of codes", number)
    chosen = run.features("the largest of each group", code_projection.in_features // width, element_bytes=ID_BYTES)
    ones = run.features("which code it is", number)
    all_codes = run.features("all codes times these", number * width)
    summed = run.features("their sum", code_projection.in_features)
    del hidden, projected, logits, chosen, ones, all_codes, summed
