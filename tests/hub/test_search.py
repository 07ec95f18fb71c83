"""Search and collections, as the official client asks for them."""

from __future__ import annotations

import httpx2
import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

from tests.hub import LoopbackHub

SLUG = "org/small-models-64f9a55bb3115b4f513ec026"


@pytest.fixture
def api(hub: LoopbackHub) -> HfApi:
    for likes, name in enumerate(("org/llama-1b", "org/llama-8b", "else/llama-70b", "org/bert")):
        hub.add_repo(name, {"config.json": b"{}"}, info={"likes": likes, "tags": [name.partition("/")[2]]})
    hub.add_repo("org/secret", {}, private=True, gated="auto")
    hub.tokens["reader"] = {"org/secret"}
    return HfApi(endpoint=hub.endpoint, token=False)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, ["org/llama-1b", "org/llama-8b", "else/llama-70b", "org/bert"]),
        ({"author": "org"}, ["org/llama-1b", "org/llama-8b", "org/bert"]),
        ({"author": "org", "search": "LLAMA"}, ["org/llama-1b", "org/llama-8b"]),
        ({"filter": ["transformers", "bert"]}, ["org/bert"]),
        ({"pipeline_tag": "text-generation", "limit": 1}, ["org/llama-1b"]),
        ({"sort": "likes", "limit": 2}, ["org/bert", "else/llama-70b"]),
        ({"gated": True}, []),
        ({"gated": True, "token": "reader"}, ["org/secret"]),
        ({"search": "nothing"}, []),
    ],
)
def test_what_is_found(api: HfApi, asked: dict[str, object], found: list[str]) -> None:
    assert [model.id for model in api.list_models(**asked)] == found  # type: ignore[arg-type]


def test_pages(hub: LoopbackHub, api: HfApi) -> None:
    hub.search_page_size = 2
    assert [model.id for model in api.list_models(author="org")] == ["org/llama-1b", "org/llama-8b", "org/bert"]
    assert [request.query for request in hub.requests if request.path == "/api/models"] == [
        "author=org",
        "author=org&cursor=2",
    ]
    # The limit is the size of a page too.
    assert len(list(api.list_models(limit=1))) == 1


def test_what_is_told(api: HfApi) -> None:
    brief, full, expanded = (next(iter(api.list_models(**more))) for more in ({}, {"full": True}, {"expand": ["sha"]}))
    assert (brief.sha, brief.siblings, brief.likes) == (None, None, 0)
    assert full.sha == expanded.sha and full.sha is not None and expanded.likes is None
    assert full.siblings is not None and [sibling.rfilename for sibling in full.siblings] == ["config.json"]


@pytest.mark.parametrize("query", ["apps=vllm", "sort=beauty", "limit=many"])
def test_what_is_not_served(hub: LoopbackHub, query: str) -> None:
    assert httpx2.get(f"{hub.endpoint}/api/models?{query}").status_code == 400


def test_a_collection(hub: LoopbackHub, api: HfApi) -> None:
    hub.add_collection(SLUG, ["org/bert", ("dataset", "org/data"), "org/gone"])
    collection = api.get_collection(SLUG)
    assert (collection.slug, collection.title) == (SLUG, "small models")
    items = [(item.item_type, item.item_id, item.position) for item in collection.items]
    assert items == [("model", "org/bert", 0), ("dataset", "org/data", 1), ("model", "org/gone", 2)]
    with pytest.raises(HfHubHTTPError) as caught:
        api.get_collection("org/absent-64f9a55bb3115b4f513ec026")
    assert caught.value.response.status_code == 404
