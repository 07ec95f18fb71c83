"""Whether an estimate fits an accelerator: by the high end of its range, so that a yes is a yes."""

from __future__ import annotations

from dataclasses import dataclass

from hubvram.hardware.accelerators import Accelerator
from hubvram.memory.estimate import MemoryComponent, MemoryEstimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """The verdict for one accelerator; `fits` is None where what is known would fit and the rest is in doubt."""

    accelerator: Accelerator
    fits: bool | None
    headroom_bytes: int
    """What remains, at the high end of the range; negative is what is missing."""


def fit(estimate: MemoryEstimate, accelerator: Accelerator, runtime: MemoryComponent | None = None) -> Fit:
    """Compare the high end of the estimate with what can be allocated; `runtime` is that of this accelerator, where the
    estimate has another's."""
    headroom = accelerator.usable_bytes - estimate.total_high_bytes
    if runtime is not None:
        headroom -= runtime.high_bytes - sum(c.high_bytes for c in estimate.components if c.name == runtime.name)
    fits: bool | None = headroom >= 0
    if headroom >= 0 and not (estimate.is_complete and estimate.is_grounded):
        fits = None
    return Fit(accelerator=accelerator, fits=fits, headroom_bytes=headroom)
