"""The network guard: while a run replays, no code in it reaches the hosts that the configuration names.

An audit hook sees every name that is looked up and every address that is connected to, whatever library does it. It
cannot be removed, so there is one for the process, which asks the guards that stand at the moment. What is sent is
watched too (`outgoing`): a request to a proxy is judged by its target, and so is a request to a bare IP address by the
host that it names. Loopback and all other hosts are left alone.
"""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NoReturn

from pytest_endpoints_gitops import outgoing
from pytest_endpoints_gitops.failures import NetworkUsed
from pytest_endpoints_gitops.names import KEY

if TYPE_CHECKING:
    from pytest_endpoints_gitops.facts import TestLog


class _Passing(threading.local):
    """How often a thread is within `let_through`."""

    depth = 0


GUARDED_MODES: Final = ("replay", "local")
"""The modes in which nothing is to be asked of the server."""

_NAMES: Final = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"})
_ADDRESSES: Final = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_EVENTS: Final = _NAMES | _ADDRESSES
_KEY: Final = KEY.encode()
_LOOK_UP_SECONDS: Final = 2.0
_STANDING: list[Guard] = []
_PASSING: Final = _Passing()
_INSTALLED: Final = threading.Event()


class Guard:
    """Refuses `hosts` while `is_replaying` says so. `running` is the log of the test that the code runs for, None where
    no test started it; `note` is told of each refusal.
    """

    def __init__(
        self,
        hosts: Callable[[], Collection[str]],
        *,
        is_replaying: Callable[[], bool],
        running: Callable[[], TestLog | None],
        note: Callable[[NetworkUsed, TestLog | None], None],
    ) -> None:
        self._hosts_of_run = hosts
        self._hosts: frozenset[str] | None = None
        self._is_replaying = is_replaying
        self._running = running
        self._note = note

    @property
    def hosts(self) -> frozenset[str]:
        """Read at the first look-up: most runs never make one, and reading the configuration takes its time."""
        if self._hosts is None:
            self._hosts = frozenset()  # reading them may look up names itself
            named = (comparable(host) for host in self._hosts_of_run())
            self._hosts = frozenset(host for host in named if not outgoing.is_loopback(host))
        return self._hosts

    @cached_property
    def addresses(self) -> frozenset[str]:
        """Of the names among the hosts, looked up at the first connection to a bare IP address."""
        return _addresses_of(host for host in self.hosts if outgoing.as_address(host) is None)

    def stand(self) -> None:
        _install_hook()
        _STANDING.append(self)
        outgoing.watch(self)

    def leave(self) -> None:
        if self in _STANDING:
            _STANDING.remove(self)
        outgoing.unwatch(self)

    def see(self, host: object) -> None:
        """Raise NetworkUsed where this host must not be reached. The test fails even if the app swallows that."""
        name = comparable(host)
        if name and not outgoing.is_loopback(name) and self._is_replaying() and name in self.hosts:
            self._refuse(name, "the app asked PostHog itself, past the recordings")

    def connecting(self, address: object) -> None:
        """As `see`, for the address that a socket is given: an IP address stands for the host that has it."""
        if _PASSING.depth or not isinstance(address, tuple) or len(address) < 2:
            return  # addresses of Unix sockets are paths
        self.see(address[0])
        host = comparable(address[0])
        if outgoing.as_address(host) is None or outgoing.is_loopback(host) or not self._is_replaying():
            return
        if host in self.addresses and not outgoing.was_looked_up(host, besides=self.hosts):
            self._refuse(host, "the app asked PostHog itself by its IP address, past the recordings")

    def sending(self, sock: Any, data: bytes) -> None:  # noqa: ANN401 - a socket of any library, or None
        """Raise NetworkUsed for a request to a proxy, or to a bare IP address, that names a host of ours."""
        if _PASSING.depth or not data:
            return
        target, peer = outgoing.target_of(data), outgoing.peer_of(sock)
        if _KEY in data:
            self._refuse_key(comparable(target or outgoing.host_header(data) or peer))
        if target is not None:
            name = comparable(target)
            if not outgoing.is_loopback(name) and self._is_replaying() and name in self.hosts:
                through = f"through the proxy at {peer}" if peer else "through a proxy"
                self._refuse(name, f"the app asked PostHog itself, {through}, past the recordings")
        elif peer is None or not outgoing.is_loopback(peer):
            self.see(outgoing.host_header(data))

    def _refuse_key(self, host: str) -> None:
        """In every mode: an app that read its host before the test would send the new key to the old host."""
        if not host or outgoing.is_loopback(host):
            return
        log = self._running()
        failure = NetworkUsed(
            f"{host}: the key of endpoints_server was about to be sent there",
            ("by", log.nodeid if log else "code outside of the tests"),
            ("why", "the app read its host before the fixture endpoints_env set it, and its key after that"),
            ("instead", "read both when a call is made, or when the app starts in the test"),
            command=f"pytest {log.target}" if log else "pytest",
        )
        self._note(failure, log)
        raise failure

    def _refuse(self, host: str, why: str) -> NoReturn:
        log = self._running()
        failure = _failure(host, why, log)
        self._note(failure, log)
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
    address = outgoing.as_address(text)
    if address is not None:
        return str(address)
    try:
        return text if text.isascii() else text.encode("idna").decode("ascii")
    except UnicodeError:
        return text


def _addresses_of(hosts: Iterable[str]) -> frozenset[str]:
    """The IP addresses of these names. A resolver that does not answer is not waited for."""
    found: set[str] = set()

    def look_up() -> None:
        with let_through():
            for host in hosts:
                with suppress(OSError, UnicodeError):
                    found.update(comparable(entry[4][0]) for entry in socket.getaddrinfo(host, None))

    thread = threading.Thread(target=look_up, name="endpoints-look-up", daemon=True)
    thread.start()
    thread.join(_LOOK_UP_SECONDS)
    return frozenset(tuple(found))


def _failure(host: str, why: str, log: TestLog | None) -> NetworkUsed:
    whole = "pytest --endpoints=live"
    return NetworkUsed(
        f"{host}: the network was used while replaying",
        ("by", log.nodeid if log else "code outside of the tests"),
        ("why", why),
        ("instead", "take the fixture endpoints_env: it points the app's settings at endpoints_server"),
        command=f"{whole} {log.target}" if log else whole,
    )


def _audit(event: str, arguments: tuple[object, ...], _events: frozenset[str] = _EVENTS) -> None:
    if event not in _events or not _STANDING or _PASSING.depth:
        return
    for guard in tuple(_STANDING):
        if event in _NAMES:
            guard.see(arguments[0])
            continue
        try:
            guard.connecting(arguments[1])
        except NetworkUsed:
            if event == "socket.connect" and isinstance(arguments[0], socket.socket):
                arguments[0].close()  # socket.create_connection closes it for an OSError alone
            raise


def _install_hook() -> None:
    if not _INSTALLED.is_set():
        _INSTALLED.set()
        sys.addaudithook(_audit)
