"""What a repo stores by the Hub's own count: elements of each dtype, and the sizes of the files that hold them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hubvram.checkpoint.files import file_bytes
from hubvram.checkpoint.tensors import DtypeTotal
from hubvram.dtypes import COMPUTE_DTYPES, SAFETENSORS_BITS
from hubvram.sources.interface import ModelSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Elements by the Hub's count of its main branch, files by the listing; no header was read."""

    files: tuple[str, ...]
    file_bytes: int | None
    elements_by_dtype: Mapping[str, int]

    @property
    def elements(self) -> int:
        return sum(self.elements_by_dtype.values())

    @property
    def is_plain(self) -> bool:
        """Whether all of it is stored in types that a model computes in: nothing packed, no masks."""
        return self.elements_by_dtype.keys() <= COMPUTE_DTYPES.keys()

    @property
    def header_bytes(self) -> int | None:
        """What the files hold beside the data that the totals make."""
        return None if self.file_bytes is None else self.file_bytes - self._data_bytes

    @property
    def overcounts(self) -> bool:
        """Whether the totals are more than the files hold: of packed weights the Hub may count what they stand for."""
        return self.header_bytes is not None and self.header_bytes < 0

    @property
    def stored_bytes(self) -> int:
        """Bytes of tensor data, never more than there are in the files."""
        return self.file_bytes if self.overcounts and self.file_bytes is not None else self._data_bytes

    @property
    def _data_bytes(self) -> int:
        return sum(total.stored_bytes for total in self.by_dtype().values())

    def by_dtype(self) -> dict[str, DtypeTotal]:
        """Dtype -> what is stored in it, largest first; without dtypes whose size is not known."""
        found = {
            dtype: DtypeTotal(elements=elements, stored_bytes=elements * SAFETENSORS_BITS[dtype] // 8)
            for dtype, elements in self.elements_by_dtype.items()
            if dtype in SAFETENSORS_BITS
        }
        return dict(sorted(found.items(), key=lambda item: (-item[1].stored_bytes, item[0])))


def totals_of(source: ModelSource, files: tuple[str, ...]) -> Totals | None:
    """What the Hub says of `files`; None where it says nothing."""
    summary = source.summary
    if summary is None or not any(summary.elements_by_dtype.values()):
        return None
    return Totals(files=files, file_bytes=file_bytes(source, files), elements_by_dtype=summary.elements_by_dtype)
