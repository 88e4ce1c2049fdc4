"""Send one request with httpx. No other module of the client imports httpx.

Redirects are not followed. Plain http ignores the proxies of the environment, because they would see the key.
"""

from __future__ import annotations

import encodings.idna  # noqa: F401 - else the first request imports it, when a fork no longer waits for imports
import json
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing, closing, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit
from urllib.request import proxy_bypass

import httpx

from endpoints_gitops import __version__
from endpoints_gitops.api.connection import Connection
from endpoints_gitops.api.wire import Answer, NoAnswer, NotSent, Send
from endpoints_gitops.errors import UsageError
from endpoints_gitops.extras import require
from endpoints_gitops.model.origin import host_mistake

_ENCODINGS: Final = frozenset({"", "identity", "gzip", "deflate"})
"""Encodings that decompress to at most a thousand times their size. Others, and combinations, have no such limit."""

type Outcome = Answer | NotSent | NoAnswer

_NEVER_SENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.LocalProtocolError,
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
    UnicodeError,  # host names that cannot be encoded for the resolver
)
_PROXY_SCHEMES: Final = ("http", "https", "socks5", "socks5h")
_TRANSIENT: Final = (ssl.SSLEOFError, ssl.SSLZeroReturnError)


class Transport(Protocol):
    """Sends requests. Several threads can use it at once."""

    def send(self, request: Send) -> Outcome:
        """Send a request. Failures are returned as outcomes, not raised."""

    def close(self) -> None:
        """Close every connection."""


class AsyncTransport(Protocol):
    """Sends requests in an event loop."""

    async def send(self, request: Send) -> Outcome:
        """Send a request. Failures are returned as outcomes, not raised."""

    async def close(self) -> None:
        """Close every connection."""


type AnyTransport = Transport | httpx.BaseTransport
type AnyAsyncTransport = AsyncTransport | httpx.AsyncBaseTransport


class HttpTransport:
    """A transport with an httpx client."""

    def __init__(self, connection: Connection, transport: httpx.BaseTransport | None = None) -> None:
        self._client = _http_client(httpx.Client, connection, transport)
        self._proxy = _proxy_of(connection) if transport is None else None
        self._headers = self._client.headers.multi_items()
        self._max_bytes = connection.max_answer_bytes

    def send(self, request: Send) -> Outcome:
        """Send a request. Failures are returned as outcomes, not raised."""
        body = _Body(request, self._max_bytes, self._proxy)
        with body.guarded(), closing(self._client.send(_request(self._headers, request), stream=True)) as response:
            body.begins(response)
            for part in response.iter_bytes():
                body.add(part)
        return body.outcome

    def close(self) -> None:
        """Close every connection."""
        self._client.close()


