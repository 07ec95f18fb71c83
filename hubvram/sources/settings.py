"""The user's settings that huggingface_hub reads when it is imported, and fails on if they make no sense."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from hubvram.errors import UsageError


def host_of(url: str) -> str:
    """The host and port of an address, without a user name or password in it; "" of what is no address."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2]
    except ValueError:
        return ""


def endpoint() -> str:
    """The Hub's address. Raises UsageError, as all of these do."""
    check_endpoint()
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def is_offline() -> bool:
    """Whether the user's environment forbids requests."""
    check_endpoint()
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def hub_cache() -> Path:
    """Where huggingface_hub keeps downloads."""
    check_endpoint()
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def assets_cache() -> Path:
    """Where it lets other libraries keep what is theirs."""
    check_endpoint()
    from huggingface_hub import constants

    return Path(constants.HF_ASSETS_CACHE)


def shown_endpoint() -> str:
    """The Hub's address as it may be printed: without a user name or password in it."""
    return re.sub(r"(?<=://)[^/@]*@", "", endpoint())  # not taken apart: it may be no address at all


def check_endpoint() -> None:
    """HF_ENDPOINT must be an address, before huggingface_hub takes it apart. Raises UsageError.

    Its value is not repeated: it may hold a password.
    """
    endpoint = os.environ.get("HF_ENDPOINT", "")
    try:
        parts = urlsplit(endpoint)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if endpoint and (not usable or endpoint != endpoint.strip()):
        raise UsageError("HF_ENDPOINT is set to something that is no address", "set it like https://huggingface.co")
