"""The kinds of cache that `generate` can make (`cache_implementation`), moment by moment (transformers 5.23).

dynamic grows with each token. static has room for all tokens from the first forward on: a context of so many tokens is
what `generate` makes with a `max_length` of one more, since the last token that it makes is never read. The others are
its "quantized" ones by backend and bits; quanto-int4 is what it takes by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Final

from hubvram.architecture.layers import Architecture
from hubvram.dtypes import CACHES
from hubvram.errors import UnsupportedOptionError
from hubvram.memory.cached import Cached
from hubvram.memory.kv_cache import (
    held_tokens,
    kept_entries,
    lengths,
    pooled_bytes,
    prefill_excess_bytes,
    prompt_padding_bytes,
    slots,
    state_element_bytes,
    state_entries,
)
from hubvram.memory.terms import Term, product
from hubvram.memory.workload import Workload

_AS_THEY_ARE: Final = frozenset({"dynamic", "static"})
"""Caches of K and V as the model makes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The cache of one model in one workload. Bytes of an element: as K and V are held, and as the model computes."""

    architecture: Architecture
    workload: Workload
    held_bytes: int
    computed_bytes: int

    def after_prefill(self) -> Cached:
        """Behind the prompt."""
        tokens = self.workload.input_tokens
        if self.workload.cache not in _AS_THEY_ARE:
            from hubvram.memory import quantized_cache  # for those who ask for one

            return quantized_cache.after_prefill(self.architecture, self.workload, self.computed_bytes)
        if self.workload.cache == "static":
            return self._held(tokens)
        excess = sum(
            beyond(self.architecture, tokens=tokens, batch_size=self.workload.batch_size, element_bytes=self.held_bytes)
            for beyond in (prefill_excess_bytes, prompt_padding_bytes)
        )
        return self._held(tokens)._replace(excess_bytes=excess)

    def while_decoding(self) -> tuple[Cached, ...]:
        """At the steps that can need most, the last one first."""
        if self.workload.cache in _AS_THEY_ARE:
            return (self._held(self.workload.context_tokens),)
        from hubvram.memory import quantized_cache

        return quantized_cache.while_decoding(self.architecture, self.workload, self.computed_bytes)

    def _held(self, tokens: int) -> Cached:
        """As they are, with what that is made of: what `tokens` make, or what there is room for from the start."""
        is_static = self.workload.cache == "static"
        tokens = self.workload.context_tokens if is_static else tokens
        batch_size = self.workload.batch_size
        entries = kept_entries(
            self.architecture,
            tokens=tokens,
            rule=slots if is_static else held_tokens,
            element_bytes=self.held_bytes,
            input_tokens=self.workload.input_tokens,
        )
        terms = [
            _term(f"{entry.kind}: sequences x layers x tokens x bytes of a token", batch_size, *entry[1:])
            for entry in entries
            if entry.sequence_bytes
        ]
        decoded, _ = lengths(self.architecture, tokens, self.workload.input_tokens)
        pooled = 0 if is_static else pooled_bytes(self.architecture, decoded, self.held_bytes)
        if pooled:
            terms.append(_term("pooled tokens: sequences x bytes", batch_size, pooled))
        states = tuple(
            _term(
                f"{state.name} state of {part.kind}: sequences x layers x elements x bytes",
                *(batch_size, count, *state.shape, state_element_bytes(state, self.computed_bytes)),
            )
            for count, part, state in state_entries(self.architecture)
        )
        return Cached(
            kv_cache_bytes=sum(term.size_bytes for term in terms),
            state_bytes=sum(term.size_bytes for term in states),
            terms=tuple(terms),
            state_terms=states,
        )


def _term(what: str, *factors: int) -> Term:
    return Term(what, product(*factors), prod(factors))


# ------------------------------------------------------------------------------- which are refused

_OWN: Final = frozenset({"minimax", "reformer", "rwkv", "xlnet", "xlstm"})
"""Model types that keep what they keep in their own way, and are given no cache by `generate`
(generation/utils.py, _supports_default_dynamic_cache)."""

_NOT_STATIC: Final[Mapping[str, str]] = {
    "deepseek_v4": "there is no static layer for its compressed attention",
    "cpmant": "its own prompt finds no room in it",
    "kosmos_2_text_model": "its masks are made for the tokens read so far",
    "prophetnet": "its masks are made for the tokens read so far",
}
"""Model type -> why a forward with a static cache fails."""


def check_cache(architecture: Architecture, workload: Workload) -> None:
    """Raises UnsupportedOptionError for a kind that `generate` does not make for this model, or that its code fails
    with."""
    reason = _refusal(architecture, workload.cache)
    if reason:
        taken = [kind for kind in CACHES if not _refusal(architecture, kind)]
        raise UnsupportedOptionError(
            f"{architecture.model_type} does not run with a {workload.cache} cache in transformers: {reason}",
            f"--cache takes {', '.join(taken)} for it",
        )


def _refusal(architecture: Architecture, kind: str) -> str:
    """Why a kind of cache is not there for a model; nothing where it is."""
    model_type = architecture.model_type
    if kind == "dynamic":
        return ""
    if model_type in _OWN:
        return "it keeps tokens in a way of its own"
    if kind != "static":
        from hubvram.memory.quantized_cache import has_full_attention_only

        return (
            ""
            if has_full_attention_only(architecture)
            else "it packs layers of full attention alone, in models without an encoder"
        )
    return _NOT_STATIC.get(model_type, "")