class AsyncHttpTransport:
    """A transport with an async httpx client."""

    def __init__(self, connection: Connection, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._client = _http_client(httpx.AsyncClient, connection, transport)
        self._proxy = _proxy_of(connection) if transport is None else None
        self._headers = self._client.headers.multi_items()
        self._max_bytes = connection.max_answer_bytes

    async def send(self, request: Send) -> Outcome:
        """Send a request. Failures are returned as outcomes, not raised."""
        body = _Body(request, self._max_bytes, self._proxy)
        with body.guarded():
            response = await self._client.send(_request(self._headers, request), stream=True)
            async with aclosing(response):
                body.begins(response)
                async for part in response.aiter_bytes():
                    body.add(part)
        return body.outcome

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()


def transport_of(connection: Connection, transport: AnyTransport | None) -> Transport:
    """The transport of a client: HTTP, an httpx transport, or an app's own. Raises UsageError for an async one."""
    if transport is None or isinstance(transport, httpx.BaseTransport):
        return HttpTransport(connection, transport)
    if isinstance(transport, httpx.AsyncBaseTransport):
        raise _wrong_transport(transport, "pass it to AsyncEndpoints")
    return _with_methods(transport)


def async_transport_of(connection: Connection, transport: AnyAsyncTransport | None) -> AsyncTransport:
    """The transport of an async client. Raises UsageError for one that is not async."""
    if transport is None or isinstance(transport, httpx.AsyncBaseTransport):
        return AsyncHttpTransport(connection, transport)
    if isinstance(transport, httpx.BaseTransport):
        raise _wrong_transport(transport, "pass it to Endpoints")
    return _with_methods(transport)


def _with_methods[T](transport: T) -> T:
    """An app's own transport. Raises UsageError for an object without the methods of one."""
    if not all(callable(getattr(transport, method, None)) for method in ("send", "close")):
        message = f"transport must be an httpx transport, or have the methods send and close; it is {transport!r}"
        raise UsageError(message, code="usage.transport")
    return transport


def _wrong_transport(transport: object, fix: str) -> UsageError:
    kind = "an async transport" if isinstance(transport, httpx.AsyncBaseTransport) else "a synchronous transport"
    return UsageError(f"{type(transport).__name__} is {kind}: {fix}", code="usage.transport")


class _TooLong(Exception):
    """The complete answer took too long."""


class _TooLarge(Exception):
    """The answer exceeds the size limit, or has an encoding of unlimited size."""


class _Body:
    """Collects an answer part by part, and turns failures into an outcome."""

    def __init__(self, request: Send, max_bytes: int, proxy: str | None) -> None:
        self._proxy = proxy
        self.outcome: Outcome = NoAnswer(reason="no answer")
        self._until = time.monotonic() + request.total_seconds
        self._seconds = request.total_seconds
        self._response: httpx.Response | None = None
        self._parts: list[bytes] = []
        self._max_bytes = max_bytes
        self._bytes = 0

    @contextmanager
    def guarded(self) -> Iterator[None]:
        try:
            yield
            response = self._response
            assert response is not None
            self.outcome = Answer(status=response.status_code, headers=response.headers, body=b"".join(self._parts))
        except _NEVER_SENT as error:
            self.outcome = NotSent(_connection_reason(error, self._proxy), is_final=_is_final(error))
        except httpx.TimeoutException:
            self._fail(f"no answer within {self._seconds:.0f} s")
        except _TooLong:
            self._fail(f"no complete answer within {self._seconds:.0f} s")
        except _TooLarge as error:
            self._fail(str(error), is_too_large=True)
        except (httpx.HTTPError, httpx.StreamError) as error:
            self._fail(_reason(error))

    def begins(self, response: httpx.Response) -> None:
        self._response = response
        encoding = response.headers.get("content-encoding", "").strip().lower()
        if encoding not in _ENCODINGS:
            raise _TooLarge(f"the answer has the encoding {encoding}, which was not requested and has no size limit")
        length = response.headers.get("content-length", "")
        if length.isdigit() and (len(length) > 15 or int(length) > self._max_bytes):
            raise self._too_large()

    def add(self, part: bytes) -> None:
        self._parts.append(part)
        self._bytes += len(part)
        if self._bytes > self._max_bytes:
            raise self._too_large()
        if time.monotonic() > self._until:
            raise _TooLong

    def _too_large(self) -> _TooLarge:
        return _TooLarge(f"the answer has more than {self._max_bytes:,} bytes")

    def _fail(self, reason: str, *, is_too_large: bool = False) -> None:
        self._parts.clear()
        status = self._response.status_code if self._response else None
        self.outcome = NoAnswer(reason=reason, status=status, is_too_large=is_too_large)


def _http_client[C](client: Callable[..., C], connection: Connection, transport: object) -> C:
    """An httpx client. Raises UsageError, naming the variable, for wrong proxies and certificates in the
    environment."""
    if transport is not None or connection.is_plain:  # ignores the environment: proxies would see the key
        return client(**_settings(connection), transport=transport)
    for _, variable in _proxy_variables():
        _check_proxy(variable, os.environ[variable])
    certificates = next((name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)), None)
    if certificates is not None:
        _check_certificates(certificates, os.environ[certificates])
    try:
        return client(**_settings(connection))
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        if certificates is None:
            raise
        raise _wrong(certificates, f"names unreadable certificates: {error}") from error
    except httpx.InvalidURL as error:
        variable = next((name for name in ("no_proxy", "NO_PROXY") if name in os.environ), "NO_PROXY")
        raise _wrong(variable, f"is not a list of host names and addresses: {error}") from error


