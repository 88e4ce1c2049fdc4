"""A YAML text with its tree: where in it values begin and end, seen by someone who wants to change them.

Offsets are those of the tree: characters, without the byte order mark.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from endpoints_gitops.codecs.places import Path, content_start
from endpoints_gitops.codecs.yaml_composer import compose
from endpoints_gitops.codecs.yaml_nodes import (
    AliasNode,
    MappingNode,
    Node,
    ScalarNode,
    SequenceNode,
    SolidNode,
    key_text,
)
from endpoints_gitops.codecs.yaml_writing import Layout

type Collection = MappingNode | SequenceNode

_GAP: Final = re.compile(r"(?:\s|(?<=\s)#[^\n]*)*")
_COMMENT_LINE: Final = re.compile(r"( *)#")
_HEADER: Final = re.compile(r"[|>]([-+0-9]*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file's text, its tree, and how new lines in it are to look."""

    path: str
    text: str
    root: SolidNode
    layout: Layout

    @classmethod
    def of(cls, path: str, text: str) -> Source:
        root = compose(path, text)
        return cls(path=path, text=text, root=root, layout=_layout(text, root))

    def edited(self, start: int, end: int, replacement: str) -> Source:
        """The file with other text between two offsets."""
        text = self.text[:start] + replacement + self.text[end:]
        return Source(path=self.path, text=text, root=compose(self.path, text), layout=self.layout)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """A value's place: the one at `index` of a collection, behind the colon or dash that ends at `after`.

    `end` is where its text ends, without blank lines that are not its own; `column` is the one of its key or dash,
    counted from 0, and means nothing in a flow collection.
    """

    container: Collection
    index: int
    node: Node
    after: int
    end: int
    column: int

    @property
    def is_empty(self) -> bool:
        return self.node.span.start == self.node.span.end


def spot(source: Source, path: Path) -> Spot:
    """The place of a value that is there, at a path that leads through no alias."""
    container = collection_at(source, path[:-1])
    index = own_index(container, path[-1])
    assert index is not None, "the caller knows that it is there"
    return spot_in(source.text, container, index)


def spot_in(text: str, container: Collection, index: int) -> Spot:
    return Spot(
        container=container,
        index=index,
        node=children(container)[index],
        after=_after(text, container, index),
        end=_end(text, container, index),
        column=column_of(text, container),
    )


def collection_at(source: Source, path: Path) -> Collection:
    node: Node = source.root
    for part in path:
        assert isinstance(node, MappingNode | SequenceNode), "only a collection has a way on"
        index = own_index(node, part)
        assert index is not None, "as in spot()"
        node = children(node)[index]
    assert isinstance(node, MappingNode | SequenceNode), "as above"
    return node


def children(container: Collection) -> tuple[Node, ...]:
    """The values of a mapping in their order, or the items of a list."""
    return container.items if isinstance(container, SequenceNode) else tuple(value for _, value in container.pairs)


def own_index(container: Collection, part: str | int) -> int | None:
    """Where in the collection a key or item is; None where it is not, or comes in by `<<`."""
    if isinstance(container, SequenceNode):
        return part if isinstance(part, int) and part < len(container.items) else None
    return next((place for place, (key, _) in enumerate(container.pairs) if key_text(key) == part), None)


def start_of(text: str, container: Collection, index: int) -> int:
    """Where a pair starts, or an item: at its dash in a block list."""
    if isinstance(container, MappingNode):
        return container.pairs[index][0].span.start
    if container.flow:
        return container.items[index].span.start
    return content_start(text, container) if index == 0 else _token(text, _end(text, container, index - 1))


def column_of(text: str, container: Collection) -> int:
    """The column of a collection's keys, dashes or question marks, counted from 0."""
    start = start_of(text, container, 0) if children(container) else container.span.start
    before = text[text.rfind("\n", 0, start) + 1 : start]
    is_explicit = isinstance(container, MappingNode) and not container.flow and before.rstrip().endswith("?")
    return len(before.rstrip()) - 1 if is_explicit else len(before)


def end_with_comments(text: str, container: Collection, index: int) -> int:
    """The end of a value's last line, and of the comment lines right below it that are indented deeper than its key."""
    end = line_end(text, _end(text, container, index))
    column = column_of(text, container)
    while following := text.find("\n", end) + 1:
        comment = _COMMENT_LINE.match(text, following)
        if comment is None or len(comment[1]) <= column:
            break
        end = line_end(text, following)
    return end


