"""What is asked of the model: how long, how many at once, in which cache, by which attention."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from hubvram.dtypes import CACHES
from hubvram.errors import UsageError

BATCH_LARGEST: Final = 1_000_000


class Attention(StrEnum):
    """Which attention code runs; AUTO is what the model class takes by itself."""

    AUTO = "auto"
    EAGER = "eager"
    SDPA = "sdpa"
    FLASH = "flash"


class Logits(StrEnum):
    """Of which tokens: of the last one, as `generate()` needs them, or of all, in one forward without it."""

    LAST = "last"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """`context_tokens` is the whole length of one sequence, of which `input_tokens` are its prompt."""

    context_tokens: int
    input_tokens: int
    batch_size: int = 1
    kv_cache_dtype: str | None = None
    """None: as the model computes."""
    cache: str = "dynamic"
    """Its kind, as CACHES has them."""
    attention: Attention = Attention.AUTO
    logits: Logits = Logits.LAST
    padded: bool = False
    """Whether the sequences differ in length, so that all but the longest are padded."""
    engine: str = "transformers"
    """Name of who runs it (hubvram.memory.engines.ENGINES)."""

    def __post_init__(self) -> None:
        if not 1 <= self.batch_size <= BATCH_LARGEST:
            raise UsageError(f"a batch of {self.batch_size:,} is not possible", f"--batch takes 1 to {BATCH_LARGEST:,}")
        if self.context_tokens < 1 or self.input_tokens < 1:
            raise UsageError("a context needs at least one token", "--context and --input take 1 or more")
        if self.input_tokens > self.context_tokens:
            raise UsageError(
                f"an input of {self.input_tokens:,} tokens does not fit a context of {self.context_tokens:,}",
                "--input is the part of --context that is prompt",
            )
        if self.logits is Logits.ALL and self.input_tokens != self.context_tokens:
            raise UsageError("the logits of all tokens are made in one forward", "leave out --input")
        if self.kv_cache_dtype is not None and CACHES[self.cache] is not None:
            raise UsageError(
                f"a {self.cache} cache is packed, and cannot be {self.kv_cache_dtype} too", "leave out --kv-dtype"
            )
