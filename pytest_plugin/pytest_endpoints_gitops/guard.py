"""The network guard: while a run replays, no code in it reaches the hosts that the configuration names.

An audit hook sees every name that is looked up and every address that is connected to, whatever library does it. It
cannot be taken away again, so there is one for the process, which asks the guards that stand at the moment. Loopback
and all other hosts are none of its business.
"""

from __future__ import annotations

import ipaddress
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from pytest_endpoints_gitops.failures import NetworkUsed

if TYPE_CHECKING:
    from pytest_endpoints_gitops.facts import TestLog


class _Passing(threading.local):
    """How often a thread is within `let_through`."""

    depth = 0


GUARDED_MODES: Final = ("replay", "local")
"""The modes in which nothing is to be asked of the server."""

_NAMES: Final = frozenset({"socket.getaddrinfo", "socket.gethostbyname"})
_ADDRESSES: Final = frozenset({"socket.connect", "socket.sendto"})
_EVENTS: Final = _NAMES | _ADDRESSES
_STANDING: list[Guard] = []
_PASSING: Final = _Passing()
_INSTALLED: Final = threading.Event()


class Guard:
    """Refuses `hosts` while `is_replaying` says so. `running` is the log of the test that runs, None between tests."""

    def __init__(
        self,
        hosts: Callable[[], Collection[str]],
        *,
        is_replaying: Callable[[], bool],
        running: Callable[[], TestLog | None],
    ) -> None:
        self._hosts_of_run = hosts
        self._hosts: frozenset[str] | None = None
        self._is_replaying = is_replaying
        self._running = running

    @property
    def hosts(self) -> frozenset[str]:
        """Read at the first look-up: most runs never make one, and reading the configuration takes its time."""
        if self._hosts is None:
            self._hosts = frozenset()  # reading them may look up names itself
            named = (comparable(host) for host in self._hosts_of_run())
            self._hosts = frozenset(host for host in named if not _is_loopback(host))
        return self._hosts

    def stand(self) -> None:
        _install_hook()
        _STANDING.append(self)

    def leave(self) -> None:
        if self in _STANDING:
            _STANDING.remove(self)

    def see(self, host: object) -> None:
        """Raise NetworkUsed where this host is not to be reached; whatever becomes of that, the test hears of it."""
        name = comparable(host)
        if not name or _is_loopback(name) or not self._is_replaying() or name not in self.hosts:
            return
        log = self._running()
        failure = _failure(name, log)
        if log is not None:
            log.swallowed.append(failure)
        raise failure


@contextmanager
def let_through() -> Iterator[None]:
    """What this thread does in here is the plugin's own: the canary asks for its candidate."""
    _PASSING.depth += 1
    try:
        yield
    finally:
        _PASSING.depth -= 1


def comparable(host: object) -> str:
    """A host as it is compared: asyncio passes bytes, people write capitals and final dots."""
    if isinstance(host, bytes | bytearray):
        text = bytes(host).decode("utf-8", "replace")
    elif isinstance(host, str):
        text = host
    else:
        return ""
    text = text.strip().strip("[]").rstrip(".").lower()
    try:
        return text if text.isascii() else text.encode("idna").decode("ascii")
    except UnicodeError:
        return text


def _is_loopback(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True

    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _failure(host: str, log: TestLog | None) -> NetworkUsed:
    whole = "pytest --endpoints=live"
    return NetworkUsed(
        f"{host}: the network was used while replaying",
        ("by", log.nodeid if log else "code outside of the tests"),
        ("why", "the app asked PostHog itself, past the recordings"),
        ("instead", "take the fixture endpoints_env: it points the app's settings at endpoints_server"),
        command=f"{whole} {log.target}" if log else whole,
    )


def _audit(event: str, arguments: tuple[object, ...], _events: frozenset[str] = _EVENTS) -> None:
    if event not in _events or not _STANDING or _PASSING.depth:
        return
    host = arguments[0] if event in _NAMES else _of_address(arguments[1])
    for guard in tuple(_STANDING):
        guard.see(host)


def _of_address(address: object) -> object:
    """The host of an address; those of Unix sockets are paths."""
    return address[0] if isinstance(address, tuple) and len(address) >= 2 else None


def _install_hook() -> None:
    if not _INSTALLED.is_set():
        _INSTALLED.set()
        sys.addaudithook(_audit)
