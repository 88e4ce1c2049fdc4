"""An API key that is never shown in logs, errors, plans or JSON."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NoReturn, final


class KeyKind(StrEnum):
    PERSONAL = "personal API key"
    PROJECT_SECRET = "project secret API key"  # noqa: S105 - the name of a kind of key, not a key
    OAUTH = "OAuth access token"
    UNKNOWN = "API key of an unknown kind"


_PREFIXES: Final = {"phx_": KeyKind.PERSONAL, "phs_": KeyKind.PROJECT_SECRET, "pha_": KeyKind.OAUTH}


@final
class Secret:
    """An API key. Only `reveal()` returns it; printing, formatting and serializing show a mask."""

    __slots__ = ("__text",)
    MASK: Final = "********"

    def __init__(self, text: str) -> None:
        self.__text = text

    def reveal(self) -> str:
        """Return the key, for the Authorization header and for hashing, never for output."""
        return self.__text

    @property
    def kind(self) -> KeyKind:
        return _PREFIXES.get(self.__text[:4], KeyKind.UNKNOWN)

    @property
    def has_prefix(self) -> bool:
        """Whether the key begins like every current PostHog key."""
        return self.__text[:4] in _PREFIXES

    def masked_in(self, text: str) -> str:
        """The text with every occurrence of the key masked."""
        return text.replace(self.__text, self.MASK) if self.__text else text

    def __bool__(self) -> bool:
        return bool(self.__text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.reveal() == self.__text

    def __hash__(self) -> int:
        return hash(self.__text)

    def __repr__(self) -> str:
        return f"Secret({self.MASK})"

    def __str__(self) -> str:
        return self.MASK

    def __format__(self, spec: str) -> str:
        return format(self.MASK, spec)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret cannot be pickled")
