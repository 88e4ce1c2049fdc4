"""The check that a request comes from a program, or from this server's own page (docs/local-server.md#who-is-answered).

A web page of another site that is open in a browser on this machine can send requests to a loopback port, and a name
that its owner points to 127.0.0.1 makes such requests look like those of the same site (DNS rebinding). Browsers
tell both in headers that a page cannot change: `Host`, `Origin` and `Sec-Fetch-Site`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from endpoints_gitops.local.errors import RequestRefused, forbidden

_LOOPBACK_HOST: Final = re.compile(
    r"(localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[::1\])(:\d{1,5})?", re.ASCII | re.IGNORECASE
)
_FOREIGN_SITES: Final = frozenset({"cross-site", "same-site"})


@dataclass(frozen=True, slots=True)
class OwnSite:
    """An ASGI app that refuses the requests of other sites with a 403, before anything else reads them. It is reached
    under `host_names` too, which are in lower case."""

    app: ASGIApp
    host_names: Collection[str]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = foreign(scope["headers"], scope["method"], self.host_names)
        if refusal is None:
            await self.app(scope, receive, send)
        else:
            await JSONResponse(refusal.body, status_code=refusal.status)(scope, receive, send)


def foreign(
    headers: Sequence[tuple[bytes, bytes]], method: str, host_names: Collection[str] = ()
) -> RequestRefused | None:
    """The 403 for a request with these raw headers; None for a program, the own page, or a link to this server.

    A program sends no `Origin` and no `Sec-Fetch-Site`; without a `Host` (HTTP/1.0) it is no browser either.
    """
    sent: dict[str, list[str]] = {}
    for name, value in headers:
        sent.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1").strip().lower())
    host = sent.get("host", [""])[0]
    if host and not _LOOPBACK_HOST.fullmatch(host) and host.partition(":")[0] not in host_names:
        return forbidden(f'The host "{host}" is not this machine. Use localhost or 127.0.0.1.')
    for origin in sent.get("origin", []):
        if origin != f"http://{host}":
            return forbidden(f'Pages of "{origin}" cannot use this server. Its own page and programs can.')
    site = sent.get("sec-fetch-site", [""])[0]
    if site in _FOREIGN_SITES and not _opens_a_tab(sent, method):
        return forbidden("Pages of other sites cannot use this server. Its own page and programs can.")
    return None


def _opens_a_tab(sent: dict[str, list[str]], method: str) -> bool:
    """Whether a person followed a link: the other site does not get the answer, and no frame shows it."""
    return method == "GET" and sent.get("sec-fetch-mode") == ["navigate"] and sent.get("sec-fetch-dest") == ["document"]
