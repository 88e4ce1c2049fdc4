"""The positions of keys in a file, and of the characters of a query in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final

from endpoints_gitops.codecs.text import BOM, KeyPath, decode, line_and_column
from endpoints_gitops.codecs.yaml.composer import (
    MappingNode,
    Node,
    ScalarNode,
    SequenceNode,
    SolidNode,
    compose,
    entry,
    is_merge,
    key_text,
    merged,
    solid,
)
from endpoints_gitops.errors import Location

_ESCAPES: Final = {
    "0": "\0",
    "a": "\a",
    "b": "\b",
    "t": "\t",
    "\t": "\t",
    "n": "\n",
    "v": "\v",
    "f": "\f",
    "r": "\r",
    "e": "\x1b",
    "N": "\x85",
    "_": "\xa0",
    "L": "\u2028",
    "P": "\u2029",
}
_DOUBLE_QUOTED: Final = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|\r?\n[ \t]*|.)|.", re.DOTALL)
_SINGLE_QUOTED: Final = re.compile(r"''|.", re.DOTALL)
_PROPERTY: Final = re.compile(r"[&!][^\s]*(?:\s+|#[^\n]*\n)*")
_AS_IT_IS: Final = re.compile(r".", re.DOTALL)


class KeyLines(Mapping[str, int]):
    """The line of each dotted key (`variables.0.default`), counted from 1; computed on first use."""

    __slots__ = ("_content", "_lines", "_path")

    def __init__(self, path: str, content: bytes) -> None:
        self._path = path
        self._content = content
        self._lines: dict[str, int] | None = None

    def __getitem__(self, key: str) -> int:
        return self._known()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known())

    def __len__(self) -> int:
        return len(self._known())

    def _known(self) -> dict[str, int]:
        if self._lines is None:
            self._lines = dict(_lines(_root(self._path, decode(self._path, self._content)), ""))
        return self._lines


class QueryPositions:
    """The `path:line:column` of each character of a definition's HogQL, computed on first use.

    `key` is the path of the text in the YAML file; `sql_file` is the path of its `.sql` file, if it has one.
    """

    __slots__ = ("_content", "_key", "_offsets", "_path", "_sql", "_sql_file", "_text")

    def __init__(self, path: str, content: bytes, sql: str, *, key: KeyPath, sql_file: str | None = None) -> None:
        self._path, self._content, self._sql = path, content, sql
        self._key, self._sql_file = key, sql_file
        self._text = ""
        self._offsets: list[int] | None = None

    def __call__(self, offset: int) -> Location:
        if self._sql_file is not None:
            line, column = line_and_column(self._sql, offset)
            return Location(self._sql_file, line, column)
        offsets = self._known()
        index = offsets[min(offset, len(offsets) - 1)] + (offset >= len(offsets)) if offsets else 0
        line, column = line_and_column(self._text, index)
        return Location(self._path, line, column)

    def _known(self) -> list[int]:
        if self._offsets is None:
            self._text = decode(self._path, self._content).removeprefix(BOM)
            node = solid(nearest(_root(self._path, self._text), self._key)[2])
            assert isinstance(node, ScalarNode), "only a scalar has a text value"
            self._offsets = _offsets(self._text, node)
        return self._offsets


@lru_cache(maxsize=4)
def _root(path: str, text: str) -> SolidNode:
    """The tree of a file, cached for further lookups in the same file."""
    return compose(path, text)


def _lines(node: Node, prefix: str) -> Iterator[tuple[str, int]]:
    target = solid(node)
    if isinstance(target, SequenceNode):
        for index, item in enumerate(target.items):
            yield f"{prefix}{index}", item.span.line
            yield from _lines(item, f"{prefix}{index}.")
    elif isinstance(target, MappingNode):
        yield from _mapping_lines(target, prefix)


def _mapping_lines(node: MappingNode, prefix: str) -> Iterator[tuple[str, int]]:
    """Merged keys come before the mapping's own, because later pairs win in a dict."""
    for key, value in node.pairs:
        for source in merged(value) if is_merge(key) else ():
            yield from _mapping_lines(source, prefix)
    for key, value in node.pairs:
        if not is_merge(key):
            yield f"{prefix}{key_text(key)}", key.span.line
            yield from _lines(value, f"{prefix}{key_text(key)}.")


