"""What somebody probably meant who wrote an unknown word."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the end of a message; empty where no known word is close."""
    near = closest(word, known)
    return f"; did you mean {near!r}?" if near else ""


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known word that begins with this one, if there is only one, else the one that is most like it, if any."""
    by_lower = {name.lower(): name for name in known}
    begun = [name for name in by_lower if len(word) > 1 and name.startswith(word.lower())]
    if len(begun) == 1:
        return by_lower[begun[0]]
    from difflib import get_close_matches

    near = get_close_matches(word.lower(), by_lower, n=1)
    return by_lower[near[0]] if near else None
