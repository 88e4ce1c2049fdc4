"""Decode the text of a file, and compute positions in it."""

from __future__ import annotations

import codecs
from typing import Final, NoReturn

from endpoints_gitops.errors import InvalidInput, Problem

LARGEST_FILE: Final = 1_048_576
"""Bytes. A larger file is refused before it is parsed; a definition is usually a page of text."""

BOM: Final = "\ufeff"

type KeyPath = tuple[str | int, ...]
"""The keys and indexes that lead to a value of a document."""

# The longer marks first: the little-endian one of UTF-32 begins with that of UTF-16.
_OTHER_ENCODINGS: Final = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


def decode(path: str, content: bytes, *, what: str = "a definition") -> str:
    """The text of a UTF-8 file, with its byte order mark. `what` names the kind of file in messages.

    Raises InvalidInput for another encoding and for a file that is too large.
    """
    if len(content) > LARGEST_FILE:
        refuse_size(path, len(content), what=what)
    for mark, encoding in _OTHER_ENCODINGS:
        if content.startswith(mark):
            _refuse(path, f"this file is {encoding}; {what} must be UTF-8", fix="save it as UTF-8")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        _refuse_bytes(path, content, error)
    if "\0" in text[:4]:
        _refuse(path, f"this file looks like UTF-16; {what} must be UTF-8", fix="save it as UTF-8")
    return text


def refuse_size(path: str, size: int, *, what: str = "a definition") -> NoReturn:
    """Raise InvalidInput for a file of `size` bytes; for callers that know the size before they read the file."""
    message = f"this file has {size:,} bytes; {what} can have at most {LARGEST_FILE:,}"
    raise InvalidInput((Problem(path=path, message=message, code="definition.too-large"),))


def line_and_column(text: str, index: int) -> tuple[int, int]:
    """Line and column of an index, counted from 1 in characters, without a byte order mark."""
    before = text[:index].removeprefix(BOM)
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def _refuse_bytes(path: str, content: bytes, error: UnicodeDecodeError) -> NoReturn:
    if b"\0" in content[:4]:
        _refuse(path, "this file looks like UTF-16, not UTF-8", fix="save it as UTF-8")
    before = content[: error.start].decode("utf-8")
    line, column = line_and_column(before, len(before))
    message = f"the byte 0x{content[error.start]:02x} is not UTF-8"
    _refuse(path, message, line=line, column=column, fix="save the file as UTF-8")


def _refuse(path: str, message: str, *, line: int = 0, column: int = 0, fix: str) -> NoReturn:
    raise InvalidInput(
        (Problem(path=path, line=line, column=column, message=message, code="definition.encoding", fix=fix),)
    )
