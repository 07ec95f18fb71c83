"""Tensor names -> what a stored tensor is when it is no parameter: nothing that training by gradients moves."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Final

from hubvram.checkpoint.names import pattern, without_numbers

_REBUILT: Final[Mapping[str, str]] = {
    # GPT-2 and GPT-NeoX files of old keep each layer's mask, (1, 1, n, n), beside real biases.
    "causal masks": "(attn|attention).bias attn.causal_mask",
    "masked values": "(attn|attention).masked_bias",
    "rotary frequencies": "(rotary_emb|rotary_pos_emb|rotary_embeddings).(inv_freq|cos_cached|sin_cached)",
    "computed positions": "embed_positions.(weights|_float_tensor)",
    "position ids": "position_ids",
    "version numbers": "(encoder|decoder).version",
}
"""What the model's code makes anew or has no use for. In each of these: what it is -> how it is called."""
_KEPT: Final[Mapping[str, str]] = {
    "constants of an activation": "act_fn.(beta|eps)",
    "bias of the logits": "final_logits_bias",
    "decay factors": "self_attn.(slope_rate|query_decay|key_decay|diagonal_decay)",
    "experts of each token": "gate.tid0eid",
    "indices of offsets": "relative_position_index",
    "indices of tokens": "summary_idxs",
    "bounds of activations": "(input|output)_(min|max)",
    "statistics of images and sound": "std_bias std_scale norm_mean norm_std global_mean global_invstd",
    "batch statistics": "running_mean running_var num_batches_tracked",
}
"""What is loaded from the file, and stays in memory."""
_DIMENSIONS: Final[Mapping[str, int]] = {"causal masks": 4, "bounds of activations": 0}
"""Of those whose names alone do not tell."""
_KINDS_REMEMBERED: Final = 4096


def buffer_kind(name: str, dimensions: int) -> str | None:
    """What a stored tensor is when it is no parameter (a mask, rotary frequencies), else None."""
    return _buffer_of_kind(without_numbers(name), dimensions)


def is_kept(kind: str) -> bool:
    """Whether a kind of buffer stays in memory as the file has it."""
    return kind in _KEPT


@lru_cache(_KINDS_REMEMBERED)
def _buffer_of_kind(name: str, dimensions: int) -> str | None:
    return next(
        (
            kind
            for kind, found in _patterns().items()
            if found.search(name) and _DIMENSIONS.get(kind, dimensions) == dimensions
        ),
        None,
    )


@cache
def _patterns() -> Mapping[str, re.Pattern[str]]:
    return {kind: pattern(words) for kind, words in {**_REBUILT, **_KEPT}.items()}
