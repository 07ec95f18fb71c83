"""The programs of decoders from before llama, term by term by hand; and the buffers of their classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from hubvram.architecture.attention import FullAttention
from hubvram.architecture.layers import Architecture
from hubvram.memory.engines.transformers import TRANSFORMERS as engine
from hubvram.memory.engines.transformers_buffers import buffers
from hubvram.memory.engines.transformers_code import CODE, play
from hubvram.memory.forward import classic
from hubvram.memory.forward.attention import multiply_expanded
from hubvram.memory.forward.latent import play_latent_attention
from hubvram.memory.forward.run import Run, Sizes
from hubvram.memory.forward.tape import Share
from hubvram.memory.workload import Attention
from tests.memory.forward.test_programs import LATENT, peak_of, sizes, step
from tests.peaks.record import recorded, type_of
from tests.samples import architecture_of, workload_of

MIXER = FullAttention(hidden_size=64, num_attention_heads=4, num_key_value_heads=4, head_dim=32)  # Q, K, V: 128
FUSED = replace(MIXER, fused_qkv=True)
EAGER = Attention.EAGER


def eager(program: Callable[[Run, FullAttention], object], mixer: FullAttention, run: Sizes) -> int:
    """16 of 32 dimensions of each head rotate."""
    return peak_of(lambda played: program(played, mixer), run, rotary_dim=16)


# ------------------------------------------------------------------------------------- prefill


@pytest.mark.parametrize(
    ("program", "mixer", "of_token", "of_score"),
    [
        # Q and K as made; rotated, 2 x 64, and Q joined to its rest; both in fp32. fp32 scores twice.
        (classic.play_gptj, MIXER, 2 * (256 + 128 + 128) + 4 * 256, 8),
        # Q, V and K; rotated and Q joined, in fp32; K in fp32.
        (classic.play_codegen, FUSED, 2 * 384 + 4 * 256 + 4 * 128, 8),
        # With 8 heads, copies of Q and K too.
        (classic.play_codegen, replace(FUSED, num_attention_heads=8, num_key_value_heads=8, head_dim=16),
         2 * 640 + 4 * (2 * 128 + 128) + 4 * 128, 8),
        (classic.play_gpt_neo, MIXER, 2 * 128 + 4 * 256, 8),
        # Q in the order of heads; biased scores, masked ones, their fp32 copy and its softmax.
        (classic.play_bloom, FUSED, 2 * 384 + 2 * 128, 12),
        (classic.play_mpt, FUSED, 2 * 384, 10),
        (classic.play_xglm, MIXER, 2 * 128, 4),
        # Scores before the mask and behind it beside the probabilities, and what heads say.
        (classic.play_gpt_neox_japanese, FUSED, 2 * 384 + 2 * 128 + 2 * 128, 6),
        (classic.play_openai_gpt, FUSED, 2 * 384, 6),
    ],
)  # fmt: skip
def test_own_attention(
    program: Callable[[Run, FullAttention], object], mixer: FullAttention, of_token: int, of_score: int
) -> None:
    heads = mixer.num_attention_heads
    assert eager(program, mixer, sizes(700, 3, EAGER)) == 3 * (700 * of_token + of_score * heads * 700**2)


def test_xglm_in_fp16() -> None:
    # Their softmax in fp32 beside the scores and what it is turned back to.
    run = replace(sizes(700, 3, EAGER), in_fp16=True)
    assert eager(classic.play_xglm, MIXER, run) == 3 * (700 * 256 + 8 * 4 * 700**2)


def test_flash_attention_of_gptj_copies_what_is_cached() -> None:
    # Q and K as made, what rotates and Q joined; K and V in the order of tokens; what heads say, and O.
    expected = 2 * 21 * (256 + 256 + 256 + 128 + 64)
    assert eager(classic.play_gptj, MIXER, sizes(7, 3, Attention.FLASH)) == expected
    assert eager(classic.play_gpt_neo, MIXER, sizes(7, 3, Attention.FLASH)) == 2 * 21 * (3 * 128)


# -------------------------------------------------------------------------------------- decode


def test_one_step_turns_all_cached_keys_to_fp32() -> None:
    scores = 8 * 4 * 100
    token = 2 * (256 + 128 + 128) + 4 * 128
    assert eager(classic.play_gptj, MIXER, step(100, 3, EAGER)) == 3 * (token + 4 * 12_800 + scores)
    assert eager(classic.play_gpt_neo, MIXER, step(100, 3, EAGER)) == 3 * (2 * 128 + 4 * 128 + 4 * 12_800 + scores)


def test_one_head_is_copied_for_all_by_its_product() -> None:
    one = replace(MIXER, num_key_value_heads=1)
    # 100 keys for 4 heads of 32; Q; scores.
    assert eager(lambda run, mixer: multiply_expanded(run, mixer, 100), one, step(100, 3, EAGER)) == 3 * 2 * (
        100 * 128 + 128 + 400
    )
    assert eager(lambda run, mixer: multiply_expanded(run, mixer, 100), MIXER, step(100, 3, EAGER)) == 0
    alone = replace(one, num_attention_heads=1)
    assert eager(lambda run, mixer: multiply_expanded(run, mixer, 100), alone, step(100, 3, EAGER)) == 0


def test_eager_attention_through_a_latent_copies_v() -> None:
    # One token: Q as made and rotated, the latent, what heads say, 2 x 48 + 16 + 20 + 48; 100 keys: what kv_b makes,
    # K and V again, 80 + 48 + 48; the probabilities of 4 heads.
    found = peak_of(lambda run: play_latent_attention(run, LATENT), step(100, 3, EAGER))
    assert found == 3 * 2 * (180 + 100 * 176 + 400)


# -------------------------------------------------------------------------------- whole passes


def held(architecture: Architecture, run: Sizes, what: str) -> int:
    return sum(each.size_bytes for each in play(architecture, run)[0].held if each.what == what)


def falcon(**changes: Any) -> Architecture:
    config = {"model_type": "falcon", "hidden_size": 64, "num_attention_heads": 4, "vocab_size": 100, "bias": False}
    return architecture_of({**config, "num_hidden_layers": 2, "ffn_hidden_size": 96, **changes})


NEW = {"new_decoder_architecture": True, "num_kv_heads": 2}
OLD = {"alibi": True, "multi_query": False, "parallel_attn": False, "bias": True}


def test_falcon_with_one_head_of_k_is_composed_in_fp32() -> None:
    # Token id; embedding, layer input, normed; Q, K and V, 96; Q rotated. A 16-bit mask for each sequence; Q in fp32
    # and scaled, K and V in fp32. fp32 scores, their softmax, which are nothing, and which rows.
    of_token = 8 + 2 * (3 * 64 + 96 + 64) + 4 * (2 * 64 + 2 * 16) + 4
    peak, _ = play(falcon(), sizes(700, 3))
    assert peak.phase == "attention"
    assert peak.size_bytes(Share.SEQUENCE) == 3 * (700 * of_token + 700**2 * (2 + 9 * 4))
    # By flash attention, or with as many heads of K, nothing grows with the square but the additive mask of sdpa.
    wide = {"ffn_hidden_size": 2000}
    assert play(falcon(**wide), sizes(700, 3, Attention.FLASH))[0].phase == "mlp"
    assert play(falcon(**NEW, **wide), sizes(700, 3))[0].phase == "mlp"


def test_falcon_keeps_the_probabilities_of_the_layer_before() -> None:
    # Two layers' beside a wide MLP, of 4 heads.
    wide: dict[str, Any] = {**NEW, "ffn_hidden_size": 2000}
    assert held(falcon(**wide), sizes(40, 3, EAGER), "probabilities") == 2 * 2 * 3 * 4 * 40**2
    assert held(falcon(**wide, num_hidden_layers=1), sizes(40, 3, EAGER), "probabilities") == 2 * 3 * 4 * 40**2


def test_falcon_with_biases() -> None:
    # For each head: one of each key, and a mask that joins them.
    run = sizes(70, 3, EAGER)
    assert held(falcon(**OLD), run, "biases by distance") == 2 * 3 * 4 * 70
    assert held(falcon(**OLD), run, "mask with biases") == 2 * 3 * 4 * 70**2
    # Four 16-bit, three fp32: 18 bytes a score beside the probabilities before.
    assert held(falcon(**OLD), run, "scores, and what is made of them") == 18 * 3 * 4 * 70**2


def test_mpt_has_biases_for_all_positions() -> None:
    mpt = architecture_of({"model_type": "mpt", "max_seq_len": 512, "n_heads": 4, "d_model": 64, "n_layers": 2})
    assert held(mpt, sizes(7, 3, EAGER), "biases by distance") == 4 * 4 * 512
    assert held(mpt, sizes(7, 3, EAGER), "boolean mask") == 3 * 49


def test_openai_gpt_caches_nothing_and_runs_over_all_tokens() -> None:
    gpt = architecture_of({"model_type": "openai-gpt", "vocab_size": 100})
    peaks, of_prompt = play(gpt, step(100, 3, EAGER)), play(gpt, sizes(100, 3, EAGER))
    assert [peak.total_bytes for peak in peaks] == [peak.total_bytes for peak in of_prompt]
    instants = engine.instants(gpt, workload_of(100, attention=EAGER), element_bytes=2, cache_element_bytes=2)
    assert {instant.kv_cache_bytes for instant in instants} == {0}
    assert "nothing is cached" in instants[-1].explanation


# ------------------------------------------------------------------------------------- buffers


@pytest.mark.parametrize(
    ("config", "size_bytes"),
    [
        # EleutherAI/gpt-j-6b: 28 layers of 2,048 positions of 64 sines in fp32.
        ({"model_type": "gptj"}, 28 * 2048 * 64 * 4),
        # EleutherAI/gpt-neo-1.3B: 24 boolean masks of 2,048 x 2,048, 96 MiB.
        ({"model_type": "gpt_neo"}, 96 * 2**20),
        # bigcode/starcoder: one of 8,192 x 8,192, 64 MiB.
        ({"model_type": "gpt_bigcode", "n_positions": 8192}, 64 * 2**20),
        # facebook/seamless-m4t-v2-large: two tables of 4,096 positions and 2 more, of 1,024 sines, in 16 bits.
        ({"model_type": "seamless_m4t_v2", "max_position_embeddings": 4096}, 2 * 4098 * 1024 * 2),
        # facebook/s2t-small-librispeech-asr: one of 6,000 for the frames, one of 1,024 for the words.
        ({"model_type": "speech_to_text"}, (6002 + 1026) * 256 * 2),
        # openai-community/openai-gpt: 12 of 512 x 512, in 16 bits.
        ({"model_type": "openai-gpt"}, 12 * 512 * 512 * 2),
        # facebook/xglm-564M: 2,048 positions behind two others, 1,024 wide.
        ({"model_type": "xglm"}, 2050 * 1024 * 2),
        ({"model_type": "llama"}, 0),
    ],
)
def test_buffers_that_no_file_holds(config: Mapping[str, Any], size_bytes: int) -> None:
    assert sum(held.size_bytes for held in buffers(architecture_of(config), 2)) == size_bytes


def test_every_instant_holds_them() -> None:
    neo = architecture_of({"model_type": "gpt_neo"})
    for instant in engine.instants(neo, workload_of(64), element_bytes=2, cache_element_bytes=2):
        assert instant.buffers_bytes >= 96 * 2**20
    both_sides = architecture_of({"model_type": "m2m_100"})
    for instant in engine.instants(both_sides, workload_of(64), element_bytes=2, cache_element_bytes=2):
        assert instant.buffers_bytes >= 2 * 1026 * 1024 * 2


@pytest.mark.parametrize("name", ["gptj", "codegen", "gpt_neo", "gpt_bigcode", "openai-gpt", "xglm", "ctrl"])
def test_buffers_of_real_classes(name: str) -> None:
    pytest.importorskip("transformers")
    from tests.peaks.runs import model_with

    config = recorded()[name].config
    model = model_with(type_of(name), config, "eager")
    # ctrl turns its table to the model's type; openai-gpt has 256 positions in int64, too.
    element_bytes = 4 if name == "ctrl" else 2
    more = 8 * 256 if name == "openai-gpt" else 0
    (found,) = buffers(architecture_of({**config, "model_type": name}), element_bytes)
    assert found.size_bytes + more == sum(buffer.nbytes for buffer in model.buffers())


def test_attention_that_the_classes_take_by_themselves() -> None:
    for name in ("bloom", "mpt", "codegen", "xglm", "openai-gpt", "gpt_neox_japanese", "gptj", "gpt_neo"):
        assert engine.resolve_attention(architecture_of({"model_type": name}), Attention.AUTO) is EAGER
        assert name in CODE


def test_a_step_of_openai_gpt_is_behind_its_prompt() -> None:
    gpt = architecture_of({"model_type": "openai-gpt", "vocab_size": 100})
    run = replace(step(100, 3, EAGER), by_generate=True, prompt_tokens=60)
    assert held(gpt, run, "fp32 logits of the token before") == 3 * 100 * 4
    # The caller's ids with their mask, and its own of all tokens.
    assert held(gpt, run, "token ids, mask, and ids of all tokens") == 3 * (2 * 60 + 100) * 8
    assert held(gpt, run, "position ids") == 3 * 100 * 8
