"""`hubvram audit --dry-run`: what a run would ask of the Hub."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hubvram.cli.output import write

if TYPE_CHECKING:
    from hubvram.auditing import Reading
    from hubvram.auditing.plan import Need
    from hubvram.sources.search import Quota


def dry_run(models: Sequence[str], reading: Reading) -> None:
    """Models, requests at least and at most, and what the quota makes of them."""
    from hubvram.auditing.plan import plan, quota_of
    from hubvram.sources.search import ask_quota

    on_the_hub, needs = plan(models, reading.revision, reading.headers)
    lines = [f"{len(models):,} model{'s' * (len(models) != 1)} to read, {on_the_hub:,} of them on the Hub"]
    if reading.network.offline:
        lines.append("offline: no requests")
    elif on_the_hub:
        quota = ask_quota()
        lines += [_need(need, quota and quota_of(need.bucket, quota)) for need in needs]
        lines.append(
            "less for what is in the cache; for shards of another revision than main, and on a mirror, a resolver "
            "request each"
        )
    write("\n".join(lines) + "\n")


def _need(need: Need, quota: Quota | None) -> str:
    requests = f"{need.bucket:<10} {_span(need.at_least, need.at_most)} requests"
    if quota is None:
        return f"{requests}; the Hub does not say how many it allows"
    if quota.limit is None:
        return f"{requests}; {quota.remaining:,} left, renewed in {quota.resets_seconds} s"
    from hubvram.auditing.plan import windows

    needed = [windows(requests, quota.remaining, quota.limit) for requests in (need.at_least, need.at_most)]
    return (
        f"{requests}; {quota.remaining:,} left of {quota.limit:,} in {quota.window_seconds} s: "
        f"{_span(*needed)} window{'s' * (needed != [1, 1])}"
    )


def _span(low: int, high: int) -> str:
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
