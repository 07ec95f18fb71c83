"""Every test starts from a clean machine: no token, no cache, no endpoint of the user's, no network."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from hubvram.sources.connections import close_connections
from tests.hub import LoopbackHub

# Some laws run over models that are read when first asked for: no deadline for a single example.
settings.register_profile("no-deadline", settings(deadline=None))
settings.load_profile("no-deadline")

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@pytest.fixture(autouse=True)
def clean_machine(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point huggingface_hub at an empty home; it reads most of its settings once, at import."""
    from huggingface_hub import constants

    home = tmp_path_factory.mktemp("hf-home")
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(home))
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.setattr(constants, "HF_ASSETS_CACHE", str(home / "assets"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", False)
    # Nobody listens there: a test that means to reach a Hub starts one. (The variable is for child processes.)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    _point_at(monkeypatch, "http://127.0.0.1:9")


def _point_at(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}")


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection to anywhere else is a mistake in the test."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and address[0] not in _LOOPBACK:
            raise AssertionError(f"a test tried to reach {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    """A Hub on this machine, and huggingface_hub pointed at it."""
    from huggingface_hub import close_session

    with LoopbackHub() as server:
        _point_at(monkeypatch, server.endpoint)
        yield server
        close_session()
        close_connections()


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """fixtures/models."""
    return Path(__file__).parents[1] / "fixtures" / "models"
