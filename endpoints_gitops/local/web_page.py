"""The page for people at `/` (docs/local-server.md#the-page): the files that are served, and their headers.

They hold no key. The page gets one in the fragment of its address, which a browser does not send, or asks for it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

_FOLDER: Final = Path(__file__).with_name("page")
_TYPES: Final = {"css": "text/css", "html": "text/html", "js": "text/javascript", "svg": "image/svg+xml"}
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


def page_routes(prefix: str) -> list[Route]:
    """The page, its files, and the address of an endpoint that answers have as `ui_url`."""
    names = sorted(item.name for item in _FOLDER.iterdir() if item.name.rpartition(".")[2] in _TYPES)

    async def endpoint(request: Request) -> Response:
        return RedirectResponse(f"{prefix}/#/{quote(request.path_params['name'], safe='')}", 302, HEADERS)

    return [
        Route("/", _sends("index.html")),
        *(Route(f"/page/{name}", _sends(name)) for name in names),
        Route("/project/{project_id}/endpoints/{name}", endpoint),
    ]


def page_url(url: str, key: str) -> str:
    """The address that opens the page of the server at `url` with a key."""
    return f"{url}/#key={key}"


def _sends(name: str) -> Callable[[Request], Awaitable[Response]]:
    content = (_FOLDER / name).read_bytes()
    media_type = _TYPES[name.rpartition(".")[2]]

    async def send(_request: Request) -> Response:
        return Response(content, media_type=media_type, headers=HEADERS)

    return send
