"""Three functions of torch as a GPU computes them, while a class runs on the CPU: needs torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from unittest.mock import patch

import torch
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

_ATTENTION: Final = functional.scaled_dot_product_attention
_SOFTMAX: Final = functional.softmax


def _grouped(query: Any, key: Any, value: Any, attn_mask: Any = None, **options: Any) -> Any:
    """sdpa; with a mask beside groups of heads composed, for the GPU's kernels take only one of both (but cuDNN's,
    which torch 2.13 prefers on some GPUs alone; ATen, sdp_utils.cpp, can_use_mem_efficient_attention)."""
    if attn_mask is None or not options.get("enable_gqa"):
        return _ATTENTION(query, key, value, attn_mask=attn_mask, **options)
    with sdpa_kernel(SDPBackend.MATH):
        return _ATTENTION(query, key, value, attn_mask=attn_mask, **options)


def _attention(query: Any, key: Any, value: Any, attn_mask: Any = None, **options: Any) -> Any:
    """The same; where heads of V are of another size than those of K, as the GPU's kernel does it, without all
    scores."""
    if query.shape[-1] == value.shape[-1]:
        return _grouped(query, key, value, attn_mask=attn_mask, **options)
    batch, heads, tokens, _ = query.shape
    return query.new_zeros(batch, tokens, heads, value.shape[-1]).transpose(1, 2)


def _softmax(scores: Any, dim: Any = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """In fp32 from fp16, which is one kernel there, without a copy of the scores (ATen, SoftMax.cpp, softmax)."""
    if scores.dtype is torch.float16 and dtype is torch.float32:
        return scores.new_full(scores.shape, 1 / scores.shape[dim], dtype=torch.float32)
    return _SOFTMAX(scores, dim, _stacklevel, dtype)


def _rms_norm(features: Any, *sizes: Any, **options: Any) -> Any:
    """One kernel there, which makes a root of each row, too (ATen, _fused_rms_norm); the CPU composes it."""
    rows = features.new_zeros(features.shape[:-1], dtype=torch.float32)
    normed = torch.zeros_like(features)
    del rows
    return normed


@contextmanager
def composed_as_on_a_gpu() -> Iterator[None]:
    """Of all that a GPU computes in its own way what is composed there, for what sees into kernels."""
    with patch.object(functional, "scaled_dot_product_attention", _grouped):
        yield


@contextmanager
def as_on_a_gpu() -> Iterator[None]:
    with (
        patch.object(functional, "scaled_dot_product_attention", _attention),
        patch.object(functional, "softmax", _softmax),
        patch.object(functional, "rms_norm", _rms_norm),
    ):
        yield