def _proxy_variables() -> Iterator[tuple[str, str]]:
    """Pairs of scheme and environment variable of each proxy; lower case takes precedence, as in urllib."""
    for scheme in ("http", "https", "all"):
        for name in (f"{scheme}_proxy", f"{scheme}_proxy".upper()):
            if os.environ.get(name):
                yield scheme, name
                break


def _check_proxy(variable: str, address: str) -> None:
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        mistake = host_mistake(f"http://{parts.netloc.rpartition('@')[2]}")
    except ValueError as error:
        raise _wrong(variable, f"is not the address of a proxy: {error}") from error
    if mistake is not None:
        raise _wrong(variable, f"is not the address of a proxy: {mistake}")
    if parts.scheme.lower() not in _PROXY_SCHEMES:
        raise _wrong(variable, f"names a proxy with a scheme other than {', '.join(_PROXY_SCHEMES)}")
    if parts.scheme.lower().startswith("socks"):
        require("socks", f"the SOCKS proxy in {variable}")


def _check_certificates(variable: str, value: str) -> None:
    if variable == "SSL_CERT_FILE" and not Path(value).is_file():
        raise _wrong(variable, f"names {value}, which is not a file")
    if variable == "SSL_CERT_DIR" and not all(Path(part).is_dir() for part in value.split(os.pathsep)):
        raise _wrong(variable, f"names {value}, which is not a folder")


def _wrong(variable: str, how: str) -> UsageError:
    return UsageError(f"the environment variable {variable} {how}", fix=f"unset {variable}", code="usage.environment")


def _proxy_of(connection: Connection) -> str | None:
    """The proxy of the connection and its variable, for messages: without user and password. None without a proxy."""
    name = urlsplit(connection.host).hostname or ""
    if connection.is_plain or proxy_bypass(name):
        return None
    variables = dict(_proxy_variables())
    variable = variables.get("https") or variables.get("all")
    if variable is None:
        return None
    address = os.environ[variable]
    parts = urlsplit(address if "://" in address else f"http://{address}")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]} ({variable})"


def _connection_reason(error: Exception, proxy: str | None) -> str:
    """The reason of a failed connection. With a proxy, only TLS errors can come from the server behind it."""
    if proxy is None or any(isinstance(cause, ssl.SSLError) for cause in _causes(error)):
        return _reason(error)
    return f"the proxy {proxy} cannot be used: {_reason(error)}"


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
        "verify": not plain,  # without TLS there is nothing to verify, and reading the certificates is slow
    }


_url = lru_cache(maxsize=256)(httpx.URL)  # an app uses few different URLs


def _request(headers: list[tuple[str, str]], request: Send) -> httpx.Request:
    """The httpx request, built here because the client would merge URL and headers again for each one."""
    timeout = httpx.Timeout(request.read_seconds, connect=request.connect_seconds)
    content = None
    if not request.with_key:
        headers = [(name, value) for name, value in headers if name.lower() != "authorization"]
    if request.body is not None:
        content, headers = json.dumps(request.body).encode(), [*headers, ("Content-Type", "application/json")]
    return httpx.Request(
        request.method, _url(request.url), headers=headers, content=content, extensions={"timeout": timeout.as_dict()}
    )


def _is_final(error: BaseException) -> bool:
    """Whether a retry must fail too: the host name does not resolve, its certificate is wrong, or it has no TLS."""
    for cause in _causes(error):
        if isinstance(cause, socket.gaierror):
            return cause.errno == socket.EAI_NONAME
        if isinstance(cause, ssl.SSLError):
            return not isinstance(cause, _TRANSIENT)
    return isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL | httpx.LocalProtocolError | UnicodeError)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
