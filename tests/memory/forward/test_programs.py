"""The programs, term by term by hand, and their laws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubvram.architecture.attention import FullAttention, LatentAttention, SlidingAttention
from hubvram.architecture.layers import Architecture
from hubvram.architecture.mlp import DenseMLP, MoEMLP
from hubvram.architecture.parts import Part
from hubvram.memory.engines.transformers_code import CODE, play
from hubvram.memory.forward.attention import play_attention, play_scores
from hubvram.memory.forward.latent import play_latent_attention
from hubvram.memory.forward.mlp import play_mlp
from hubvram.memory.forward.modeling_code import LLAMA, ModelingCode
from hubvram.memory.forward.run import Run, Sizes
from hubvram.memory.forward.tape import Peak, Share
from hubvram.memory.workload import Attention
from tests.samples import ALONE, architecture_of, fixture_architecture, small_llama


def sizes(tokens: int, batch_size: int = 1, attention: Attention = Attention.SDPA, element_bytes: int = 2) -> Sizes:
    return Sizes(batch_size=batch_size, tokens=tokens, element_bytes=element_bytes, attention=attention)


def step(tokens: int, batch_size: int = 1, attention: Attention = Attention.SDPA) -> Sizes:
    """Of decoding, with so many tokens in the cache at its end."""
    return replace(sizes(1, batch_size, attention), past_tokens=tokens - 1, decodes=True)


def peak_of(program: Callable[[Run], object], run: Sizes, code: ModelingCode = LLAMA, *, rotary_dim: int = 0) -> int:
    """Bytes that sequences hold at the peak of a program, which leaves nothing behind."""
    played = Run(run, code, rotary_dim=rotary_dim)
    result = program(played)
    del result
    found = played.tape.take()
    played.tensor("nothing")
    assert len(played.tape.take().held) == 1, "all that it made is gone"
    return found.size_bytes(Share.SEQUENCE)


def mlp_bytes(mlp: Part, run: Sizes, code: ModelingCode = LLAMA) -> int:
    return peak_of(lambda played: play_mlp(played, mlp), run, code)


# -------------------------------------------------------------------------------- term by term


def test_gated_mlp() -> None:
    # e T 3 i: act(gate), up and their product; 4 where gate and up are one matrix.
    mlp = DenseMLP(hidden_size=10, intermediate_size=100, hidden_act="silu")
    assert mlp_bytes(mlp, sizes(7, 3)) == 2 * 21 * 300
    assert mlp_bytes(replace(mlp, fused=True), sizes(7, 3)) == 2 * 21 * 400


def test_plain_mlp() -> None:
    mlp = DenseMLP(hidden_size=10, intermediate_size=100, hidden_act="gelu", gated=False)
    assert mlp_bytes(mlp, sizes(7)) == 2 * 7 * 200
    # gelu_new is written in Python, and its intermediates are tensors; relu2 squares what relu made.
    assert mlp_bytes(replace(mlp, hidden_act="gelu_new"), sizes(7)) == 2 * 7 * 400
    assert mlp_bytes(replace(mlp, hidden_act="relu2"), sizes(7)) == 2 * 7 * 300


def test_grouped_experts() -> None:
    # Up, k (h + 4 i), and down, 4 k h; the routing of 8 experts: 16 bytes of logits and 2 x 32 of choices, 2 x 8 more
    # in the down phase.
    mlp = MoEMLP(hidden_size=10, num_experts=8, num_experts_per_tok=2, moe_intermediate_size=100, hidden_act="silu")
    assert mlp_bytes(mlp, sizes(7)) == 2 * 7 * 2 * (10 + 400) + 7 * (16 + 64)
    narrow = replace(mlp, moe_intermediate_size=5)
    assert mlp_bytes(narrow, sizes(7)) == 2 * 7 * 2 * 40 + 7 * (16 + 64 + 16)
    # Routing weights in fp32: 4 bytes more for each choice, and a wider down phase, 2 k h (2 + 4).
    in_fp32 = ModelingCode(routing_in_fp32=True)
    assert mlp_bytes(narrow, sizes(7), in_fp32) == 7 * 2 * 10 * 12 + 7 * (16 + 72 + 16)


def test_experts_gathered_for_one_token() -> None:
    # Mixtral, one sequence: 2 experts x 3 x 14,336 x 4,096 x 2 bytes are 672 MiB.
    mlp = fixture_architecture("mistralai--Mixtral-8x7B-v0.1").layers[0].mlp
    assert isinstance(mlp, MoEMLP)
    # The token, read by both, and their inner width. The logits of 8; which two, in 64 bits, and their weights.
    beside = 2 * 2 * (4096 + 14_336) + 8 * 2 + 2 * (8 + 2)
    assert mlp_bytes(mlp, step(1)) == 672 * 2**20 + beside


def test_shared_experts() -> None:
    # 8 experts, of which 2: 2 x (10 + 4 x 100) elements and 80 bytes of routing; the shared one 3 x 300 elements.
    mlp = MoEMLP(
        hidden_size=10, num_experts=8, num_experts_per_tok=2, moe_intermediate_size=100, hidden_act="silu",
        shared_expert_intermediate_size=300,
    )  # fmt: skip
    routed = 2 * 2 * (10 + 400) + 80
    # Behind the others, whose sum waits for it; or first, and waits itself.
    assert mlp_bytes(mlp, sizes(7)) == 7 * max(routed, 2 * (10 + 900))
    assert mlp_bytes(mlp, sizes(7), ModelingCode(shared_expert_first=True)) == 7 * max(routed + 2 * 10, 2 * 900)


def test_experts_of_gpt_oss() -> None:
    # Biases are gathered for each token, as wide as gate and up; the gate has five copies of the inner width.
    mlp = MoEMLP(
        hidden_size=10, num_experts=8, num_experts_per_tok=2, moe_intermediate_size=100, hidden_act="silu",
        expert_bias=True,
    )  # fmt: skip
    assert mlp_bytes(mlp, sizes(7), CODE["gpt_oss"]) == 7 * (2 * 2 * (10 + 9 * 100) + 80)
    # Decoding, those of gate and up are still there beside all three matrices; those of down are not there yet.
    assert mlp_bytes(mlp, step(1), CODE["gpt_oss"]) == 2 * 2 * (3 * 100 * 10 + 10 + 100 + 2 * 100) + 36


@pytest.mark.parametrize(
    ("element_bytes", "softmax_in_fp32", "per_score"),
    [(2, True, 10), (2, False, 4), (4, True, 8), (4, False, 8)],
)
def test_eager_scores(element_bytes: int, softmax_in_fp32: bool, per_score: int) -> None:
    """Scores, their 32-bit copy and its softmax in bf16; two copies where the softmax needs no other type."""
    eager, code = sizes(7, 3, Attention.EAGER, element_bytes), ModelingCode(softmax_in_fp32=softmax_in_fp32)
    assert peak_of(lambda run: play_scores(run, 4, 7), eager, code) == per_score * 3 * 4 * 7 * 7
    one_row = replace(eager, tokens=1)
    assert peak_of(lambda run: play_scores(run, 4, 7), one_row, code) == per_score * 3 * 4 * 7


MIXER = FullAttention(hidden_size=64, num_attention_heads=4, num_key_value_heads=2, head_dim=32)  # Q 128, K 64
SLIDING = SlidingAttention(hidden_size=64, num_attention_heads=4, num_key_value_heads=2, head_dim=32, sliding_window=10)


def attention(mixer: FullAttention, run: Sizes, code: ModelingCode = LLAMA, *, rotary: bool = True) -> int:
    return peak_of(lambda played: play_attention(played, mixer), run, code, rotary_dim=32 if rotary else 0)


def test_attention_before_the_cache() -> None:
    # e T (Q + 3 Q): the rotation of Q; K and V, as made, are counted with the cache that they go to.
    expected = 2 * 21 * 4 * 128
    assert attention(MIXER, sizes(7, 3)) == expected
    assert attention(MIXER, sizes(7, 3, Attention.FLASH)) == expected
    assert attention(SLIDING, sizes(7, 3)) == expected, "the window does not cut into 7 tokens"
    # With as many heads of K: Q is rotated, and three more of K.
    assert attention(replace(MIXER, num_key_value_heads=4), sizes(7, 3)) == 2 * 21 * 5 * 128
    # Unrotated: Q, what the kernel says, what O makes of it; or Q, and K and V as made.
    wide = replace(MIXER, hidden_size=200)
    assert attention(wide, sizes(7, 3), rotary=False) == 2 * 21 * (2 * 128 + 200)
    assert (
        attention(replace(wide, num_key_value_heads=4, hidden_size=64), sizes(7, 3), rotary=False) == 2 * 21 * 3 * 128
    )


@pytest.mark.parametrize(
    ("model_type", "beside"),
    [
        ("llama", 2 * 3 * 128),
        # cos and sin in fp32, and so what they make.
        ("olmo2", 4 * 3 * 128),
        # Q and K in fp32 first.
        ("cohere", 4 * (128 + 64) + 4 * 3 * 128),
    ],
)
def test_rotations(model_type: str, beside: int) -> None:
    assert attention(MIXER, sizes(7), CODE[model_type]) == 7 * (2 * 128 + beside)


def test_norms_of_q_and_k_are_in_fp32() -> None:
    # 8 bytes a feature of Q and 8 a head, before K and V are made, which the cache counts: -2 x (64 + 64).
    normed = replace(MIXER, qk_norm=True)
    norms = 8 * 128 + 8 * 4
    assert attention(normed, sizes(7)) == 7 * (2 * 128 + norms - 256)
    assert attention(normed, sizes(7), CODE["gemma3_text"]) == 7 * (2 * 128 + norms - 4 * 4)


def test_a_window_that_cuts_in_needs_a_mask() -> None:
    # K and V repeated for all heads, and e B S S of additive mask. From as many tokens as the window on.
    assert attention(SLIDING, sizes(10, 3)) == 2 * 30 * (2 * 128 + 2 * 128) + 2 * 3 * 100
    assert attention(SLIDING, sizes(9, 3)) == 2 * 27 * 4 * 128
    # Flash attention takes the window as a number.
    assert attention(SLIDING, sizes(10, 3, Attention.FLASH)) == 2 * 30 * 4 * 128


@pytest.mark.parametrize(("key_value_heads", "repeated"), [(2, 2 * 128), (1, 0), (4, 0)])
def test_eager_attention_repeats_grouped_heads(key_value_heads: int, repeated: int) -> None:
    mixer = replace(MIXER, num_key_value_heads=key_value_heads)
    scores = 10 * 3 * 4 * 70 * 70
    assert attention(mixer, sizes(70, 3, Attention.EAGER)) == scores + 2 * 210 * (128 + repeated)


def test_few_scores_are_less_than_what_heads_say() -> None:
    # 2 bytes a score are left, and there are two layouts of Q's width.
    mixer = replace(MIXER, num_key_value_heads=1)
    left = 2 * 3 * 4 * 49 + 2 * 21 * 2 * 128
    assert attention(mixer, sizes(7, 3, Attention.EAGER), rotary=False) == left + 2 * 21 * 128


def test_one_matrix_for_q_k_and_v_stays_whole() -> None:
    mixer = replace(MIXER, num_key_value_heads=4, fused_qkv=True)
    scores = 10 * 70 * 70 * 4
    # Q, K and V; and, where they rotate, Q once more.
    assert attention(mixer, sizes(70, 1, Attention.EAGER)) == scores + 2 * 70 * (3 * 128 + 128)
    assert attention(mixer, sizes(70, 1, Attention.EAGER), rotary=False) == scores + 2 * 70 * 3 * 128


def test_one_decode_step_copies_a_layer_of_k() -> None:
    token = 2 * 3 * (128 + 2 * 64)
    assert attention(MIXER, step(100, 3)) == 2 * 297 * 64 + token
    # A sliding layer makes K and V before it drops the old ones, of which it keeps 10, one of them unseen.
    assert attention(replace(SLIDING, sliding_window=100), step(100, 3)) == 2 * 297 * 128 + token
    assert attention(SLIDING, step(100, 3)) == 2 * 30 * 128 + token
    repeated_and_scores = 2 * 300 * 256 + 10 * 3 * 4 * 100
    assert attention(MIXER, step(100, 3, Attention.EAGER)) == repeated_and_scores + 2 * 3 * 128


LATENT = LatentAttention(
    hidden_size=64, num_attention_heads=4, q_lora_rank=24, kv_lora_rank=16, qk_nope_head_dim=8, qk_rope_head_dim=4,
    v_head_dim=12,
)  # fmt: skip


def test_attention_through_a_latent() -> None:
    # Q twice (4 x 12), the part that rotates (4 x 4), the latent (16 + 4); what kv_b makes (4 x (8 + 12)) and K
    # (4 x 12).
    def latent(run: Sizes) -> int:
        return peak_of(lambda played: play_latent_attention(played, LATENT), run)

    width = 2 * 48 + 16 + 20 + 80 + 48
    # And what heads say, 4 x 12, and O.
    assert latent(sizes(7, 3)) == 2 * 21 * (width + 48 + 64)
    assert latent(sizes(7, 3, Attention.EAGER)) == 2 * 21 * width + 10 * 3 * 4 * 49
    # K and V of all that is held, for one token.
    token = 2 * 48 + 16 + 20
    assert latent(step(100, 3)) == 2 * 3 * (token + 48 + 64) + 2 * 300 * 128
    # In eager attention of several V (4 x 12) too, beside probabilities and what heads say; of one, the softmax.
    assert latent(step(100, 3, Attention.EAGER)) == 3 * (2 * (token + 48) + 2 * 100 * (128 + 48) + 2 * 4 * 100)
    assert latent(step(100, 1, Attention.EAGER)) == 2 * token + 2 * 100 * 128 + 10 * 4 * 100


def test_one_head_of_k_is_copied_for_several_sequences() -> None:
    # Q 128, K 32, in tokens' order and copied; K for 4 heads, and scores; of one sequence, scores and what they become.
    one_head = replace(MIXER, num_key_value_heads=1)
    run = step(1000, 3, Attention.EAGER)
    assert attention(one_head, run, rotary=False) == 2 * 3 * (128 + 1000 * 128 + 128 + 4 * 1000)
    alone = step(1000, 1, Attention.EAGER)
    # Beside the cache while it takes V: K before this token, K and V as made.
    assert attention(one_head, alone, rotary=False) == max(2 * 128 + 10 * 4 * 1000, 2 * (128 + 2 * 32 + 999 * 32))


def test_norms_in_each_type() -> None:
    def norm(element_bytes: int, code: ModelingCode = LLAMA) -> int:
        return peak_of(lambda run: run.norm(10), sizes(7, 3, element_bytes=element_bytes), code)

    # An fp32 copy and its product, and two numbers of each row; in fp32 the product and that with the scale, and one.
    assert norm(2) == 21 * (10 * 8 + 8)
    assert norm(4) == 21 * (10 * 8 + 4)
    # Olmo's is one kernel between two casts, of which fp32 needs none.
    assert norm(2, CODE["olmo"]) == 21 * 10 * 8
    assert norm(4, CODE["olmo"]) == 21 * 10 * 4


def test_fp16_is_not_copied_for_a_softmax_in_fp32() -> None:
    # Scores, their softmax, and what it is turned back to.
    run = replace(sizes(7, 3, Attention.EAGER), in_fp16=True)
    assert peak_of(lambda played: play_scores(played, 4, 7), run) == (2 + 4 + 2) * 3 * 4 * 7 * 7


# --------------------------------------------------------------------------------- whole passes


def held(peak: Peak, what: str) -> int:
    """Bytes of what is named so."""
    return sum(each.size_bytes for each in peak.held if each.what == what)


def test_masks_of_eager_attention() -> None:
    gemma = architecture_of({"model_type": "gemma3_text", "num_hidden_layers": 6, "vocab_size": 10})
    # One for full, one for sliding layers: 2 x e B S S.
    assert held(play(gemma, sizes(7, 3, Attention.EAGER))[0], "additive mask") == 2 * 2 * 3 * 49
    assert held(play(small_llama(), sizes(7, 3, Attention.EAGER))[0], "additive mask") == 2 * 3 * 49
    assert held(play(gemma, sizes(7, 3))[0], "additive mask") == 0


def test_logits_and_their_copy() -> None:
    def logits(architecture: Architecture, run: Sizes) -> int:
        return play(architecture, run)[1].size_bytes(Share.OUTPUT)

    assert logits(small_llama(), sizes(7, 3)) == 3 * 100 * (2 + 4)
    assert logits(small_llama(), sizes(7, 3, element_bytes=4)) == 3 * 100 * (4 + 4)
    assert logits(small_llama(architectures=["LlamaModel"]), sizes(7, 3)) == 0
    # What else is there: token ids, and what the last norm made.
    assert play(small_llama(), sizes(7, 3))[1].size_bytes(Share.SEQUENCE) == 21 * (8 + 2 * 64)


def test_buffers_are_shared_by_all_sequences() -> None:
    def buffers(architecture: Architecture, run: Sizes) -> int:
        return play(architecture, run)[0].size_bytes(Share.ALL)

    # Position ids, cos and sin of head_dim 16.
    assert buffers(small_llama(), sizes(7, 3)) == 7 * (8 + 2 * 2 * 16)
    gpt2 = architecture_of({"model_type": "gpt2"})
    assert buffers(gpt2, sizes(7, 3)) == 7 * (8 + 2 * 768)
    mistral = architecture_of({"model_type": "mistral", "sliding_window": 10})
    # sdpa's boolean mask, (S, S), where the window cuts in.
    rows = 8 + 2 * 2 * 128
    assert buffers(mistral, sizes(9)) == 9 * rows
    assert buffers(mistral, sizes(10)) == 10 * rows + 100
    assert buffers(mistral, sizes(10, 1, Attention.EAGER)) == 10 * rows


def test_llama_8b_by_hand() -> None:
    # e T (4 h + 3 i) and 8 bytes a token id, at 512 tokens: 2 x 512 x (4 x 4,096 + 3 x 14,336) + 8 x 512.
    peak, _ = play(fixture_architecture("meta-llama--Llama-3.1-8B"), sizes(512))
    assert (peak.phase, peak.size_bytes(Share.SEQUENCE)) == ("mlp", 60_821_504)
    assert held(peak, "act(gate) and up of the MLP") == 2 * 512 * 2 * 14_336


# ------------------------------------------------------------------------------------------ laws

each_fixture = st.sampled_from(ALONE)
tokens_ = st.integers(1, 50_000)


@given(heads=st.integers(1, 128), tokens=tokens_, batch_size=st.integers(1, 64), in_fp32=st.booleans())
def test_doubling_the_input_quadruples_eager_scores(heads: int, tokens: int, batch_size: int, in_fp32: bool) -> None:
    code = ModelingCode(softmax_in_fp32=in_fp32)
    once, twice = (
        peak_of(lambda run: play_scores(run, heads, run.tokens), sizes(length, batch_size, Attention.EAGER), code)
        for length in (tokens, 2 * tokens)
    )
    assert twice == 4 * once


@given(name=each_fixture, tokens=tokens_, batch_size=st.integers(1, 64))
def test_without_windows_and_scores_all_is_linear_in_the_input(name: str, tokens: int, batch_size: int) -> None:
    """By flash attention, which sees windows as numbers; by sdpa where no window cuts in."""
    architecture = fixture_architecture(name)
    if any(layer.mixer is not None and layer.mixer.states for layer in architecture.layers):
        return  # Scans are padded to whole chunks.
    sliding = any(isinstance(layer.mixer, SlidingAttention) for layer in architecture.layers)
    masked = sliding or CODE.get(architecture.model_type, LLAMA).makes_window_mask
    for kind in (Attention.FLASH,) if masked else (Attention.FLASH, Attention.SDPA):
        (once, _), (twice, _) = (play(architecture, sizes(n * tokens, batch_size, kind)) for n in (1, 2))
        for share in (Share.SEQUENCE, Share.ALL):
            assert twice.size_bytes(share) == 2 * once.size_bytes(share)


@given(
    name=each_fixture,
    tokens=tokens_,
    times=st.integers(1, 32),
    kind=st.sampled_from([Attention.EAGER, Attention.SDPA, Attention.FLASH]),
)
def test_all_of_several_sequences_is_exactly_linear_in_the_batch(
    name: str, tokens: int, times: int, kind: Attention
) -> None:
    architecture = fixture_architecture(name)
    for run in (sizes(tokens, 2, kind), step(tokens, 2, kind)):
        pair, many = play(architecture, run), play(architecture, replace(run, batch_size=2 * times))
        for two, more in zip(pair, many, strict=True):
            assert more.size_bytes(Share.SEQUENCE) == times * two.size_bytes(Share.SEQUENCE)
            assert more.size_bytes(Share.OUTPUT) == times * two.size_bytes(Share.OUTPUT)
            assert more.size_bytes(Share.ALL) == two.size_bytes(Share.ALL)