def nearest(root: Node, path: KeyPath) -> tuple[KeyPath, Node, Node]:
    """The part of a path that the file has, with the nodes of its last key and of that key's value."""
    key, value = root, root
    for depth, part in enumerate(path):
        pair = entry(value, part)
        if pair is None:
            return path[:depth], key, value
        key, value = pair
    return path, key, value


def position_in_scalar(text: str, node: ScalarNode, offset: int) -> tuple[int, int]:
    """Line and column in the file of a character of a scalar's value, counted from 1; the offset may be at its end.

    It is exact for every character except whitespace; a space from a folded line break is at that break.
    """
    content = text.removeprefix(BOM)
    offsets = _offsets(content, node) or [node.span.start]
    index = offsets[min(offset, len(offsets) - 1)] + (offset >= len(node.text))
    return line_and_column(content, index)


def _offsets(text: str, node: ScalarNode) -> list[int]:
    """The offset in the file of each character of a scalar's value."""
    if node.style == "|" and (offsets := _literal_offsets(text, node)) is not None:
        return offsets
    written = list(_written(text, node))
    offsets, latest, position = [], node.span.start, 0
    for character in node.text:
        position = _next(written, position, character)
        if position < len(written):
            latest = written[position][0]
            position += 1
        offsets.append(latest)
    return offsets


def _literal_offsets(text: str, node: ScalarNode) -> list[int] | None:
    """The offsets for a block whose lines are those of the value after one indent; None for any other scalar."""
    position, end = _body(text, node)
    offsets: list[int] = []
    indents: set[int] = set()
    for line in node.text.split("\n"):
        line_end = text.find("\n", position, end)
        line_end = end if line_end < 0 else line_end
        start = line_end - len(line) if line else position
        if start < position or text[start:line_end].strip(" ") != line.strip(" ") or text[position:start].strip(" "):
            return None
        if line:
            indents.add(start - position)
            offsets.extend(range(start, line_end))
        offsets.append(line_end)
        position = line_end + 1
    return offsets[:-1] if len(indents) < 2 else None


def _next(written: list[tuple[int, str]], position: int, character: str) -> int:
    """The position of the next written character for a character of the value; blanks and breaks may be folded."""
    while position < len(written) and written[position][1] != character:
        if not written[position][1].isspace():
            return position - 1 if character.isspace() and position else position
        position += 1
    return position


def _written(text: str, node: ScalarNode) -> Iterator[tuple[int, str]]:
    """The characters between the indicators of a scalar, unescaped, with their offsets in the file."""
    start, end = _body(text, node)
    pattern = {'"': _DOUBLE_QUOTED, "'": _SINGLE_QUOTED}.get(node.style, _AS_IT_IS)
    for match in pattern.finditer(text, start, end):
        character = _unescaped(match, node.style)
        if character:
            yield match.start(), character


def _unescaped(match: re.Match[str], style: str) -> str:
    escape = match[1] if style == '"' else None
    if escape is None:
        return match[0][0]
    if escape[0] in "xuU" and len(escape) > 1:
        return chr(int(escape[1:], 16))
    return "" if escape[0] in "\r\n" else _ESCAPES.get(escape, escape)


def _body(text: str, node: ScalarNode) -> tuple[int, int]:
    start = content_start(text, node)
    if node.style in ("|", ">"):
        return text.find("\n", start, node.span.end) + 1 or node.span.end, node.span.end
    return (start + 1, node.span.end - 1) if node.style else (start, node.span.end)


def content_start(text: str, node: SolidNode) -> int:
    """The offset of a node's first character after its anchor and tag."""
    start = node.span.start
    for _ in range((node.anchor is not None) + (node.tag is not None)):
        match = _PROPERTY.match(text, start, node.span.end)
        start = match.end() if match else start
    return start
