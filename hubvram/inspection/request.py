"""What is asked of a model: checked before anything is read, the same for one model and for a thousand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Final

from hubvram.dtypes import CACHES, KV_CACHE_BYTES
from hubvram.errors import UsageError
from hubvram.hardware.accelerators import Accelerator, find_accelerator
from hubvram.memory.engines import ENGINES
from hubvram.memory.weights import STORED
from hubvram.memory.workload import Attention, Logits, Workload
from hubvram.quantization.precisions import check_precision, normal_precision
from hubvram.units import parse_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """How a model is to be run. Raises UsageError where no model could be run so."""

    precisions: tuple[str, ...] = ()
    context: int | str | None = None
    """In tokens, or "max", or "fit"; None is the default of 8,192."""
    input_tokens: int | None = None
    batch_size: int = 1
    kv_cache_dtype: str | None = None
    cache: str = "dynamic"
    attention: Attention = Attention.AUTO
    logits: Logits = Logits.LAST
    padded: bool = False
    engine: str = "transformers"
    accelerators: tuple[Accelerator, ...] = ()

    def __post_init__(self) -> None:
        for field, (kinds, words) in _TYPES.items():
            value = getattr(self, field)
            if not isinstance(value, kinds) or isinstance(value, bool):
                raise UsageError(f"{field} cannot be {value!r}", f"it takes {words}")
        for precision in self.precisions:
            if precision != STORED:
                check_precision(precision)
        if self.context == "fit" and not self.accelerators:
            raise UsageError("--context fit needs a GPU to fit", "add --gpu or --max-vram")
        if self.kv_cache_dtype is not None and self.kv_cache_dtype not in KV_CACHE_BYTES:
            raise UsageError(
                f"{self.kv_cache_dtype!r} is no KV cache precision", f"choose from {', '.join(KV_CACHE_BYTES)}"
            )
        if self.engine not in ENGINES:
            raise UsageError(f"{self.engine!r} is no engine that hubvram knows", f"choose from {', '.join(ENGINES)}")
        if self.cache not in CACHES:
            raise UsageError(f"{self.cache!r} is no kind of cache", f"choose from {', '.join(CACHES)}")
        tokens = self.given_tokens
        self.workload_of((1 if self.input_tokens is None else self.input_tokens) if tokens is None else tokens)

    @property
    def given_tokens(self) -> int | None:
        """The context where it is a number; the others depend on the model."""
        if self.context is None or self.context in ("max", "fit"):
            return None
        return parse_tokens(self.context) if isinstance(self.context, str) else self.context

    @property
    def deciding_precisions(self) -> tuple[str, ...]:
        """Those that have to fit: the stored one where none was asked for."""
        return self.precisions or (STORED,)

    def workload_of(self, tokens: int) -> Workload:
        return Workload(
            context_tokens=tokens,
            input_tokens=tokens if self.input_tokens is None else self.input_tokens,
            batch_size=self.batch_size,
            kv_cache_dtype=self.kv_cache_dtype,
            cache=self.cache,
            attention=self.attention,
            logits=self.logits,
            padded=self.padded,
            engine=self.engine,
        )


_TYPES: Final[Mapping[str, tuple[tuple[type, ...], str]]] = {
    "context": ((int, str, NoneType), "a number of tokens, max or fit"),
    "input_tokens": ((int, NoneType), "a number of tokens"),
    "batch_size": ((int,), "a whole number"),
    "engine": ((str,), f"one of {', '.join(ENGINES)}"),
    "kv_cache_dtype": ((str, NoneType), f"one of {', '.join(KV_CACHE_BYTES)}"),
    "cache": ((str,), f"one of {', '.join(CACHES)}"),
}
"""For callers from Python; the command line has its own."""


def request_of(
    *,
    precisions: str | Sequence[str] = (),
    context: int | str | None = None,
    input_tokens: int | None = None,
    batch_size: int = 1,
    kv_cache_dtype: str | None = None,
    cache: str = "dynamic",
    attention: Attention | str = Attention.AUTO,
    logits: Logits | str = Logits.LAST,
    padded: bool = False,
    engine: str = "transformers",
    accelerators: Sequence[Accelerator | str] = (),
) -> Request:
    """A request as people write it: names in any case and each once, GPUs by name. Raises UsageError."""
    if attention not in tuple(Attention):
        raise UsageError(f"{attention!r} is no attention", f"choose from {', '.join(Attention)}")
    if logits not in tuple(Logits):
        raise UsageError(f"{logits!r} are no logits", f"choose from {', '.join(Logits)}")
    return Request(
        precisions=_normal_precisions(precisions),
        context=context.strip().lower() if isinstance(context, str) else context,
        input_tokens=input_tokens,
        batch_size=batch_size,
        kv_cache_dtype=kv_cache_dtype.strip().lower() if isinstance(kv_cache_dtype, str) else kv_cache_dtype,
        cache=cache.strip().lower() if isinstance(cache, str) else cache,
        attention=Attention(attention),
        logits=Logits(logits),
        padded=bool(padded),
        engine=engine.strip().lower() if isinstance(engine, str) else engine,
        accelerators=tuple(find_accelerator(one) if isinstance(one, str) else one for one in accelerators),
    )


def _normal_precisions(precisions: str | Sequence[str]) -> tuple[str, ...]:
    if isinstance(precisions, str):
        precisions = (precisions,)
    wrong = next((precision for precision in precisions if not isinstance(precision, str)), None)
    if wrong is not None:
        raise UsageError(f"{wrong!r} is no precision that hubvram knows", "`hubvram dtypes` lists them")
    return tuple(dict.fromkeys(map(normal_precision, precisions)))
