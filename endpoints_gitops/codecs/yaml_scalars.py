"""What a plain scalar means: YAML 1.2's core schema as serde_yaml reads it, for posthog-cli's files mean the same here.

So `yes`, `on`, `2026-01-01`, `007` and `1_000` are text, and `0x1f`, `1e3` and `.5` are numbers.
"""

from __future__ import annotations

import re
from typing import Final

type Scalar = str | int | float | bool | None

_WORDS: Final[dict[str, bool | None]] = {
    "": None,
    "~": None,
    **dict.fromkeys(("null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_FIRST: Final = frozenset("-+.0123456789~nNtTfF")
_INTEGER: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_BASED: Final = re.compile(r"[-+]?0(?:x[0-9a-fA-F]+|o[0-7]+|b[01]+)")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|(?=[0-9]*[.eE])[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NO_NUMBER: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_SMALLEST: Final = -(2**63)
_LARGEST: Final = 2**64 - 1
_LONGEST_INTEGER: Final = 80  # characters: 64 bits in base two, a sign and a prefix


class NotJson(ValueError):
    """A scalar that JSON has no value for: infinite, not a number, or beyond 64 bits."""


def plain(text: str) -> Scalar:
    """The value of an unquoted scalar. Raises NotJson."""
    if text and text[0] not in _FIRST:
        return text
    if text in _WORDS:
        return _WORDS[text]
    return number(text)


def number(text: str) -> str | int | float:
    """The number that the text is, else the text. Raises NotJson."""
    if _INTEGER.fullmatch(text) or _BASED.fullmatch(text):
        return _integer(text)
    if _FLOAT.fullmatch(text):
        return _float(text)
    if _NO_NUMBER.fullmatch(text):
        raise NotJson(f"{text} is not a number that JSON can hold")
    return text


def _integer(text: str) -> int:
    if len(text) > _LONGEST_INTEGER:
        raise NotJson("this number has more than 64 bits")
    value = int(text, 0) if _BASED.fullmatch(text) else int(text)
    if not _SMALLEST <= value <= _LARGEST:
        raise NotJson("this number has more than 64 bits")
    return value


def _float(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise NotJson("this number is larger than any that JSON can hold")
    return value
