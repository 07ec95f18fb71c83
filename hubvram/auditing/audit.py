"""Each model of a list, read and answered; whatever happens to one of them is a result too."""

from __future__ import annotations

import errno
import os
import threading
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from typing import Final, TypeVar

from hubvram.auditing.stream import stream
from hubvram.errors import HubvramError, SystemLimitError, UnexpectedError, UsageError
from hubvram.hardware.accelerators import Accelerator
from hubvram.inspection import (
    Headers,
    Inspection,
    Request,
    headers_named,
    inspect_as,
    read_model,
    request_of,
)
from hubvram.memory.workload import Attention, Logits
from hubvram.sources.network import TIMEOUT_SECONDS, Network, OnWait
from hubvram.sources.open import open_source

T = TypeVar("T")

CONCURRENCY: Final = 16
"""Models at once: bound by the network, so it does not depend on the number of cores."""

_PARSING: Final = 2
"""Headers that are being parsed at once. More would only share the interpreter, and add up in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """A model as it was asked for, and exactly one of: its inspection, or why there is none."""

    model: str
    inspection: Inspection | None
    error: HubvramError | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How models are read; `concurrency` of them at once, and in which order their results come."""

    network: Network
    headers: Headers = Headers.AUTO
    revision: str | None = None
    concurrency: int = CONCURRENCY
    in_order: bool = False

    def __post_init__(self) -> None:
        if self.concurrency < 1:
            raise UsageError(f"{self.concurrency} models at once are not possible", "--concurrency takes 1 or more")


def audit(
    models: Iterable[str | os.PathLike[str]],
    *,
    revision: str | None = None,
    precisions: str | Sequence[str] = (),
    context: int | str | None = None,
    input_tokens: int | None = None,
    batch_size: int = 1,
    kv_cache_dtype: str | None = None,
    cache: str = "dynamic",
    attention: Attention | str = Attention.AUTO,
    logits: Logits | str = Logits.LAST,
    padded: bool = False,
    accelerators: Sequence[Accelerator | str] = (),
    headers: Headers | str = Headers.AUTO,
    concurrency: int = CONCURRENCY,
    in_order: bool = False,
    offline: bool = False,
    timeout_seconds: float = TIMEOUT_SECONDS,
    on_wait: OnWait | None = None,
) -> Iterator[Audited]:
    """Inspect many models, `concurrency` of them at once, and yield each result as it comes (or `in_order`).

    `models` may be any iterable, an endless one too: it is drawn from one at a time, by one thread at a time, never
    more than twice the concurrency ahead of the results that were taken; a model that is named twice is read twice.
    The other options are those of `inspect`. Waits for the Hub's quota are as long as they have to be; `on_wait` is
    called with their seconds, from any thread. To leave early, leave the loop (or `close` the iterator): no new
    model is begun, and those under way are not waited for.

    Raises UsageError for options that make no sense, here and now. What is wrong with one model is its result.

    >>> for found in audit(["gpt2", "no/such-model"]):  # doctest: +SKIP
    ...     print(found.model, found.error or found.inspection.model.reconciliation.total)
    """
    request = request_of(
        precisions=precisions,
        context=context,
        input_tokens=input_tokens,
        batch_size=batch_size,
        kv_cache_dtype=kv_cache_dtype,
        cache=cache,
        attention=attention,
        logits=logits,
        padded=padded,
        accelerators=accelerators,
    )
    reading = Reading(
        network=patient(offline=offline, timeout_seconds=timeout_seconds, on_wait=on_wait),
        headers=headers_named(headers),
        revision=revision,
        concurrency=concurrency,
        in_order=in_order,
    )
    names = [models] if isinstance(models, str | os.PathLike) else models
    return _audited(answers(map(_text, names), request, reading, lambda _, inspection: inspection))


def _text(model: object) -> str:
    """What is no name at all is left to be told so when its turn comes."""
    path = os.fspath(model) if isinstance(model, str | os.PathLike) else None
    return path if isinstance(path, str) else f"<{model!r}>"


def _audited(results: Generator[tuple[str, Inspection | HubvramError], None, None]) -> Iterator[Audited]:
    with closing(results):
        for model, found in results:
            if isinstance(found, HubvramError):
                yield Audited(model=model, inspection=None, error=found)
            else:
                yield Audited(model=model, inspection=found, error=None)


def answers(
    models: Iterable[str], request: Request, reading: Reading, convert: Callable[[str, Inspection], T]
) -> Generator[tuple[str, T | HubvramError], None, None]:
    """(model, what `convert` makes of both, or the error): no list of tensors outlives its conversion."""
    gate = threading.BoundedSemaphore(_PARSING)

    def answer(model: str) -> T | HubvramError:
        try:
            return convert(model, _inspect(model, request, reading, gate))
        except HubvramError as error:
            found = error
        except OSError as error:
            found = _of_the_system(model, error)
        except BaseException as error:  # a mistake of ours about one model; Ctrl-C never arrives in this thread
            found = UnexpectedError(model, type(error).__name__, _place(error))
        return _let_go(found)

    return stream(models, answer, concurrency=reading.concurrency, in_order=reading.in_order)


def patient(*, offline: bool, timeout_seconds: float, on_wait: OnWait | None) -> Network:
    """Nobody waits for a single model of many: waits for the quota are as long as they have to be."""
    return Network(offline=offline, timeout_seconds=timeout_seconds, quota_wait_seconds=float("inf"), on_wait=on_wait)


def _inspect(model: str, request: Request, reading: Reading, gate: AbstractContextManager[object]) -> Inspection:
    source = open_source(model, reading.revision, reading.network)
    return inspect_as(read_model(source, headers=reading.headers, gate=gate), request)


_LIMITS: Final = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN)


def _of_the_system(model: str, error: OSError) -> HubvramError:
    if error.errno in _LIMITS:
        return SystemLimitError(model, (error.strerror or type(error).__name__).lower())
    return UnexpectedError(model, type(error).__name__, _place(error))


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""


def _let_go(error: HubvramError) -> HubvramError:
    """Without the frames that it came through: they hold the bytes that were being read."""
    error.__context__ = error.__cause__ = None
    return error.with_traceback(None)
