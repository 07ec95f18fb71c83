"""What the GPU loses before the model has a byte."""

from __future__ import annotations

from hubvram.memory.estimate import Basis
from hubvram.memory.runtime import runtime_component


def test_without_a_gpu_in_mind_the_workspace_is_a_range() -> None:
    component = runtime_component()
    # 287,047,680 (lazy loading) and ":4096:2:16:8"; 666,632,192 (eager loading) and Hopper's 32 MiB; 426 MiB between.
    assert component.low_bytes == 287_047_680 + 8_519_680
    assert component.high_bytes == 666_632_192 + 33_554_432
    assert component.size_bytes == 446_693_376 + 33_554_432
    assert component.basis is Basis.ASSUMED
    assert component.note


def test_with_one_the_workspace_is_known() -> None:
    component = runtime_component(workspace_bytes=8_519_680)
    assert component.low_bytes == 287_047_680 + 8_519_680
    assert component.high_bytes == 666_632_192 + 8_519_680
    assert component.low_bytes < component.size_bytes < component.high_bytes
