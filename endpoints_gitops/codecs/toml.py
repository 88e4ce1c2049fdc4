"""TOML text: its values, and the line of each key.

Python's reader does not report the lines of keys, so `line_of` searches the text, which is good enough for messages.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from endpoints_gitops.codecs.text import KeyPath

_KEY: Final = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_MULTILINE: Final = r"""[^=]*=\s*('{3}|"{3})"""
_DOTTED: Final = rf"\s*({_KEY}(?:\s*\.\s*{_KEY})*)\s*"
_OTHER_BASE: Final = re.compile(r"(?<![\w.-])0[xob]")
"""A number of another base than ten, or a text that looks like one; hashes and ids do not."""


class NotToml(ValueError):
    """The text is not TOML; `line` and `column` count from 1, 0 if unknown."""

    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column


def load_toml(text: str) -> dict[str, Any]:
    """The values of a TOML text. Raises NotToml, also for nesting and numbers that Python's reader cannot handle."""
    import tomllib

    try:
        value = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _not_toml(str(error)) from None
    except RecursionError:
        raise NotToml("it is nested too deeply") from None
    except ValueError:  # more digits than Python accepts
        raise NotToml("a number is too large: TOML numbers have 64 bits") from None
    if _OTHER_BASE.search(text) and _holds_large_number(value):
        raise NotToml("a number is too large: TOML numbers have 64 bits")
    return value


def _not_toml(message: str) -> NotToml:
    """The error for a message of tomllib, such as "Invalid value (at line 3, column 5)"."""
    position = re.search(r" \(at line (\d+), column (\d+)\)$", message)
    if position is None:
        return NotToml(message)
    return NotToml(message[: position.start()], int(position[1]), int(position[2]))


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


def line_of(text: str, path: KeyPath) -> int:
    """The line, counted from 1, of the key at `path`, or of its nearest parent; 0 without any."""
    lines = toml_lines(text)
    return next((lines[path[:length]] for length in range(len(path), 0, -1) if path[:length] in lines), 0)


@lru_cache(maxsize=4)
def toml_lines(text: str) -> Mapping[KeyPath, int]:
    """The line of every key and table; the tables of `[[name]]` are counted from 0.

    Inline tables and items of lists have the line of their key.
    """
    lines: dict[KeyPath, int] = {}
    for path, line in _keys(text):
        for length in range(1, len(path) + 1):
            lines.setdefault(path[:length], line)
    return lines


def _keys(text: str) -> Iterator[tuple[KeyPath, int]]:
    table: KeyPath = ()
    counts: dict[KeyPath, int] = {}
    quotes = ""
    for number, line in enumerate(text.split("\n"), start=1):
        if quotes:
            quotes = "" if quotes in line else quotes
            continue
        bare = line.strip()
        if bare.startswith("["):
            header = _indexed(_dotted(bare.lstrip("["), "]"), counts)
            if header and bare.startswith("[["):
                counts[header] = counts.get(header, -1) + 1
                header = (*header, counts[header])
            table = header or table
            if header:
                yield table, number
        elif key := _dotted(bare, "="):
            yield (*table, *key), number
            quotes = _left_open(bare)


def _indexed(header: tuple[str, ...], counts: Mapping[KeyPath, int]) -> KeyPath:
    """The path of a table, with the index of the last `[[name]]` table at each level."""
    path: KeyPath = ()
    for index, part in enumerate(header):
        path = (*path, part)
        if path in counts and index < len(header) - 1:
            path = (*path, counts[path])
    return path


def _left_open(line: str) -> str:
    """The quotes of a multi-line text that starts on this line and does not end on it, or empty."""
    opened = re.match(_MULTILINE, line)
    return opened[1] if opened and opened[1] not in line[opened.end() :] else ""


def _dotted(text: str, ending: str) -> tuple[str, ...]:
    """The parts of a dotted key that `ending` follows; empty if the text has none."""
    match = re.match(_DOTTED, text)
    if not match or not text.startswith(ending, match.end()):
        return ()
    import tomllib

    try:
        value: Any = tomllib.loads(f"{match[1]} = 1")
    except (ValueError, RecursionError):  # a line of a longer string that only looks like a key
        return ()
    parts: list[str] = []
    while isinstance(value, dict):
        part, value = next(iter(value.items()))
        parts.append(part)
    return tuple(parts)
