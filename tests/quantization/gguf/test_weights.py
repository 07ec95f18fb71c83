"""Whole models as GGUF files: what is merged, split, left out and said; and hostile tensors."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.gguf import layout_of_repo
from hubvram.checkpoint.logical import logical_tensors
from hubvram.errors import UsageError
from hubvram.quantization.gguf.facts import GgufFacts, facts_of
from hubvram.quantization.gguf.layout import TIED_HEAD, layout_of
from hubvram.quantization.gguf.mixtures import MIXTURES
from hubvram.quantization.gguf.names import ARCHITECTURES
from hubvram.quantization.gguf.reasons import NotPossible
from hubvram.quantization.gguf.types import BLOCKS
from hubvram.quantization.gguf.weights import GgufWeights, gguf_weights, weights_of
from tests.samples import (
    SMALL_LLAMA,
    config_of,
    fixture_architecture,
    fixture_model,
    llama_tensors,
    small_llama,
)

Tensors = dict[str, tuple[int, ...]]


def facts(**changes: object) -> GgufFacts:
    return replace(facts_of(small_llama(), config_of(SMALL_LLAMA)), **changes)  # type: ignore[arg-type]


def small_tensors() -> Tensors:
    return llama_tensors(small_llama())


def weighed(
    mixture: str, tensors: Tensors, known: GgufFacts | None = None, *, imatrix: bool | None = None
) -> GgufWeights:
    found = gguf_weights(mixture, tensors.items(), known or facts(), imatrix=imatrix)
    assert isinstance(found, GgufWeights), found
    return found


def refused(tensors: Tensors, known: GgufFacts | None = None, mixture: str = "q8_0") -> str:
    found = gguf_weights(mixture, tensors.items(), known or facts())
    assert isinstance(found, NotPossible)
    return found.reason


def test_a_small_llama_by_hand() -> None:
    found = weighed("q8_0", small_tensors())
    matrices = 2 * 100 * 64 + 2 * (64 * 64 * 2 + 32 * 64 * 2 + 3 * 96 * 64)  # embedding and head; two layers
    norms = 5 * 64
    padding = 2 * 16  # embedding and head are 6,800 bytes each
    assert found.bytes_by_type == {"q8_0": matrices // 32 * 34 + padding, "f32": norms * 4}
    assert found.tensors_by_type == {"q8_0": 2 + 2 * 7, "f32": 5}
    assert found.tensor_bytes == matrices // 32 * 34 + padding + norms * 4
    assert found.parameters == matrices + norms
    assert (found.stand_ins, found.notes, found.mtp_bytes) == (0, (), 0)


def test_rows_that_are_no_whole_blocks_are_counted() -> None:
    found = weighed("q4_k_s", small_tensors())  # 64 and 96 columns
    assert set(found.tensors_by_type) == {"q5_0", "q5_1", "q8_0", "f32"}
    assert found.stand_ins == 2 * 7 + 1  # not the head, which is Q8_0 at once
    assert "15 of the tensors" in found.notes[0]


def test_a_tied_head_is_left_out_and_named() -> None:
    stored = weighed("bf16", small_tensors(), facts(tie_word_embeddings=True))
    not_stored = weighed("bf16", llama_tensors(small_llama(), head=False), facts(tie_word_embeddings=True))
    assert stored.tensor_bytes == not_stored.tensor_bytes
    assert "tied head" in stored.notes[0]
    assert not_stored.notes == ()


def test_gpt_oss_keeps_its_experts() -> None:
    layout = layout_of_repo("openai/gpt-oss-20b")
    assert layout is not None
    kept = weights_of("mxfp4_moe", layout)
    assert kept.bytes_by_type["mxfp4"] == 24 * 32 * 3 * 2880 * 2880 // 32 * 17
    model = fixture_model("openai--gpt-oss-20b")
    assert model.checkpoint is not None and model.architecture is not None
    tensors = [(tensor.name, tensor.shape) for tensor in logical_tensors(model.checkpoint)]
    found = gguf_weights("q4_k_m", tensors, layout.facts)
    assert isinstance(found, NotPossible)
    assert "MXFP4" in found.reason


def test_an_importance_matrix_is_said_where_it_matters() -> None:
    layout = layout_of_repo("meta-llama/Llama-3.1-8B")
    assert layout is not None
    with_, without = (weights_of("iq4_xs", layout, imatrix=imatrix) for imatrix in (True, False))
    assert weights_of("iq4_xs", layout) == with_
    # ffn_down of the first 4 of 32 layers, 14,336 x 4,096, in Q5_K instead of IQ4_XS: 40 bytes for each 256 weights.
    assert without.tensor_bytes - with_.tensor_bytes == 4 * 14_336 * 4_096 // 256 * 40
    assert with_.notes == ("with an importance matrix; without one it would be 35.0 MiB larger",)
    assert weights_of("q4_k_m", layout).notes == ()


def test_fused_qkv_was_counted_in_another_way() -> None:
    layout = layout_of_repo("microsoft/Phi-3-mini-4k-instruct")
    assert layout is not None
    now, before = (weights_of("q4_k_m", layout, before_2026=before) for before in (False, True))
    assert any("2025 and before are 3.4 MiB smaller" in note for note in now.notes)
    # 32 matrices of 9,216 x 3,072: all Q5_K then (176 bytes for each 256); now half Q6_K (210), half Q4_K (144).
    blocks = 32 * 9_216 * 3_072 // 256
    assert now.tensor_bytes - before.tensor_bytes == blocks // 2 * (210 + 144) - blocks * 176


def test_blocks_that_draft_tokens() -> None:
    glm, deepseek = layout_of_repo("zai-org/GLM-4.5"), layout_of_repo("deepseek-ai/DeepSeek-V3")
    assert glm is not None and deepseek is not None
    assert glm.mtp_blocks == 1
    found = weights_of("q8_0", glm)
    assert 0 < found.mtp_bytes < found.tensor_bytes // 50
    assert any("multi-token" in note for note in found.notes)
    assert deepseek.mtp_blocks == 0
    assert [item.what for item in deepseek.left_out] == ["blocks for multi-token prediction"]


@pytest.mark.parametrize("name", ["meta-llama--Llama-3.1-8B", "Qwen--Qwen3-30B-A3B", "openai-community--gpt2"])
def test_parameters_in_are_parameters_out(name: str) -> None:
    model, layout = fixture_model(name), layout_of_repo(name.replace("--", "/", 1))
    assert model.checkpoint is not None and layout is not None
    added = sum(prod(tensor.shape) for tensor in layout.tensors if tensor.role.startswith("rope"))
    left_out = sum(item.parameters for item in layout.left_out)
    assert layout.parameters - added + left_out == model.checkpoint.elements


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("google-t5--t5-small", "'t5' is not known"),
        ("state-spaces--mamba-130m-hf", "'mamba' is not known"),
        ("openai--whisper-tiny", "'whisper' is not known"),
    ],
)
def test_unknown_models_have_a_reason(name: str, reason: str) -> None:
    model = fixture_model(name)
    assert model.checkpoint is not None
    known = facts_of(fixture_architecture(name), config_of({"model_type": model.model_type}))
    found = gguf_weights("q4_k_m", logical_tensors(model.checkpoint), known)
    assert isinstance(found, NotPossible)
    assert reason in found.reason


def test_mixtures_are_asked_for_by_llama_quantizes_names() -> None:
    with pytest.raises(UsageError, match="q9_k"):
        gguf_weights("q9_k", (), facts())


def test_nominal_bits_are_those_of_the_name() -> None:
    nominal = {name: MIXTURES[name].bits for name in ("f32", "bf16", "q8_0", "q4_k_m", "iq2_s", "tq1_0", "mxfp4_moe")}
    assert nominal == {"f32": 32, "bf16": 16, "q8_0": 8, "q4_k_m": 4, "iq2_s": 2, "tq1_0": 1, "mxfp4_moe": 4}


def test_descriptions_are_one_line_each() -> None:
    for mixture in MIXTURES.values():
        assert len(mixture.description) < 130
    assert MIXTURES["q4_k_m"].description == "4.5 bits: Q4_K; Q6_K for half of attn_v and ffn_down, head Q6_K"


def test_mixtures_that_need_an_importance_matrix() -> None:
    """Those for which the recorded runs said that they will."""
    needing = {"iq1_s", "iq1_m", "iq2_xxs", "iq2_xs", "iq2_s", "iq2_m", "iq3_xxs", "iq3_xs", "q2_k_s"}
    assert {name for name, mixture in MIXTURES.items() if mixture.needs_imatrix} == needing


# -------------------------------------------------------------------- what must not go wrong


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ({"model.layers.0.mlp.adapter.weight": (4, 4)}, "adapter"),
        ({"model.layers.0.self_attn.q_proj.qweight": (4, 4)}, "qweight"),
        ({"model.layers.0.self_attn.q_proj.weight_scale": ()}, "weight_scale"),
        ({"model.layers.2.input_layernorm.weight": (64,)}, "behind the 2 layers"),
        ({"model.layers.99999999999999999999.input_layernorm.weight": (64,)}, "is not known here"),
        ({"layers.0.self_attn.q_proj.weight": (64, 64)}, "become the same one"),
        ({"model.layers.00.self_attn.q_proj.weight": (64, 64)}, "become the same one"),
        ({"model.layers.0.mlp.experts.1.up_proj.weight": (96, 64)}, "not alike or not complete"),
        ({"model.layers.0.mlp.experts.gate_up_proj": (8, 3, 64)}, "of shape (8, 3, 64)"),
        ({"model.layers.0.mlp.experts.gate_up_proj": (64,)}, "of shape (64,)"),
        ({"model.layers.0.self_attn.kv_b_proj.weight": (64, 64)}, "of shape (64, 64)"),
        ({"model.layers.0.attention.wqkv.weight": ()}, "of shape ()"),
        ({"model.layers.0.self_attn.q_proj.weight": (0, 64)}, "a shape that ggml does not know"),
        ({"model.layers.0.self_attn.q_proj.weight": (1, 1, 1, 1, 1)}, "a shape that ggml does not know"),
    ],
)
def test_what_is_not_understood_is_refused(extra: Tensors, reason: str) -> None:
    assert reason in refused({**small_tensors(), **extra})


def test_a_shape_that_is_not_shown() -> None:
    found = gguf_weights("q8_0", [*small_tensors().items(), ("model.norm.weight", None)], facts())
    assert isinstance(found, NotPossible)
    assert "the shape of model.norm.weight" in found.reason


def test_models_around_a_known_one_must_be_known_too() -> None:
    assert "'idefics3'" in refused(small_tensors(), facts(whole_model_type="idefics3"))
    assert weighed("q8_0", small_tensors(), facts(whole_model_type="llava")).tensor_bytes


def test_nothing_stands_in_for_q1_0() -> None:
    assert "q1_0" in refused(small_tensors(), mixture="q1_0")


_NAMES = st.sampled_from(
    [
        *("model.layers.0.self_attn.v_proj.weight", "model.layers.1.mlp.down_proj.weight", "lm_head.weight"),
        *("model.layers.0.mlp.experts.0.w1.weight", "model.layers.0.mlp.experts.gate_up_proj", "model.norm.weight"),
        *("model.layers.0.self_attn.kv_b_proj.weight", "model.layers.0.attention.wqkv.bias", "visual.x.weight"),
        *("model.embed_tokens.weight", "h.0.attn.bias", "model.layers..weight", "", ".0.", "model.layers.0.0.weight"),
    ]
)
_SHAPES = st.lists(st.sampled_from([0, 1, 2, 64, 100, 262_208, 2**48]), max_size=5).map(tuple)


@given(
    st.dictionaries(_NAMES, _SHAPES, max_size=8),
    st.sampled_from(sorted(MIXTURES)),
    st.sampled_from(["", *sorted(ARCHITECTURES)]),
    st.integers(0, 2**48),
    st.integers(0, 100),
)
def test_hostile_tensors_never_raise(tensors: Tensors, mixture: str, model_type: str, size: int, number: int) -> None:
    known = GgufFacts(
        model_type=model_type,
        whole_model_type=model_type,
        num_hidden_layers=number,
        num_attention_heads=size,
        num_key_value_heads=number,
        head_dim=size,
        hidden_size=size,
        num_experts=number,
        rope_type="llama3",
        rope_factors=number,
    )
    found = gguf_weights(mixture, tensors.items(), known)
    assert found.reason if isinstance(found, NotPossible) else found.tensor_bytes >= 0


_LLAMAS = st.fixed_dictionaries(
    {
        "num_hidden_layers": st.integers(16, 24),
        "num_attention_heads": st.sampled_from([4, 8]),
        "num_key_value_heads": st.sampled_from([1, 2, 4]),
        "hidden_size": st.sampled_from([64, 256, 512]),
        "intermediate_size": st.sampled_from([96, 256, 300]),
    }
)
_FALLING = (
    ("f32", "bf16", "q8_0", "q6_k", "q5_k_m", "q5_k_s", "q4_k_s", "q3_k_s"),
    ("q5_k_m", "q4_k_m", "q4_k_s"),
    ("q3_k_l", "q3_k_m", "q3_k_s"),
    ("q5_1", "q5_0", "q4_1", "q4_0"),
    ("iq3_m", "iq3_s", "iq3_xs"),
    ("iq2_xs", "iq2_xxs", "iq1_m", "iq1_s"),
    ("tq2_0", "tq1_0"),
)


@settings(max_examples=20, deadline=None)
@given(_LLAMAS)
def test_laws_of_mixtures(changes: dict[str, int]) -> None:
    architecture = small_llama(**changes)
    known = facts_of(architecture, config_of({**SMALL_LLAMA, **changes}))
    tensors = llama_tensors(architecture)
    layout = layout_of(tensors.items(), known)
    assert layout.parameters == sum(map(prod, tensors.values()))
    found = {name: weights_of(name, layout) for name in MIXTURES if name != "q1_0"}
    for names in _FALLING:
        sizes = [found[name].tensor_bytes for name in names]
        assert sizes == sorted(sizes, reverse=True), names
    for weights in found.values():
        assert sum(weights.bytes_by_type.values()) == weights.tensor_bytes
        assert sum(weights.tensors_by_type.values()) == len(layout.tensors)
        assert weights.tensors_by_type.keys() <= BLOCKS.keys()
    assert found["f32"].bits_per_weight >= 32


@given(st.permutations(sorted(small_tensors().items())))
def test_the_order_of_tensors_does_not_matter(tensors: list[tuple[str, tuple[int, ...]]]) -> None:
    assert weighed("q4_k_m", dict(tensors)) == weighed("q4_k_m", small_tensors())


def test_the_largest_model_takes_well_under_a_second() -> None:
    model = fixture_model("deepseek-ai--DeepSeek-V3")
    assert model.checkpoint is not None and model.architecture is not None
    layout = layout_of_repo("deepseek-ai/DeepSeek-V3")
    assert layout is not None
    tensors = [(tensor.name, tensor.shape) for tensor in logical_tensors(model.checkpoint)]
    assert len(tensors) > 45_000  # without their scales
    start = process_time()
    found = gguf_weights("q4_k_m", tensors, layout.facts)
    assert process_time() - start < 1
    assert isinstance(found, GgufWeights)


def test_tied_heads_are_named_alike() -> None:
    layout = layout_of_repo("Qwen/Qwen3-0.6B")
    assert layout is not None
    (left_out,) = layout.left_out
    assert (left_out.what, left_out.tensors, left_out.parameters) == (TIED_HEAD, 1, 151_936 * 1024)
