"""The origin of a server: the scheme, name and port to which a key would be sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

_PORTS: Final = {"http": 80, "https": 443}
_LETTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")
_LONGEST_LABEL: Final = 63
_LONGEST_NAME: Final = 253
_POSTHOG: Final = "posthog.com"
_EXAMPLE: Final = "host must be a URL such as https://us.posthog.com"


class HostMistake(ValueError):
    """The text is not a valid host; the message does not repeat the text."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, name in lower-case ASCII, and port, without the path prefix."""

    scheme: str
    name: str
    port: int

    @classmethod
    def of(cls, address: str) -> Origin:
        """Parse a URL. Raises HostMistake."""
        parts = _parts(address)
        scheme = parts.scheme.lower()
        return cls(scheme, _name(parts), parts.port or _PORTS[scheme])

    @property
    def is_plain(self) -> bool:
        """Whether a key would be sent unencrypted."""
        return self.scheme == "http"

    @property
    def is_loopback(self) -> bool:
        if self.name == "localhost":
            return True
        from ipaddress import ip_address

        try:
            return ip_address(self.name).is_loopback
        except ValueError:
            return False

    @property
    def is_posthog(self) -> bool:
        """Whether this is PostHog's own cloud, over TLS."""
        return self.scheme == "https" and (self.name == _POSTHOG or self.name.endswith(f".{_POSTHOG}"))

    def __str__(self) -> str:
        name = f"[{self.name}]" if ":" in self.name else self.name
        return f"{self.scheme}://{name}" + ("" if self.port == _PORTS[self.scheme] else f":{self.port}")


def host_mistake(address: str) -> str | None:
    """The mistake in the URL of a server, or None."""
    try:
        Origin.of(address)
    except HostMistake as mistake:
        return str(mistake)
    return None


def _parts(address: str) -> SplitResult:
    if not address.isprintable() or " " in address or "\\" in address:
        raise HostMistake("host must not contain a space, a backslash, or an unprintable character")
    try:
        parts = urlsplit(address)
    except ValueError:
        raise HostMistake(_EXAMPLE) from None
    if parts.scheme.lower() not in _PORTS or not parts.hostname:
        raise HostMistake(_EXAMPLE)
    if "@" in parts.netloc or "?" in address or "#" in address:
        raise HostMistake("host must be a URL without user, question mark or #")
    try:
        port = parts.port
    except ValueError:
        port = 0
    _, bracket, rest = parts.netloc.rpartition("]")
    if bracket and rest and not rest.startswith(":"):  # urlsplit ignores it, but httpx reads it as a port
        port = 0
    if port == 0:
        raise HostMistake("host must be a URL whose port is a number from 1 to 65535")
    return parts


def _name(parts: SplitResult) -> str:
    name = (parts.hostname or "").lower()
    if parts.netloc.startswith("["):
        return _ip_address(name)
    if not name.isascii():
        name = _ascii(name)
    labels = name.split(".")
    if not all(labels):
        raise HostMistake("host must be a URL whose name has no empty part: two dots in a row, or one at an end")
    if len(name) > _LONGEST_NAME or any(len(label) > _LONGEST_LABEL for label in labels):
        raise HostMistake(
            f"host must be a URL whose name has at most {_LONGEST_NAME} characters, "
            f"and at most {_LONGEST_LABEL} between two dots"
        )
    if not _LETTERS.issuperset(name.replace(".", "")):
        raise HostMistake("host must be a URL whose name has only letters, digits, dots and hyphens")
    return _ip_address(name) if labels[-1].isdigit() else name


def _ip_address(name: str) -> str:
    from ipaddress import ip_address

    try:
        return str(ip_address(name if "%" not in name else ""))
    except ValueError:
        raise HostMistake("host has a numeric name that is not a valid IP address") from None


def _ascii(name: str) -> str:
    """The name in ASCII, encoded by the same library as in the HTTP client."""
    import idna

    try:
        return idna.encode(name).decode("ascii")
    except UnicodeError:
        raise HostMistake("host must be a URL whose name is a valid international name (IDNA)") from None
