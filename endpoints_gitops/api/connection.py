"""A connection: host, project and key, and the URLs of a project."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final
from urllib.parse import quote, urlencode, urlsplit

from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.origin import HostMistake, Origin
from endpoints_gitops.model.secret import Secret

READ_TIMEOUT: Final = 60.0
"""Seconds, the timeout of a gateway in front of PostHog."""

MAX_ANSWER_VARIABLE: Final = "ENDPOINTS_GITOPS_MAX_ANSWER_BYTES"
_MAX_ANSWER_BYTES: Final = 256 * 2**20


def _max_answer_bytes() -> int:
    text = os.environ.get(MAX_ANSWER_VARIABLE, "")
    if not text:
        return _MAX_ANSWER_BYTES
    if text.isascii() and text.isdigit() and len(text) < 16 and int(text) > 0:
        return int(text)
    raise UsageError(f"{MAX_ANSWER_VARIABLE} must be a number of bytes above 0", code="configuration.invalid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Host, project, key and limits of a client.

    `host` can have the path prefix of a proxy. `max_wait` limits each call in seconds, including waits and retries;
    `read_timeout` limits each attempt of a repeatable request. `max_answer_bytes` limits one answer after
    decompression: by default `ENDPOINTS_GITOPS_MAX_ANSWER_BYTES`, else 256 MiB.

    Raises UsageError for an invalid host, and for plain http to any host but this machine, because the key could be
    intercepted.
    """

    host: str
    project_id: int
    key: Secret
    allow_insecure: bool = False
    max_wait: float = 60.0
    max_answer_bytes: int = field(default_factory=_max_answer_bytes)
    read_timeout: float = READ_TIMEOUT

    def __post_init__(self) -> None:
        object.__setattr__(self, "host", self.host.rstrip("/"))
        try:
            origin = Origin.of(self.host)
        except HostMistake as mistake:
            raise UsageError(str(mistake), code="configuration.invalid") from None
        if origin.is_plain and not self.allow_insecure and not origin.is_loopback:
            raise UsageError(
                f"{self.host} is plain http: the key could be intercepted",
                fix="use https://, or list the host in ENDPOINTS_GITOPS_ALLOWED_HOSTS",
                code="configuration.insecure",
            )
        for name, seconds in (("max_wait", self.max_wait), ("read_timeout", self.read_timeout)):
            if not (isinstance(seconds, int | float) and seconds > 0 and math.isfinite(seconds)):
                raise UsageError(f"{name} must be a number of seconds above 0", code="usage.arguments")

    @property
    def is_plain(self) -> bool:
        """Whether the connection has no TLS."""
        return self.host.lower().startswith("http://")

    @property
    def prefix(self) -> str:
        """The path prefix of every route: that of a proxy, or empty."""
        return urlsplit(self.host).path

    def project_path(self, *names: str) -> str:
        """The path of a resource of the project, with escaped names and a slash at its end."""
        return "/".join(["/api/projects", str(self.project_id), *map(escaped, names), ""])


@lru_cache(maxsize=1024)
def escaped(name: str) -> str:
    """A name as one segment of a path. Raises UsageError for an empty name, which would address the list instead."""
    if not name:
        raise UsageError("the name is empty", fix="pass the name of an endpoint", code="usage.name")
    if name in {".", ".."}:
        return name.replace(".", "%2E")  # otherwise clients and proxies resolve it to the parent path
    return quote(name, safe="", errors="surrogatepass")


@lru_cache(maxsize=1024)
def query_string(query: tuple[tuple[str, str | int], ...]) -> str:
    """The query string of a URL with its question mark; empty without parameters."""
    return f"?{urlencode(query)}" if query else ""
