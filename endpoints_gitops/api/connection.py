"""Which server, which project, which key; and the address of everything in it."""

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
"""Seconds: as long as a gateway in front of PostHog waits."""

MAX_ANSWER_VARIABLE: Final = "ENDPOINTS_GITOPS_MAX_ANSWER_BYTES"
_MAX_ANSWER_BYTES: Final = 256 * 2**20


def _max_answer_bytes() -> int:
    text = os.environ.get(MAX_ANSWER_VARIABLE, "")
    if not text:
        return _MAX_ANSWER_BYTES
    if text.isascii() and text.isdigit() and len(text) < 16 and int(text) > 0:
        return int(text)
    raise UsageError(f"{MAX_ANSWER_VARIABLE} is a number of bytes above 0", code="configuration.invalid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """What a client needs. `host` may hold the path prefix of a proxy; `max_wait` bounds each call in seconds, waits
    and repetitions included, and `read_timeout` each try of what may be repeated.

    `max_answer_bytes` bounds one answer, unpacked: by default `ENDPOINTS_GITOPS_MAX_ANSWER_BYTES`, else 256 MiB.

    Raises UsageError for what cannot be an address, and for plain http to anything but this machine: whoever listens
    on the way would have the key.
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
                f"{self.host} is plain http: the key could be read on the way",
                fix="use https://, or name the host in ENDPOINTS_GITOPS_ALLOWED_HOSTS",
                code="configuration.insecure",
            )
        for name, seconds in (("--max-wait", self.max_wait), ("--read-timeout", self.read_timeout)):
            if not (seconds > 0 and math.isfinite(seconds)):
                raise UsageError(f"{name} is a number of seconds above 0", code="usage.arguments")

    @property
    def is_plain(self) -> bool:
        """Whether the host is asked without TLS."""
        return self.host.lower().startswith("http://")

    @property
    def prefix(self) -> str:
        """The path before every route: empty, or a proxy's."""
        return urlsplit(self.host).path

    def project_path(self, *names: str) -> str:
        """The path of something in the project, a slash at its end; the names are escaped."""
        return "/".join(["/api/projects", str(self.project_id), *map(escaped, names), ""])


@lru_cache(maxsize=1024)
def escaped(name: str) -> str:
    """One segment of a path. Raises UsageError for none at all, which would address the list instead."""
    if not name:
        raise UsageError("a name is empty", fix="say which endpoint is meant", code="usage.name")
    if name in {".", ".."}:
        return name.replace(".", "%2E")  # spelled out: clients and proxies walk up the path otherwise
    return quote(name, safe="", errors="surrogatepass")


@lru_cache(maxsize=1024)
def query_string(query: tuple[tuple[str, str | int], ...]) -> str:
    """The query of an address, with its question mark; empty without parameters."""
    return f"?{urlencode(query)}" if query else ""
