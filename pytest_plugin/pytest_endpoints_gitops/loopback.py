"""A small HTTP server on loopback, in threads of this process: any port, any client, stopped at once.

The standard library's server checks every half second whether it should stop, asks a name server for its own name, and
cannot read chunked bodies; this one is woken to stop, asks no name server, and reads them.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any, Final
from urllib.parse import urlsplit

LOOPBACK: Final = "127.0.0.1"
_LARGEST_BODY: Final = 20_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopbackRequest:
    """One request as it came. `query` is the part behind the question mark; names of headers are in lower case.

    `client` is the port that it came from.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    client: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopbackReply:
    """What goes back. `silence`: so many seconds pass without a byte, then the connection is cut."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    silence: float | None = None


type RequestHandler = Callable[[LoopbackRequest], LoopbackReply]


class LoopbackServer(ThreadingMixIn, TCPServer):
    """Serves from its creation until `stop`, which leaves no thread and no socket behind."""

    allow_reuse_address = True
    daemon_threads = False
    block_on_close = True
    request_queue_size = 128

    def __init__(self, handler: RequestHandler) -> None:
        super().__init__((LOOPBACK, 0), _Handler)
        self.handler = handler
        self.stopping = threading.Event()
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._serve, name="endpoints-server", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.server_address[1]}"

    def stop(self) -> None:
        if self.stopping.is_set():
            return
        self.stopping.set()
        with contextlib.suppress(OSError):
            socket.create_connection(
                (LOOPBACK, self.server_address[1]), timeout=1
            ).close()  # wakes the accepting thread
        self._thread.join()
        with self._lock:
            open_still = tuple(self._connections)
        for connection in open_still:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()

    def _serve(self) -> None:
        while not self.stopping.is_set():
            self.handle_request()

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ANN401, ARG002 - the base's signature
        return not self.stopping.is_set()

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the base's signature
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401 - the base's signature
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the base's signature
        """Say nothing of a client that disconnected; an error in a handler is a 500 already."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: LoopbackServer

    def _answer(self) -> None:
        body = self._body()
        if body is None:
            return
        asked = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = LoopbackRequest(
            method=self.command,
            path=asked.path,
            query=asked.query,
            headers=headers,
            body=body,
            client=self.client_address[1],
        )
        reply = self.server.handler(request)
        if reply.silence is not None:
            self.server.stopping.wait(reply.silence)
            self.close_connection = True
            return
        self._send(reply)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _answer  # noqa: N815 - the base's names

    def _send(self, reply: LoopbackReply) -> None:
        content = json.dumps(reply.body, ensure_ascii=False).encode("utf-8", "surrogatepass")
        self.send_response(reply.status)
        for name, value in {"Content-Type": "application/json", **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        self.wfile.flush()

    def _body(self) -> bytes | None:
        """None where it cannot be read; the client has got a 400 then."""
        try:
            return self._chunks() if self._is_chunked else self.rfile.read(self._length)
        except ValueError:
            self.close_connection = True
            self.send_error(400)
            return None

    @property
    def _is_chunked(self) -> bool:
        return "chunked" in self.headers.get("Transfer-Encoding", "").lower()

    @property
    def _length(self) -> int:
        length = int(self.headers.get("Content-Length") or 0)
        if not 0 <= length <= _LARGEST_BODY:
            raise ValueError("a length that no body has")
        return length

    def _chunks(self) -> bytes:
        body = bytearray()
        while size := int(self.rfile.readline(100).partition(b";")[0], 16):
            if not 0 < size <= _LARGEST_BODY - len(body):
                raise ValueError("a length that no body has")
            body += self.rfile.read(size)
            self.rfile.readline(100)
        while self.rfile.readline(1000).strip():
            continue  # trailers
        return bytes(body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base's name
        """Say nothing: `endpoints_server.requests` has them."""

    def version_string(self) -> str:
        return "pytest-endpoints-gitops"
