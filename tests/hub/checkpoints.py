"""Safetensors checkpoints of any size as a few kilobytes: true headers, zeros for tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import prod

from .content import HubFile

Tensors = Mapping[str, tuple[str, Sequence[int]]]
"""Tensor name -> (dtype, shape)."""

_BITS = {
    **dict.fromkeys(("F4",), 4),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 8),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 16),
    **dict.fromkeys(("U32", "I32", "F32"), 32),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 64),
}


def safetensors_file(tensors: Tensors, metadata: Mapping[str, str] | None = None) -> HubFile:
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    offset = 0
    for name, (dtype, shape) in tensors.items():
        end = offset + _BITS[dtype] * prod(shape) // 8
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    # The format's writer pads with spaces, so that the data is aligned.
    text += b" " * (-len(text) % 8)
    data = len(text).to_bytes(8, "little") + text
    return HubFile(data, size_bytes=len(data) + offset)


def sharded_checkpoint(shards: Sequence[Tensors]) -> dict[str, HubFile]:
    """model-00001-of-0000N.safetensors for each of `shards`, and their index."""
    files: dict[str, HubFile] = {}
    weight_map: dict[str, str] = {}
    total = 0
    for number, tensors in enumerate(shards, start=1):
        name = f"model-{number:05}-of-{len(shards):05}.safetensors"
        files[name] = safetensors_file(tensors, {"format": "pt"})
        weight_map |= dict.fromkeys(tensors, name)
        total += files[name].size - len(files[name].data)
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    files["model.safetensors.index.json"] = HubFile(json.dumps(index, indent=2).encode())
    return files
