"""What quantizers wrote (fixtures/quantized) is read as the model that they were given."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import prod
from typing import Any, Final

import pytest

from hubvram.architecture.reconcile import Status
from hubvram.checkpoint.logical import logical_tensors
from hubvram.checkpoint.packed.layout import Checked
from hubvram.checkpoint.tensors import Checkpoint
from hubvram.dtypes import COMPUTE_DTYPES, SAFETENSORS_BITS
from tests.quantized import sample_model, samples

NAMES: Final = tuple(samples())
WITHOUT_SHAPES: Final = ("bnb-nf4", "bnb-fp4", "bnb-old-nf4", "hqq", "quanto-int4", "quanto-int2", "ct-sparse-bitmask")
"""Their shapes are in the data."""


def checkpoint(name: str) -> Checkpoint:
    found = sample_model(name).checkpoint
    assert found is not None
    return found


def linear_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """Part of a name -> (out, in) by the classes of transformers, for the three model types of the samples."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    expert = config.get("moe_intermediate_size", inner)
    head_dim = config.get("head_dim") or hidden // config["num_attention_heads"]
    q, kv = head_dim * config["num_attention_heads"], head_dim * config["num_key_value_heads"]
    return {
        r"self_attn\.q_proj": (q, hidden),
        r"self_attn\.[kv]_proj": (kv, hidden),
        r"self_attn\.o_proj": (hidden, q),
        r"mlp\.(gate|up)_proj": (inner, hidden),
        r"mlp\.down_proj": (hidden, inner),
        r"experts\.\d+\.(w1|w3|gate_proj|up_proj)": (expert, hidden),
        r"experts\.\d+\.(w2|down_proj)": (hidden, expert),
    }


@pytest.mark.parametrize("name", NAMES)
def test_the_whole_model_reconciles(name: str) -> None:
    model = sample_model(name)
    compared, facts = model.reconciliation, model.quantization
    assert compared.status is Status.RECONCILED, (compared.differences, compared.strangers)
    assert compared.total == samples()[name].parameters
    assert sum(compared.by_component.values()) == compared.total
    assert facts is not None and facts.unknown_tensors == 0
    assert {layout.checked for layout in facts.layouts} == {Checked.WRITER}


@pytest.mark.parametrize("name", NAMES)
def test_every_linear_has_its_shape(name: str) -> None:
    settings = sample_model(name).quantization
    assert settings is not None
    found = dict(logical_tensors(checkpoint(name), settings.declared))
    shapes = linear_shapes(samples()[name].files["config.json"])
    known = 0
    for tensor, shape in found.items():
        expected = next((s for part, s in shapes.items() if re.search(rf"{part}\.weight$", tensor)), None)
        if expected is not None and shape is not None:
            known += 1
            assert shape == expected, tensor
    every = sum(bool(re.search(r"_proj\.weight$|\.w[123]\.weight$", tensor)) for tensor in found)
    assert every >= 14, "two layers of at least seven matrices"
    if not name.startswith((*WITHOUT_SHAPES, "ct-w4-chan")):
        assert known >= min(14, every)
    assert not any("scale" in tensor or tensor.endswith(("zeros", "g_idx", "absmax")) for tensor in found)


@pytest.mark.parametrize("name", NAMES)
def test_what_stays_in_16_bit_is_what_the_writer_left(name: str) -> None:
    """Matrices that are not packed, by name, and their bytes with those of norms and biases."""
    sample, model = samples()[name], sample_model(name)
    unpacked, facts = model.reconciliation.unpacked, model.quantization
    assert unpacked is not None and facts is not None and model.checkpoint is not None
    plain = [tensor for kind in unpacked.parameters if kind.layout is None for tensor in kind.members]
    matrices = {tensor.name.removesuffix(".weight") for tensor in plain if len(tensor.shape) == 2}
    assert matrices - {"model.embed_tokens"} == {kept for kept in sample.kept if kept != "model.embed_tokens"}
    assert all(tensor.dtype in COMPUTE_DTYPES for tensor in plain)
    plain_bytes = sum(prod(tensor.shape) * SAFETENSORS_BITS[tensor.dtype] // 8 for tensor in plain)
    cache_bytes = sum(kind.stored_bytes for kind in unpacked.cache_scales)
    assert facts.packed_bytes == model.checkpoint.stored_bytes - plain_bytes - cache_bytes
    assert facts.packed_parameters == sample.parameters - sum(prod(tensor.shape) for tensor in plain)


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        # 8 x (bytes of a 256 x 512 matrix) / (256 x 512), from the formats' own definitions.
        ("awq-gemm", 4 + (16 + 4) / 128),
        ("gptq-4b-g128", 4 + (16 + 4) / 128),  # and an index of 32 bits for each input, below
        ("ct-nvfp4a16", 4 + 8 / 16),
        ("ct-mxfp4a16", 4 + 8 / 32),
        ("ct-mxfp8", 8 + 8 / 32),
        ("bnb-nf4", 4 + 32 / 64),
        ("bnb-int8", 8),
        ("fp8-block", 8),
        ("hqq-old-4b-g64", 4 + 2 * 32 / 64),
    ],
)
def test_bits_per_packed_weight(name: str, bits: float) -> None:
    facts = sample_model(name).quantization
    assert facts is not None and facts.bits_per_packed_weight is not None
    # Matrices this small have up to a sixth of a bit more: indices, scales of rows, maps of values.
    assert bits <= facts.bits_per_packed_weight < bits + 0.17


def test_settings_are_needed_by_few() -> None:
    """Nearly all is in names and shapes."""
    needed = []
    for name in NAMES:
        facts = sample_model(name).quantization
        assert facts is not None
        shapes = dict(logical_tensors(checkpoint(name), facts.declared))
        if dict(logical_tensors(checkpoint(name), None)) != shapes:
            needed.append(name)
    packed_words = {name for name in NAMES if name.startswith(("ct-w3", "ct-w4"))}
    assert set(needed) == packed_words | {"hqq-old-4b-axis0"}
