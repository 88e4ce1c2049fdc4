"""TOML text: its values, and the line of each key.

Python's reader does not say where a key stands, so `line_of` searches the text for it: good enough for a message.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

_KEY: Final = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_DOTTED: Final = re.compile(rf"\s*({_KEY}(?:\s*\.\s*{_KEY})*)\s*")


class NotToml(ValueError):
    """The text is not TOML; `line` and `column` count from 1, 0 where the place is unknown."""

    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column


def load_toml(text: str) -> dict[str, Any]:
    """The values of a TOML text. Raises NotToml, also for nesting and numbers that Python's reader fails on."""
    import tomllib

    try:
        value = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _not_toml(str(error)) from None
    except RecursionError:
        raise NotToml("it is nested too deeply") from None
    except ValueError:  # more digits than Python reads
        raise NotToml("a number is too large: TOML's have 64 bits") from None
    if any(base in text for base in ("0x", "0o", "0b")) and _holds_large_number(value):
        raise NotToml("a number is too large: TOML's have 64 bits")
    return value


def _not_toml(message: str) -> NotToml:
    """tomllib says "Invalid value (at line 3, column 5)"."""
    place = re.search(r" \(at line (\d+), column (\d+)\)$", message)
    return NotToml(message[: place.start()], int(place[1]), int(place[2])) if place else NotToml(message)


def _holds_large_number(value: object) -> bool:
    waiting: list[object] = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
        elif isinstance(item, int) and item.bit_length() > 64:
            return True
    return False


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
    import tomllib

    try:
        value: Any = tomllib.loads(f"{found[1]} = 1")
    except (ValueError, RecursionError):  # a line of a longer string that only looks like a key
        return ()
    parts: list[str] = []
    while isinstance(value, dict):
        part, value = next(iter(value.items()))
        parts.append(part)
    return tuple(parts)
