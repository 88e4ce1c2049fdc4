"""Change the text of a YAML file, one value at a time, without changing other bytes.

Each change returns a new `YamlSource`. The caller checks that its text has the requested value. Offsets are those of
the tree: characters, without the byte order mark.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from endpoints_gitops.codecs.text import KeyPath
from endpoints_gitops.codecs.yaml.composer import (
    AliasNode,
    MappingNode,
    Node,
    ScalarNode,
    SequenceNode,
    SolidNode,
    compose,
    key_text,
)
from endpoints_gitops.codecs.yaml.positions import content_start
from endpoints_gitops.codecs.yaml.writer import Layout, WrittenValue, block, inline, list_lines, listed, mapping_lines
from endpoints_gitops.model.json import Json

type Collection = MappingNode | SequenceNode

_GAP: Final = re.compile(r"(?:\s|(?<=\s)#[^\n]*)*")
_COMMENT_LINE: Final = re.compile(r"( *)#")
_HEADER: Final = re.compile(r"[|>]([-+0-9]*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class YamlSource:
    """A file's text, its tree, and the layout of new lines in it."""

    path: str
    text: str
    root: SolidNode
    layout: Layout

    @classmethod
    def of(cls, path: str, text: str) -> YamlSource:
        root = compose(path, text)
        return cls(path=path, text=text, root=root, layout=_layout(text, root))

    def edited(self, start: int, end: int, replacement: str) -> YamlSource:
        """The source with the text between two offsets replaced. Raises InvalidInput if the result is not YAML."""
        text = self.text[:start] + replacement + self.text[end:]
        return YamlSource(path=self.path, text=text, root=compose(self.path, text), layout=self.layout)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """The value at `index` of a collection; its colon or dash ends at `after`.

    `end` is the end of its text, without blank lines that are not part of it; `column` is that of its key or dash,
    counted from 0, and unused in a flow collection.
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


def spot(source: YamlSource, path: KeyPath) -> Spot:
    """The spot of an existing value, at a path that leads through no alias."""
    container = collection_at(source, path[:-1])
    index = own_index(container, path[-1])
    assert index is not None, "the caller checked that it exists"
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


def collection_at(source: YamlSource, path: KeyPath) -> Collection:
    node: Node = source.root
    for part in path:
        assert isinstance(node, MappingNode | SequenceNode), "only a collection has children"
        index = own_index(node, part)
        assert index is not None, "as in spot()"
        node = children(node)[index]
    assert isinstance(node, MappingNode | SequenceNode), "as above"
    return node


def children(container: Collection) -> tuple[Node, ...]:
    """The values of a mapping in their order, or the items of a list."""
    return container.items if isinstance(container, SequenceNode) else tuple(value for _, value in container.pairs)


def own_index(container: Collection, part: str | int) -> int | None:
    """The index of a key or item in a collection; None if it is missing or merged in by `<<`."""
    if isinstance(container, SequenceNode):
        return part if isinstance(part, int) and part < len(container.items) else None
    return next((index for index, (key, _) in enumerate(container.pairs) if key_text(key) == part), None)


def start_of(text: str, container: Collection, index: int) -> int:
    """The start of a pair or item; in a block list, its dash."""
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
    """The end of a value's last line, or of the comment lines right below it that are indented deeper than its key."""
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


def line_end(text: str, offset: int) -> int:
    """The end of the line, before its break."""
    end = text.find("\n", offset)
    return len(text) if end < 0 else end - (text[end - 1 : end] == "\r")


def header_end(text: str, node: Node) -> int | None:
    """The end of the `|-` of a block text; None for any other node."""
    header = _header(text, node)
    return header.end() if header else None


def block_width(text: str, node: Node, column: int) -> int:
    """The indentation of a block text below its key or dash; 0 for any other node."""
    header = _header(text, node)
    if header is None:
        return 0
    digit = header[1].strip("-+")
    return int(digit) if digit else max(_indent(text, node, header.end()) - column, 0)


def aliases(source: YamlSource) -> Iterator[tuple[KeyPath, AliasNode]]:
    """Every alias that is a value, with its path."""
    waiting: list[tuple[KeyPath, Node]] = [((), source.root)]
    while waiting:
        path, node = waiting.pop()
        if isinstance(node, AliasNode):
            yield path, node
        elif isinstance(node, MappingNode):
            waiting += [((*path, key_text(key)), value) for key, value in node.pairs]
        elif isinstance(node, SequenceNode):
            waiting += [((*path, index), item) for index, item in enumerate(node.items)]


