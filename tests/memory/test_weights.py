"""Weights as stored, and as they would be deployed."""

from __future__ import annotations

import pytest

from hubvram.architecture.reconcile import reconcile
from hubvram.memory.estimate import Basis
from hubvram.memory.weights import STORED, NoWeights, Weights, deployed_weights, stored_compute_dtype, stored_weights
from tests.samples import checkpoint_of, declared, fixture_model, llama_tensors, small_llama

SMALL = small_llama()
MASK = "model.layers.0.attn.bias"


def deployed(precision: str, *, compute_dtype: str | None = "bf16") -> Weights:
    checkpoint = checkpoint_of(llama_tensors(SMALL))
    compared = reconcile(checkpoint, SMALL)
    weights = deployed_weights(precision, compared, checkpoint, compute_dtype)
    assert isinstance(weights, Weights)
    return weights


def test_stored_weights_are_read() -> None:
    checkpoint = checkpoint_of(llama_tensors(SMALL))
    weights = stored_weights(checkpoint, reconcile(checkpoint, SMALL), None)
    assert weights.precision == STORED
    assert (weights.scheme, weights.compute_dtype) == ("bf16", "bf16")
    assert weights.component.basis is Basis.READ
    assert weights.component.size_bytes == weights.nominal_bytes == 2 * SMALL.parameters
    assert weights.component.note == ""


def test_what_is_not_kept_is_named() -> None:
    checkpoint = checkpoint_of({**llama_tensors(SMALL), MASK: (1, 1, 512, 512)}, {MASK: "U8"})
    weights = stored_weights(checkpoint, reconcile(checkpoint, SMALL), None)
    assert weights.component.size_bytes == 2 * SMALL.parameters
    assert weights.component.note == "without causal masks, 0.2 MiB"


def test_several_stored_types() -> None:
    checkpoint = checkpoint_of(llama_tensors(SMALL), {"lm_head.weight": "F32"})
    weights = stored_weights(checkpoint, reconcile(checkpoint, SMALL), None)
    # Most bytes are bf16: that is what the model computes in.
    assert (weights.scheme, weights.compute_dtype) == ("bf16+fp32", "bf16")
    assert weights.component.size_bytes == 2 * SMALL.parameters + 2 * 6400


def test_packed_weights_compute_in_what_stands_beside_them() -> None:
    packed = {name: "I32" for name in llama_tensors(SMALL) if "_proj" in name}
    checkpoint = checkpoint_of(llama_tensors(SMALL), packed | {"lm_head.weight": "F16"})
    assert stored_compute_dtype(checkpoint) == "bf16"
    weights = stored_weights(checkpoint, reconcile(checkpoint, SMALL, declared=declared("gptq")), None)
    assert weights.nominal_bytes is None, "no precision is nominal for packed tensors"
    assert weights.component.size_bytes == checkpoint.stored_bytes


def test_a_checkpoint_of_integers_computes_in_nothing_known() -> None:
    names = llama_tensors(SMALL)
    assert stored_compute_dtype(checkpoint_of(names, dict.fromkeys(names, "I8"))) is None


@pytest.mark.parametrize(
    ("precision", "nominal"), [("fp32", 4.0), ("fp16", 2.0), ("bf16", 2.0), ("fp8", 1.0), ("int8", 1.0), ("int4", 0.5)]
)
def test_nominal_bytes(precision: str, nominal: float) -> None:
    assert deployed(precision).nominal_bytes == SMALL.parameters * nominal


@pytest.mark.parametrize(
    ("precision", "compute_dtype", "expected"),
    [
        ("fp32", "bf16", "fp32"),
        ("fp16", "bf16", "fp16"),
        ("bf16", "fp16", "bf16"),
        # What stays in 16 bit is bf16, unless the files are fp16.
        ("int4", "bf16", "bf16"),
        ("int4", "fp16", "fp16"),
        ("int8", "fp32", "bf16"),
        ("fp8", None, "bf16"),
    ],
)
def test_what_a_deployed_model_computes_in(precision: str, compute_dtype: str | None, expected: str) -> None:
    assert deployed(precision, compute_dtype=compute_dtype).compute_dtype == expected


