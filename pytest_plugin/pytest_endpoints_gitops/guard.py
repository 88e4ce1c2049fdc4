"""The network guard: while a run replays, no code in it reaches the hosts that the configuration names.

An audit hook sees every name that is looked up and every address that is connected to, whatever library does it. It
cannot be removed, so there is one for the process, which calls the guards that are installed at the moment. What is
sent is watched too (`sockets`): a request to a proxy is judged by its target, and a request to a bare IP address by the
host that it names. Loopback and all other hosts are left alone.

A forked process has the guards of its parent. A program that the run starts has none: it is only pointed at
`endpoints_server` by the environment variables that it inherits.
"""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NoReturn

from pytest_endpoints_gitops import sockets
from pytest_endpoints_gitops.failures import NetworkUsed
from pytest_endpoints_gitops.names import KEY

if TYPE_CHECKING:
    from pytest_endpoints_gitops.call_log import TestLog


class _Passing(threading.local):
    """How often a thread is within `let_through`."""

    depth = 0


GUARDED_MODES: Final = ("replay", "local")
"""The modes in which the server must not be called."""

_NAMES: Final = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"})
_ADDRESSES: Final = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_EVENTS: Final = _NAMES | _ADDRESSES
_KEY: Final = KEY.encode()
_LOOK_UP_SECONDS: Final = 2.0
_INSTALLED_GUARDS: list[NetworkGuard] = []
_PASSING: Final = _Passing()
_INSTALLED: Final = threading.Event()


class NetworkGuard:
    """Refuses `hosts` while `is_replaying`. `running` gives the log of the test that the code runs for, None where no
    test started it; `note` is called with each refusal.
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
        self._is_replaying = is_replaying
        self._running = running
        self._note = note
        self._addresses: tuple[frozenset[str], frozenset[str]] | None = None

    @property
    def hosts(self) -> frozenset[str]:
        """Read at the first look-up: most runs never make one, and reading the configuration takes its time."""
        with let_through():  # reading them may look up names itself
            return _names_of(frozenset(self._hosts_of_run()))

    @property
    def addresses(self) -> frozenset[str]:
        """Of the names among the hosts, looked up at the first connection to a bare IP address."""
        hosts = self.hosts
        if self._addresses is None or self._addresses[0] != hosts:
            self._addresses = (hosts, _addresses_of(host for host in hosts if sockets.as_address(host) is None))
        return self._addresses[1]

    def install(self) -> None:
        _install_hook()
        _INSTALLED_GUARDS.append(self)
        sockets.watch(self)

    def remove(self) -> None:
        if self in _INSTALLED_GUARDS:
            _INSTALLED_GUARDS.remove(self)
        sockets.unwatch(self)

    def check(self, host: object) -> None:
        """Raise NetworkUsed where this host must not be reached. The test fails even if the app swallows that."""
        name = comparable(host)
        if name and not sockets.is_loopback(name) and self._is_replaying() and name in self.hosts:
            self._refuse(name, "the app called PostHog directly, which bypasses the recordings")

    def connecting(self, address: object) -> None:
        """As `check`, for the address that a socket is given: an IP address stands for the host that has it."""
        if _PASSING.depth or not isinstance(address, tuple) or len(address) < 2:
            return  # addresses of Unix sockets are paths
        self.check(address[0])
        host = comparable(address[0])
        if sockets.as_address(host) is None or sockets.is_loopback(host) or not self._is_replaying():
            return
        if host in self.addresses and not sockets.was_looked_up(host, besides=self.hosts):
            self._refuse(host, "the app called PostHog by its IP address, which bypasses the recordings")

    def sending(self, sock: Any, data: bytes) -> None:  # noqa: ANN401 - a socket of any library, or None
        """Raise NetworkUsed for a request to a proxy, or to a bare IP address, that names a host of ours."""
        if _PASSING.depth or not data:
            return
        target, peer = sockets.target_of(data), sockets.peer_of(sock)
        if _KEY in data:
            self._refuse_key(comparable(target or sockets.host_header(data) or peer))
        if target is not None:
            name = comparable(target)
            if not sockets.is_loopback(name) and self._is_replaying() and name in self.hosts:
                through = f"through the proxy at {peer}" if peer else "through a proxy"
                self._refuse(name, f"the app called PostHog {through}, which bypasses the recordings")
        elif peer is None or not sockets.is_loopback(peer):
            self.check(sockets.host_header(data))

    def _refuse_key(self, host: str) -> None:
        """Raise NetworkUsed in every mode: an app that read its host before the test would send the key there."""
        if not host or sockets.is_loopback(host):
            return
        log = self._running()
        failure = NetworkUsed(
            host,
            "the key of endpoints_server was about to be sent there",
            ("by", _code(log)),
            ("why", "the app read its host before the fixture endpoints_env set it, and its key after that"),
            ("instead", "read both when a call is made, or when the app starts in the test"),
            command=log.test.command() if log else ("pytest",),
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
    """Let this thread through in this block: what it does is the plugin's own, such as a call of the canary."""
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
    address = sockets.as_address(text)
    if address is not None:
        return str(address)
    try:
        return text if text.isascii() else text.encode("idna").decode("ascii")
    except UnicodeError:
        return text


@lru_cache(maxsize=16)
def _names_of(hosts: frozenset[str]) -> frozenset[str]:
    """Hosts as they are compared, without loopback."""
    return frozenset(name for name in map(comparable, hosts) if not sockets.is_loopback(name))


def _addresses_of(hosts: Iterable[str]) -> frozenset[str]:
    """The IP addresses of these names. A resolver that does not answer is not waited for."""
    addresses: set[str] = set()

    def look_up() -> None:
        with let_through():
            for host in hosts:
                with suppress(OSError, UnicodeError):
                    addresses.update(comparable(entry[4][0]) for entry in socket.getaddrinfo(host, None))

    thread = threading.Thread(target=look_up, name="endpoints-look-up", daemon=True)
    thread.start()
    thread.join(_LOOK_UP_SECONDS)
    return frozenset(tuple(addresses))


def _code(log: TestLog | None) -> str:
    return log.nodeid if log else "code outside of the tests"


def _failure(host: str, why: str, log: TestLog | None) -> NetworkUsed:
    return NetworkUsed(
        host,
        "the network was used while replaying",
        ("by", _code(log)),
        ("why", why),
        ("instead", "use the fixture endpoints_env: it points the app's settings at endpoints_server"),
        command=log.test.command("live") if log else ("pytest", "--endpoints=live"),
    )


def _audit(event: str, arguments: tuple[object, ...], _events: frozenset[str] = _EVENTS) -> None:
    if event not in _events or not _INSTALLED_GUARDS or _PASSING.depth:
        return
    for guard in tuple(_INSTALLED_GUARDS):
        if event in _NAMES:
            guard.check(arguments[0])
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
