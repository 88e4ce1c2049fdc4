"""Open connections, so that one can be cut in the middle of a request. Only this module knows uvicorn's protocol."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol


class Connections:
    """The transports of one server, by the address of the other side."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, int], asyncio.Transport] = {}

    def drop(self, scope: MutableMapping[str, Any]) -> None:
        """Cut the connection that a request came on; what was written to it is sent before."""
        transport = self._open.get(tuple(scope["client"] or ()))
        if transport is not None:
            transport.abort()

    def protocol(self) -> type[asyncio.Protocol]:
        """The protocol class that enters its connections here."""
        entered = self._open

        class _Entered(H11Protocol):
            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the parent's
                super().connection_made(transport)
                if self.client is not None:
                    entered[self.client] = transport

            def connection_lost(self, exc: Exception | None) -> None:
                super().connection_lost(exc)
                if self.client is not None:
                    entered.pop(self.client, None)

        return _Entered
