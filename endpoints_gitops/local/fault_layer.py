"""The layer around the routes that plays faults."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from endpoints_gitops.local.errors import broken, envelope
from endpoints_gitops.local.faults import (
    FAULTS_OF_THIS_REQUEST,
    Edit,
    Effect,
    Fault,
    Faults,
    RequestLog,
    When,
)


class _JoinedWrites:
    """A transport that sends together what is written in one turn of the event loop: uvicorn writes the head of an
    answer and its body apart, and each packet wakes the client up."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._written: list[bytes] = []

    def write(self, data: bytes) -> None:
        if not self._written:
            self._loop.call_soon(self._send)
        self._written.append(data)

    def close(self) -> None:
        self._send()
        self._transport.close()

    def abort(self) -> None:
        self._send()
        self._transport.abort()

    def _send(self) -> None:
        if self._written:
            self._transport.write(b"".join(self._written))
            self._written.clear()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - all else is that of the transport
        return getattr(self._transport, name)


class Connections:
    """The transports of a server, by the address of the client."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, int], _JoinedWrites] = {}

    def drop(self, scope: MutableMapping[str, Any]) -> None:
        """Close the connection of a request after sending the data that was written to it."""
        transport = self._open.get(tuple(scope["client"] or ()))
        if transport is not None:
            transport.abort()

    def protocol(self) -> type[asyncio.Protocol]:
        """The protocol class that registers its connections here."""
        entered = self._open

        class _Entered(H11Protocol):
            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the parent's
                joined = _JoinedWrites(transport)
                super().connection_made(joined)  # type: ignore[arg-type]  # it has all that a transport has
                if self.client is not None:
                    entered[self.client] = joined

            def connection_lost(self, exc: Exception | None) -> None:
                super().connection_lost(exc)
                if self.client is not None:
                    entered.pop(self.client, None)

        return _Entered


_PAGE = "<!DOCTYPE html><html><head><title>{0}</title></head><body><h1>{0} Bad gateway</h1></body></html>"
_INSTEAD = (Effect.ERROR, Effect.HANG, Effect.HTML, Effect.WRONG_JSON, Effect.BROKEN_JSON, Effect.DROP)


class _Cut(Exception):
    """The request ends without a complete answer."""


@dataclass(slots=True)
class _Answered:
    """An answer that is delayed."""

    messages: list[Message]

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages[1:])


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultLayer:
    """An ASGI app that wraps another one."""

    app: ASGIApp
    faults: Faults
    log: RequestLog
    connections: Connections
    colleague: str
    prefix: str = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(self.prefix)
        _, port = scope["client"] or (None, None)
        number = self.log.begin(scope["method"], path, scope["query_string"].decode("latin-1"), port)

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.log.answered(number, message["status"])
            await send(message)

        struck = self.faults.striking(scope["method"], path)
        FAULTS_OF_THIS_REQUEST.set(frozenset(fault.effect for fault in struck))
        try:
            await self._play(struck, scope, receive, noted)
        except _Cut:
            self.connections.drop(scope)
            await asyncio.sleep(0)

    async def _play(self, struck: Sequence[Fault], scope: Scope, receive: Receive, send: Send) -> None:
        if not struck:
            await self.app(scope, receive, send)
            return
        before = [fault for fault in struck if fault.when == When.BEFORE and fault.effect != Effect.HALF]
        instead = await self._strike(before, receive)
        if instead is None:
            answered = await self._handled(scope, receive)
            after = [fault for fault in struck if fault.when == When.AFTER and fault.effect != Effect.HALF]
            instead = await self._strike(after, receive)
            if instead is None:
                await self._pass_on(answered, send, half=any(fault.effect == Effect.HALF for fault in struck))
                return
        await instead(scope, receive, send)

    async def _strike(self, faults: Sequence[Fault], receive: Receive) -> Response | None:
        """The answer of a fault; None if the request is handled."""
        for fault in faults:
            if fault.effect == Effect.DELAY:
                await asyncio.sleep(fault.seconds)
            elif fault.effect == Effect.EDIT and fault.edit is not None:
                refusal = await self._edit(fault.edit)
                if refusal is not None:
                    return refusal
            elif fault.effect == Effect.HANG:
                await _hang(receive, fault.seconds)
                raise _Cut
            elif fault.effect in _INSTEAD:
                return _instead(fault)
        return None

    async def _handled(self, scope: Scope, receive: Receive) -> _Answered:
        held: list[Message] = []

        async def hold(message: Message) -> None:
            held.append(message)

        await self.app(scope, receive, hold)
        return _Answered(held)

    async def _pass_on(self, answered: _Answered, send: Send, *, half: bool) -> None:
        if not half:
            for message in answered.messages:
                await send(message)
            return
        await send(answered.messages[0])
        body = answered.body
        await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})

    async def _edit(self, edit: Edit) -> Response | None:
        """Make a request of the other user. If it is refused, the test is wrong, which is reported."""
        answered = await self._handled(*self._request(edit))
        if answered.status < 400:
            return None
        message = f"The edit by somebody else was refused with {answered.status}: {answered.body.decode()}"
        return JSONResponse(broken(message).body, status_code=500)

    def _request(self, edit: Edit) -> tuple[Scope, Receive]:
        path = f"{self.prefix}/api/projects/@current/{edit.path.lstrip('/')}"
        headers = {"authorization": f"Bearer {self.colleague}", "content-type": "application/json"}
        sent = iter([{"type": "http.request", "body": json.dumps(dict(edit.body)).encode()}])

        async def receive() -> Message:
            return next(sent, {"type": "http.disconnect"})

        return _scope(edit.method.upper(), path, headers), receive


def _scope(method: str, path: str, headers: Mapping[str, str]) -> Scope:
    return {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": [(key.encode(), value.encode()) for key, value in headers.items()],
        "scheme": "http",
        "server": None,
        "client": None,
        "root_path": "",
    }


def _instead(fault: Fault) -> Response:
    if fault.effect == Effect.DROP:
        raise _Cut
    if fault.effect == Effect.HTML:
        return HTMLResponse(_PAGE.format(fault.status), status_code=fault.status)
    if fault.effect == Effect.WRONG_JSON:
        return JSONResponse(["something", {"else": None}])
    if fault.effect == Effect.BROKEN_JSON:
        return Response(b'{"results": [', media_type="application/json")
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    kind, code = ("throttled_error", "throttled") if fault.status == 429 else ("server_error", "error")
    told = "A fault that a test asked for."
    return JSONResponse(envelope(kind, code, told), status_code=fault.status, headers=headers)


async def _hang(receive: Receive, seconds: float) -> None:
    """Wait, at most until the client disconnects."""

    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            continue

    with suppress(TimeoutError):
        await asyncio.wait_for(gone(), seconds)
