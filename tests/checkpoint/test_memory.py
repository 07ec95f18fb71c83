"""Parsing never builds the tree of a header's JSON: what it takes per tensor, measured in a process of its own.

What it takes grows with the tensors: 100,000 stand for the million that fit into the longest header.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

# Peak of all that Python allocates while it parses, per tensor. A name of 33 characters takes 82 bytes, a tuple of
# five 80, its places in a tuple and in the set of names about 60.
MEASURE = """
import tracemalloc
from hubvram.checkpoint.safetensors import parse_header

parse_header(b'{}', data_bytes=0, file='')
entry = '"layers.%d.experts.%05d.up.weight":{"dtype":"BF16","shape":[8,4],"data_offsets":[%d,%d]}'
tensors = (entry % (i % 61, i // 61, 64 * i, 64 * i + 64) for i in range(TENSORS))
text = ('{"__metadata__":{"format":"pt"},' + SEPARATOR.join(tensors) + '}').encode()
tracemalloc.start()
header = parse_header(text, data_bytes=64 * TENSORS, file='model.safetensors')
assert len(header.tensors) == TENSORS
print(tracemalloc.get_traced_memory()[1] / TENSORS)
"""


def bytes_per_tensor(tensors: int, separator: str) -> float:
    code = MEASURE.replace("TENSORS", str(tensors)).replace("SEPARATOR", repr(separator))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


@pytest.mark.parametrize(
    ("tensors", "separator", "bound"), [(100_000, ",", 260), (20_000, ", ", 530)], ids=["as written", "otherwise"]
)
def test_memory_per_tensor(tensors: int, separator: str, bound: int) -> None:
    """The tree of the JSON takes 628 bytes a tensor, before any of them is made."""
    assert bytes_per_tensor(tensors, separator) < bound
