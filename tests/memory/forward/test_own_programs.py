"""Programs and traits of single families, term by term by hand."""

from __future__ import annotations

from dataclasses import replace

from hubvram.architecture.attention import (
    ChunkedAttention,
    CrossAttention,
    FullAttention,
    LatentAttention,
    SlidingAttention,
)
from hubvram.architecture.layers import Architecture
from hubvram.architecture.mlp import DenseMLP, MoEMLP
from hubvram.memory.engines.transformers import TRANSFORMERS as engine
from hubvram.memory.engines.transformers_code import CODE, knows, play
from hubvram.memory.forward.all_experts import play_all_experts
from hubvram.memory.forward.attention import has_window_mask, play_attention
from hubvram.memory.forward.gemma4 import play_gemma4_attention
from hubvram.memory.forward.indexed import play_indexed_attention
from hubvram.memory.forward.mlp import play_mlp
from hubvram.memory.forward.modeling_code import LLAMA, ModelingCode
from hubvram.memory.forward.tape import Peak, Share
from hubvram.memory.workload import Attention
from tests.memory.forward.test_programs import held, peak_of, sizes, step
from tests.samples import SMALL_LLAMA, architecture_of

MIXER = FullAttention(hidden_size=64, num_attention_heads=4, num_key_value_heads=2, head_dim=32)  # Q 128, K 64


def attention(mixer: FullAttention, code: ModelingCode, tokens: int = 7, kind: Attention = Attention.SDPA) -> int:
    return peak_of(lambda run: play_attention(run, mixer), sizes(tokens, 1, kind), code, rotary_dim=32)


def test_all_experts_compute_all_tokens() -> None:
    # 4 experts: logits and scores, 2 x 4; each token 4 times by its score, 4 x 10; gate and up 4 x 200, act(gate) and
    # the product 4 x 200.
    mlp = MoEMLP(hidden_size=10, num_experts=4, num_experts_per_tok=1, moe_intermediate_size=100, hidden_act="silu")
    width = 8 + 40 + 4 * 400
    assert peak_of(lambda run: play_all_experts(run, mlp), sizes(7, 3)) == 2 * 21 * width
    assert peak_of(lambda run: play_mlp(run, mlp), step(100, 3), CODE["llama4_text"]) == 2 * 3 * width, "no gathering"
    # A shared expert of 900 beside what the experts read and said, 2 x 40.
    shared = replace(mlp, shared_expert_intermediate_size=900)
    assert peak_of(lambda run: play_all_experts(run, shared), sizes(7)) == 2 * 7 * (8 + 80 + 2700)


def test_complex_rotation() -> None:
    # Q and K twice in fp32, and once more in bf16; Q as made.
    assert attention(MIXER, CODE["llama4_text"]) == 7 * (2 * 128 + 2 * 4 * 192 + 2 * 192)


def test_chunks_need_a_mask_from_the_first_that_is_full() -> None:
    chunked = ChunkedAttention(
        hidden_size=64, num_attention_heads=4, num_key_value_heads=2, head_dim=32, attention_chunk_size=10
    )
    assert has_window_mask(chunked, 10) and not has_window_mask(chunked, 9)


def test_repeated_tables() -> None:
    # Three more of Q in fp32; cos and sin of 32 dimensions repeated are one for all sequences.
    assert attention(MIXER, CODE["ernie4_5"]) == 7 * (2 * 128 + 4 * 3 * 128)


def test_norms_that_learn_nothing() -> None:
    # Behind the rotation: 8 bytes a feature of Q and 4 a head.
    assert attention(MIXER, CODE["nanochat"]) == 7 * (2 * 128 + 8 * 128 + 4 * 4)


def test_gates_of_what_heads_say() -> None:
    # As wide as Q: Q, the gate; what heads say, the gate in (0, 1), their product.
    gated = replace(MIXER, gate_size=128)
    assert attention(gated, LLAMA) == 2 * 7 * 5 * 128
    # Made behind attention: Q, what heads say, and the gate twice in fp32.
    assert attention(gated, LLAMA._replace(gates_behind=True)) == 7 * (2 * 2 * 128 + 8 * 128)


def test_sinks_that_weigh_what_heads_say() -> None:
    # 6 bytes for each head and token beside the scores.
    kind = Attention.EAGER
    beside = attention(MIXER, CODE["granite_swa"], 70, kind) - attention(MIXER, LLAMA, 70, kind)
    assert beside == 70 * 4 * (2 + 4)


def test_heads_of_v_of_their_own_size() -> None:
    # K repeated to 128, V to 4 x 24; 10 bytes a score.
    mixer = replace(MIXER, v_head_dim=24)
    assert attention(mixer, LLAMA, 70, Attention.EAGER) == 2 * 70 * (128 + 128 + 96) + 10 * 4 * 70 * 70


def test_xielu_is_written_in_python() -> None:
    # x; which branch, a byte; and four tensors.
    mlp = DenseMLP(hidden_size=10, intermediate_size=100, hidden_act="xielu", gated=False)
    assert peak_of(lambda run: play_mlp(run, mlp), sizes(7)) == 7 * (200 + 100 + 800)


