"""Where in a TOML file a key stands. TOML readers do not say, so the text is searched: good enough for a message."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

_KEY: Final = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_DOTTED: Final = re.compile(rf"\s*({_KEY}(?:\s*\.\s*{_KEY})*)\s*")


def line_of(text: str, path: tuple[str, ...]) -> int:
    """The line, counted from 1, of the key at `path`, else of its nearest parent that has one; 0 for none."""
    lines = _lines(text)
    return next((lines[path[:length]] for length in range(len(path), 0, -1) if path[:length] in lines), 0)


@lru_cache(maxsize=4)
def _lines(text: str) -> dict[tuple[str, ...], int]:
    """The line of every key and table; a file with many mistakes is asked for each of them."""
    lines: dict[tuple[str, ...], int] = {}
    for key, line in _keys(text):
        for length in range(1, len(key) + 1):
            lines.setdefault(key[:length], line)
    return lines


def _keys(text: str) -> Iterator[tuple[tuple[str, ...], int]]:
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        bare = line.strip()
        if bare.startswith("["):
            header = _dotted(bare.lstrip("["), "]")
            table = header or table
            if header:
                yield table, number
        elif key := _dotted(bare, "="):
            yield (*table, *key), number


def _dotted(text: str, ending: str) -> tuple[str, ...]:
    """The parts of a dotted key that `ending` follows; none where the text is something else."""
    found = _DOTTED.match(text)
    if not found or not text.startswith(ending, found.end()):
        return ()
    try:
        value: Any = tomllib.loads(f"{found[1]} = 1")
    except (ValueError, RecursionError):  # a line of a longer string that only looks like a key
        return ()
    parts: list[str] = []
    while isinstance(value, dict):
        part, value = next(iter(value.items()))
        parts.append(part)
    return tuple(parts)
