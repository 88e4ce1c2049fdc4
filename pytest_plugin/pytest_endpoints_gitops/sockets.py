"""What this process sends through sockets: the host that each first packet names, whichever library sends it.

An audit hook sees look-ups and addresses, but no data, and a socket that is given a name looks it up before the hook is
called. A request to a proxy names its target only in the data, and so does a request to a bare IP address. So the
methods that connect and send are replaced on the socket classes while there is a watcher.
"""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import socket
import ssl
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from pytest_endpoints_gitops.background import Replacements

_HEAD: Final = 16_384
"""As much of a packet as is read: headers of a request are shorter."""


class SocketWatcher(Protocol):
    """Is called before anything happens, and may raise."""

    def connecting(self, address: object) -> None:
        """A socket is about to connect or send to this address."""

    def sending(self, sock: Any, data: bytes) -> None:  # noqa: ANN401 - a socket of any library
        """These are the first bytes of what is about to be sent. `sock` is None where TLS runs without a socket."""


_WATCHERS: Final[list[SocketWatcher]] = []
_LOOKED_UP: Final[dict[str, set[str]]] = {}
_REPLACEMENTS: Final = Replacements()


def watch(watcher: SocketWatcher) -> None:
    """Call `watcher` for everything that is sent, until `unwatch`."""
    if not _WATCHERS:
        _replace_methods()
    _WATCHERS.append(watcher)


def unwatch(watcher: SocketWatcher) -> None:
    if watcher in _WATCHERS:
        _WATCHERS.remove(watcher)
    if not _WATCHERS:
        _REPLACEMENTS.undo()
        _LOOKED_UP.clear()


def target_of(data: bytes) -> str | None:
    """The host that a request to a proxy names: CONNECT, an absolute URL, SOCKS 4a or 5. None for anything else."""
    if data[:1] == b"\x05":
        return _socks5_target(data)
    if data[:2] == b"\x04\x01":
        return _socks4_target(data)
    words = data.partition(b"\r\n")[0].split(b" ")
    if len(words) != 3 or not words[2].startswith(b"HTTP/"):
        return None
    target = words[1].decode("ascii", "replace")
    try:
        if words[0] == b"CONNECT":
            return urlsplit(f"//{target}").hostname
        return urlsplit(target).hostname if "://" in target else None
    except ValueError:
        return None


def host_header(data: bytes) -> str | None:
    """The host that a request names in its header, where these are the first bytes of a request."""
    head = data.partition(b"\r\n\r\n")[0].split(b"\r\n")
    if not head[0].rpartition(b" ")[2].startswith(b"HTTP/"):
        return None
    for line in head[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"host":
            with contextlib.suppress(ValueError):
                return urlsplit(f"//{value.strip().decode('ascii', 'replace')}").hostname
    return None


def peer_of(sock: Any) -> str | None:  # noqa: ANN401 - a socket of any library
    """The address at the other end; None for a Unix socket and for one that is not connected."""
    try:
        peer = sock.getpeername()
    except (OSError, AttributeError):
        return None
    return str(peer[0]) if isinstance(peer, tuple) else None


def port_of_peer(sock: Any) -> int | None:  # noqa: ANN401 - a socket of any library
    """The port at the other end, where that is loopback."""
    try:
        peer = sock.getpeername()
    except (OSError, AttributeError):
        return None
    return peer[1] if isinstance(peer, tuple) and peer[0] == "127.0.0.1" else None


def is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = as_address(host)
    return address is not None and address.is_loopback


def as_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The IP address that a text stands for, in any spelling that a socket takes; None for a name."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        if not host[:1].isdigit():
            return None
        try:
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except (OSError, UnicodeError):
            return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def was_looked_up(address: str, *, besides: Iterable[str]) -> bool:
    """Whether another name than these has this address: hosts behind one content network share addresses."""
    named = {*besides}
    return any(address in addresses for name, addresses in tuple(_LOOKED_UP.items()) if name not in named)


def _socks5_target(data: bytes) -> str | None:
    """`05 01 00 03`, a length and a name, or `05 01 00 01` and an IPv4 address (RFC 1928)."""
    if len(data) < 7 or data[2] != 0:
        return None
    if data[3] == 3:
        return data[5 : 5 + data[4]].decode("ascii", "replace")
    return str(ipaddress.IPv4Address(data[4:8])) if data[3] == 1 and len(data) >= 8 else None


def _socks4_target(data: bytes) -> str | None:
    """A port and an address; behind the user's name the name of the host where the address is 0.0.0.x (SOCKS 4a)."""
    if len(data) < 9:
        return None
    if data[4:7] == b"\0\0\0" and data[7]:
        return data[8:].partition(b"\0")[2].partition(b"\0")[0].decode("ascii", "replace")
    return str(ipaddress.IPv4Address(data[4:8]))


def _call_for_address(address: object) -> None:
    for watcher in tuple(_WATCHERS):
        watcher.connecting(address)


def _call_for_data(sock: Any, data: Any) -> None:  # noqa: ANN401 - a socket, and a buffer
    try:
        head = bytes(memoryview(data).cast("B")[:_HEAD])
    except (TypeError, ValueError):
        return  # the method itself refuses what is no buffer
    for watcher in tuple(_WATCHERS):
        watcher.sending(sock, head)


def _replace_methods() -> None:
    for name in ("send", "sendall"):
        _REPLACEMENTS.put(socket.socket, name, _sending)
    for name in ("connect", "connect_ex"):
        _REPLACEMENTS.put(socket.socket, name, _connecting)
    _REPLACEMENTS.put(socket.socket, "sendto", _sending_to)
    _REPLACEMENTS.put(socket.socket, "sendmsg", _sending_several)
    for name in ("send", "write"):
        _REPLACEMENTS.put(ssl.SSLSocket, name, _sending)
    _REPLACEMENTS.put(ssl.SSLObject, "write", _encrypting)
    _REPLACEMENTS.put(socket, "getaddrinfo", _remembering)


def _connecting(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def connect(self: Any, address: Any) -> Any:  # noqa: ANN401 - as the method
        try:
            _call_for_address(address)
        except BaseException:
            self.close()  # socket.create_connection closes it for an OSError alone
            raise
        return method(self, address)

    return connect


def _sending_to(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def sendto(self: Any, data: Any, *rest: Any) -> Any:  # noqa: ANN401 - as the method
        _call_for_address(rest[-1] if rest else None)
        return method(self, data, *rest)

    return sendto


def _sending(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def send(self: Any, data: Any, *rest: Any) -> Any:  # noqa: ANN401 - as the method
        _call_for_data(self, data)
        return method(self, data, *rest)

    return send


def _sending_several(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def sendmsg(self: Any, buffers: Iterable[Any], *rest: Any) -> Any:  # noqa: ANN401 - as the method
        several = list(buffers)
        if len(rest) > 2:
            _call_for_address(rest[2])
        _call_for_data(self, b"".join(bytes(buffer) for buffer in several[:16]))
        return method(self, several, *rest)

    return sendmsg


def _encrypting(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def write(self: Any, data: Any) -> Any:  # noqa: ANN401 - as the method
        _call_for_data(None, data)
        return method(self, data)

    return write


def _remembering(look_up: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(look_up)
    def getaddrinfo(host: Any, *rest: Any, **named: Any) -> Any:  # noqa: ANN401 - as the function
        entries = look_up(host, *rest, **named)
        if isinstance(host, str) and as_address(host) is None:
            _LOOKED_UP.setdefault(host.rstrip(".").lower(), set()).update(str(entry[4][0]) for entry in entries)
        return entries

    return getaddrinfo
