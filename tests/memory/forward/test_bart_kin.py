"""Kin of bart that few ask for, term by term by hand."""

from __future__ import annotations

from dataclasses import replace

from hubvram.architecture.layers import Architecture
from hubvram.memory.engines.transformers_sides import encode, knows, step
from hubvram.memory.forward.run import Sizes
from hubvram.memory.forward.tape import Share
from hubvram.memory.workload import Attention
from tests.samples import architecture_of

FSMT = architecture_of(
    {
        "model_type": "fsmt", "d_model": 64, "max_position_embeddings": 50, "src_vocab_size": 100,
        "tgt_vocab_size": 90, "encoder_layers": 2, "decoder_layers": 2, "encoder_ffn_dim": 10, "decoder_ffn_dim": 10,
        "encoder_attention_heads": 4, "decoder_attention_heads": 4, "activation_function": "relu",
    }
)  # fmt: skip


def over(tokens: int, batch_size: int = 1) -> Sizes:
    return Sizes(batch_size=batch_size, tokens=tokens, element_bytes=2, attention=Attention.EAGER)


def test_the_decoder_of_fsmt_holds_little_of_its_own_tokens() -> None:
    # 2 sequences of 20 tokens: ids, what the encoder says, and K and V of all of it. The one token: its id; its
    # position, the layer's input and the residual. No mask, no embedding apart; and Q comes behind K and V.
    peak, _ = step(FSMT, replace(over(1, 2), source_tokens=20))
    assert peak.total_bytes == 2 * 20 * (8 + 2 * 3 * 64) + 2 * (8 + 2 * 3 * 64)


def test_its_table_grows_by_what_is_missing() -> None:
    inside, beyond = (encode(FSMT, over(tokens))[0] for tokens in (50, 60))
    assert inside.size_bytes(Share.ALL) == 0
    assert beyond.size_bytes(Share.ALL) == 10 * 2 * 64


def led(window: int, inner: int) -> Architecture:
    return architecture_of(
        {
            "model_type": "led", "d_model": 64, "max_encoder_position_embeddings": 2000, "vocab_size": 100,
            "max_decoder_position_embeddings": 50, "encoder_layers": 2, "decoder_layers": 2,
            "encoder_ffn_dim": inner, "decoder_ffn_dim": 10, "encoder_attention_heads": 4,
            "decoder_attention_heads": 4, "activation_function": "gelu", "attention_window": window,
        }
    )  # fmt: skip


def test_led_pads_to_whole_windows() -> None:
    # 40 tokens are 48: their ids, twice; a mask of 48 x 48; two booleans. Of 64 features the embeddings, the layer's
    # input and the residual, beside 5,000 before and after the activation. Positions are one for all.
    peak, *_ = encode(led(16, 5000), over(40, 3))
    assert peak.size_bytes(Share.SEQUENCE) == 3 * (40 * 8 + 48 * (8 + 2 * 48 + 2 + 2 * (3 * 64 + 2 * 5000)))
    assert peak.size_bytes(Share.ALL) == 48 * 2 * 64
    # What the encoder says is a view of all 48; beside K and V of 40.
    step_peak, _ = step(led(16, 10), replace(over(1), source_tokens=40))
    assert step_peak.size_bytes(Share.SEQUENCE) == 40 * 8 + 48 * 2 * 64 + 40 * 2 * 2 * 64 + 8 + 2 * 4 * 64


def test_led_says_a_copy_of_ids_of_whole_windows_too() -> None:
    # 47 of 48 tokens, and 48 padded ones; all 48, and as many, which the class does not make.
    padded, whole = (encode(led(16, 10), over(tokens))[0].size_bytes(Share.SEQUENCE) for tokens in (47, 48))
    assert whole - padded == 8


def test_led_makes_a_mask_of_all_pairs_though_it_looks_at_windows() -> None:
    # Four times the pairs of 1,600 tokens in bf16 before the layers, beside ids, twice, marks and embeddings.
    peak, *_ = encode(led(2, 10), over(1600))
    assert peak.phase == "mask of all pairs"
    assert peak.total_bytes == 1600 * (4 * 2 * 1600 + 3 * 8 + 2 * 64)


