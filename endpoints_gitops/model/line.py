"""Lines of text for people, with their meaning; the console prints them, and a text report is made of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Style(StrEnum):
    """Meanings, not colours; the terminal's theme decides the rest."""

    PLAIN = ""
    GOOD = "green"
    BAD = "red"
    WARN = "yellow"
    FAINT = "dim"
    HEAD = "bold"
    ADDED = "green"
    REMOVED = "red"


@dataclass(frozen=True, slots=True)
class Line:
    """`text` may be an Advice: its commands are printed with the options that this command was given.

    `marked` has the ranges of characters (start, end) that stand out on a terminal in color.
    """

    text: str
    style: Style = Style.PLAIN
    marked: tuple[tuple[int, int], ...] = ()
