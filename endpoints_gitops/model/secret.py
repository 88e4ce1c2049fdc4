"""An API key that is never shown in logs, errors, plans or JSON, and texts that look like one."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final, NoReturn, final

from endpoints_gitops.errors import UsageError


class KeyKind(StrEnum):
    PERSONAL = "personal API key"
    PROJECT_SECRET = "project secret API key"  # noqa: S105 - the name of a kind of key, not a key
    OAUTH = "OAuth access token"
    UNKNOWN = "API key of an unknown kind"


_PREFIXES: Final = {"phx_": KeyKind.PERSONAL, "phs_": KeyKind.PROJECT_SECRET, "pha_": KeyKind.OAUTH}
_WHOLE_KEY: Final = re.compile(f"({'|'.join(_PREFIXES)})[A-Za-z0-9]{{20,}}")
_BEGINNING: Final = re.compile("ph[a-z]_")


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


def begins_like_a_key(text: str) -> bool:
    """Whether a text begins like a key of PostHog, also of a kind that this program does not know."""
    return _BEGINNING.match(text) is not None


def refuse_keys_in(text: str, what: str, where: str | None = None) -> None:
    """Raise UsageError if a text that is written from the lock contains what looks like a key. `what` names the text;
    `where` is the place to blame.
    """
    if _WHOLE_KEY.search(text):
        message = (
            f"{what} would contain text that looks like an API key ({', '.join(f'{word}…' for word in _PREFIXES)})"
        )
        fix = "remove it from the query, such as from the default of a variable, and revoke the key"
        raise UsageError(message, where=where, fix=fix, code="generate.key")