def test_queries_before_keys() -> None:
    def gemma(mixer: FullAttention) -> int:
        return peak_of(lambda run: play_gemma4_attention(run, mixer), sizes(7), rotary_dim=32)

    # Q, and its norm, 8 bytes a feature and 8 a head, while K and V (2 x 128) are not cached yet.
    assert gemma(MIXER) == 7 * (2 * 128 + 8 * 128 + 8 * 4 - 2 * 128)
    # As many KV heads: Q is done, and K as made; the norm of K is as wide, and V counts as cached but where it is K's.
    wide = replace(MIXER, num_key_value_heads=4)
    assert gemma(wide) == 7 * (2 * 128 + 8 * 128 + 8 * 4)


INDEXED = LatentAttention(
    hidden_size=64, num_attention_heads=4, q_lora_rank=24, kv_lora_rank=16, qk_nope_head_dim=8, qk_rope_head_dim=4,
    v_head_dim=12, index_n_heads=8, index_head_dim=8, index_topk=5,
)  # fmt: skip


def test_an_indexer_scores_all_tokens() -> None:
    def indexed(tokens: int, batch_size: int) -> int:
        return peak_of(lambda run: play_indexed_attention(run, INDEXED), sizes(tokens, batch_size))

    # Q twice (2 x 48), the part that rotates (16), latents (24 + 20), what kv_b makes (80) and K (48); the indexer's Q
    # twice (2 x 64), K as made and parts that rotate (8 + 9 x 4).
    width = 96 + 16 + 44 + 80 + 48 + 128 + 44
    # Several sequences: Q and K in fp32 (64 + 8), K for each token, 8 x 100, and scores of 8 heads.
    assert indexed(100, 3) == 300 * (2 * width + 4 * 72 + 4 * 100 * (8 + 8))
    # One alone: scores, scaled once more.
    assert indexed(100, 1) == 100 * (2 * width + 8 * 100 * 8)


GEMMA4 = {
    "model_type": "gemma4_text", "num_hidden_layers": 6, "hidden_size": 64, "intermediate_size": 96, "vocab_size": 10,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "global_head_dim": 32, "sliding_window": 100,
    "hidden_size_per_layer_input": 64, "vocab_size_per_layer_input": 10,
}  # fmt: skip


def test_embeddings_for_layers_are_made_before_anything_is_cached() -> None:
    peak, _ = play(architecture_of(GEMMA4), sizes(7, 3))
    assert peak.phase == "embedding for each layer"
    # 6 layers x 64: twice in bf16, 8 bytes for the norm, 8 for each of its 6 rows; ids and the embedding. K and V of 5
    # layers with 2 heads of 16 and one with 2 of 32 are missing.
    cached = 2 * 2 * (5 * 32 + 64)
    assert peak.size_bytes(Share.SEQUENCE) == 21 * (8 + 2 * 64 + 12 * 384 + 8 * 6 - cached)
    assert held(peak, "less K and V, which are not cached yet") == -21 * cached


def test_layers_that_share_k_and_v_see_the_last_token_of_a_prompt() -> None:
    shared = architecture_of({**GEMMA4, "num_kv_shared_layers": 2, "use_double_wide_mlp": True})
    narrow = architecture_of({**GEMMA4, "num_kv_shared_layers": 2})
    assert play(shared, sizes(70))[0].total_bytes == play(narrow, sizes(70))[0].total_bytes
    # But with flash attention, and while decoding.
    flash = sizes(70, 1, Attention.FLASH)
    wide = architecture_of({**GEMMA4, "num_kv_shared_layers": 2, "use_double_wide_mlp": True, "intermediate_size": 999})
    assert play(wide, flash)[0].total_bytes > play(wide, sizes(70))[0].total_bytes
    assert play(wide, step(70))[0].phase == "mlp"


def whole(model_type: str, text_type: str = "llama") -> Architecture:
    return architecture_of({"model_type": model_type, "text_config": {**SMALL_LLAMA, "model_type": text_type}})


def logits_of(peaks: tuple[Peak, ...]) -> int:
    return peaks[1].size_bytes(Share.OUTPUT)


def test_wholes_around_a_text_model() -> None:
    alone = play(architecture_of(SMALL_LLAMA), sizes(7, 3))
    llava = whole("llava")
    assert (llava.model_type, llava.whole_type) == ("llama", "llava")
    assert play(llava, sizes(7, 3)) == alone
    # Where text is scaled by the model that takes it, both are there: 64 features more.
    granite = architecture_of({**SMALL_LLAMA, "model_type": "granite"})
    more = play(whole("llava", "granite"), sizes(7, 3))[0].total_bytes - play(granite, sizes(7, 3))[0].total_bytes
    assert more == 21 * 2 * 64


def test_a_whole_that_makes_all_logits() -> None:
    audio = whole("qwen2_audio", "qwen2")
    # 100 of each token, and the fp32 copy of the last one's, when hidden states are gone: of seven these are more.
    assert logits_of(play(audio, sizes(2, 3))) == 3 * 100 * (2 * 2 + 4)
    assert logits_of(play(audio, sizes(7, 3))) == 3 * 100 * 7 * 2
    assert logits_of(play(audio, step(7, 3))) == 3 * 100 * (2 + 4)


