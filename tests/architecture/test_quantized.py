"""Quantized files beside an architecture: logical parameters are compared, and what only the tools wrote is named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from hubvram.architecture.layers import Architecture
from hubvram.architecture.reconcile import Reconciliation, Status, reconcile
from hubvram.architecture.shapes import strangers
from hubvram.checkpoint.components import Component
from hubvram.config.quantization import Group
from hubvram.inspection import read_model
from hubvram.memory.weights import stored_weights
from tests.quantized import SampleSource, samples
from tests.samples import (
    architecture_of,
    checkpoint_of,
    corpus_source,
    declared,
    llama_tensors,
    needs_corpus,
    small_llama,
)

SMALL = small_llama()
MTP_BLOCK = "model.layers.2."  # behind the last of two layers


def compare(extra: dict[str, str] | None = None, *, method: str = "fp8") -> Reconciliation:
    """A small llama as FP8 files have it: matrices of layers in F8, with one F32 scale each."""
    shapes, dtypes = llama_tensors(SMALL), {}
    for name in [name for name in shapes if name.endswith("_proj.weight")]:
        dtypes[name] = "F8_E4M3"
        shapes[f"{name}_scale_inv"], dtypes[f"{name}_scale_inv"] = (1, 1), "F32"
    for name, dtype in (extra or {}).items():
        shapes[name], dtypes[name] = (2, 3), dtype
    return reconcile(checkpoint_of(shapes, dtypes), SMALL, declared=declared(method))


def test_fp8_weights_are_parameters_and_their_scales_are_not() -> None:
    compared = compare()
    assert (compared.status, compared.difference) == (Status.RECONCILED, 0)
    assert compared.total == SMALL.parameters
    (scales,) = compared.not_counted
    assert (scales.what, scales.parameters, scales.stored_bytes) == ("scales", 2 * 7, 2 * 7 * 4)


def test_scales_stay_in_memory() -> None:
    shapes = llama_tensors(SMALL)
    shapes["model.layers.0.mlp.up_proj.weight_scale_inv"] = (1, 1)
    checkpoint = checkpoint_of(shapes)
    compared = reconcile(checkpoint, SMALL, declared=declared("fp8"))
    assert compared.not_counted and compared.not_loaded == ()
    assert stored_weights(checkpoint, compared, None).component.size_bytes == checkpoint.stored_bytes


def test_scales_of_a_block_that_is_not_loaded_are_not_loaded_either() -> None:
    compared = compare({f"{MTP_BLOCK}eh_proj.weight": "F8_E4M3", f"{MTP_BLOCK}eh_proj.weight_scale_inv": "F32"})
    assert compared.status is Status.RECONCILED
    assert [item.parameters for item in compared.accounted] == [6]
    assert [item.stored_bytes for item in compared.not_loaded] == [6 * 4, 6]


@pytest.mark.parametrize("method", ["awq", "gptq", "bitsandbytes", "compressed-tensors", "never_heard_of"])
def test_the_tensors_say_how_they_are_packed(method: str) -> None:
    compared = compare(method=method)
    assert (compared.status, compared.total) == (Status.RECONCILED, SMALL.parameters)


@pytest.mark.parametrize(("name", "dtype"), [("qweight", "I32"), ("weight_blocks", "U8")])
def test_one_tensor_that_is_not_known_makes_all_of_it_the_architectures(name: str, dtype: str) -> None:
    compared = compare({f"model.layers.0.mlp.up_proj.{name}": dtype})
    assert (compared.status, compared.difference) == (Status.QUANTIZED, None)
    assert compared.total == SMALL.parameters


def test_a_missing_matrix_is_missed_in_fp8_too() -> None:
    shapes = llama_tensors(SMALL)
    del shapes["model.layers.1.mlp.up_proj.weight"]
    compared = reconcile(checkpoint_of(shapes), SMALL, declared=declared("fp8"))
    assert (compared.status, dict(compared.differences)) == (Status.UNRECONCILED, {Component.MLP: -64 * 96})


# ------------------------------------------------------------------ what only tools that pack write


def gptq(architecture: Architecture, *, biases: bool) -> Reconciliation:
    """All matrices of the layers in 4 bit, and where asked for a bias with each of them."""
    shapes: dict[str, tuple[int, ...]] = {}
    dtypes: dict[str, str] = {}
    for name, shape in llama_tensors(architecture).items():
        if "_proj" not in name:
            shapes[name] = shape
            continue
        (out, into), module = shape, name.removesuffix(".weight")
        shapes |= {f"{module}.qweight": (into // 8, out), f"{module}.qzeros": (1, out // 8)}
        shapes |= {f"{module}.scales": (1, out), f"{module}.g_idx": (into,)}
        dtypes |= {f"{module}.{ending}": "I32" for ending in ("qweight", "qzeros", "g_idx")}
        has_bias = any(f"{it}_proj" in name for it in "qkv") and architecture.model_type == "qwen2"
        if biases or has_bias:
            shapes[f"{module}.bias"] = (out,)
    return reconcile(checkpoint_of(shapes, dtypes), architecture, declared=declared("gptq", Group(bits=4)))


QWEN = architecture_of(
    {
        "model_type": "qwen2",
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 100,
        "tie_word_embeddings": False,
    }
)


@pytest.mark.parametrize("architecture", [SMALL, QWEN], ids=lambda it: it.model_type)
def test_biases_of_zeros_are_no_parameters(architecture: Architecture) -> None:
    compared = gptq(architecture, biases=True)
    assert (compared.status, compared.total) == (Status.RECONCILED, architecture.parameters)
    item = next(item for item in compared.not_counted if item.what == "biases of packed weights")
    # In each layer: o, gate, up, down, and in a llama q, k, v as well.
    each = 64 + 96 + 96 + 64 + (0 if architecture is QWEN else 64 + 32 + 32)
    assert (item.parameters, item.stored_bytes, item.is_loaded) == (2 * each, 4 * each, True)
    assert all(item.what != "biases of packed weights" for item in gptq(architecture, biases=False).not_counted)


def test_biases_that_the_architecture_has_are_missed() -> None:
    compared = reconcile(checkpoint_of(llama_tensors(QWEN)), QWEN)
    assert dict(compared.differences) == {Component.ATTENTION: -2 * (64 + 32 + 32)}


def test_a_bias_beside_a_matrix_that_is_not_packed_is_a_difference() -> None:
    shapes = {**llama_tensors(SMALL), "model.layers.0.self_attn.o_proj.bias": (64,)}
    compared = reconcile(checkpoint_of(shapes), SMALL, declared=declared("gptq"))
    assert dict(compared.differences) == {Component.ATTENTION: 64}


def padded(inputs: int, words: int, **beside: tuple[int, ...]) -> Reconciliation:
    """int4 with a scale for each row, of matrices with so many inputs in so many words; `__` stands for a dot."""
    architecture = small_llama(intermediate_size=inputs)
    shapes, dtypes = llama_tensors(architecture), {}
    for layer in range(2):
        module = f"model.layers.{layer}.mlp.down_proj"
        del shapes[f"{module}.weight"]
        shapes |= {f"{module}.weight_packed": (64, words), f"{module}.weight_scale": (64, 1)}
        dtypes[f"{module}.weight_packed"] = "I32"
    shapes |= {f"model.layers.0.mlp.{name.replace('__', '.')}": shape for name, shape in beside.items()}
    settings = declared("compressed-tensors", Group(bits=4))
    return reconcile(checkpoint_of(shapes, dtypes), architecture, declared=settings)


def test_padding_within_a_word_is_allowed() -> None:
    compared = padded(92, 12)  # 8 weights a word: 96
    assert compared.status is Status.RECONCILED
    assert compared.total == sum(compared.by_component.values()) == small_llama(intermediate_size=92).parameters
    assert [(it.what, it.parameters, it.stored_bytes) for it in compared.not_counted] == [
        ("scales", 2 * 64, 2 * 64 * 2),
        ("padding of mlp", 2 * 64 * 4, 0),
    ]
    assert compared.packed_by_component == {Component.MLP: 2 * 64 * 92}


@pytest.mark.parametrize("words", [11, 13])
def test_fewer_words_or_more_are_a_difference(words: int) -> None:
    assert padded(92, words).status is Status.UNRECONCILED


def test_padding_excuses_nothing_else() -> None:
    compared = padded(96, 12, up_proj__bias=(96,))
    assert dict(compared.differences) == {Component.MLP: 96}
    compared = padded(92, 12, up_proj__bias=(92,))
    assert dict(compared.differences) == {Component.MLP: 92}


def test_a_padded_head() -> None:
    """exl2 packs heads too, and pads 100 tokens to 128."""
    shapes: dict[str, tuple[int, ...]] = {**llama_tensors(SMALL, head=False), "lm_head.q_weight": (8, 128)}
    shapes |= {"lm_head.q_scale": (1, 16), "lm_head.q_invperm": (64,)}
    compared = reconcile(checkpoint_of(shapes, dict.fromkeys(("lm_head.q_weight", "lm_head.q_scale"), "I32")), SMALL)
    assert (compared.status, compared.total) == (Status.RECONCILED, SMALL.parameters)


def test_an_odd_count_of_halves_of_bytes() -> None:
    """bitsandbytes rounds 65 x 33 weights of 4 bit up to a byte, and shows no shape."""
    for hidden in (60, 65):
        model = small_llama(hidden_size=hidden, intermediate_size=33, num_attention_heads=5, num_key_value_heads=5)
        shapes, dtypes = llama_tensors(model), {}
        name = "model.layers.0.mlp.down_proj.weight"
        count = shapes[name][0] * shapes[name][1]
        shapes |= {name: ((count + 1) // 2, 1), f"{name}.absmax": (-(-count // 64),), f"{name}.quant_map": (16,)}
        dtypes[name] = "U8"
        compared = reconcile(checkpoint_of(shapes, dtypes), model)
        assert (compared.status, compared.total) == (Status.RECONCILED, model.parameters)
        padding = [item.parameters for item in compared.not_counted if item.what == "padding of mlp"]
        assert padding == ([1] if count % 2 else [])


def test_a_packed_matrix_of_another_shape_is_not_reconciled() -> None:
    shapes = {**llama_tensors(SMALL), "model.layers.1.mlp.up_proj.weight": (48, 128)}
    name = "model.layers.1.mlp.up_proj.weight"
    shapes[f"{name}_scale"] = (1,)
    compared = reconcile(checkpoint_of(shapes, {name: "F8_E4M3"}), SMALL)
    assert (compared.status, compared.difference) == (Status.UNRECONCILED, 0)
    assert compared.strangers == (f"{name} (48, 128)",)


# --------------------------------------------------------------- packed tensors that show no rows


def flat(architecture: Architecture, of: Architecture, *, fused: bool = False) -> Reconciliation:
    """The tensors of one, in bitsandbytes' 4 bit, beside the config of another; Q, K and V in one where `fused`."""
    shapes, dtypes = {}, {}
    for name, shape in llama_tensors(architecture).items():
        if "_proj" not in name:
            shapes[name] = shape
        elif not fused or (".k_proj" not in name and ".v_proj" not in name):
            count = shape[0] * shape[1] * (3 if fused and ".q_proj" in name else 1)
            shapes |= {name: (count // 2, 1), f"{name}.absmax": (count // 64,), f"{name}.quant_map": (16,)}
            dtypes[name] = "U8"
    return reconcile(checkpoint_of(shapes, dtypes), of, declared=declared("bitsandbytes"))


def test_equal_counts_of_other_heads() -> None:
    # 4 heads of 16 with 1 for K and V: 64 x (64 + 64 + 16 + 16) is 64 x 4 x 40, but no matrix of 2.5 heads.
    written = small_llama(num_key_value_heads=1, head_dim=16)
    other = small_llama(num_attention_heads=5, num_key_value_heads=5, head_dim=8)
    assert written.parameters == other.parameters
    assert flat(written, written).status is flat(other, other).status is Status.RECONCILED
    compared = flat(written, other)
    assert (compared.status, dict(compared.differences)) == (Status.UNRECONCILED, {})
    assert compared.strangers[0] == "model.layers.0.self_attn.q_proj.weight (4096,)"


def test_joined_matrices_that_show_no_rows() -> None:
    alike = small_llama(num_key_value_heads=4)
    assert flat(alike, alike, fused=True).status is Status.RECONCILED


@pytest.mark.parametrize(("name", "each"), [("down_proj", 64 * 32), ("gate_up_proj", 64 * 64)])
def test_experts_in_one_tensor_that_shows_no_rows(name: str, each: int) -> None:
    architecture = architecture_of({**QWEN_MOE})
    kind = next(iter(checkpoint_of({f"model.layers.0.mlp.experts.{name}": (8 * each,)}).kinds))
    assert strangers({Component.EXPERTS: [replace(kind, layout="nvfp4")]}, architecture) == []
    wrong = replace(kind, layout="nvfp4", shape=(7 * each,))
    assert strangers({Component.EXPERTS: [wrong]}, architecture) == [wrong]
    assert strangers({Component.ATTENTION: [replace(kind, layout="nvfp4")]}, architecture) != []


QWEN_MOE = {
    "model_type": "qwen3_moe",
    "hidden_size": 64,
    "intermediate_size": 96,
    "moe_intermediate_size": 32,
    "num_experts": 8,
    "num_experts_per_tok": 2,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 100,
}


# ------------------------------------------------------------------ packed in a way that is not known


def with_stranger(name: str, dtype: str, shape: tuple[int, ...], *, layers: int = 2) -> Reconciliation:
    """A small llama in 16 bit, or some of its layers, and one more tensor."""
    shapes = {n: s for n, s in llama_tensors(SMALL).items() if layers == 2 or ".layers.1." not in n}
    return reconcile(checkpoint_of({**shapes, name: shape}, {name: dtype}), SMALL, declared=declared("gptq"))


# One layer of the small llama, by its matrices of 64 x (64 + 32 + 32 + 64) and 3 x 64 x 96, and two norms of 64.
LAYER: Mapping[Component, int] = {Component.ATTENTION: 12_288, Component.MLP: 18_432, Component.NORM: 128}


@pytest.mark.parametrize("name", ["model.layers.0.mlp.extra", "model.layers.0.self_attn.extra"])
def test_a_stray_tensor_excuses_no_missing_layer(name: str) -> None:
    compared = with_stranger(name, "U8", (8,), layers=1)
    assert compared.status is Status.UNRECONCILED
    # Elements are counted where nobody knows what they hold.
    own = Component.MLP if "mlp" in name else Component.ATTENTION
    assert dict(compared.differences) == {c: (8 if c is own else 0) - n for c, n in LAYER.items()}
    assert compared.difference == sum(compared.differences.values())


def test_a_tensor_in_a_component_that_the_architecture_has_not() -> None:
    compared = with_stranger("somewhere.else", "U8", (8,))
    assert (compared.status, dict(compared.differences)) == (Status.UNRECONCILED, {Component.OTHER: 8})
    assert with_stranger("model.layers.0.mlp.extra", "U8", (8,)).status is Status.QUANTIZED


@pytest.mark.parametrize(("stored_bytes", "status"), [(768, Status.QUANTIZED), (767, Status.UNRECONCILED)])
def test_what_is_missing_has_a_bit_each_at_least(stored_bytes: int, status: Status) -> None:
    shapes = {n: s for n, s in llama_tensors(SMALL).items() if n != "model.layers.0.mlp.up_proj.weight"}  # 8 x 768
    shapes |= {"model.layers.0.mlp.up_proj.bits": (stored_bytes,), "model.layers.0.mlp.up_proj.scales": (1, 0)}
    compared = reconcile(checkpoint_of(shapes, {"model.layers.0.mlp.up_proj.bits": "U8"}), SMALL)
    assert compared.status is status
    assert compared.total == sum(compared.by_component.values())
    assert (compared.total == SMALL.parameters) is (status is Status.QUANTIZED)


def test_more_than_the_architecture_has_is_no_scale() -> None:
    shapes = {**llama_tensors(SMALL), "model.layers.0.mlp.up_proj.bits": (8,), "model.layers.0.mlp.x": (1,)}
    compared = reconcile(checkpoint_of(shapes, {"model.layers.0.mlp.up_proj.bits": "U8"}), SMALL)
    assert (compared.status, dict(compared.differences)) == (Status.UNRECONCILED, {Component.MLP: 9})


def test_a_packed_matrix_of_another_shape_beside_what_is_not_known() -> None:
    name = "model.layers.1.mlp.up_proj.weight"
    shapes = {**llama_tensors(SMALL), name: (48, 128), f"{name}_scale": (1,), "model.layers.0.mlp.up_proj.bits": (8,)}
    compared = reconcile(checkpoint_of(shapes, {name: "F8_E4M3", "model.layers.0.mlp.up_proj.bits": "U8"}), SMALL)
    assert (compared.status, compared.strangers) == (Status.UNRECONCILED, (f"{name} (48, 128)",))


@pytest.mark.parametrize("sample", ["awq-gemm", "gptq-4b-g128"])
def test_scales_and_zeros_alone_hold_no_weights(sample: str) -> None:
    written = samples()[sample]
    tensors = {name: tensor for name, tensor in written.tensors.items() if not name.endswith("qweight")}
    compared = read_model(SampleSource(replace(written, tensors=tensors))).reconciliation
    assert compared.status is Status.UNRECONCILED
    assert {Component.ATTENTION, Component.MLP} == set(compared.differences)


def test_a_packed_head_that_is_tied_counts_once() -> None:
    tied = small_llama(tie_word_embeddings=True)
    shapes = {**llama_tensors(tied), "lm_head.weight_scale": (1,)}
    compared = reconcile(checkpoint_of(shapes, {"lm_head.weight": "F8_E4M3"}), tied)
    assert (compared.status, compared.total) == (Status.RECONCILED, tied.parameters)
    assert {item.what for item in compared.not_counted} == {"tied head, stored again", "scales"}


def test_scales_of_a_kv_cache_have_an_item_of_their_own() -> None:
    shapes: Mapping[str, tuple[int, ...]] = {
        **llama_tensors(SMALL),
        "model.layers.0.self_attn.k_proj.k_scale": (),
        "model.layers.0.self_attn.v_proj.v_scale": (),
    }
    compared = reconcile(checkpoint_of(shapes), SMALL, declared=declared("modelopt"))
    assert [(item.what, item.tensors) for item in compared.not_counted] == [("scales of the KV cache", 2)]


@needs_corpus
@pytest.mark.parametrize(
    ("repo", "active"),
    [
        # README_WEIGHTS.md: 36.6 B "including 0.9B for the output Head" (an earlier revision: 36.7 B), so that the
        # input embedding, of which a token reads one row, is not among them.
        ("deepseek-ai/DeepSeek-V3", 36.6),
        # Model card: "3.6B active parameters".
        ("openai/gpt-oss-20b", 3.6),
    ],
)
def test_published_active_parameters_leave_the_input_embedding_out(repo: str, active: float) -> None:
    model = read_model(corpus_source(repo))
    assert round(model.active_without_input_embedding / 1e9, 1) == active
    assert round(model.active_parameters / 1e9, 1) > active
