"""Tensors that nobody packed, under the names of packed ones: nothing breaks, and nothing is lost."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from hubvram.architecture.reconcile import reconcile
from hubvram.checkpoint.packed.table import LAYOUTS
from hubvram.checkpoint.packed.unpack import unpack
from hubvram.checkpoint.tensors import Checkpoint, Kind, TensorInfo
from hubvram.config.quantization import Group
from hubvram.dtypes import SAFETENSORS_BITS
from hubvram.errors import ConfigError
from hubvram.inspection import Model, read_model
from hubvram.inspection.quantization import facts_of, quantization_notes
from hubvram.inspection.understanding import understand
from tests.quantized import SampleSource, samples
from tests.samples import SMALL_LLAMA, config_of, declared, small_llama

ENDINGS = sorted({ending for layout in LAYOUTS for ending in (layout.ending, *layout.needs, *layout.extras)})
MODULES = ("model.layers.0.mlp.up_proj", "model.layers.1.mlp.up_proj", "model.layers.0.mlp.experts.gate_up", "lm_head")
SIZES = st.sampled_from((0, 1, 2, 3, 8, 16, 32, 64, 128, 2**48)) | st.integers(0, 2**48)
SHAPES = st.lists(SIZES, max_size=5).map(tuple)
GROUPS = st.builds(
    Group,
    bits=st.none() | st.sampled_from((1, 2, 3, 4, 8, 2.5, 33, 64)),
    group_size=st.none() | st.integers(1, 2**48),
)


@st.composite
def checkpoints(draw: st.DrawFn) -> Checkpoint:
    """Some layout's tensors, in its types, with shapes of any kind; and others."""
    found: dict[str, TensorInfo] = {}

    def add(name: str, dtypes: tuple[str, ...]) -> None:
        dtype = draw(st.sampled_from(dtypes))
        found[name] = TensorInfo(
            name=name, dtype=dtype, shape=draw(SHAPES), stored_bytes=draw(st.integers(0, 99)), file=""
        )

    for module in draw(st.lists(st.sampled_from(MODULES), min_size=1, max_size=3, unique=True)):
        layout = draw(st.sampled_from(LAYOUTS))
        add(module + layout.ending, layout.dtypes)
        for ending in (*layout.needs, *draw(st.lists(st.sampled_from(ENDINGS), max_size=3))):
            add(
                module + ending,
                ("F32", "BF16", "U8", "F8_E4M3", "F8_E8M0", "I32", draw(st.sampled_from(sorted(SAFETENSORS_BITS)))),
            )
    return Checkpoint(tensors=tuple(found.values()), files=("model.safetensors",))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(samples())), st.data())
def test_what_a_tool_wrote_with_a_few_tensors_changed(name: str, data: st.DataObject) -> None:
    tensors = dict(samples()[name].tensors)
    for changed in data.draw(st.lists(st.sampled_from(sorted(tensors)), min_size=1, max_size=3, unique=True)):
        dtype, shape = tensors.pop(changed)
        match data.draw(st.sampled_from(("dropped", "dtype", "shape", "rank", "renamed"))):
            case "dtype":
                tensors[changed] = data.draw(st.sampled_from(sorted(SAFETENSORS_BITS))), (*shape, 4)
            case "shape":
                tensors[changed] = dtype, tuple(data.draw(st.sampled_from((0, 1, size, size + 8))) for size in shape)
            case "rank":
                tensors[changed] = dtype, data.draw(st.sampled_from((shape[1:], (*shape, 1), (1, *shape))))
            case "renamed":
                tensors[changed + data.draw(st.sampled_from(ENDINGS))] = dtype, shape
    model = read_model(SampleSource(replace(samples()[name], tensors=tensors)))
    compared = model.reconciliation
    assert compared.total == sum(compared.by_component.values())
    assert sum(compared.packed_by_component.values()) <= sum(k.parameters for k in _all(model))


def _all(model: Model) -> Sequence[Kind]:
    assert model.reconciliation.unpacked is not None
    return model.reconciliation.unpacked.parameters


@settings(max_examples=400, deadline=None)
@given(checkpoints(), st.lists(GROUPS, max_size=3))
def test_nothing_breaks(checkpoint: Checkpoint, groups: list[Group]) -> None:
    stated = declared("gptq", *groups)
    found = unpack(checkpoint.kinds, stated)
    sorted_out = [*found.parameters, *found.scales, *found.cache_scales]
    members = [tensor.name for kind in sorted_out for tensor in kind.members]
    assert sorted(members) == sorted(tensor.name for tensor in checkpoint.tensors), "each tensor is one thing"
    assert all(kind.padding >= 0 and kind.parameters >= 0 for kind in found.parameters)
    compared = reconcile(checkpoint, small_llama(), declared=stated)
    facts = facts_of(stated, compared, checkpoint.stored_bytes)
    assert list(quantization_notes(facts, compared.status)) is not None
    config = {**SMALL_LLAMA, "model_type": "never_heard_of", "quantization_config": {"quant_method": "gptq"}}
    with suppress(ConfigError):
        understand(config_of(config), checkpoint)
