"""What several commands take, and types of values; a wrong one is a usage error that says what was wanted."""

from __future__ import annotations

import argparse
from collections.abc import Callable


def _whole_number(text: str, least: int, what: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) >= least):
        raise argparse.ArgumentTypeError(f"{text!r} is not a {what}; expected a whole number of at least {least}")
    return int(text)


def _numbered(what: str, least: int) -> Callable[[str], int]:
    return lambda text: _whole_number(text, least, what)


version_number = _numbered("version", 1)
row_count = _numbered("number of rows", 1)
row_offset = _numbered("offset", 0)


def add_selectors(parser: argparse.ArgumentParser) -> None:
    """Which endpoints a command is about, said by name, tag, place or change."""
    parser.add_argument(
        "selectors",
        nargs="*",
        metavar="SELECTOR",
        help="a name, a glob, tag:TAG, a path, or changed:REF; none means all",
    )


def seconds(text: str) -> float:
    """A time of waiting: finite, and above zero."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return number
