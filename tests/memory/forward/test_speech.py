"""Encoders of sound, by hand, and what is said of them."""

from __future__ import annotations

from typing import Any, Final

from hubvram.architecture.layers import Architecture, Convolution, Waveform
from hubvram.inspection.notes import workload_notes
from hubvram.memory.engines.transformers import TRANSFORMERS as engine
from hubvram.memory.engines.transformers_code import play
from hubvram.memory.estimator import largest_of, peak_of
from hubvram.memory.forward.run import Sizes
from hubvram.memory.forward.tape import Share
from hubvram.memory.workload import Attention
from tests.samples import architecture_of, workload_of

# Of 41 samples the first makes (41 - 5) / 4 + 1 = 10 frames, the second (10 - 4) / 2 + 1 = 4; fewer make only 3.
WAVEFORM: Final = Waveform(convolutions=(Convolution(16, 5, 4), Convolution(8, 4, 2)), all_normed=False)
CONFIG: Final = {
    "model_type": "wav2vec2",
    "architectures": ["Wav2Vec2Model"],
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 32,
    "conv_dim": [16, 8],
    "conv_kernel": [5, 4],
    "conv_stride": [4, 2],
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 3,
    "num_conv_pos_embedding_groups": 4,
}


def speech(**changes: Any) -> Architecture:
    return architecture_of({**CONFIG, **changes})


def sizes(tokens: int, batch_size: int = 3, attention: Attention = Attention.SDPA) -> Sizes:
    return Sizes(batch_size=batch_size, tokens=tokens, element_bytes=2, attention=attention)


def test_the_fewest_samples_that_make_frames() -> None:
    assert speech().waveform == WAVEFORM
    assert WAVEFORM.frames(4) == (41, 10, 4)
    assert WAVEFORM.frames(1) == (17, 4, 1)


def test_convolutions() -> None:
    # 41 samples make 10 frames of 1,000 channels: before and behind the norm; two fp32 numbers for each channel.
    (before, *_), frames = play(speech(conv_dim=[1000, 8]), sizes(4)), 10
    assert before.phase == "convolutions"
    assert before.total_bytes == 3 * (2 * (41 + 2 * frames * 1000) + 8 * 1000)
    # Where each has a norm, its channels are copied to be last; two fp32 numbers for each frame, and a mask of int32.
    (before, *_) = play(speech(conv_dim=[1000, 8], feat_extract_norm="layer"), sizes(4))
    assert before.total_bytes == 3 * (2 * (41 + 3 * frames * 1000) + 8 * frames + 4 * 41)


def test_a_layer() -> None:
    # Q, K and V, what heads say, and O; beside the features, what they were projected to, positions, and the layer's
    # input; the samples of 100 frames are 5 + 4 * (4 + 2 * 99 - 1).
    before = play(speech(), sizes(100))[0]
    assert before.phase == "attention"
    assert before.size_bytes(Share.SEQUENCE) == 3 * 2 * (100 * (8 + 3 * 64 + 5 * 64) + 809)


def test_the_weight_of_positions_counts_once() -> None:
    # 64 x 16 x 500 of a convolution over 500 frames, for 4 frames of one recording, and for those of many.
    wide = speech(num_conv_pos_embeddings=500)
    few, many = (
        engine.instants(wide, workload_of(4, batch_size=batch), element_bytes=2, cache_element_bytes=2)
        for batch in (1, 1000)
    )
    assert largest_of(few).name == "forward-positions"
    assert largest_of(few).buffers_bytes == 2 * 64 * 16 * 500
    assert largest_of(many).name == "forward"
    assert peak_of(many).total_bytes == 1000 * peak_of(few).total_bytes


def test_labels_keep_what_all_layers_were_given() -> None:
    # Beside the second of two layers is what the first was given.
    plain, labels = (
        play(speech(architectures=[f"Wav2Vec2{name}"]), sizes(100))[0].total_bytes
        for name in ("Model", "ForSequenceClassification")
    )
    assert labels - plain == 3 * 2 * 100 * 64


def test_which_code_it_is() -> None:
    # Each of 2 x 40 codes of 12 numbers, times whether it is this one; beside the codes' logits and which one it is;
    # the largest of each group; the features, the hidden states, those projected to 24; and the samples.
    codes = {
        "num_codevector_groups": 2,
        "num_codevectors_per_group": 40,
        "codevector_dim": 24,
        "proj_codevector_dim": 24,
    }
    head = play(speech(architectures=["Wav2Vec2ForPreTraining"], **codes), sizes(100))[-1]
    assert head.phase == "head"
    features = 8 + 64 + 24 + 2 * 80 + 80 * 12 + 24
    assert head.total_bytes == 3 * (2 * (100 * features + 809) + 100 * 2 * 8)


def test_an_adapter_for_a_language_takes_less() -> None:
    large = {"do_stable_layer_norm": True, "feat_extract_norm": "layer"}
    mms = speech(**large, adapter_attn_dim=16)
    assert not engine.generates(mms)
    assert play(mms, sizes(100)) == play(speech(**large), sizes(100))


def test_adapters_that_shorten_the_sequence_are_not_known() -> None:
    assert not engine.knows_activations(speech(add_adapter=True, output_hidden_size=64))


def test_what_a_context_is() -> None:
    (note,) = (note for note in workload_notes(speech(), workload_of(100)) if "hears" in note)
    assert note.startswith("it hears: a token is a frame of 8 samples, so that 100 of them take 809 samples, 0.1 s")


def test_positions_gated_in_each_layer() -> None:
    # The bias, what its gate leaves, the scores and the probabilities; Q and V, the layer's input, the features, what
    # they were projected to, positions; five numbers of a gate for each head; the samples. And biases of Q, K and V.
    model = speech(model_type="wavlm", architectures=["WavLMModel"])
    before = play(model, sizes(100))[0]
    assert before.phase == "attention"
    assert before.total_bytes == 3 * 2 * (4 * 4 * 100 * 100 + 100 * (8 + 5 * 64 + 5 * 4) + 809) + 2 * 3 * 64
