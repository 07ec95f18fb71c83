"""Which models there are: the Hub's search and its collections, and how many requests it still allows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode, urljoin, urlsplit

from hubvram.errors import HubBusyError, HubResponseError, ModelUnreadableError, RepoNotFoundError, UsageError
from hubvram.sources.http import HubClient, Target, capped
from hubvram.sources.listing import not_a_hub
from hubvram.sources.loop import LOOP
from hubvram.sources.network import Network
from hubvram.sources.quota import API, QUOTA
from hubvram.sources.reference import HOSTS, is_repo_id
from hubvram.sources.settings import endpoint, is_offline

if TYPE_CHECKING:
    import httpx2

_PAGE_MODELS: Final = 1000
"""The most that the Hub puts on a page."""

_PAGE_LIMIT_BYTES: Final = 64 * 2**20


def find_models(
    *,
    author: str | None = None,
    search: str | None = None,
    collection: str | None = None,
    limit: int | None = None,
    network: Network,
) -> Iterator[str]:
    """Repo ids: those of an author or with a text in their name, the most downloaded first, or of a collection.

    Raises UsageError and ModelUnreadableError, which then names the search.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"a limit of {limit} models makes no sense", "--limit takes 1 or more")
    if network.offline or is_offline():
        raise UsageError("a search asks the Hub, and offline mode is on", "give names, a list, or --cached")
    found = _searched(author, search, limit, network) if collection is None else _of_collection(collection, network)
    for place, repo_id in enumerate(found, start=1):
        yield repo_id
        if place == limit:
            return


def _searched(author: str | None, search: str | None, limit: int | None, network: Network) -> Iterator[str]:
    filters = {name: value for name, value in (("author", author), ("search", search)) if value is not None}
    query = urlencode({**filters, "sort": "downloads", "limit": min(limit or _PAGE_MODELS, _PAGE_MODELS)})
    name = " ".join(f"--{name} {value}" for name, value in filters.items())
    path: str | None = f"/api/models?{query}"
    seen: set[str] = set()
    while path is not None and path not in seen:
        seen.add(path)
        models, path = _page(path, name, network)
        yield from models


def _page(path: str, name: str, network: Network) -> tuple[list[str], str | None]:
    """The ids on a page, and the path of the next one."""
    client = HubClient(network)  # one for each page: each has the whole time of one model
    url = f"{client.endpoint}{path}"
    answer, link = _get(client, url, name)
    try:
        ids = [_id(model["id"]) for model in answer]
    except (KeyError, TypeError, ValueError):
        raise not_a_hub(name) from None
    following = urljoin(url, link) if link and ids else None  # a page without models is the last
    if following is None:
        return ids, None
    if not following.startswith(f"{client.endpoint}/"):
        raise HubResponseError(name, "the next page of the search is said to be elsewhere")
    return ids, following.removeprefix(client.endpoint)


def _of_collection(collection: str, network: Network) -> Iterator[str]:
    """`owner/title-0123abc`, or the address of its page."""
    slug = _slug(collection)
    name = f"--collection {collection}"
    client = HubClient(network)
    try:
        answer, _ = _get(client, f"{client.endpoint}/api/collections/{quote(slug)}", name)
        ids = [_id(item["id"]) for item in answer["items"] if item["type"] == "model"]
    except (KeyError, TypeError, ValueError):
        raise not_a_hub(name) from None
    except RepoNotFoundError:
        raise UsageError(f"there is no collection {slug}, or it is private", "copy the address of its page") from None
    yield from ids


def _id(value: object) -> str:
    """Nothing that could be a path on this machine. Raises ValueError."""
    if not isinstance(value, str) or not is_repo_id(value):
        raise ValueError(value)
    return value


def _slug(collection: str) -> str:
    if "://" not in collection:
        return collection.strip("/")
    try:
        parts = urlsplit(collection)
    except ValueError:
        parts = urlsplit("")
    _, _, slug = parts.path.partition("/collections/")
    if not slug or parts.netloc.lower() not in (*HOSTS, urlsplit(endpoint()).netloc.lower()):
        raise UsageError(f"{collection} is not an address of a collection on the Hub", "copy the address of its page")
    return slug.strip("/")


def _get(client: HubClient, url: str, name: str) -> tuple[Any, str | None]:
    """A JSON answer, and where its `Link` header says that it goes on."""

    async def read(response: httpx2.Response) -> tuple[bytes, str | None]:
        body = await capped(response, _PAGE_LIMIT_BYTES, name, "a page of the search")
        return body, response.links.get("next", {}).get("url")

    body, link = LOOP.run(client.stream(url, Target(model_id=name, requested_revision=None), read))
    try:
        return json.loads(body), link
    except (ValueError, RecursionError):
        raise not_a_hub(name) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What is left of this window, and how large each window is."""

    remaining: int
    resets_seconds: int
    limit: int | None
    """None where the window is closed: the Hub then only says when it opens."""
    window_seconds: int | None


def ask_quota() -> Quota | None:
    """The quota of the API, by one request; None where the Hub does not say, or does not answer."""
    from huggingface_hub.utils import parse_ratelimit_headers

    client = HubClient(Network(quota_wait_seconds=0))

    async def read(response: httpx2.Response) -> Quota | None:
        said = parse_ratelimit_headers(response.headers)
        return (
            None
            if said is None
            else Quota(
                remaining=said.remaining,
                resets_seconds=said.reset_in_seconds,
                limit=said.limit or None,
                window_seconds=said.window_seconds or None,
            )
        )

    target = Target(model_id="the quota", requested_revision=None)
    try:
        return LOOP.run(client.stream(f"{client.endpoint}/api/models?limit=1", target, read))
    except HubBusyError:
        remaining, resets_seconds = QUOTA.left().get(API, (0, 0))
        return Quota(remaining=remaining, resets_seconds=resets_seconds, limit=None, window_seconds=None)
    except ModelUnreadableError:
        return None
