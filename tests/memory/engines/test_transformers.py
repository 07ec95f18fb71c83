"""transformers as an engine: the moments of a generation, and the attention that runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubvram.architecture.families import FAMILIES, remote, remote_multimodal
from hubvram.errors import UnsupportedOptionError
from hubvram.memory.engines.transformers import TRANSFORMERS as engine
from hubvram.memory.engines.transformers_code import CODE, ELSEWHERE, WHOLES
from hubvram.memory.engines.transformers_encoders import ENCODERS
from hubvram.memory.engines.transformers_sides import SIDES, SIDES_ELSEWHERE
from hubvram.memory.estimator import peak_of
from hubvram.memory.workload import Attention
from tests.samples import MEASURED, architecture_of, fixture_architecture, small_llama, workload_of


@pytest.mark.parametrize("model_type", ["llama", "gemma2", "qwen3_moe", "gpt2", "phi3"])
def test_auto_is_sdpa_unless_the_class_does_not_support_it(model_type: str) -> None:
    architecture = architecture_of({"model_type": model_type})
    # modeling_gemma2.py: `_supports_sdpa = False  # sdpa does not support softcapping`
    expected = Attention.EAGER if model_type == "gemma2" else Attention.SDPA
    assert engine.resolve_attention(architecture, Attention.AUTO) is expected
    assert engine.resolve_attention(architecture, expected) is expected


def test_an_unsupported_attention_names_the_others() -> None:
    with pytest.raises(UnsupportedOptionError) as caught:
        engine.resolve_attention(architecture_of({"model_type": "gemma2"}), Attention.SDPA)
    assert caught.value.problem == "gemma2 does not run with sdpa attention in transformers 5.23"
    assert caught.value.hint == "--attention takes eager, flash for it"


@pytest.mark.parametrize(
    ("model_type", "positions"),
    # prophetnet's last row is the padding's, and the one before it where its streams for the last token are.
    [("prophetnet", 512 - 2), ("gpt2", 1024), ("llama", None), ("bloom", None), ("marian", 1024)],
)
def test_where_positions_end(model_type: str, positions: int | None) -> None:
    assert engine.positions(architecture_of({"model_type": model_type})) == positions


def test_what_is_asked_of_a_whole_is_what_all_of_it_has() -> None:
    # modeling_got_ocr2.py: GotOcr2PreTrainedModel._supports_sdpa = False, for its vision tower; its text is a qwen2.
    whole = replace(architecture_of({"model_type": "qwen2"}), whole_type="got_ocr2")
    assert engine.resolve_attention(whole, Attention.AUTO) is Attention.SDPA
    assert engine.resolve_attention(whole, Attention.EAGER) is Attention.EAGER
    for refused in (Attention.SDPA, Attention.FLASH):
        with pytest.raises(UnsupportedOptionError, match="got_ocr2 does not run with"):
            engine.resolve_attention(whole, refused)


def test_activations_are_known_of_all_families_whose_code_is_part_of_transformers() -> None:
    shown = {*CODE, *ELSEWHERE, *WHOLES, *ENCODERS, *SIDES, *SIDES_ELSEWHERE}
    # In files of what they resemble: DeciLM's Nemotron, gte's encoder, InternVL before it was ported, DeepSeek-V3.
    brought = {"nemotron-nas", "new", "internvl_chat", "kimi_k2"}
    assert FAMILIES.keys() - shown == {*remote.FAMILIES, *remote_multimodal.FAMILIES, *brought}


def test_the_moments_of_a_generation() -> None:
    moments = engine.instants(small_llama(), workload_of(100, input_tokens=60), element_bytes=2, cache_element_bytes=2)
    assert [instant.name for instant in moments] == ["prefill", "prefill-logits", "decode", "decode-logits"]
    # 2 layers, 128 bytes a token in each; 60 tokens after prefill, 100 at the end.
    assert [instant.kv_cache_bytes for instant in moments] == [2 * 128 * 60] * 2 + [2 * 128 * 100] * 2
    # 100 logits in bf16, and again in fp32; while decoding, those of the token before in fp32, too.
    assert [instant.outputs_bytes for instant in moments] == [0, 600, 400, 1000]
    assert all(instant.explanation for instant in moments)


SMALL_BART = {"model_type": "bart", "d_model": 64, "vocab_size": 100, "max_position_embeddings": 50}


def test_the_moments_of_both_sides() -> None:
    bart, whisper = architecture_of(SMALL_BART), fixture_architecture("openai--whisper-tiny")
    # 12 layers, each with 2 x 2 x 64 bytes of K and V for each token: 30 of the encoder, and one, in the end 10.
    moments = engine.instants(bart, workload_of(40, input_tokens=30), element_bytes=2, cache_element_bytes=2)
    assert [instant.name for instant in moments] == ["encode", "prefill", "prefill-logits", "decode", "decode-logits"]
    assert [instant.kv_cache_bytes // (12 * 256) for instant in moments] == [0, 31, 31, 40, 40]
    # Of 100 logits: bf16, and fp32 for the choice, which stay until there are those of the next token.
    assert [instant.outputs_bytes for instant in moments] == [0, 0, 600, 400, 1000]
    # Whisper's decoder has all of the context, and its input for a prompt: 4 layers of 384 features, 1,500 positions.
    moments = engine.instants(whisper, workload_of(448, input_tokens=4), element_bytes=2, cache_element_bytes=2)
    assert [instant.kv_cache_bytes // (4 * 4 * 384) for instant in moments] == [0, 1504, 1504, 1948, 1948]
    assert "over 1,500 positions" in moments[0].explanation


def test_moments_at_which_more_is_shared_have_names_of_their_own() -> None:
    t5 = fixture_architecture("google-t5--t5-small")
    moments = engine.instants(t5, workload_of(512), element_bytes=2, cache_element_bytes=2)
    encode, *others = (instant for instant in moments if instant.name.startswith("encode"))
    assert [instant.name for instant in others] == ["encode-mask", "encode-positions"]
    for before, after in zip((encode, *others), others, strict=False):
        assert before.total_bytes > after.total_bytes
        assert before.buffers_bytes < after.buffers_bytes


@pytest.mark.parametrize(
    ("changes", "context", "given", "problem", "hint"),
    [
        ({}, 50, 50, None, ""),
        ({}, 100, 50, None, ""),
        ({}, 51, 51, "the encoder of bart has 50 learned positions: 51 tokens cannot run", "--input takes at most 50"),
        (
            {}, 101, 50, "the decoder of bart has 50 learned positions: 51 tokens cannot run",
            "--context takes at most 100 for it, 50 of --input among them",
        ),
        ({"model_type": "pegasus"}, 51, 51, "the encoder of pegasus has 50 computed", "--input takes"),
        ({"model_type": "m2m_100"}, 5000, 3000, None, ""),
        ({"model_type": "t5"}, 5000, 3000, None, ""),
        ({"model_type": "whisper", "d_model": 384, "max_target_positions": 44}, 44, 4, None, ""),
        (
            {"model_type": "whisper", "d_model": 384, "max_target_positions": 44}, 45, 4,
            "the decoder of whisper has 44 learned", "--context takes at most 44 for it",
        ),
        # Of 50 rows one is the padding's, and one that of streams behind the last token; the input has no end.
        ({"model_type": "prophetnet"}, 108, 60, None, ""),
        ({"model_type": "prophetnet"}, 109, 60, "the decoder of prophetnet has 48 learned", "--context takes at most"),
        ({"model_type": "opt", "hidden_size": 768}, 51, 51, "opt has 50 learned", "--context takes at most 50"),
    ],
)  # fmt: skip
def test_each_side_ends_where_its_own_positions_do(
    changes: dict[str, object], context: int, given: int, problem: str | None, hint: str
) -> None:
    architecture, workload = architecture_of({**SMALL_BART, **changes}), workload_of(context, input_tokens=given)
    if problem is None:
        engine.check(architecture, workload)
        return
    with pytest.raises(UnsupportedOptionError) as caught:
        engine.check(architecture, workload)
    assert caught.value.problem.startswith(problem)
    assert (caught.value.hint or "").startswith(hint)


def test_padding_is_of_text_where_it_is_known() -> None:
    padded = replace(workload_of(40), padded=True)
    for model_type in ("bart", "t5", "mvp", "fsmt", "led", "t5gemma"):
        engine.check(architecture_of({"model_type": model_type}), padded)
    whys = {"whisper": "as much sound", "speech_to_text": "masks of sound", "nllb-moe": "reads all padding"}
    refused: list[tuple[dict[str, Any], str]] = [({"model_type": model_type}, why) for model_type, why in whys.items()]
    unknown: dict[str, Any] = {"model_type": "udop", "relative_bias_args": [{"type": "vertical"}, {"type": "1d"}]}
    for config, why in (*refused, (unknown, "is not known")):
        with pytest.raises(UnsupportedOptionError, match=why) as caught:
            engine.check(architecture_of(config), padded)
        assert caught.value.hint == "leave out --padded"


def test_what_t5_keeps_in_fp32_where_the_rest_is_fp16() -> None:
    # 12 layers of both sides, each with 512 x 2,048 that write the MLP's output.
    assert engine.kept_in_fp32(fixture_architecture("google-t5--t5-small"), "fp16") == 12 * 512 * 2048
    assert engine.kept_in_fp32(fixture_architecture("openai--whisper-tiny"), "fp16") == 0
    t5, workload = fixture_architecture("google-t5--t5-small"), workload_of(512)
    half, other = (
        engine.instants(t5, workload, element_bytes=2, cache_element_bytes=2, in_fp16=in_fp16)[0]
        for in_fp16 in (True, False)
    )
    # Of 512 tokens the layer's input and the residual are twice as wide, and the inner width is copied to fp32 in place
    # of what was before the activation.
    assert half.activations_bytes - other.activations_bytes == 512 * 2 * (2 * 512 + 2048)


def test_what_is_fp32_in_bf16_too() -> None:
    # A head of 100 words, unless it is the embedding; on each side 3 layers of 12 with a router of 8 rows.
    sizes = {"hidden_size": 64, "vocab_size": 100, "num_hidden_layers": 2, "num_attention_heads": 4}
    apart, tied = (
        architecture_of({"model_type": "hy_v4", **sizes, "tie_word_embeddings": tied}) for tied in (False, True)
    )
    assert [engine.kept_in_fp32(each, "bf16") for each in (apart, tied)] == [100 * 64, 0]
    switch = architecture_of({"model_type": "switch_transformers", "num_layers": 12, "num_decoder_layers": 12})
    assert engine.kept_in_fp32(switch, "bf16") == 2 * 3 * 8 * 768
    assert engine.kept_in_fp32(fixture_architecture("google-t5--t5-small"), "bf16") == 0


def test_what_looks_at_patches_may_stay_fp32() -> None:
    # 32 queries of 64 and their norm; a layer of attention to itself and to patches of 32, and of an MLP, each normed.
    qformer = {"hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 96, "num_hidden_layers": 1}
    config = {"qformer_config": {**qformer, "encoder_hidden_size": 32}, "text_config": {"model_type": "opt"}}
    itself, across = 4 * (64 * 64 + 64), 2 * (64 * 64 + 64) + 2 * (32 * 64 + 64)
    layer = itself + across + 2 * 64 * 96 + 96 + 64 + 3 * 2 * 64
    assert engine.kept_in_fp32(architecture_of({"model_type": "blip-2", **config}), "fp16") == 32 * 64 + 2 * 64 + layer
    assert engine.kept_in_fp32(architecture_of({"model_type": "instructblip", **config}), "fp16") == 32 * 64


def test_the_cache_may_have_a_precision_of_its_own() -> None:
    sixteen, eight = (
        engine.instants(small_llama(), workload_of(100), element_bytes=2, cache_element_bytes=element_bytes)
        for element_bytes in (2, 1)
    )
    for before, after in zip(sixteen, eight, strict=True):
        assert after.kv_cache_bytes * 2 == before.kv_cache_bytes
        assert after.activations_bytes == before.activations_bytes


def test_a_base_model_has_no_logits() -> None:
    base = small_llama(architectures=["LlamaModel"])
    moments = engine.instants(base, workload_of(100), element_bytes=2, cache_element_bytes=2)
    assert [instant.outputs_bytes for instant in moments] == [0, 0, 0, 0]


@given(name=st.sampled_from(MEASURED), tokens=st.integers(1, 20_000), batch_size=st.integers(1, 32))
def test_the_peak_is_the_largest_moment(name: str, tokens: int, batch_size: int) -> None:
    workload = workload_of(tokens, batch_size=batch_size)
    moments = engine.instants(fixture_architecture(name), workload, element_bytes=2, cache_element_bytes=2)
    peak = peak_of(moments)
    assert peak in moments
    assert peak.total_bytes == max(instant.total_bytes for instant in moments)


def test_a_short_prompt_and_a_long_answer_peak_in_decoding() -> None:
    llama = fixture_architecture("meta-llama--Llama-3.1-8B")

    def peak(context_tokens: int, input_tokens: int) -> str:
        workload = workload_of(context_tokens, input_tokens=input_tokens)
        return peak_of(engine.instants(llama, workload, element_bytes=2, cache_element_bytes=2)).name

    assert peak(8192, 8192) == "prefill"
    assert peak(8192, 16) == "decode"
    # After one token there is nothing but its logits: 128,256 x 6 bytes.
    assert peak(1, 1).endswith("logits")
