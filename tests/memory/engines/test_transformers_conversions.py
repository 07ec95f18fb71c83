"""The table of conversions against transformers' own, source by source: what is made anew, and what is a view."""

from __future__ import annotations

from typing import Any

import pytest

from hubvram.memory.engines.transformers_conversions import Conversion, conversions_of

AS = {
    # Classes that are parts of a model, or whose model type is another.
    "Molmo2TextModel": "molmo2",
    "step3p5_vision": "step3p7",
    "Dots3NoteTextModel": "dots3_note_text",
    "UnlimitedOcrTextModel": "unlimited_ocr",
}
VIEWS = ("Chunk", "Split")
"""Of the first dimension: `torch.chunk(...).contiguous()` is then the same memory."""


def matching(model_type: str, name: str) -> list[Conversion]:
    return [conversion for conversion in conversions_of((model_type, None)) if conversion.key(name) is not None]


def name_of(pattern: str) -> str:
    """A name that a source pattern is meant for."""
    name = pattern.replace("\\.", ".").replace("*", "7")
    name = (
        name
        if name.endswith(("weight", "weight_1", "bias", "scale", "_projs", "proj", "embedding"))
        else f"{name.rstrip('.')}.weight"
    )
    return f"model.vision_encoder.layers.3.{name.lstrip('.')}"


def is_view(operations: list[Any]) -> bool:
    return all(type(operation).__name__ in VIEWS and operation.dim == 0 for operation in operations)


def test_every_source_that_is_made_anew_is_in_the_table_and_no_view_is() -> None:
    mapping = pytest.importorskip("transformers.conversion_mapping")
    core = pytest.importorskip("transformers.core_model_loading")
    seen = 0
    for name, transforms in mapping._build_checkpoint_conversion_mapping().items():
        for transform in transforms:
            if not isinstance(transform, core.WeightConverter) or transform.force_cpu:
                continue
            for tensor in map(name_of, transform._original_source_patterns):
                found = matching(AS.get(name, name), tensor)
                assert len(found) == (0 if is_view(transform.operations) else 1), (name, tensor)
                seen += 1
    assert seen > 150


def test_sources_of_one_tensor_have_one_key_and_others_another() -> None:
    mapping = pytest.importorskip("transformers.conversion_mapping")
    core = pytest.importorskip("transformers.core_model_loading")
    for name, transforms in mapping._build_checkpoint_conversion_mapping().items():
        keys: dict[str, int] = {}
        for number, transform in enumerate(transforms):
            if not isinstance(transform, core.WeightConverter) or is_view(transform.operations) or transform.force_cpu:
                continue
            for source in transform._original_source_patterns:
                tensor = name_of(source)
                for conversion in matching(AS.get(name, name), tensor):
                    key = conversion.key(tensor)
                    assert key is not None
                    assert keys.setdefault(key, number) == number, (name, source)


@pytest.mark.parametrize(
    ("names", "is_one"),
    [
        (("model.layers.0.mlp.experts.0.gate_proj.weight", "model.layers.0.mlp.experts.9.up_proj.weight"), True),
        (("model.layers.0.mlp.experts.0.gate_proj.weight", "model.layers.1.mlp.experts.0.gate_proj.weight"), False),
        (("model.layers.0.mlp.experts.0.gate_proj.weight", "model.layers.0.mlp.experts.0.down_proj.weight"), False),
        (("a.block_sparse_moe.experts.0.w1.weight", "a.block_sparse_moe.experts.7.w3.weight"), True),
        (("a.mlp.experts.0.w1.weight", "a.mlp.experts.0.w1.weight_scale_inv"), False),
    ],
)
def test_which_experts_are_joined(names: tuple[str, str], *, is_one: bool) -> None:
    first, second = ({conversion.key(name) for conversion in conversions_of(("mixtral", None))} for name in names)
    assert (first - {None} == second - {None}) == is_one


@pytest.mark.parametrize(
    "name",
    ["model.layers.0.mlp.experts.gate_up_proj", "model.layers.0.mlp.shared_expert.up_proj.weight", "model.norm.weight"],
)
def test_what_is_left_alone(name: str) -> None:
    assert not matching("qwen3_moe", name)


def test_code_of_a_repo_converts_nothing() -> None:
    assert conversions_of(("some_model_of_somebody", None)) == ()
    assert conversions_of((None, None)) == ()
    assert conversions_of(("some_model_of_somebody", "qwen3_moe")) != ()
