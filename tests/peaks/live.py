"""What a forward pass of a real class keeps alive: every storage, where it was made, and all of them at the peak.

Bytes are counted at the level of dispatched operations: what a kernel allocates and frees within itself is not seen,
for it differs between devices and builds; but for copies that are made on all of them, where these are asked for.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_MASKABLE = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One storage: its size, and what made it."""

    storage_bytes: int
    made_by: str


@dataclass(slots=True, kw_only=True)
class Peak:
    """The largest sum of live storages, and which those were."""

    total_bytes: int = 0
    held: tuple[Held, ...] = ()
    at: str = ""


class Live(TorchDispatchMode):  # type: ignore[misc]  # torch is not there for the type checker
    """Counts the storages that operations make while it is active."""

    def __init__(self, known: Iterable[Any] = (), *, explain: bool = False, sees_copies: bool = False) -> None:
        super().__init__()
        self.peak = Peak()
        self._sees_copies = sees_copies
        self._explain = explain
        self._alive: dict[int, Held] = {}
        self._known = {tensor.untyped_storage()._cdata for tensor in known}
        self._total = 0

    def start_with(self, tensors: Iterable[Any]) -> None:
        """Count these too, as long as they live."""
        for tensor in tensors:
            self._see(tensor, "before")

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is torch.ops.aten._safe_softmax.default:
            with self:
                return _safe_softmax(*args)
        if self._sees_copies and func in _ORDERING and not args[0].is_contiguous():
            with self:
                args = (args[0].contiguous(), *args[1:])
        result = func(*args, **(kwargs or {}))
        if func is _MASKABLE and (kwargs or {}).get("attn_mask") is not None:
            # A GPU's kernel that takes a mask makes no sums of rows beside, where nothing is to be learnt.
            self._see(result[0], func)
            return result
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self._see(leaf, func)
        return result

    def _see(self, tensor: Any, func: Any) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._known or key in self._alive or not storage.nbytes():
            return
        made_by = f"{func} {tuple(tensor.shape)} {tensor.dtype} at {_place()}" if self._explain else ""
        self._alive[key] = Held(storage_bytes=storage.nbytes(), made_by=made_by)
        self._total += storage.nbytes()
        weakref.finalize(storage, self._forget, key)
        if self._total > self.peak.total_bytes:
            self.peak.total_bytes = self._total
            if self._explain:
                self.peak.held, self.peak.at = tuple(self._alive.values()), made_by

    def _forget(self, key: int) -> None:
        held = self._alive.pop(key, None)
        if held is not None:
            self._total -= held.storage_bytes


_ORDERING = (torch.ops.aten.native_layer_norm.default, torch.ops.aten.convolution.default)
"""What copies its input into its own order within itself, on every device (ATen, layer_norm.cpp, Convolution.cpp)."""


def _safe_softmax(scores: Any, dim: int) -> Any:
    """As torch composes it, on every device, of operations that are not dispatched again (ATen, attention.cpp)."""
    result = torch.softmax(scores, dim)
    nothing = torch.isneginf(scores)
    rows = nothing.all(dim, keepdim=True)
    return result.masked_fill_(rows, 0.0)


def _place() -> str:
    """The innermost lines of transformers that run."""
    found: list[str] = []
    frame = sys._getframe(3)
    while frame is not None and len(found) < 3:
        name = frame.f_code.co_filename
        if "/transformers/" in name:
            found.append(f"{name.rsplit('/', 1)[1]}:{frame.f_lineno}")
        frame = frame.f_back  # type: ignore[assignment]
    return " < ".join(found)


def held_by(tensors: Iterable[Any]) -> int:
    """Bytes of their storages, each once."""
    storages = {tensor.untyped_storage()._cdata: tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(storages.values())
