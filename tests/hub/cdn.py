"""The CDN origin: large files by signed URL, with ranges, and no idea of tokens."""

from __future__ import annotations

import hashlib
import re
from urllib.parse import quote, urlencode

from .content import Span, StoredFile
from .messages import Reply, Request, file_reply
from .repos import Repo
from .state import HubState

_PATH = re.compile(r"/xet-bridge/(?P<repo>[0-9a-f]{24})/(?P<hash>[0-9a-f]{64})")


class Cdn:
    def __init__(self, state: HubState) -> None:
        self._state = state
        self._key = 0
        self._queries: dict[tuple[str, str], str] = {}

    def expire_signatures(self) -> None:
        self._key += 1
        self._queries.clear()

    def signed_url(self, repo: Repo, file: StoredFile) -> str:
        path = f"/xet-bridge/{repo.oid}/{file.xet_hash}"
        name = file.path.rpartition("/")[2]
        if (path, name) not in self._queries:
            self._queries[path, name] = self._query(path, name)
        return f"{self._state.cdn_endpoint}{path}?{self._queries[path, name]}"

    def _query(self, path: str, name: str) -> str:
        query = {
            "X-Xet-Cas-Uid": "public",
            "response-content-disposition": f"inline; filename*=UTF-8''{quote(name)};",
            "Expires": "4102444800",
            "Signature": self._signature(path),
            "Key-Pair-Id": "LOOPBACK",
        }
        return urlencode(query)

    def answer(self, request: Request) -> Reply:
        found = _PATH.fullmatch(request.path)
        if found is None or f"Signature={self._signature(request.path)}" not in request.query.split("&"):
            return _xml_error(403, "AccessDenied", "Access denied")
        file = self._state.stored_object(found["repo"], found["hash"])
        if file is None:
            return _xml_error(404, "NoSuchKey", "The specified key does not exist.")
        headers = {
            # Not the sha256 of the content, which only the Hub's redirect tells.
            "ETag": f'"{file.xet_hash}"',
            "Content-Type": "application/octet-stream",
            "Cache-Control": "public, max-age=31536000",
        }
        return file_reply(file.content, request, headers, ignore_range=self._state.ignore_range)

    def _signature(self, path: str) -> str:
        return hashlib.sha256(f"{self._key} {path}".encode()).hexdigest()


def _xml_error(status: int, code: str, message: str) -> Reply:
    xml = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'
    return Reply(status, {"Content-Type": "application/xml"}, Span.whole(xml.encode()))