def test_softmax_of_led_in_a_wide_window() -> None:
    # 64 tokens in one window of 64: rows of 65 scores, of 4 heads in bf16 and twice in fp32, and one row for the mask.
    # Q, K and V; a boolean and a number of each token; ids, said twice, the mask of all pairs, two booleans; embeddings
    # and input.
    peak, *_ = encode(led(64, 10), over(64, 1))
    scores = 65 * (4 * (2 + 4 + 4) + 2)
    assert peak.size_bytes(Share.SEQUENCE) == 64 * (scores + 3 * 2 * 64 + 3 + 2 * 8 + 2 * 64 + 2 + 2 * 2 * 64)


def pegasus_x(inner: int, *, staggered: bool) -> Architecture:
    return architecture_of(
        {
            "model_type": "pegasus_x", "d_model": 64, "vocab_size": 100, "encoder_layers": 2, "decoder_layers": 2,
            "encoder_ffn_dim": inner, "decoder_ffn_dim": 10, "encoder_attention_heads": 4,
            "decoder_attention_heads": 4, "activation_function": "gelu", "block_size": 16, "num_global_tokens": 8,
            "stagger_local_blocks": staggered,
        }
    )  # fmt: skip


def test_blocks_and_global_tokens_of_pegasus_x() -> None:
    # 40 tokens are 48 in 3 blocks: ids and embeddings of 40, their mask, and that of 48. Of 64 features the layer's
    # input, normed, Q, K and V, and what heads say, of global tokens, of blocks, and of both; of the 8 global tokens
    # input, normed, Q, K, V and what heads say to them. Of 4 heads the probabilities of these over 56, and three times
    # (apart, masked, probabilities) the scores of each token over 24.
    peak, *_ = encode(pegasus_x(10, staggered=False), over(40, 3))
    tokens, few = 48 * 8 * 64, 8 * 6 * 64
    scores = 4 * 8 * 56 + 3 * 4 * 48 * 24
    features = 40 * 64 + 40 + 48 + tokens + few + scores + 3 * 24
    assert peak.size_bytes(Share.SEQUENCE) == 3 * (40 * 8 + 2 * features)


def test_staggered_blocks_of_pegasus_x_are_one_more() -> None:
    # 64 in place of 48 in what attention makes, but not in the layer's input; and another mask.
    peak, *_ = encode(pegasus_x(10, staggered=True), over(40, 3))
    tokens, few = 48 * 64 + 64 * 7 * 64, 8 * 6 * 64
    scores = 4 * 8 * 72 + 3 * 4 * 64 * 24
    features = 40 * 64 + 40 + 48 + 64 + tokens + few + scores + 4 * 24
    assert peak.size_bytes(Share.SEQUENCE) == 3 * (40 * 8 + 2 * features)


def seamless(name: str) -> Architecture:
    sizes = {"hidden_size": 64, "max_position_embeddings": 50, "encoder_layers": 2, "decoder_layers": 2}
    heads = {f"{side}_attention_heads": 4 for side in ("encoder", "decoder")}
    return architecture_of({"model_type": "seamless_m4t_v2", "architectures": [name], **sizes, **heads})


def test_seamless_is_known_where_it_makes_text_of_text() -> None:
    assert knows(seamless("SeamlessM4Tv2ForTextToText"))
    assert not knows(seamless("SeamlessM4Tv2ForSpeechToText"))
    assert not knows(seamless("SeamlessM4Tv2ForTextToSpeech"))
    # The class for everything has a head, unlike other classes of such a name: its logits are made.
    _, logits = step(seamless("SeamlessM4Tv2Model"), replace(over(1), source_tokens=20))
    assert logits.size_bytes(Share.OUTPUT) > 0


def test_its_table_has_a_row_less_to_spare() -> None:
    # 60 positions, one behind that of the padding, which is 0, and two more: 63 rows where 52 were.
    beyond, *_ = encode(seamless("SeamlessM4Tv2ForTextToText"), over(60))
    assert beyond.size_bytes(Share.ALL) == 11 * 2 * 64
