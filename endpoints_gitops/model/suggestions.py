"""Known words that are like an unknown one, for "did you mean"."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the end of a message; empty if no known word is close."""
    near = closest(word, known)
    return f"; did you mean {near!r}?" if near else ""


def closest(word: str, known: Iterable[str], *, likeness: float = 0.6, completes: bool = True) -> str | None:
    """The known word that is closest to this one, ignoring case; None if none is close enough.

    `likeness` is between 0 (any word) and 1 (only the case can differ). With `completes`, a unique beginning of a known
    word matches too.
    """
    by_lower = {name.lower(): name for name in known}
    begun = [name for name in by_lower if name.startswith(word.lower())] if completes and len(word) > 1 else []
    if len(begun) == 1:
        return by_lower[begun[0]]
    near = close_matches(word.lower(), by_lower, count=1, likeness=likeness)
    return by_lower[near[0]] if near else None


def close_matches(word: str, known: Iterable[str], *, count: int = 3, likeness: float = 0.6) -> list[str]:
    """Up to `count` known words that are like this one, upper and lower case told apart; the closest comes first."""
    from difflib import get_close_matches

    return get_close_matches(word, known, n=count, cutoff=likeness)