def test_a_whole_that_was_not_run_is_not_known() -> None:
    assert knows(whole("llava"))
    unknown = replace(whole("llava"), whole_type="somebody_elses_vl")
    assert not knows(unknown) and not engine.knows_activations(unknown)


def test_a_whole_that_embeds_the_prompt_holds_it_to_the_end() -> None:
    alone, inside = architecture_of(SMALL_LLAMA), whole("instructblip")
    # 64 features of each token, and whether an image stands there: in the prompt's own pass, and 100 tokens later.
    for run in (sizes(7, 3), replace(step(107, 3), prompt_tokens=7)):
        more = 3 * 7 * (2 * 64 + 1)
        for peak, other in zip(play(inside, run), play(alone, run), strict=True):
            assert peak.total_bytes == other.total_bytes + more


def test_a_text_model_that_calls_itself_by_its_own_code() -> None:
    # Released files of Kimi-K2.5 say kimi_k2, which transformers has no class for, and its config says deepseek_v3.
    own = replace(architecture_of(SMALL_LLAMA), model_type="kimi_k2")
    inside, usual = (replace(own, whole_type="kimi_k25", model_type=name) for name in ("kimi_k2", "deepseek_v3"))
    assert knows(inside) and not knows(own)
    assert play(inside, sizes(7, 3)) == play(usual, sizes(7, 3))


def test_layers_across_do_not_run_without_an_image() -> None:
    # Layer 1 of 3 would attend to an image: what is alive is that of the other two, which are a llama's.
    text = {**SMALL_LLAMA, "model_type": "mllama_text_model", "num_hidden_layers": 3, "cross_attention_layers": [1]}
    across = architecture_of({"model_type": "mllama", "text_config": text})
    for run in (sizes(7, 3), sizes(7, 3, Attention.EAGER), step(100, 3)):
        assert play(across, run) == play(architecture_of(SMALL_LLAMA), run)
    # Without any other layer, nothing would run.
    assert type(across.layers[1].mixer) is CrossAttention
    assert knows(across) and not knows(replace(across, layers=across.layers[1:2]))


def test_kosmos_2_makes_its_masks_itself() -> None:
    text = {"embed_dim": 64, "ffn_dim": 1000, "layers": 2, "attention_heads": 4, "max_position_embeddings": 256}
    kosmos = architecture_of({"model_type": "kosmos-2", "text_config": {**text, "model_type": "kosmos_2_text_model"}})
    # Ids; a mask whatever the attention; the layer's input, the residual and normed. Of the MLP what its activation
    # makes, the same normed, and the norm's mean and root.
    around = 8 + 2 * 7 + 2 * 3 * 64
    for kind in (Attention.SDPA, Attention.EAGER):
        probabilities = 2 * 4 * 7 * (kind is Attention.EAGER)
        assert play(kosmos, sizes(7, 3, kind))[0].total_bytes == 21 * (around + probabilities + 2 * 2000 + 8)
    # A token more than the table of 258 rows is for makes one of 261.
    assert play(kosmos, step(256))[0].size_bytes(Share.ALL) == 0
    assert play(kosmos, step(257))[0].size_bytes(Share.ALL) == 2 * 3 * 64


def test_git_holds_a_type_of_each_feature() -> None:
    sizes_of = {"hidden_size": 64, "intermediate_size": 1000, "num_hidden_layers": 2, "num_attention_heads": 4}
    git = architecture_of({"model_type": "git", **sizes_of})
    # 8-byte ids, and as many for images; embeddings, their types in 4 bytes; the mask; the layer's input; what
    # attention made of it. Then the MLP before and behind its activation.
    around = 8 + 8 + 2 * 64 + 4 * 64 + 2 * 7 + 2 * 64 + 2 * 64
    assert play(git, sizes(7, 3, Attention.EAGER))[0].total_bytes == 21 * (around + 2 * 2000)


def test_what_later_layers_have_not_cached_yet() -> None:
    # Layers of two kinds, of which the sliding ones end first: K and V of the last layer, 2 x 2 x 64 bytes a token.
    sliding = SlidingAttention(
        hidden_size=64, num_attention_heads=4, num_key_value_heads=2, head_dim=32, sliding_window=100
    )
    model = architecture_of(SMALL_LLAMA)
    first, last = (replace(model.layers[0], mixer=mixer) for mixer in (sliding, MIXER))
    mixed = replace(model, layers=(first, last))
    assert held(play(mixed, sizes(7))[0], "less K and V, which are not cached yet") == 0, "the last layer is as large"
    wide = replace(first, mlp=DenseMLP(hidden_size=64, intermediate_size=999, hidden_act="silu"))
    found = play(replace(model, layers=(wide, last)), sizes(7, 3))[0]
    assert held(found, "less K and V, which are not cached yet") == -21 * 2 * 2 * 64
