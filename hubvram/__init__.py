"""hubvram: what is inside a model on the Hugging Face Hub, and how much GPU memory it takes, before a download.

>>> import hubvram
>>> found = hubvram.inspect("meta-llama/Llama-3.1-70B", precisions=["int4"])  # doctest: +SKIP
>>> found.model.reconciliation.total  # doctest: +SKIP
70553706496
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hubvram._version import __version__

if TYPE_CHECKING:
    from hubvram.auditing import Audited, audit
    from hubvram.errors import HubvramError, ModelUnreadableError, UsageError
    from hubvram.inspection import Headers, Inspection, Model, inspect
    from hubvram.memory.estimate import MemoryEstimate
    from hubvram.memory.workload import Attention, Workload

__all__ = [
    "Attention",
    "Audited",
    "Headers",
    "HubvramError",
    "Inspection",
    "MemoryEstimate",
    "Model",
    "ModelUnreadableError",
    "UsageError",
    "Workload",
    "__version__",
    "audit",
    "inspect",
]

_HOMES = {
    "Attention": "hubvram.memory.workload",
    "Audited": "hubvram.auditing",
    "Headers": "hubvram.inspection",
    "HubvramError": "hubvram.errors",
    "Inspection": "hubvram.inspection",
    "MemoryEstimate": "hubvram.memory.estimate",
    "Model": "hubvram.inspection",
    "ModelUnreadableError": "hubvram.errors",
    "UsageError": "hubvram.errors",
    "Workload": "hubvram.memory.workload",
    "audit": "hubvram.auditing",
    "inspect": "hubvram.inspection",
}


def __getattr__(name: str) -> Any:
    # Public names load on first use, so that `hubvram --help` does not pay for an inspection.
    if name not in _HOMES:
        raise AttributeError(f"module 'hubvram' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
