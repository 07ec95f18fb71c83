"""The formulas against caches of full-size models, traced by others on fake tensors."""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterator, Mapping
from typing import Any

from hubvram.architecture import families
from hubvram.architecture.attention import CrossAttention
from hubvram.architecture.layers import Architecture
from hubvram.architecture.parts import Block
from hubvram.memory.kv_cache import (
    held_tokens,
    knows_cache,
    kv_cache_bytes,
    prefill_excess_bytes,
    state_bytes,
    token_bytes,
)
from tests.samples import CORPUS, corpus_config, needs_corpus

LONG = 2**40


def traces() -> Iterator[tuple[str, Architecture, Mapping[str, Any]]]:
    for model in json.loads(lzma.decompress((CORPUS / "traced.json.xz").read_bytes())):
        architecture = families.architecture_of(corpus_config(model["repo"]))
        assert architecture is not None
        for trace in model["traces"]:
            yield model["repo"], architecture, trace


def counters_bytes(architecture: Architecture) -> int:
    """A window's layer counts its tokens in a tensor of 8 bytes, which the trace has and the formulas leave out."""
    return 8 * sum(
        any(held_tokens(inner, LONG) < LONG for part in layer.parts for inner in _kept(part))
        for layer in architecture.layers
    )


def _kept(part: Any) -> tuple[Any, ...]:
    return part.keeps if isinstance(part, Block) else (part,)


def free_bytes(architecture: Architecture, trace: Mapping[str, Any]) -> int:
    """Pools are said to have as many tokens waiting as an entry takes; in each step there are 1 to so many."""
    pools = [pool for layer in architecture.layers for part in layer.parts for pool in getattr(part, "pools", ())]
    free = sum((-(trace["tokens"] + 1) % pool.tokens_per_entry) * pool.waiting_size for pool in pools)
    return 2 * int(trace["batch"]) * int(free)


def held(architecture: Architecture, trace: Mapping[str, Any]) -> tuple[int, int]:
    """What is said to be held after prefill, and after one token more."""
    sizes: dict[str, Any] = {"batch_size": trace["batch"], "element_bytes": 2}
    states = state_bytes(architecture, **sizes)
    tokens, decoded = trace["tokens"], _decoder_tokens(architecture, trace)
    if decoded is not None:
        is_fixed = architecture.stacks[0].source_tokens is not None
        first = decoded if is_fixed else tokens + decoded
        prefill, step = (
            kv_cache_bytes(architecture, tokens=first + more, input_tokens=tokens, **sizes) for more in (0, 1)
        )
        return states + prefill, states + step
    prefill = kv_cache_bytes(architecture, tokens=tokens, **sizes)
    prefill += prefill_excess_bytes(architecture, tokens=tokens, **sizes)
    return states + prefill, states + kv_cache_bytes(architecture, tokens=tokens + 1, **sizes)


def _decoder_tokens(architecture: Architecture, trace: Mapping[str, Any]) -> int | None:
    """Beside an encoder of `tokens`, decoders were given a prompt of their own, which the trace does not name."""
    if not trace["cross_bytes"]:
        return None
    parts = (part for layer in architecture.layers for part in layer.parts if not isinstance(part, CrossAttention))
    one = trace["batch"] * sum(token_bytes(part, 2) for part in parts)
    decoded, rest = divmod(trace["kv_bytes"], one)
    assert rest == 0 and decoded in (64, 400)
    return int(decoded)


@needs_corpus
def test_every_trace_that_is_known_holds_what_is_said() -> None:
    rows = 0
    for repo, architecture, trace in traces():
        assert knows_cache(architecture)
        counters = counters_bytes(architecture)
        after_prefill, after_one = held(architecture, trace)
        assert after_prefill + counters == trace["cache_held_after_prefill_bytes"], (repo, trace)
        after_one -= free_bytes(architecture, trace)
        assert after_one + counters == trace["cache_held_after_one_decode_bytes"], (repo, trace)
        rows += 1
    assert rows >= 733
