"""The endpoint as it may be shown."""

from __future__ import annotations

import pytest
from huggingface_hub import constants

from hubvram.sources.settings import host_of, shown_endpoint


@pytest.mark.parametrize(
    ("endpoint", "shown"),
    [
        ("https://huggingface.co", "https://huggingface.co"),
        ("http://127.0.0.1:9/hf", "http://127.0.0.1:9/hf"),
        ("https://user:secret@mirror.example:8443/hf", "https://mirror.example:8443/hf"),
        ("http://[::1", "http://[::1"),
    ],
)
def test_an_endpoint_is_shown_without_its_password(endpoint: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    assert shown_endpoint() == shown


def test_a_host_has_no_password_either() -> None:
    assert host_of("https://user:secret@mirror.example:8443/hf?x=1") == "mirror.example:8443"
