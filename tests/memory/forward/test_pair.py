"""Any encoder and any decoder as one, term by term by hand; which are known; and what attention each side takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import pytest

from hubvram.architecture.layers import Architecture
from hubvram.errors import UnsupportedOptionError
from hubvram.memory.engines.transformers import TRANSFORMERS
from hubvram.memory.engines.transformers_sides import encode, knows, step
from hubvram.memory.forward.run import Run, Sizes
from hubvram.memory.forward.windows import Place
from hubvram.memory.workload import Attention
from tests.samples import architecture_of

# 4 x 4 patches and a token before them: 17 positions; 3 x 32 x 32 pixels of fp32.
VIT: Final = {"model_type": "vit", "hidden_size": 48, "num_attention_heads": 4, "image_size": 32, "patch_size": 8}
TROCR: Final = {
    "model_type": "trocr",
    "is_decoder": True,
    "add_cross_attention": True,
    "vocab_size": 64,
    "d_model": 32,
    "decoder_layers": 2,
    "decoder_attention_heads": 4,
    "decoder_ffn_dim": 40,
    "cross_attention_hidden_size": 48,
    "max_position_embeddings": 100,
}
PIXELS: Final = 3 * 32 * 32 * 4


def pair(encoder: Mapping[str, Any] = VIT, decoder: Mapping[str, Any] = TROCR) -> Architecture:
    vit = {"num_hidden_layers": 2, "intermediate_size": 200, **encoder}
    return architecture_of({"model_type": "vision-encoder-decoder", "encoder": vit, "decoder": decoder})


def sizes(tokens: int, attention: Attention = Attention.SDPA, source: int = 17) -> Sizes:
    return Sizes(batch_size=2, tokens=tokens, source_tokens=source, element_bytes=2, attention=attention)


def test_the_encoder_is_played_as_it_runs_alone() -> None:
    # In a layer's MLP: its input, embeddings, the sum of attention and residual, and normed: 48 each; the inner width
    # before and after its activation: 200 each. Pixels of fp32, and in bf16.
    (peak, *_) = encode(pair(), sizes(17, source=0))
    assert peak.phase == "mlp"
    assert peak.total_bytes == 2 * (17 * (4 * 48 + 2 * 200) * 2 + PIXELS + PIXELS // 2)


def test_the_first_step_makes_k_and_v_of_what_the_encoder_says() -> None:
    # Kept: pixels, 17 x 48 that it says, 48 of its pooler, a token id. Of one token: embedding, position, the layer's
    # input, residual, Q: 32 each; and a mask of one pair. K and V of 17 positions: 64 each.
    peak, _ = step(pair(), sizes(1))
    kept = PIXELS + 17 * 48 * 2 + 48 * 2 + 8
    assert peak.total_bytes == 2 * (kept + (5 * 32 + 1) * 2 + 17 * 64 * 2)


def test_what_the_encoder_says_is_turned_into_the_width_of_the_decoder() -> None:
    decoder = {**TROCR, "cross_attention_hidden_size": None}
    projected, _ = step(pair(decoder=decoder), sizes(1))
    assert projected.total_bytes - step(pair(), sizes(1))[0].total_bytes == 2 * 17 * 32 * 2


def test_of_a_prompt_scores_are_the_most() -> None:
    # Of 80 tokens: ids, embedding, position, the layer's input, Q, a mask; scores of 4 heads with it, and their
    # softmax.
    peak, _ = step(pair(), sizes(80))
    kept = PIXELS + 17 * 48 * 2 + 48 * 2 + 80 * 8
    assert peak.total_bytes == 2 * (kept + (80 * 4 * 32 + 80 * 80 + 2 * 4 * 80 * 80) * 2)


@pytest.mark.parametrize(
    ("encoder", "decoder", "is_known"),
    [
        pytest.param(VIT, TROCR, True, id="trocr"),
        pytest.param({**VIT, "model_type": "deit"}, TROCR, True, id="small trocr"),
        pytest.param(VIT, {**TROCR, "use_learned_position_embeddings": False}, False, id="a table without values"),
        pytest.param({**VIT, "model_type": "dinov2"}, TROCR, False, id="an encoder that was not run with it"),
        pytest.param(VIT, {"model_type": "gpt2", "add_cross_attention": True}, True, id="a gpt2 that describes images"),
        pytest.param(VIT, {"model_type": "electra", "is_decoder": True}, False, id="a decoder that was not run"),
    ],
)
def test_only_pairs_that_were_run_are_known(
    encoder: Mapping[str, Any], decoder: Mapping[str, Any], is_known: bool
) -> None:
    assert knows(pair(encoder, decoder)) is is_known


def test_each_side_takes_its_own_attention_unless_one_is_asked_for() -> None:
    trocr = pair()
    assert TRANSFORMERS.resolve_attention(trocr, Attention.AUTO) is Attention.SDPA
    assert TRANSFORMERS.resolve_attention(trocr, Attention.EAGER) is Attention.EAGER
    for refused in (Attention.SDPA, Attention.FLASH):
        with pytest.raises(UnsupportedOptionError, match="vision-encoder-decoder does not run"):
            TRANSFORMERS.resolve_attention(trocr, refused)
    # The decoder has but one.
    assert step(trocr, sizes(5)) == step(trocr, sizes(5, Attention.EAGER))
    assert encode(trocr, sizes(17, source=0)) != encode(trocr, sizes(17, Attention.EAGER, source=0))


# ------------------------------------------------------------------------------------------- text

BERT: Final = {
    "model_type": "bert",
    "vocab_size": 64,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "max_position_embeddings": 100,
}
WRITES: Final = {"is_decoder": True, "add_cross_attention": True}
GPT2: Final = {"model_type": "gpt2", "vocab_size": 64, "n_embd": 32, "n_layer": 2, "n_head": 4, **WRITES}


def texts(encoder: Mapping[str, Any] = BERT, decoder: Mapping[str, Any] | None = None) -> Architecture:
    side = {**BERT, **WRITES} if decoder is None else decoder
    return architecture_of({"model_type": "encoder-decoder", "encoder": encoder, "decoder": side})


def test_a_step_of_bert_holds_what_it_attended_to_beside_what_it_said() -> None:
    # Kept: ids, mask and types of 30 tokens, 30 x 32 that the encoder says, 32 of its pooler, a token id. Of one token:
    # embedding, the layer's input, residual, Q: 32 each. K and V of 30 tokens: 64 each.
    peak, head = step(texts(), sizes(1, source=30))
    kept = 30 * 3 * 8 + 30 * 32 * 2 + 32 * 2 + 8
    assert peak.total_bytes == 2 * (kept + (4 * 32 + 30 * 64) * 2)
    # Then logits of 64, and in fp32, when hidden states are gone.
    assert head.total_bytes == 2 * (kept + 64 * 2 + 64 * 4)


def test_in_the_mlp_of_bert_what_the_first_attention_made_is_still_there() -> None:
    # Of one token beside 2: embedding, the layer's input, what the first attention made, the residual: 32 each; the
    # inner width of 1,000 before and after its activation.
    decoder = {**BERT, **WRITES, "intermediate_size": 1000}
    peak, _ = step(texts(decoder=decoder), sizes(1, source=2))
    assert peak.phase == "mlp"
    assert peak.total_bytes == 2 * (2 * 3 * 8 + 2 * 32 * 2 + 32 * 2 + 8 + (4 * 32 + 2000) * 2)


def test_gpt2_keeps_what_both_attentions_said_and_makes_three_at_once() -> None:
    # Beside K and V of what the encoder says: embedding, the layer's input, what the first attention said, residual,
    # normed, Q: 32 each. One position and its number are all sequences'.
    peak, _ = step(texts(decoder=GPT2), sizes(1, source=30))
    kept = 30 * 3 * 8 + 30 * 32 * 2 + 32 * 2 + 8
    assert peak.total_bytes == 2 * (kept + (6 * 32 + 30 * 64) * 2) + 32 * 2 + 8
    # While decoding: K is joined to 50 of 32, beside what one matrix made of the token: Q, K and V, 32 each; of the
    # layer its input, normed, and the embedding.
    later = Sizes(batch_size=2, tokens=1, source_tokens=30, element_bytes=2, attention=Attention.SDPA, past_tokens=50)
    peak, _ = step(texts(decoder=GPT2), replace(later, decodes=True))
    ids = 50 * 8
    assert peak.total_bytes == 2 * (kept + ids + (6 * 32 + 50 * 32) * 2) + 32 * 2 + 8


@pytest.mark.parametrize(
    ("encoder", "decoder", "is_known"),
    [
        pytest.param("bert", "bert", True, id="bert2bert"),
        pytest.param("roberta", "roberta", True, id="roberta2roberta"),
        pytest.param("roberta", "gpt2", True, id="roberta2gpt2"),
        pytest.param("bert", "electra", False, id="a decoder that was not run"),
        pytest.param("deberta", "bert", False, id="an encoder that was not run with it"),
    ],
)
def test_pairs_of_texts_that_were_run_are_known(encoder: str, decoder: str, is_known: bool) -> None:
    writes = GPT2 if decoder == "gpt2" else {**BERT, **WRITES, "model_type": decoder}
    assert knows(texts({**BERT, "model_type": encoder}, writes)) is is_known


# ------------------------------------------------------------------------------------------ speech

# Two convolutions in steps of 2; an adapter of two more. Of 4 positions it hears 13 frames, of 55 samples.
WAV2VEC2: Final = {
    "model_type": "wav2vec2",
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "conv_dim": [8, 16],
    "conv_kernel": [3, 3],
    "conv_stride": [2, 2],
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 4,
    "add_adapter": True,
    "num_adapter_layers": 2,
}


def heard(decoder: Mapping[str, Any], **changes: Any) -> Architecture:
    encoder = {**WAV2VEC2, **changes}
    return architecture_of({"model_type": "speech-encoder-decoder", "encoder": encoder, "decoder": decoder})


def test_features_of_all_frames_are_kept_with_the_few_positions_an_adapter_makes() -> None:
    # Kept: 55 samples, 16 features of 13 frames, 4 x 32 that the encoder says, a token id. Of one token, in an MLP of
    # 1,000: embedding, the layer's input, what the first attention made, the residual: 32 each; both of its widths.
    peak, _ = step(heard({**BERT, **WRITES, "intermediate_size": 1000}), sizes(1, source=4))
    assert peak.phase == "mlp"
    assert peak.total_bytes == 2 * ((55 + 13 * 16 + 4 * 32) * 2 + 8 + (4 * 32 + 2000) * 2)


def test_the_mask_of_positions_is_made_of_the_sums_of_that_of_all_samples() -> None:
    # Of 100 positions: 397 frames, 1,591 samples. Beside these and their mask, features, what the encoder says, 10
    # token ids: a sum for each sample, and a number; a mask, its sums, and these turned. Less K and V, in both
    # layers.
    normed = heard({**BERT, **WRITES}, feat_extract_norm="layer")
    later = Sizes(batch_size=2, tokens=1, source_tokens=100, element_bytes=2, attention=Attention.SDPA, past_tokens=9)
    peak, _ = step(normed, replace(later, decodes=True))
    kept = 1591 * (2 + 4) + (397 * 16 + 100 * 32) * 2 + 10 * 8
    assert peak.total_bytes == 2 * (kept + 1592 * 8 + 100 * (4 + 8 + 8) - 2 * 2 * 32 * 2)


def test_sound_is_known_where_it_was_run() -> None:
    bert = {**BERT, **WRITES}
    assert knows(heard(bert)) and knows(heard(MBART, hidden_size=16)) and knows(heard(bert, add_adapter=False))
    # What an adapter says, made as wide as the decoder; another encoder.
    assert not knows(heard(bert, hidden_size=64)) and knows(heard(bert, hidden_size=64, add_adapter=False))
    assert not knows(heard(bert, model_type="hubert", add_adapter=False))


# ------------------------------------------------------------------------------------------- Donut

# 8 x 8 patches of 4 x 4 pixels, in windows of 4 x 4; one layer, whose windows do not move.
DONUT: Final = {
    "model_type": "donut-swin",
    "image_size": 32,
    "patch_size": 4,
    "embed_dim": 16,
    "depths": [1],
    "num_heads": [2],
    "window_size": 4,
    "mlp_ratio": 4.0,
    "hidden_size": 16,
}
MBART: Final = {
    "model_type": "mbart",
    "is_decoder": True,
    "add_cross_attention": True,
    "vocab_size": 64,
    "d_model": 16,
    "decoder_layers": 2,
    "decoder_attention_heads": 4,
    "decoder_ffn_dim": 40,
}


def test_windows_that_do_not_move_are_kept_with_what_they_were_cut_of() -> None:
    # Of 64 patches: embeddings, filled up, windows, O, put back, the sum with the residual, and normed: 16 each; the
    # inner width before and after its activation: 64 each. Pixels in the type that is computed in.
    (peak, *_) = encode(pair(DONUT, MBART), sizes(64, source=0))
    assert peak.phase == "mlp"
    assert peak.total_bytes == 2 * (64 * (7 * 16 + 2 * 64) + 3 * 32 * 32) * 2


def test_in_windows_scores_are_made_anew_beside_what_they_were_made_of() -> None:
    # Of 4 windows of 8 x 8 patches: embeddings, filled up, windows, Q, K and V: 16 each; scores of 2 heads, twice; V
    # in the order of heads and what they say. Besides, a bias for each pair of patches, which all windows share.
    (peak, *_) = encode(pair({**DONUT, "image_size": 64, "window_size": 8}, MBART), sizes(256, source=0))
    assert peak.phase == "attention"
    of_all = 256 * (3 * 16 + 3 * 16 + 2 * 16) + 4 * 2 * 2 * 64 * 64 + 3 * 64 * 64
    assert peak.total_bytes == (2 * of_all + 2 * 64 * 64) * 2


def test_rows_that_were_filled_up_are_cut_off_one_image_without_a_copy() -> None:
    place = Place(height=3, width=4, side=2, is_moved=False)
    one, two = (Run(Sizes(batch_size=size, tokens=12, element_bytes=2, attention=Attention.EAGER)) for size in (1, 2))
    assert (place.copies_rest(one), place.copies_rest(two)) == (False, True)
    assert place._replace(width=3).copies_rest(one)
    assert not place._replace(height=4).copies_rest(two)


def test_donut_is_known_with_the_decoder_it_was_released_with() -> None:
    assert knows(pair(DONUT, MBART))
    assert not knows(pair(DONUT, TROCR)) and not knows(pair(VIT, MBART))
    assert not knows(pair({**DONUT, "use_absolute_embeddings": True}, MBART))
    assert TRANSFORMERS.resolve_attention(pair(DONUT, MBART), Attention.AUTO) is Attention.SDPA
