"""Reconciliation: which differences are explained, which are not, and what the answer says about them."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from hubvram.architecture.layers import Architecture
from hubvram.architecture.reconcile import Reconciliation, Status, reconcile
from hubvram.checkpoint.components import Component
from tests.samples import checkpoint_of, declared, llama_tensors, small_llama

SMALL = small_llama()
TOTAL = SMALL.parameters

Shapes = Mapping[str, tuple[int, ...]]


def compare(
    shapes: Shapes,
    architecture: Architecture | None = SMALL,
    *,
    dtypes: Mapping[str, str] | None = None,
    method: str | None = None,
) -> Reconciliation:
    return reconcile(checkpoint_of(shapes, dtypes), architecture, declared=declared(method))


def assert_consistent(compared: Reconciliation) -> None:
    """What holds of every comparison."""
    assert sum(compared.by_component.values()) == compared.total
    assert (compared.status is Status.RECONCILED) == (compared.difference == 0 and not compared.differences)
    if compared.difference is not None:
        assert sum(compared.differences.values()) == compared.difference


def test_the_same_tensors_are_reconciled() -> None:
    compared = compare(llama_tensors(SMALL))
    assert_consistent(compared)
    assert compared.status is Status.RECONCILED
    assert (compared.total, compared.derived, compared.difference) == (TOTAL, TOTAL, 0)
    assert (compared.accounted, compared.not_counted, dict(compared.differences)) == ((), (), {})
    assert compared.architecture == SMALL
    assert compared.scope == "all"


# ---------------------------------------------------------------- stored, and no parameters

BUFFERS: dict[str, tuple[str, tuple[int, ...]]] = {
    "model.layers.0.self_attn.rotary_emb.inv_freq": ("rotary frequencies", (8,)),
    "model.rotary_emb.cos_cached": ("rotary frequencies", (32, 16)),
    "model.position_ids": ("position ids", (1, 32)),
    "model.layers.0.attn.bias": ("causal masks", (1, 1, 32, 32)),
    "model.layers.0.attention.masked_bias": ("masked values", ()),
}


@pytest.mark.parametrize("name", BUFFERS)
def test_buffers_are_named_and_not_counted(name: str) -> None:
    what, shape = BUFFERS[name]
    compared = compare({**llama_tensors(SMALL), name: shape}, dtypes={name: "F32"})
    assert_consistent(compared)
    assert compared.status is Status.RECONCILED
    assert compared.total == TOTAL
    (item,) = compared.not_counted
    assert (item.what, item.tensors, item.rule) == (what, 1, "a buffer that the model's code rebuilds")
    assert compared.not_loaded == (item,)
    assert item.stored_bytes == 4 * item.parameters


def test_buffers_that_only_the_files_have_stay_in_memory() -> None:
    name = "model.layers.0.self_attn.slope_rate"
    compared = compare({**llama_tensors(SMALL), name: (8, 1, 1)}, dtypes={name: "F32"})
    assert compared.status is Status.RECONCILED
    (item,) = compared.not_counted
    assert (item.what, item.rule) == ("decay factors", "a buffer: kept, but learned by no gradient")
    assert compared.not_loaded == ()


def test_masks_do_not_make_a_model_quantized() -> None:
    # gpt2-like files keep their masks as U8 or BOOL.
    name = "model.layers.0.attn.bias"
    assert compare({**llama_tensors(SMALL), name: (1, 1, 32, 32)}, dtypes={name: "U8"}).status is Status.RECONCILED


def test_a_bias_of_one_dimension_is_a_parameter() -> None:
    compared = compare({**llama_tensors(SMALL), "model.layers.0.attn.bias": (64,)})
    assert compared.differences == {Component.ATTENTION: 64}


def test_a_tied_head_that_is_stored_counts_once() -> None:
    tied = small_llama(tie_word_embeddings=True)
    compared = compare(llama_tensors(tied), tied)
    assert_consistent(compared)
    assert compared.status is Status.RECONCILED
    assert compared.total == tied.parameters == TOTAL - 6400
    (item,) = compared.not_counted
    assert (item.what, item.parameters, item.stored_bytes) == ("tied head, stored again", 6400, 12_800)
    assert "tie_word_embeddings" in item.rule


def test_a_tied_head_need_not_be_stored() -> None:
    tied = small_llama(tie_word_embeddings=True)
    compared = compare(llama_tensors(tied, head=False), tied)
    assert compared.status is Status.RECONCILED
    assert compared.not_counted == ()


def test_a_tied_head_of_another_shape_is_a_difference() -> None:
    tied = small_llama(tie_word_embeddings=True)
    compared = compare({**llama_tensors(tied, head=False), "lm_head.weight": (101, 64)}, tied)
    assert compared.status is Status.UNRECONCILED
    assert compared.differences == {Component.HEAD: 6464}


# ----------------------------------------------------------------- announced, and not in the files


@pytest.mark.parametrize("prefix", ["", "language_model."])
def test_a_base_model_has_no_head_although_its_config_names_one(prefix: str) -> None:
    compared = compare(llama_tensors(SMALL, prefix=prefix, head=False))
    assert_consistent(compared)
    assert compared.status is Status.RECONCILED
    assert (compared.total, compared.derived) == (TOTAL - 6400, TOTAL)
    (item,) = compared.accounted
    assert (item.what, item.parameters) == ("head, announced by the config and not in the files", -6400)
    assert compared.architecture is not None
    assert compared.architecture.head is None
    assert compared.architecture.parameters == TOTAL - 6400


def test_a_model_with_a_prefix_must_have_its_head() -> None:
    compared = compare(llama_tensors(SMALL, head=False))
    assert_consistent(compared)
    assert compared.status is Status.UNRECONCILED
    assert compared.differences == {Component.HEAD: -6400}


# ------------------------------------------------------------------------------- differences


@pytest.mark.parametrize(
    ("name", "component"),
    [
        ("model.layers.0.self_attn.sinks", Component.ATTENTION),
        ("model.layers.0.mlp.extra_proj.weight", Component.MLP),
        ("model.layers.0.mlp.experts.0.up_proj.weight", Component.EXPERTS),
        ("model.layers.0.mlp.gate.weight", Component.ROUTER),
        ("model.layers.0.third_layernorm.weight", Component.NORM),
        ("model.embed_positions.weight", Component.EMBEDDING),
        ("model.novelty.weight", Component.OTHER),
    ],
)
def test_an_extra_tensor_is_a_difference_in_its_component(name: str, component: Component) -> None:
    compared = compare({**llama_tensors(SMALL), name: (3, 5)})
    assert_consistent(compared)
    assert compared.status is Status.UNRECONCILED
    assert compared.differences == {component: 15}
    assert (compared.total, compared.difference) == (TOTAL + 15, 15)


def test_a_missing_layer_is_a_difference() -> None:
    shapes = {name: shape for name, shape in llama_tensors(SMALL).items() if ".layers.1." not in name}
    compared = compare(shapes)
    assert_consistent(compared)
    assert compared.status is Status.UNRECONCILED
    assert compared.differences == {Component.ATTENTION: -12_288, Component.MLP: -18_432, Component.NORM: -128}
    assert compared.difference == -30_848


def test_differences_that_cancel_are_still_differences() -> None:
    shapes = dict(llama_tensors(SMALL))
    shapes["model.layers.0.mlp.up_proj.weight"] = (95, 64)
    shapes["model.layers.0.self_attn.q_proj.weight"] = (65, 64)
    compared = compare(shapes)
    assert compared.difference == 0
    assert compared.status is Status.UNRECONCILED
    assert compared.differences == {Component.ATTENTION: 64, Component.MLP: -64}


@pytest.mark.parametrize("field", ["hidden_size", "intermediate_size", "vocab_size", "num_hidden_layers"])
def test_a_wrong_dimension_is_noticed(field: str) -> None:
    sizes = {"hidden_size": 128, "intermediate_size": 100, "vocab_size": 101, "num_hidden_layers": 3}
    assert compare(llama_tensors(SMALL), small_llama(**{field: sizes[field]})).status is Status.UNRECONCILED


def test_heads_that_shift_parameters_between_q_and_kv_are_noticed() -> None:
    # 8 heads and 2 KV heads of 8: Q and O as before, K and V half as large.
    assert compare(llama_tensors(SMALL), small_llama(num_attention_heads=8)).differences == {
        Component.ATTENTION: 2 * 2 * 16 * 64
    }


# --------------------------------------------------------------------------- quantized, unknown


@pytest.mark.parametrize("dtype", ["I32", "U8", "I8", "F4"])
def test_packed_tensors_are_quantized_even_if_the_config_does_not_say_so(dtype: str) -> None:
    name = "model.layers.0.mlp.up_proj.weight"
    compared = compare(llama_tensors(SMALL), dtypes={name: dtype})
    assert compared.status is Status.QUANTIZED


def test_a_quantized_model_has_the_parameters_of_its_architecture() -> None:
    shapes = dict(llama_tensors(SMALL))
    del shapes["model.layers.0.mlp.up_proj.weight"]
    shapes["model.layers.0.mlp.up_proj.qweight"] = (64, 12)
    compared = compare(shapes, dtypes={"model.layers.0.mlp.up_proj.qweight": "I32"}, method="gptq")
    assert compared.status is Status.QUANTIZED
    assert (compared.total, compared.derived, compared.difference) == (TOTAL, TOTAL, None)
    assert compared.by_component == SMALL.parameters_by_component
    assert compared.architecture == SMALL


@pytest.mark.parametrize("method", ["awq", "never_heard_of", "fp8"])
def test_a_method_without_packed_tensors_changes_nothing(method: str) -> None:
    assert compare(llama_tensors(SMALL), method=method).status is Status.RECONCILED
    assert compare({**llama_tensors(SMALL), "model.novelty.weight": (3,)}, method=method).status is Status.UNRECONCILED


# ----------------------------------------------------------------------- equal counts, other shapes


def test_heads_that_only_add_up_are_not_reconciled() -> None:
    # 4 heads and 2 for K and V take 64 x (64 + 32 + 32 + 64); 3 and 3 of 16 take 64 x 4 x 48: the same.
    other = small_llama(num_attention_heads=3, num_key_value_heads=3, head_dim=16)
    assert other.parameters == SMALL.parameters
    compared = reconcile(checkpoint_of(llama_tensors(SMALL)), other)
    assert compared.status is Status.UNRECONCILED
    assert (compared.differences, compared.difference) == ({}, 0)
    assert compared.strangers[0] == "model.layers.0.self_attn.q_proj.weight (64, 64)"


@pytest.mark.parametrize("shape", [(97, 64), (48, 128), (192, 32), (6144,)])
def test_a_matrix_of_another_shape_is_not_reconciled(shape: tuple[int, ...]) -> None:
    shapes = {**llama_tensors(SMALL), "model.layers.1.mlp.up_proj.weight": shape}
    if shape[0] == 97:  # what one has more, another has less
        shapes["model.layers.0.mlp.up_proj.weight"] = (95, 64)
    compared = compare(shapes)
    assert (compared.status is Status.UNRECONCILED) == (len(shape) == 2)


@pytest.mark.parametrize(
    ("fused", "parts"),
    [("self_attn.qkv_proj", ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")), ("mlp.gate_up_proj", ())],
)
def test_matrices_may_be_joined_and_turned(fused: str, parts: tuple[str, ...]) -> None:
    shapes = dict(llama_tensors(SMALL))
    for layer in range(2):
        names = [f"model.layers.{layer}.{part}.weight" for part in parts or ("mlp.gate_proj", "mlp.up_proj")]
        rows = sum(shapes.pop(name)[0] for name in names)
        shapes[f"model.layers.{layer}.{fused}.weight"] = (rows, 64) if layer else (64, rows)
    assert compare(shapes).status is Status.RECONCILED


def test_an_unknown_model_type_has_what_is_stored_and_no_architecture() -> None:
    compared = compare(llama_tensors(SMALL), None)
    assert compared.status is Status.UNKNOWN_ARCHITECTURE
    assert (compared.total, compared.derived, compared.difference) == (TOTAL, None, None)
    assert compared.architecture is None
    assert sum(compared.by_component.values()) == TOTAL


# --------------------------------------------------------------------------------------- towers

TOWERS: Shapes = {
    "vision_tower.encoder.layers.0.self_attn.q_proj.weight": (10, 10),
    "vision_tower.encoder.layers.0.mlp.fc1.weight": (20, 10),
    "audio_tower.conv1.weight": (4, 3, 2),
    "multi_modal_projector.linear.weight": (64, 10),
}


def test_towers_are_accounted_for_one_by_one() -> None:
    compared = compare({**llama_tensors(SMALL, prefix="language_model.model."), **TOWERS})
    assert_consistent(compared)
    assert compared.status is Status.RECONCILED
    assert compared.scope == "text"
    assert {item.what: (item.parameters, item.tensors) for item in compared.accounted} == {
        "vision tower": (300, 2),
        "audio tower": (24, 1),
        "projector": (640, 1),
    }
    assert (compared.total, compared.derived) == (TOTAL + 964, TOTAL)
    assert compared.by_component[Component.VISION] == 300


def test_a_tower_does_not_excuse_a_difference_in_the_text_model() -> None:
    shapes = {**llama_tensors(SMALL, prefix="language_model.model."), **TOWERS}
    del shapes["language_model.model.norm.weight"]
    compared = compare(shapes)
    assert compared.status is Status.UNRECONCILED
    assert compared.differences == {Component.NORM: -64}


def test_towers_of_a_quantized_model_count_as_stored() -> None:
    shapes = {**llama_tensors(SMALL, prefix="language_model.model."), **TOWERS}
    compared = compare(shapes, dtypes={"language_model.model.layers.0.mlp.up_proj.weight": "I32"}, method="awq")
    assert compared.status is Status.QUANTIZED
    assert compared.total == TOTAL + 964
    assert sum(compared.by_component.values()) == compared.total


def test_blocks_for_multi_token_prediction_are_accounted_for_and_not_loaded() -> None:
    """Layers behind the last one, as DeepSeek-V3 and GLM-4.5 publish them."""
    extra = {f"model.layers.{SMALL.num_hidden_layers}.eh_proj.weight": (64, 128), "mtp.norm.weight": (64,)}
    checkpoint = checkpoint_of({**llama_tensors(SMALL), **extra})
    compared = reconcile(checkpoint, SMALL)
    assert compared.status is Status.RECONCILED
    assert compared.total == SMALL.parameters + 64 * 128 + 64
    assert compared.by_component[Component.MTP] == 64 * 128 + 64
    (item,) = compared.accounted
    assert (item.parameters, item.tensors, item.is_loaded) == (64 * 128 + 64, 2, False)
    assert compared.loaded_parameters == SMALL.parameters