def test_without_an_architecture_matrices_are_told_by_name_and_shape() -> None:
    checkpoint = checkpoint_of(llama_tensors(SMALL))
    unknown = reconcile(checkpoint, None)
    for precision in ("fp32", "bf16", "fp8", "int8", "int4"):
        weights = deployed_weights(precision, unknown, checkpoint, "bf16")
        assert isinstance(weights, Weights)
        # Of a llama, the names tell everything that the architecture does.
        assert weights.component.size_bytes == deployed(precision).component.size_bytes
        assert weights.component.basis is Basis.DERIVED
        assert ("names and shapes" in weights.component.note) == (precision in ("fp8", "int8", "int4"))


def test_a_config_that_the_files_do_not_bear_out_is_not_believed() -> None:
    """Half of the layers are missing: what is stored decides, and nothing is subtracted from it."""
    stored = {name: shape for name, shape in llama_tensors(SMALL).items() if ".layers.1." not in name}
    checkpoint = checkpoint_of(stored)
    compared = reconcile(checkpoint, SMALL)
    as_if_unknown = reconcile(checkpoint, None)
    for precision in ("bf16", "int8", "int4"):
        weights = deployed_weights(precision, compared, checkpoint, "bf16")
        by_shape = deployed_weights(precision, as_if_unknown, checkpoint, "bf16")
        assert isinstance(weights, Weights) and isinstance(by_shape, Weights)
        assert 0 < weights.component.size_bytes == by_shape.component.size_bytes < 2 * compared.total + 1


def test_a_checkpoint_of_integers_computes_in_what_its_config_says() -> None:
    names = llama_tensors(SMALL)
    checkpoint = checkpoint_of(names, dict.fromkeys(names, "I8"))
    compared = reconcile(checkpoint, SMALL, declared=declared("gptq"))
    assert stored_weights(checkpoint, compared, "fp16").compute_dtype == "fp16"


def test_without_headers_only_plain_precisions_are_known() -> None:
    checkpoint = checkpoint_of(llama_tensors(SMALL))
    unknown = reconcile(checkpoint, None)
    plain = deployed_weights("fp32", unknown, None, "bf16")
    assert isinstance(plain, Weights)
    assert plain.component.size_bytes == 4 * SMALL.parameters
    assert isinstance(deployed_weights("int4", unknown, None, "bf16"), NoWeights)


def test_packed_in_an_unknown_way_there_is_no_figure_without_an_architecture() -> None:
    names = llama_tensors(SMALL)
    checkpoint = checkpoint_of(names, dict.fromkeys(names, "I32"))
    unknown = reconcile(checkpoint, None)
    for precision in ("bf16", "int4"):
        found = deployed_weights(precision, unknown, checkpoint, "bf16")
        assert isinstance(found, NoWeights) and "packed in a way that is not known" in found.reason


def test_what_is_packed_without_showing_its_shape_is_not_packed_again() -> None:
    """bitsandbytes in 4 bit: the number of weights is known, the rows and columns are not."""
    module = "model.layers.0.mlp.up_proj.weight"
    shapes = {module: (64 * 64 // 2, 1), f"{module}.absmax": (64,), f"{module}.quant_map": (16,)}
    shapes[f"{module}.quant_state.bitsandbytes__nf4"] = (80,)
    types = dict.fromkeys((module, f"{module}.quant_state.bitsandbytes__nf4"), "U8")
    checkpoint = checkpoint_of(shapes, types | dict.fromkeys((f"{module}.absmax", f"{module}.quant_map"), "F32"))
    unknown = reconcile(checkpoint, None)
    assert unknown.total == 64 * 64
    plain = deployed_weights("bf16", unknown, checkpoint, "bf16")
    assert isinstance(plain, Weights) and plain.component.size_bytes == 2 * 64 * 64
    assert isinstance(deployed_weights("int4", unknown, checkpoint, "bf16"), NoWeights)


def test_llama_70b_nominally() -> None:
    model = fixture_model("meta-llama--Llama-3.1-70B")
    nominal = {}
    for precision in ("fp32", "fp16", "int8", "int4"):
        weights = deployed_weights(precision, model.reconciliation, model.checkpoint, model.stored.compute_dtype)
        assert isinstance(weights, Weights)
        nominal[precision] = weights.nominal_bytes
    assert nominal == {
        "fp32": 282_214_825_984,
        "fp16": 141_107_412_992,
        "int8": 70_553_706_496,
        "int4": 35_276_853_248,
    }
