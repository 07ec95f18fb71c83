"""What an audit will ask of the Hub, before it asks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from hubvram.errors import HubvramError
from hubvram.inspection import Headers
from hubvram.sources.quota import API, RESOLVERS
from hubvram.sources.reference import HubReference, parse_reference
from hubvram.sources.search import Quota

_EACH: Final[Mapping[Headers, Mapping[str, tuple[int, int]]]] = {
    # A listing and config.json; headers are one request more, of the API for shards on main, else to resolve.
    Headers.NEVER: {API: (1, 1), RESOLVERS: (1, 1)},
    Headers.AUTO: {API: (1, 2), RESOLVERS: (1, 2)},
    Headers.ALWAYS: {API: (1, 2), RESOLVERS: (1, 2)},
}

_RESOLVERS_OF_API: Final = {500: 3_000, 1_000: 5_000, 2_500: 12_000, 3_000: 20_000, 6_000: 50_000, 10_000: 100_000}
"""The Hub's table of quotas (https://huggingface.co/docs/hub/rate-limits): who has so many of the API has so many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Requests of one bucket, for all models."""

    bucket: str
    at_least: int
    at_most: int


def plan(models: Iterable[str], revision: str | None, headers: Headers) -> tuple[int, tuple[Need, ...]]:
    """(how many models are on the Hub, what they need). A folder, or what is no model at all, needs nothing."""
    on_the_hub = sum(_is_on_the_hub(model, revision) for model in models)
    needs = (
        Need(bucket=bucket, at_least=on_the_hub * low, at_most=on_the_hub * high)
        for bucket, (low, high) in _EACH[headers].items()
    )
    return on_the_hub, tuple(needs)


def _is_on_the_hub(model: str, revision: str | None) -> bool:
    try:
        return isinstance(parse_reference(model, revision), HubReference)
    except HubvramError:
        return False


def quota_of(bucket: str, api: Quota) -> Quota | None:
    """The quota of a bucket, from what the Hub said of its API; None where its table does not tell."""
    if bucket == API:
        return api
    limit = _RESOLVERS_OF_API.get(api.limit or 0)
    if limit is None or api.window_seconds is None:
        return None
    return Quota(remaining=limit, resets_seconds=api.window_seconds, limit=limit, window_seconds=api.window_seconds)


def windows(requests: int, remaining: int, limit: int) -> int:
    """How many windows so many requests take, this one included."""
    return 1 + -(-max(0, requests - remaining) // limit)
