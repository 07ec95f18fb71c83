"""Verdicts: by the high end of the range, and none where something is unknown."""

from __future__ import annotations

import pytest

from hubvram.hardware.accelerators import limit
from hubvram.hardware.fit import fit
from hubvram.memory.cached import Cached
from hubvram.memory.estimate import Basis, Instant, MemoryComponent, MemoryEstimate

PREFILL = Instant(name="prefill", cached=Cached(kv_cache_bytes=0, state_bytes=0), held=(), explanation="")


def estimate(*, is_complete: bool) -> MemoryEstimate:
    """900 bytes, of which 100 may be 50 to 200."""
    return MemoryEstimate(
        precision="bf16",
        scheme="bf16",
        scheme_description="",
        compute_dtype="bf16",
        kv_cache_dtype="bf16",
        nominal_weight_bytes=800,
        components=(
            MemoryComponent(name="weights", size_bytes=800, basis=Basis.READ, low_bytes=800, high_bytes=800),
            MemoryComponent(name="runtime", size_bytes=100, basis=Basis.ASSUMED, low_bytes=50, high_bytes=200),
        ),
        instants=(PREFILL,) if is_complete else (),
    )


@pytest.mark.parametrize(
    ("usable_bytes", "fits", "headroom_bytes"), [(999, False, -1), (1000, True, 0), (1001, True, 1), (950, False, -50)]
)
def test_the_high_end_decides(usable_bytes: int, fits: bool, headroom_bytes: int) -> None:
    found = fit(estimate(is_complete=True), limit(usable_bytes, "limit"))
    assert (found.fits, found.headroom_bytes) == (fits, headroom_bytes)
    assert found.accelerator.usable_bytes == usable_bytes


def test_each_accelerator_has_its_own_runtime() -> None:
    # 800 of weights, and 150 instead of 200 at most.
    runtime = MemoryComponent(name="runtime", size_bytes=100, basis=Basis.ASSUMED, low_bytes=50, high_bytes=150)
    assert fit(estimate(is_complete=True), limit(1000, "limit"), runtime).headroom_bytes == 50


@pytest.mark.parametrize(("usable_bytes", "fits"), [(999, False), (1000, None), (10**12, None)])
def test_an_unknown_cache_may_not_fit(usable_bytes: int, fits: bool | None) -> None:
    """Weights that do not fit alone are a no; weights that do are no yes."""
    assert fit(estimate(is_complete=False), limit(usable_bytes, "limit")).fits is fits
