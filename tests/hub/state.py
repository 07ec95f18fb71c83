"""What the two origins share: the repositories, the addresses and the switches of behaviour."""

from __future__ import annotations

from .repos import RepoStore


class HubState(RepoStore):
    def __init__(self) -> None:
        super().__init__()
        self.endpoint = ""
        self.cdn_endpoint = ""
        self.latency_seconds = 0.0
        """Waited before each answer, on both origins."""
        self.gathers = 0
        """Answers to ranges wait until so many are asked of an origin at once, `GATHERING_SECONDS` at most."""
        self.ignore_range = False
        """The CDN answers every range with 200 and the whole file."""
        self.serve_safetensors_metadata = True
        """False: 404, as on a mirror that does not know that endpoint."""
        self.tree_page_size = 1000
        self.search_page_size = 1000
        self.quotas: dict[str, tuple[int, float]] = {}
        """Bucket ("api" or "resolvers") -> (requests, seconds of the window): 429 once they are used up.

        A bucket that is not here shows the Hub's figures for anonymous callers and never closes.
        """
