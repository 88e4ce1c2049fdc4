"""The server as a process that can be killed and started again on the same folder and port."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Final

from endpoints_gitops.local.serve import IDLE_SECONDS
from tests.serve_process import SERVE

_SECONDS: Final = 60
"""The longest that a request may take: a client that waits longer met a server that hangs."""

_KEPT_ALIVE: Final = IDLE_SECONDS - 5
"""Seconds after which a connection is not used again, because the server is about to close it."""


class Lost(Exception):
    """The connection ended before the answer was complete."""


class ServerProcess:
    """`serve` with its state in a folder. `key` is that of the first start, and stays valid."""

    def __init__(self, folder: Path) -> None:
        self._state = folder / "state"
        self._errors = folder / "stderr"
        self.up = threading.Event()
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.starts = 0
        self.key = str(self._start()["key"])

    def kill(self) -> None:
        """End the process as a power cut would, and start it again."""
        self.up.clear()
        self._process.kill()
        self._process.communicate()
        self._start()

    def stop(self) -> int:
        """End the process as a user does; returns its exit code."""
        self.up.clear()
        self._process.terminate()
        try:
            self._process.communicate(timeout=30)
        finally:
            self._process.kill()
            self._process.communicate()
        return self._process.returncode

    @property
    def errors(self) -> str:
        """What the process wrote to stderr: nothing, unless something broke."""
        return self._errors.read_text(encoding="utf-8")

    def memory(self) -> int:
        """Megabytes of the process, from Linux's /proc."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="utf-8")
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) // 1000

    def _start(self) -> dict[str, Any]:
        words = ("--port", str(self.port), "--state", str(self._state))
        with self._errors.open("ab") as errors:
            self._process = subprocess.Popen([*SERVE, *words], stdout=subprocess.PIPE, stderr=errors, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise AssertionError(f"serve did not start: {self.errors}")
        self.starts += 1
        self.up.set()
        return dict(json.loads(line))


class Wire:
    """One client: a connection that is kept, and opened again for a new start of the server."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server
        self._connection: HTTPConnection | None = None
        self._used = 0.0
        self._start = 0

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and decoded body. Raises Lost, and TimeoutError for a server that hangs."""
        content = None if body is None else json.dumps(body)
        headers = {"Authorization": f"Bearer {self._server.key}", "Content-Type": "application/json"}
        if time.monotonic() - self._used > _KEPT_ALIVE or self._start != self._server.starts:
            self.close()
        self._start = self._server.starts
        try:
            connection = self._connection or HTTPConnection("127.0.0.1", self._server.port, timeout=_SECONDS)
            self._connection = connection
            connection.request(method, f"/api/projects/1/{path}", content, headers)
            answer = connection.getresponse()
            text = answer.read()
        except TimeoutError:
            raise
        except (OSError, HTTPException) as error:
            self.close()
            raise Lost(str(error)) from None
        self._used = time.monotonic()
        if answer.will_close:
            self.close()
        return answer.status, json.loads(text) if text else None

    def hang_up(self, method: str, path: str, body: Any, *, half: bool) -> None:
        """Close the connection after half of the request, or else after the first byte of the answer. Raises Lost if
        there was none."""
        content = json.dumps(body)
        request = (
            f"{method} /api/projects/1/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Authorization: Bearer {self._server.key}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(content)}\r\n\r\n{content}"
        ).encode()
        try:
            with closing(socket.create_connection(("127.0.0.1", self._server.port), timeout=_SECONDS)) as plain:
                plain.sendall(request[: -(len(content) // 2)] if half else request)
                if not half and not plain.recv(1):
                    raise Lost("no answer")
        except TimeoutError:
            raise
        except OSError as error:
            raise Lost(str(error)) from None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
