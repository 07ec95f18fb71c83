"""Encoders, term by term by hand, and what the engine makes of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubvram.architecture.layers import Architecture
from hubvram.errors import UnsupportedOptionError
from hubvram.inspection import inspect_model
from hubvram.memory.engines.transformers import TRANSFORMERS as engine
from hubvram.memory.engines.transformers_code import knows, play
from hubvram.memory.engines.transformers_encoders import ENCODERS
from hubvram.memory.estimator import peak_of
from hubvram.memory.forward.run import Sizes
from hubvram.memory.forward.tape import Peak, Share
from hubvram.memory.workload import Attention
from tests.samples import architecture_of, fixture_architecture, fixture_model, workload_of

BASE: Final = {
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 32,
    "vocab_size": 50,
    "max_position_embeddings": 514,
    "pad_token_id": 1,
    "type_vocab_size": 2,
}
T: Final = 3 * 7
"""Tokens of a batch of 3."""


def encoder(model_type: str, **changes: Any) -> Architecture:
    names = {"architectures": ["Model"], "model_type": model_type}
    return architecture_of({**BASE, **names, **changes})


def peaks(architecture: Architecture, attention: Attention = Attention.SDPA, tokens: int = 7) -> tuple[Peak, ...]:
    return play(architecture, Sizes(batch_size=3, tokens=tokens, element_bytes=2, attention=attention))


def activations(architecture: Architecture, attention: Attention = Attention.SDPA, tokens: int = 7) -> int:
    return peaks(architecture, attention, tokens)[0].size_bytes(Share.SEQUENCE)


# -------------------------------------------------------------------------------- term by term


def test_a_narrow_layer_of_bert() -> None:
    # The norm behind the MLP: embeddings, input, what attention made, what the MLP says, the sum, normed; the inner
    # width; two fp32 numbers for each row. Beside them ids, mask and types.
    assert peaks(encoder("bert"))[0].phase == "norms"
    assert activations(encoder("bert")) == 2 * T * (6 * 64 + 32) + T * (8 + 3 * 8)


def test_a_wide_layer_of_bert() -> None:
    # Before and after the activation, beside embeddings, input, and what attention made.
    found = encoder("bert", intermediate_size=500)
    assert peaks(found)[0].phase == "mlp"
    assert activations(found) == 2 * T * (3 * 64 + 2 * 500) + T * 3 * 8


def test_eager_attention_keeps_two_copies_of_the_scores() -> None:
    # The scores and their softmax, both in the model's own type; embeddings, input, Q, K and V.
    scores = 3 * 4 * 100 * 100
    assert activations(encoder("bert"), Attention.EAGER, 100) == 2 * (2 * scores + 300 * 5 * 64) + 300 * 3 * 8
    # Where layers give their probabilities to the loop: those of the layer before, and scores that keep their name
    # until heads have said theirs, in two orders; a norm's output more.
    found = encoder("megatron-bert")
    assert activations(found, Attention.EAGER, 100) == 2 * (3 * scores + 300 * 8 * 64) + 300 * 3 * 8


def test_mpnet_has_a_bias_as_wide_as_the_scores() -> None:
    found = encoder("mpnet", relative_attention_num_buckets=32)
    scores = 3 * 4 * 100 * 100
    # The bias, scores, probabilities; embeddings, input, Q, K, V, what heads say in two orders.
    assert activations(found, Attention.EAGER, 100) == 2 * (3 * scores + 300 * 7 * 64) + 300 * 2 * 8


def test_deberta_looks_positions_up() -> None:
    changes = {"relative_attention": True, "position_buckets": 8, "pos_att_type": ["c2p", "p2c"]}
    found = encoder("deberta-v2", share_att_key=True, position_biased_input=False, type_vocab_size=0, **changes)
    scores = 3 * 4 * 100 * 100
    # Contents, content to position, their sum, position to content, and that scaled; a mask of 64 bits for all pairs;
    # all layers' outputs, of which the last two are embeddings and input; Q, K and V; K and Q of 16 distances.
    wide = 2 * 5 * scores + 8 * 3 * 100 * 100
    narrow = 2 * 300 * (4 + 3) * 64 + 2 * 3 * 16 * 2 * 64
    assert activations(found, Attention.EAGER, 100) == wide + narrow + 300 * 3 * 8
    # Distances of tokens, and their places in the table, twice.
    assert peaks(found, Attention.EAGER, 100)[0].size_bytes(Share.ALL) == 3 * 8 * 100 * 100
    assert not knows(encoder("deberta-v2", relative_attention=False)), "scores without positions have no program"


def test_windows_reach_both_ways() -> None:
    found = encoder("modernbert", local_attention=16, norm_bias=False)
    wide = encoder("modernbert", local_attention=4096, norm_bias=False)
    # At 8 tokens half a window cuts in: a mask of a byte for each pair, which sdpa makes one of two bytes; that is not
    # where its peak is, for Q and K turn in fp32.
    assert activations(found, tokens=7) == activations(wide, tokens=7)
    assert activations(found, tokens=8) == activations(wide, tokens=8) + 3 * 64
    assert activations(found, Attention.FLASH, 8) == activations(wide, Attention.FLASH, 8)
    # Embeddings, input, normed, and Q, K, V in one; Q in fp32, and 14 bytes for each feature of K while it turns.
    assert activations(wide) == T * (2 * 6 * 64 + (4 + 14) * 64) + T * 2 * 8
    # In fp32 they turn as they are: what is turned of Q, and three more of K.
    in_fp32 = Sizes(batch_size=3, tokens=7, element_bytes=4, attention=Attention.SDPA)
    assert play(wide, in_fp32)[0].size_bytes(Share.SEQUENCE) == T * 4 * (6 + 4) * 64 + T * 2 * 8


PAIR: Final[dict[str, Any]] = {
    "text_config": {key: value for key, value in BASE.items() if key != "pad_token_id"},
    "vision_config": {
        **{"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 600},
        **{"image_size": 16, "patch_size": 4, "num_channels": 3, "hidden_act": "gelu"},
    },
    "projection_dim": 32,
}


def test_a_pair_runs_one_tower_after_the_other() -> None:
    given = 3 * (7 * 2 * 8 + 3 * 16 * 16 * 4)
    # The images' MLP, over 16 patches and a class token: embedded, input, sum, normed; before and behind its act.
    found = encoder("clip", **PAIR)
    assert peaks(found)[0].phase == "mlp"
    assert activations(found) == given + 2 * 3 * 17 * (4 * 128 + 2 * 600)
    # The texts' attention, beside what was said of each patch, and of the image: embedded, input, normed, Q, K, V, what
    # heads say, and O.
    narrow = {**PAIR, "vision_config": {**PAIR["vision_config"], "intermediate_size": 16, "hidden_size": 16}}
    left = 2 * 3 * (17 * 16 + 32)
    assert activations(encoder("clip", **narrow), tokens=100) == given + 3 * 93 * 16 + left + 2 * 300 * 8 * 64
    # siglip has no class token, and a head of its own for what it says of the image.
    left = 2 * 3 * (16 * 16 + 16)
    assert activations(encoder("siglip", **narrow), tokens=100) == given + 3 * 93 * 16 + left + 2 * 300 * 8 * 64


def test_windows_of_swin_move_in_every_second_layer() -> None:
    sizes = {"image_size": 30, "patch_size": 2, "num_channels": 3, "embed_dim": 16, "window_size": 4, "mlp_ratio": 1.0}
    found = encoder("swin", **sizes, depths=[2], num_heads=[8])
    assert found.image is not None and found.image.tokens == 15 * 15
    # 15 x 15 patches are filled up to 4 x 4 windows of 16: embeddings, input, filled up, cut into windows, Q, K and V;
    # the scores and two copies in fp32; the probabilities of the layer before, the mask of each image, and that with
    # the bias.
    patches, windows = 3 * 225 * 16, 3 * 16
    scores = windows * 8 * 16 * 16
    expected = 2 * (2 * patches + 5 * windows * 16 * 16) + scores * (2 + 4 + 4 + 2 + 2) + windows * 2 * 16 * 16
    peak, _ = play(found, Sizes(batch_size=3, tokens=225, element_bytes=2, attention=Attention.EAGER))
    assert peak.size_bytes(Share.SEQUENCE) == expected + 3 * 3 * 30 * 30 * 2
    # The bias of 8 heads, and the mask of 16 windows.
    assert peak.size_bytes(Share.ALL) == 2 * (8 + 16) * 16 * 16
    # In both layers, the place in the table of offsets for each pair stays, in 64 bits.
    forward, *_ = engine.instants(found, workload_of(225), element_bytes=2, cache_element_bytes=2)
    assert any(held.factors == (2, 16 * 16, 8) for held in forward.held)
    assert not knows(encoder("swin", **{**sizes, "window_size": 16}, depths=[2], num_heads=[8])), "it does not run"


def test_swin_of_donut_keeps_what_moved_and_no_probabilities() -> None:
    sizes = {"image_size": 30, "patch_size": 2, "num_channels": 3, "embed_dim": 16, "window_size": 4, "mlp_ratio": 1.0}
    found = encoder("donut-swin", **sizes, depths=[2], num_heads=[8])
    # Of 15 x 15 patches, embeddings and input; of 4 x 4 windows of 16, what is filled up, moved, cut into windows, Q, K
    # and V, and what heads say twice; scores and their softmax, both in the model's own type.
    patches, windows = 3 * 225 * 16, 3 * 16
    expected = 2 * (2 * patches + 8 * windows * 16 * 16 + 2 * windows * 8 * 16 * 16)
    peak, _ = play(found, Sizes(batch_size=3, tokens=225, element_bytes=2, attention=Attention.EAGER))
    assert peak.size_bytes(Share.SEQUENCE) == expected + 3 * 3 * 30 * 30 * 2
    # The bias of 8 heads, and the mask of 16 windows.
    assert peak.size_bytes(Share.ALL) == 2 * (8 + 16) * 16 * 16
    assert not knows(encoder("donut-swin", **sizes, depths=[2], num_heads=[8], use_absolute_embeddings=True))


def test_adapters_of_xmod_run_beside_the_inner_width_of_the_mlp() -> None:
    one = {"languages": ["en_XX"], "default_language": "en_XX"}
    found = encoder("xmod", **one, adapter_reduction_factor=1)
    # Embeddings, what the MLP read, input, the sum, the same normed, zeros, what the adapter reads, and three copies
    # as wide as its inner width, which is the hidden size here: inner, activated, and normed in its place.
    assert peaks(found)[0].phase == "adapters"
    given = T * 2 * 8 + 3 * (4 + 1)  # ids and mask; which language a sequence has, and whether it is this one
    assert activations(found) == 2 * T * (9 * 64 + 32) + given
    without = encoder("xmod", **one, adapter_reduction_factor=1, adapter_reuse_layer_norm=False)
    assert activations(without) == activations(found) - 2 * T * 64
    assert not knows(encoder("xmod", languages=["en_XX"])), "it does not run"


def test_roc_bert_joins_what_characters_sound_and_look_like() -> None:
    widths = {"pronunciation_embed_dim": 300, "shape_embed_dim": 100}
    found = encoder("roc_bert", **widths, pronunciation_vocab_size=9, shape_vocab_size=9)
    # Tokens and shapes, a copy of both side by side, sounds, and all three side by side; ids, mask, sounds, shapes.
    assert peaks(found)[0].phase == "embeddings"
    assert activations(found) == 2 * T * (2 * (64 + 100) + 300 + 464) + T * 4 * 8
    assert not knows(encoder("roc_bert", **widths, concat_input=False)), "sums have no program"


def test_patches_of_beit_have_biases() -> None:
    # 64 patches and a class token: 65 x 65 pairs, 15 x 15 offsets and 3 more; 32 heads.
    sizes = {"image_size": 16, "patch_size": 2, "num_channels": 3, "num_attention_heads": 32}
    found = encoder("beit", **sizes, use_relative_position_bias=True)
    both = encoder("beit", **sizes, use_relative_position_bias=True, use_shared_relative_position_bias=True)
    pairs = 2 * 32 * 65 * 65
    assert peaks(found, tokens=65)[0].size_bytes(Share.ALL) == pairs
    # That of all layers, the layer's own, and their sum.
    assert peaks(both, tokens=65)[0].size_bytes(Share.ALL) == 3 * pairs
    # While it is made, which is the most of all: the scaled table, and the bias in two orders.
    _, most, _ = peaks(found, tokens=65)
    assert most.size_bytes(Share.ALL) == 2 * pairs + 2 * 32 * (2 * 228 - 3)


def test_learned_tokens_of_dinov3_do_not_turn() -> None:
    # 16 patches of 4 x 4 of an image of 16 x 16, a class token and 3 registers.
    sizes = {"image_size": 16, "patch_size": 4, "num_register_tokens": 3, "num_channels": 3}
    found = encoder("dinov3_vit", **sizes)
    tokens, patches = 3 * 20, 3 * 16
    # Pixels in fp32 and in bf16; embeddings, input, normed; Q, K and V as made, and Q and K of patches, turned, beside
    # Q and K of all tokens.
    pixels = 3 * 3 * 16 * 16 * (4 + 2)
    assert activations(found, tokens=20) == pixels + 2 * 64 * ((3 + 3 + 2) * tokens + 2 * patches)
    assert peaks(found, tokens=20)[0].size_bytes(Share.ALL) == 2 * 16 * 2 * 16


def test_what_heads_over_words_make() -> None:
    # What the last layer made, the same transformed, and the logits of all tokens; no copy in fp32.
    _, head = peaks(encoder("bert", architectures=["BertForMaskedLM"], vocab_size=1000))
    assert head.size_bytes(Share.OUTPUT) == 2 * T * 1000
    assert head.size_bytes(Share.SEQUENCE) == 2 * T * 2 * 64 + T * 3 * 8
    # Beside a bias that is added apart, the logits without it.
    _, head = peaks(encoder("esm", architectures=["EsmForMaskedLM"], vocab_size=1000, emb_layer_norm_before=True))
    assert head.size_bytes(Share.OUTPUT) == 2 * T * 2 * 1000


@pytest.mark.parametrize(("ending", "rows"), [("TokenClassification", T), ("SequenceClassification", 3)])
def test_what_heads_over_labels_make(ending: str, rows: int) -> None:
    labels = {str(number): str(number) for number in range(10)}
    _, head = peaks(encoder("bert", architectures=[f"BertFor{ending}"], id2label=labels))
    assert head.size_bytes(Share.OUTPUT) == 2 * rows * 10


def test_bert_large_over_32_sequences() -> None:
    # 1018 MiB, traced: 32 x 512 x 30,522 logits of 2 bytes and twice 32 x 512 x 1024; ids, mask and types are inputs.
    large = {
        "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096,
        "vocab_size": 30522, "max_position_embeddings": 512, "architectures": ["BertForMaskedLM"],
    }  # fmt: skip
    run = Sizes(batch_size=32, tokens=512, element_bytes=2, attention=Attention.SDPA)
    _, head = play(encoder("bert", **large), run)
    assert round((head.total_bytes - 3 * 8 * 32 * 512) / 2**20) == 1018


# -------------------------------------------------------------------------------------- the engine


def test_one_forward_is_all_there_is() -> None:
    base = engine.instants(encoder("bert"), workload_of(100), element_bytes=2, cache_element_bytes=2)
    assert [(each.name, each.kv_cache_bytes, each.outputs_bytes) for each in base] == [("forward", 0, 0)]
    words = engine.instants(
        encoder("bert", architectures=["BertForMaskedLM"]), workload_of(100), element_bytes=2, cache_element_bytes=2
    )
    assert [each.name for each in words] == ["forward", "forward-logits"]
    assert peak_of(words).explanation == "in the norms of a layer, over all 100 tokens"


def test_an_encoder_reads_all_of_the_context() -> None:
    found = inspect_model(fixture_model("BAAI--bge-large-en-v1.5"), workload_of(512, input_tokens=100))
    assert found.workload.input_tokens == 512
    assert not found.stored_estimate.size_of("kv_cache")
    assert "one forward over all 512 tokens" in " ".join(found.notes)


def test_positions_that_stand_for_padding_are_no_tokens() -> None:
    roberta = encoder("roberta")
    assert roberta.longest == 512
    engine.check(roberta, workload_of(512))
    with pytest.raises(UnsupportedOptionError, match="512 learned positions"):
        engine.check(roberta, workload_of(513))
    engine.check(encoder("bert"), workload_of(514))
    engine.check(encoder("esm", position_embedding_type="rotary"), workload_of(5000))


def test_a_decoder_of_the_same_type_is_not_known() -> None:
    assert knows(encoder("bert"))
    assert not knows(encoder("bert", is_decoder=True))
    assert engine.generates(encoder("bert", is_decoder=True))


def test_attention_that_is_written_out_is_eager() -> None:
    for model_type in ("mpnet", "deberta-v2", "megatron-bert", "rembert", "roformer"):
        assert engine.resolve_attention(encoder(model_type), Attention.AUTO) is Attention.EAGER
    assert engine.resolve_attention(encoder("bert"), Attention.AUTO) is Attention.SDPA


@given(
    model_type=st.sampled_from(sorted(ENCODERS)),
    kind=st.sampled_from([Attention.EAGER, Attention.SDPA, Attention.FLASH]),
    tokens=st.integers(1, 2000),
    batch_size=st.integers(1, 32),
)
def test_laws(model_type: str, kind: Attention, tokens: int, batch_size: int) -> None:
    """Exactly linear in the batch, if there are several; never less for a longer sequence."""
    architecture = encoder(model_type, architectures=["ForMaskedLM"], local_attention=64, relative_attention=True)
    run = Sizes(batch_size=2, tokens=tokens, element_bytes=2, attention=kind)
    runs = (run, replace(run, batch_size=2 * batch_size), replace(run, tokens=tokens + 1))
    # Before the head, and at it: moments at which more is shared, between the two, are not the same ones.
    played = [play(architecture, each) for each in runs]
    for one, many, longer in ([peaks[place] for peaks in played] for place in (0, -1)):
        for share in (Share.SEQUENCE, Share.OUTPUT):
            assert many.size_bytes(share) == batch_size * one.size_bytes(share)
        assert longer.total_bytes - longer.size_bytes(Share.ALL) >= one.total_bytes - one.size_bytes(Share.ALL)


def test_a_published_encoder() -> None:
    # bge-large at 512 tokens in bf16: e T (3 h + 2 i), with 24 bytes of what its tokenizer gives.
    found, _ = play(
        fixture_architecture("BAAI--bge-large-en-v1.5"),
        Sizes(batch_size=1, tokens=512, element_bytes=2, attention=Attention.SDPA),
    )
    assert (found.phase, found.total_bytes) == ("mlp", 512 * (2 * (3 * 1024 + 2 * 4096) + 24))


# ------------------------------------------------------------------------------------------- images

VIT: Final = {
    "model_type": "vit", "hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 500,
    "image_size": 64, "patch_size": 8, "num_channels": 3,
}  # fmt: skip


def test_images_have_as_many_tokens_as_patches() -> None:
    # 8 x 8 patches and a class token; as many pixels in fp32 as given, and in bf16 as read.
    found = architecture_of(VIT)
    assert found.longest == 65
    pixels, tokens = 3 * 3 * 64 * 64, 3 * 65
    layer = 2 * tokens * (4 * 64 + 2 * 500)  # embeddings, input, sum, normed; before and behind the activation
    assert activations(found, tokens=65) == (4 + 2) * pixels + layer
    dinov2 = architecture_of({**VIT, "model_type": "dinov2"})
    assert activations(dinov2, tokens=65) == 4 * pixels + layer  # where the read ones are gone


@pytest.mark.parametrize("context_tokens", [1, 65, 8192])
def test_the_context_makes_no_difference_to_images(context_tokens: int) -> None:
    taken = engine.taken(architecture_of(VIT), workload_of(context_tokens, input_tokens=1))
    assert (taken.context_tokens, taken.input_tokens) == (65, 65)


def test_registers_and_teachers_are_tokens_too() -> None:
    for model_type, more in (("ijepa", 0), ("vit_msn", 1), ("deit", 2), ("dinov2_with_registers", 1 + 4)):
        found = architecture_of({**VIT, "model_type": model_type, "num_register_tokens": 4})
        assert found.longest == 64 + more, model_type