def _after(text: str, container: Collection, index: int) -> int:
    """The end of the colon of a key, or of the dash of a block list's item."""
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
    """The end of a block text. Blank lines below belong to it only with `|+`, or if they are longer than its indent."""
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
    """The indentation of the first line of a block text that is not blank."""
    lines = text[header : node.span.end].split("\n")[1:]
    return next((len(line) - len(line.lstrip(" ")) for line in lines if line.strip()), 0)


def _token(text: str, offset: int) -> int:
    """The offset of the next character that is neither blank nor in a comment."""
    gap = _GAP.match(text, offset)
    assert gap, "the pattern matches empty text too"
    return gap.end()


def _layout(text: str, root: SolidNode) -> Layout:
    first = text.find("\n")
    steps = list(_steps(text, root))
    return Layout(
        newline="\r\n" if first > 0 and text[first - 1] == "\r" else "\n",
        step=next((step for node, step in steps if isinstance(node, MappingNode) and step > 0), 2),
        dash=next((step for node, step in steps if isinstance(node, SequenceNode) and step >= 0), 2),
    )


def _steps(text: str, root: Node) -> Iterator[tuple[Node, int]]:
    """Each block collection in a block mapping, with its column relative to the mapping's keys."""
    nodes = [root]
    for node in nodes:
        if isinstance(node, MappingNode | SequenceNode) and not node.flow:
            nodes += children(node)
            for child in children(node) if isinstance(node, MappingNode) else ():
                if isinstance(child, MappingNode | SequenceNode) and not child.flow:
                    yield child, column_of(text, child) - column_of(text, node)


_PROPERTIES: Final = re.compile(r"(?:[ \t]*[&!]\S*)*")
_BLANK_LINES: Final = re.compile(r"(?:\r?\n[ \t]*)*(?=\r?\n)")


def replace(source: YamlSource, path: KeyPath, value: Json) -> YamlSource:
    """Replace an existing value. Its tag is removed; its anchor stays, except for a collection beside a dash."""
    target = spot(source, path)
    anchor = f"&{target.node.anchor} " if not isinstance(target.node, AliasNode) and target.node.anchor else ""
    style = target.node.style if isinstance(target.node, ScalarNode) else ""
    if target.container.flow:
        return _replace_in_flow(source, target, anchor + inline(value, style=style, flow=True))
    if isinstance(target.container, SequenceNode) and isinstance(value, Mapping | list | tuple):
        anchor = ""
    written = _written(source, target, value, style)
    if not written.body and not target.is_empty and not _is_block(source, target.node):
        return source.edited(target.node.span.start, target.node.span.end, anchor + written.head)
    return _replace_lines(source, target, anchor, written)


def add(source: YamlSource, path: KeyPath, value: Json, order: Sequence[str] = ()) -> YamlSource:
    """Add a key after its nearest predecessor in `order`, or an item at an index."""
    container, part = collection_at(source, path[:-1]), path[-1]
    index = part if isinstance(part, int) else _index_for(container, part, order)
    if container.flow:
        return _add_in_flow(source, container, index, part, value)
    column, newline = column_of(source.text, container), source.layout.newline
    if isinstance(part, str):
        lines = mapping_lines({part: value}, column=column, layout=source.layout)
    else:
        lines = list_lines([value], column=column, layout=source.layout)
    if index == 0:
        start = start_of(source.text, container, 0)
        return source.edited(start, start, newline.join([*lines, " " * column])[column:])
    offset = end_with_comments(source.text, container, index - 1)
    return _edited_lines(source, offset, offset, ["", *lines])


def remove(source: YamlSource, path: KeyPath) -> YamlSource:
    """Remove a key or item and the comment lines directly above it, except above the first key of a file."""
    target, text = spot(source, path), source.text
    if len(children(target.container)) == 1:
        return replace(source, path[:-1], {} if isinstance(target.container, MappingNode) else [])
    if target.container.flow:
        return _remove_in_flow(source, target)
    start = start_of(text, target.container, target.index)
    line = text.rfind("\n", 0, start) + 1
    if text[line:start].strip():
        return source.edited(start, start_of(text, target.container, target.index + 1), "")
    is_first_of_file = len(path) == 1 and target.index == 0
    line = line if is_first_of_file else with_comments_above(text, line, target.column)
    end = end_with_comments(text, target.container, target.index)
    below = text.find("\n", end) + 1
    return source.edited(line, below, "") if below else source.edited(line_end(text, line - 1), end, "")


