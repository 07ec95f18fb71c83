"""Finding models: pages, ends, and answers that are none."""

from __future__ import annotations

import pytest

from hubvram.errors import HubResponseError, NetworkError, UsageError
from hubvram.sources import search as search_module
from hubvram.sources.network import Network
from hubvram.sources.search import find_models
from tests.hub import Fault, LoopbackHub

NETWORK = Network()


@pytest.fixture
def repos(hub: LoopbackHub) -> list[str]:
    names = [f"acme/{number}" for number in range(7)]
    for number, name in enumerate(names):
        hub.add_repo(name, {}, info={"downloads": 100 - number})
    return names


def test_pages_are_asked_for_as_they_are_needed(hub: LoopbackHub, repos: list[str]) -> None:
    hub.search_page_size = 3
    found = find_models(author="acme", network=NETWORK)
    assert [next(found) for _ in range(3)] == repos[:3]
    assert len(hub.requests) == 1
    assert list(found) == repos[3:]
    assert len(hub.requests) == 3


def test_no_page_is_asked_for_beyond_the_limit(hub: LoopbackHub, repos: list[str]) -> None:
    hub.search_page_size = 3
    assert list(find_models(author="acme", limit=6, network=NETWORK)) == repos[:6]
    assert len(hub.requests) == 2
    assert hub.requests[0].query == "author=acme&sort=downloads&limit=6"


def test_a_failure_of_the_hub_is_tried_again(hub: LoopbackHub, repos: list[str]) -> None:
    hub.faults.extend([Fault("status:503"), Fault("truncate")])
    assert list(find_models(author="acme", network=NETWORK)) == repos


def test_the_token_does_not_follow_a_next_page_elsewhere(hub: LoopbackHub, repos: list[str]) -> None:
    hub.search_page_size = 3
    hub.endpoint = hub.cdn_endpoint  # which the loopback Hub then writes into its links
    with pytest.raises(HubResponseError, match="said to be elsewhere"):
        list(find_models(author="acme", network=NETWORK))
    assert {request.origin for request in hub.requests} == {"hub"}


@pytest.mark.parametrize("where", [{"author": "acme"}, {"search": "a"}, {"collection": "acme/x-1"}])
@pytest.mark.parametrize("fault", ["garbage", "bomb"])
def test_what_is_no_answer_of_a_hub(hub: LoopbackHub, where: dict[str, str], fault: str) -> None:
    hub.faults.append(Fault(fault, times=9))
    ((name, value),) = where.items()
    with pytest.raises(HubResponseError) as raised:
        list(find_models(**where, network=NETWORK))  # type: ignore[arg-type]
    assert raised.value.model_id == f"--{name} {value}"


def test_nobody_there() -> None:
    with pytest.raises(NetworkError):
        list(find_models(search="x", network=NETWORK))


def test_offline_there_is_no_search(hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    with pytest.raises(UsageError, match="offline mode is on"):
        list(find_models(author="acme", network=Network(offline=True)))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UsageError, match="offline mode is on"):
        list(find_models(author="acme", network=NETWORK))
    assert hub.requests == []


def test_ids_that_would_be_read_here_are_none(hub: LoopbackHub) -> None:
    for name in ("/etc", "./models", "a/b/c"):
        hub.add_repo(name, {})
        with pytest.raises(HubResponseError, match="did not answer like a Hugging Face Hub"):
            list(find_models(search=name, network=NETWORK))


def test_pages_that_lead_back_end(hub: LoopbackHub, repos: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    page = search_module._page
    monkeypatch.setattr(search_module, "_page", lambda path, *rest: (page(path, *rest)[0], path))
    assert list(find_models(author="acme", network=NETWORK)) == repos


@pytest.mark.parametrize(
    "written",
    ["acme/best-0123abcd", "{}/collections/acme/best-0123abcd", "{}/collections/acme/best-0123abcd?sort=likes#top"],
)
def test_a_collection_by_slug_or_address(hub: LoopbackHub, repos: list[str], written: str) -> None:
    hub.add_collection("acme/best-0123abcd", [("model", repos[2]), ("dataset", "acme/data"), ("model", repos[0])])
    found = find_models(collection=written.format(hub.endpoint), network=NETWORK)
    assert list(found) == [repos[2], repos[0]]


@pytest.mark.parametrize(
    "written", ["https://evil.example/collections/acme/best", "https://huggingface.co/acme", "http://["]
)
def test_an_address_of_no_collection(hub: LoopbackHub, written: str) -> None:
    with pytest.raises(UsageError, match="is not an address of a collection"):
        list(find_models(collection=written, network=NETWORK))
    assert hub.requests == []