def with_comments_above(text: str, line: int, column: int) -> int:
    """The start of a line, or of the first of the comment lines directly above it that have this column."""
    while line:
        before = text.rfind("\n", 0, line - 1) + 1
        comment = _COMMENT_LINE.match(text, before, line)
        if comment is None or len(comment[1]) != column:
            break
        line = before
    return line


def line_end(text: str, place: int) -> int:
    """Where the line ends, before its break."""
    end = text.find("\n", place)
    return len(text) if end < 0 else end - (text[end - 1 : end] == "\r")


def header_end(text: str, node: Node) -> int | None:
    """Behind the `|-` of a block text; None for everything else."""
    found = _header(text, node)
    return found.end() if found else None


def block_width(text: str, node: Node, column: int) -> int:
    """How far a block text is indented below its key or dash; 0 for everything else."""
    found = _header(text, node)
    if found is None:
        return 0
    digit = found[1].strip("-+")
    return int(digit) if digit else max(_indent(text, node, found.end()) - column, 0)


def aliases(source: Source) -> Iterator[tuple[Path, AliasNode]]:
    """Every alias that stands for a value, with its path."""
    waiting: list[tuple[Path, Node]] = [((), source.root)]
    while waiting:
        path, node = waiting.pop()
        if isinstance(node, AliasNode):
            yield path, node
        elif isinstance(node, MappingNode):
            waiting += [((*path, key_text(key)), value) for key, value in node.pairs]
        elif isinstance(node, SequenceNode):
            waiting += [((*path, index), item) for index, item in enumerate(node.items)]


def _after(text: str, container: Collection, index: int) -> int:
    """Behind the colon of a key, or the dash of a block list's item."""
    if isinstance(container, SequenceNode):
        return container.items[index].span.start if container.flow else start_of(text, container, index) + 1
    key, value = container.pairs[index]
    colon = _token(text, key.span.end)
    return colon + 1 if text[colon : colon + 1] == ":" else value.span.start


def _end(text: str, container: Collection, index: int) -> int:
    node = children(container)[index]
    while isinstance(node, MappingNode | SequenceNode) and not node.flow and children(node):
        node = children(node)[-1]
    header = _header(text, node)
    return node.span.end if header is None else _block_end(text, node, header)


def _block_end(text: str, node: Node, header: re.Match[str]) -> int:
    """Blank lines below a block text are its own only where it keeps them (`|+`) or they go beyond its indent."""
    end, indent = node.span.end, _indent(text, node, header.end())
    body = text[header.end() : end]
    lines = body.removesuffix("\n").split("\n")
    while "+" not in header[1] and len(lines) > 1 and not lines[-1].strip() and len(lines[-1].strip("\r")) <= indent:
        lines.pop()
    kept = "\n".join(lines)
    return header.end() + len(kept.removesuffix("\r") if len(kept) < len(body) else kept)


def _header(text: str, node: Node) -> re.Match[str] | None:
    if isinstance(node, ScalarNode) and node.style in ("|", ">"):
        return _HEADER.match(text, content_start(text, node))
    return None


def _indent(text: str, node: Node, header: int) -> int:
    """The spaces before the first line of a block text that has more than blanks."""
    lines = text[header : node.span.end].split("\n")[1:]
    return next((len(line) - len(line.lstrip(" ")) for line in lines if line.strip()), 0)


def _token(text: str, place: int) -> int:
    """The next character that is neither blank nor in a comment."""
    found = _GAP.match(text, place)
    assert found, "it matches nothing too"
    return found.end()


def _layout(text: str, root: SolidNode) -> Layout:
    first = text.find("\n")
    steps = list(_steps(text, root))
    return Layout(
        newline="\r\n" if first > 0 and text[first - 1] == "\r" else "\n",
        step=next((step for node, step in steps if isinstance(node, MappingNode) and step > 0), 2),
        dash=next((step for node, step in steps if isinstance(node, SequenceNode) and step >= 0), 2),
    )


def _steps(text: str, root: Node) -> Iterator[tuple[Node, int]]:
    """How much further right than its parent's keys each block collection in a block mapping stands."""
    found = [root]
    for node in found:
        if isinstance(node, MappingNode | SequenceNode) and not node.flow:
            found += children(node)
            for child in children(node) if isinstance(node, MappingNode) else ():
                if isinstance(child, MappingNode | SequenceNode) and not child.flow:
                    yield child, column_of(text, child) - column_of(text, node)
