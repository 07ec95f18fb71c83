"""Certificates of a loopback Hub, by an authority that nobody trusts unless told to."""

from __future__ import annotations

import ssl
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import trustme


@cache
def _authority() -> trustme.CA:
    import trustme

    return trustme.CA()


def server_context() -> ssl.SSLContext:
    """For 127.0.0.1 and localhost, with HTTP/2 for whoever offers it."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    _authority().issue_cert("127.0.0.1", "localhost").configure_cert(context)
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


def write_authority(path: Path) -> None:
    _authority().cert_pem.write_to_path(path)
