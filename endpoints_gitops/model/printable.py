"""Text from a server or a file, made safe for a terminal."""

from __future__ import annotations

import unicodedata


def printable(text: str) -> str:
    """The text with every control and direction-changing character spelled out; newline and tab stay.

    A description such as "\\x1b[2J" would else clear the reader's screen, and a bidirectional override would show
    another query than the one that runs.
    """
    if text.isprintable():
        return text
    return "".join(char if _harmless(char) else f"\\u{{{ord(char):x}}}" for char in text)


def _harmless(char: str) -> bool:
    return char in "\n\t" or unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}


def printable_json(document: str) -> str:
    """The same JSON document with what `printable` spells out written as JSON escapes: no value changes."""
    if document.isprintable():
        return document
    return "".join(char if _harmless(char) else _escapes(char) for char in document)


def _escapes(char: str) -> str:
    """Two escapes, a surrogate pair, beyond the basic plane."""
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