def _written(source: YamlSource, target: Spot, value: Json, style: str) -> WrittenValue:
    width = block_width(source.text, target.node, target.column)
    if isinstance(target.container, MappingNode):
        return block(value, parent=target.column, layout=source.layout, style=style, width=width)
    return listed(value, column=target.column, layout=source.layout, style=style, width=width)


def _is_block(source: YamlSource, node: Node) -> bool:
    if isinstance(node, ScalarNode):
        return header_end(source.text, node) is not None
    return not isinstance(node, AliasNode) and not node.flow


def _replace_lines(source: YamlSource, target: Spot, anchor: str, written: WrittenValue) -> YamlSource:
    """Replace from the end of the colon or dash to the end of the value; a comment after the value is kept."""
    text, start = source.text, target.node.span.start
    beside = not target.is_empty and "\n" not in text[target.after : start]
    gap = text[target.after : start] if beside else " "
    tail = _tail(source, target)
    head = (gap + anchor + written.head).rstrip() + (tail if tail.strip() else "")
    end = max(line_end(text, target.after), line_end(text, target.end))
    return _edited_lines(source, target.after, end, [head, *written.body])


def _tail(source: YamlSource, target: Spot) -> str:
    """The text after the value on its first line: blanks and a comment, if any."""
    text, offset = source.text, target.end
    header = header_end(text, target.node)
    if header is not None:
        offset = header
    elif _is_block(source, target.node) and _starts_below(text, target):
        properties = _PROPERTIES.match(text, target.after)
        offset = properties.end() if properties else target.after
    return text[offset : line_end(text, offset)]


def _starts_below(text: str, target: Spot) -> bool:
    """Whether a block collection begins on a line under its key, not beside the dash."""
    node = target.node
    return isinstance(node, MappingNode | SequenceNode) and "\n" in text[target.after : start_of(text, node, 0)]


def _edited_lines(source: YamlSource, start: int, end: int, lines: Sequence[str]) -> YamlSource:
    """Replace whole lines. A block text that keeps its blank lines would also keep those below, so they are removed."""
    if not lines[-1] and (blank := _BLANK_LINES.match(source.text, end)):
        end = blank.end()
    return source.edited(start, end, source.layout.newline.join(lines))


def _replace_in_flow(source: YamlSource, target: Spot, written: str) -> YamlSource:
    span = target.node.span
    if target.is_empty:
        written = f" {written}" if source.text[target.after - 1 : target.after] == ":" else f": {written}"
        return source.edited(target.after, target.after, written)
    return source.edited(span.start, span.end, written)


def _add_in_flow(source: YamlSource, container: Collection, index: int, part: str | int, value: Json) -> YamlSource:
    written = inline(value, flow=True)
    if isinstance(part, str):
        written = f"{inline(part, flow=True)}: {written}"
    if not children(container):
        offset = container.span.end - 1
    elif index == 0:
        offset, written = start_of(source.text, container, 0), f"{written}, "
    else:
        offset, written = spot_in(source.text, container, index - 1).end, f", {written}"
    return source.edited(offset, offset, written)


def _remove_in_flow(source: YamlSource, target: Spot) -> YamlSource:
    if target.index + 1 < len(children(target.container)):
        start = start_of(source.text, target.container, target.index)
        return source.edited(start, start_of(source.text, target.container, target.index + 1), "")
    return source.edited(spot_in(source.text, target.container, target.index - 1).end, target.end, "")


def _index_for(container: Collection, key: str, order: Sequence[str]) -> int:
    """The index after the key's nearest predecessor, or before its nearest successor, or the end."""
    present = [key_text(name) for name, _ in container.pairs] if isinstance(container, MappingNode) else []
    rank = order.index(key) if key in order else len(order)
    before = [present.index(name) + 1 for name in order[:rank] if name in present]
    after = [present.index(name) for name in order[rank:] if name in present]
    return before[-1] if before else (after[0] if after else len(present))
