"""Escape text from a server or a file for terminals and CI logs."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_COMMAND_IN_A_LINE: Final = re.compile(r"##(?=\w*\[)")
"""GitHub's older workflow commands (`##[`), Azure's (`##vso[`) and TeamCity's (`##teamcity[`)."""

_LINE_BREAKS: Final = {"\n": "\\n", "\r": "\\r"}


def printable(text: str) -> str:
    """The text with every control character and bidirectional override escaped, except newline and tab.

    Otherwise a description such as "\\x1b[2J" would clear the screen, and a bidirectional override would show a
    different query than the one that runs.
    """
    if text.isprintable():
        return text
    return "".join(char if _harmless(char) else f"\\u{{{ord(char):x}}}" for char in text)


def one_line(text: str) -> str:
    """The text as one line: like `printable`, with line breaks escaped too, and with commands of CI systems escaped,
    such as GitHub's `::stop-commands::` at the start of a line.
    """
    if not text.isprintable():
        text = printable("".join(_LINE_BREAKS.get(char, char) for char in text))
    start = len(text) - len(text.lstrip())
    if text.startswith("::", start):
        text = f"{text[:start]}:\\u{{3a}}{text[start + 2 :]}"
    return _COMMAND_IN_A_LINE.sub(r"#\\u{23}", text) if "##" in text else text


def _harmless(char: str) -> bool:
    return char in "\n\t" or unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}


def printable_json(document: str) -> str:
    """The JSON document with everything that `one_line` escapes written as JSON escapes, which changes no value."""
    if "##" in document:
        document = _COMMAND_IN_A_LINE.sub(r"#\\u0023", document)
    if document.isprintable():
        return document
    return "".join(char if _harmless(char) else _escapes(char) for char in document)


def _escapes(char: str) -> str:
    """The JSON escapes of a character: two, a surrogate pair, beyond the basic plane."""
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
