"""The one module that knows httpx: sends one request, and says what happened to it.

No redirect is followed. Plain http is asked without the proxies of the environment: they would see the key.
"""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import aclosing, closing, contextmanager
from functools import lru_cache
from typing import Any, Final, Protocol

import httpx

from endpoints_gitops import __version__
from endpoints_gitops.api.connection import Connection
from endpoints_gitops.api.wire import Answer, NoAnswer, NotSent, Send

_PACKINGS: Final = frozenset({"", "identity", "gzip", "deflate"})
"""One part of these unpacks to at most a thousand times its size; others, and several at once, to any size."""

type Outcome = Answer | NotSent | NoAnswer

_NEVER_SENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.LocalProtocolError,
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
)
_PASSING: Final = (ssl.SSLEOFError, ssl.SSLZeroReturnError)


class Transport(Protocol):
    """Carries one request. Several threads may call it at once."""

    def send(self, request: Send) -> Outcome:
        """Send it; a failure is an outcome, no exception."""

    def close(self) -> None:
        """Close every connection."""


class AsyncTransport(Protocol):
    """The same, awaited."""

    async def send(self, request: Send) -> Outcome:
        """Send it; a failure is an outcome, no exception."""

    async def close(self) -> None:
        """Close every connection."""


class HttpTransport:
    """Over httpx's client."""

    def __init__(self, connection: Connection) -> None:
        self._client = httpx.Client(**_settings(connection))
        self._headers = self._client.headers.multi_items()
        self._most_bytes = connection.max_answer_bytes

    def send(self, request: Send) -> Outcome:
        body = _Body(request, self._most_bytes)
        with body.guarded(), closing(self._client.send(_request(self._headers, request), stream=True)) as response:
            body.begins(response)
            for part in response.iter_bytes():
                body.add(part)
            body.ends()
        return body.outcome

    def close(self) -> None:
        self._client.close()


class AsyncHttpTransport:
    """Over httpx's async client."""

    def __init__(self, connection: Connection) -> None:
        self._client = httpx.AsyncClient(**_settings(connection))
        self._headers = self._client.headers.multi_items()
        self._most_bytes = connection.max_answer_bytes

    async def send(self, request: Send) -> Outcome:
        body = _Body(request, self._most_bytes)
        with body.guarded():
            response = await self._client.send(_request(self._headers, request), stream=True)
            async with aclosing(response):
                body.begins(response)
                async for part in response.aiter_bytes():
                    body.add(part)
                body.ends()
        return body.outcome

    async def close(self) -> None:
        await self._client.aclose()


class _TooLong(Exception):
    """All of the answer took longer than it may."""


class _TooLarge(Exception):
    """The answer is larger than it may be, or packed in a way that cannot be bounded."""


class _Body:
    """An answer as it comes in, and what became of it."""

    def __init__(self, request: Send, most_bytes: int) -> None:
        self.outcome: Outcome = NoAnswer(reason="no answer")
        self._until = time.monotonic() + request.total_seconds
        self._seconds = request.total_seconds
        self._response: httpx.Response | None = None
        self._parts: list[bytes] = []
        self._most_bytes = most_bytes
        self._bytes = 0

    @contextmanager
    def guarded(self) -> Iterator[None]:
        try:
            yield
        except _NEVER_SENT as error:
            self.outcome = NotSent(_reason(error), is_final=_is_final(error))
        except httpx.TimeoutException:
            self._broken_off(f"no answer within {self._seconds:.0f} s")
        except _TooLong:
            self._broken_off(f"not all of the answer within {self._seconds:.0f} s")
        except _TooLarge as error:
            self._broken_off(str(error), is_too_large=True)
        except (httpx.HTTPError, httpx.StreamError) as error:
            self._broken_off(_reason(error))

    def begins(self, response: httpx.Response) -> None:
        self._response = response
        packed = response.headers.get("content-encoding", "").strip().lower()
        if packed not in _PACKINGS:
            raise _TooLarge(f"it is packed as {packed}, which was not asked for and can be of any size")
        length = response.headers.get("content-length", "")
        if length.isdigit() and (len(length) > 15 or int(length) > self._most_bytes):
            raise self._too_large()

    def add(self, part: bytes) -> None:
        self._parts.append(part)
        self._bytes += len(part)
        if self._bytes > self._most_bytes:
            raise self._too_large()
        if time.monotonic() > self._until:
            raise _TooLong

    def ends(self) -> None:
        response = self._response
        assert response is not None
        self.outcome = Answer(status=response.status_code, headers=response.headers, body=b"".join(self._parts))

    def _too_large(self) -> _TooLarge:
        return _TooLarge(f"the answer has more than {self._most_bytes:,} bytes")

    def _broken_off(self, reason: str, *, is_too_large: bool = False) -> None:
        self._parts.clear()
        status = self._response.status_code if self._response else None
        self.outcome = NoAnswer(reason=reason, status=status, is_too_large=is_too_large)


def _settings(connection: Connection) -> dict[str, Any]:
    plain = connection.is_plain
    return {
        "headers": {
            "Authorization": f"Bearer {connection.key.reveal()}",
            "Accept": "application/json",
            "Accept-Encoding": "gzip, deflate",
            "User-Agent": f"endpoints-gitops/{__version__}",
        },
        "follow_redirects": False,
        "trust_env": not plain,
        "verify": not plain,  # without TLS there is nothing to verify, and reading the certificates takes long
    }


_url = lru_cache(maxsize=256)(httpx.URL)  # an app asks for the same few again and again


def _request(headers: list[tuple[str, str]], request: Send) -> httpx.Request:
    """Made here and not by the client, which would join addresses and headers anew for each."""
    timeout = httpx.Timeout(request.read_seconds, connect=request.connect_seconds)
    content = None
    if request.body is not None:
        content, headers = json.dumps(request.body).encode(), [*headers, ("Content-Type", "application/json")]
    return httpx.Request(
        request.method, _url(request.url), headers=headers, content=content, extensions={"timeout": timeout.as_dict()}
    )


def _is_final(error: BaseException) -> bool:
    """Whether the next try can end no other way: nobody knows the host, its certificate is wrong, it speaks no TLS."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, socket.gaierror):
            return cause.errno == socket.EAI_NONAME
        if isinstance(cause, ssl.SSLError):
            return not isinstance(cause, _PASSING)
        cause = cause.__cause__ or cause.__context__
    return isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL | httpx.LocalProtocolError)


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
