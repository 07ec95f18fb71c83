"""What is alive while a model is loaded: storages that operations make, and tensors that are read, over all threads.

On a CPU a tensor that is read lies in the mapped file. To count as a GPU would, each is copied as it is read.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves


class Watch(TorchDispatchMode):  # type: ignore[misc]  # torch is not there for the type checker
    """Counts storages from their first sight to their end."""

    def __init__(self, *, on_device: bool) -> None:
        super().__init__()
        self.total_bytes = 0
        self.peak_bytes = 0
        self.on_device = on_device
        self._alive: dict[int, int] = {}
        self._mapped: set[int] = set()
        self._lock = threading.RLock()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.index.Tensor:
            self._see_indices(args[1], result)
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self.see(leaf)
        return result

    def read(self, tensor: Any, device: Any = None, dtype: Any = None) -> Any:
        """In the place of transformers' `_materialize_copy`: a slice of a file becomes a tensor."""
        with _disable_current_modes():
            mapped = tensor[...]
            self._see_mapped(mapped)
            dtype = mapped.dtype if dtype is None else dtype
            found = torch.empty(mapped.shape, dtype=dtype).copy_(mapped) if self.on_device else mapped.to(dtype=dtype)
        self.see(found)
        return found

    def forget_peak(self) -> int:
        """The peak so far; the next one counts from now."""
        peak, self.peak_bytes = self.peak_bytes, self.total_bytes
        return peak

    def _see_indices(self, indices: Any, result: Any) -> None:
        """What the kernel makes of indices of 32 bit, within itself: copies of 64 (TensorAdvancedIndexing.cpp)."""
        wide = sum(8 * index.numel() for index in indices if index is not None and index.dtype == torch.int32)
        with self._lock:
            self.peak_bytes = max(self.peak_bytes, self.total_bytes + wide + result.untyped_storage().nbytes())

    def see(self, tensor: Any) -> None:
        if tensor.is_meta:
            return
        storage = tensor.untyped_storage()
        key, size_bytes = storage._cdata, storage.nbytes()
        with self._lock:
            if key in self._alive or key in self._mapped or not size_bytes:
                return
            self._alive[key] = size_bytes
            self.total_bytes += size_bytes
            self.peak_bytes = max(self.peak_bytes, self.total_bytes)
            weakref.finalize(storage, self._forget, key)

    def _see_mapped(self, tensor: Any) -> None:
        storage = tensor.untyped_storage()
        with self._lock:
            self._mapped.add(storage._cdata)
            weakref.finalize(storage, self._mapped.discard, storage._cdata)

    def _forget(self, key: int) -> None:
        with self._lock:
            self.total_bytes -= self._alive.pop(key)
