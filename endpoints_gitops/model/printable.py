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
