"""Changes in the text of a YAML file, one place at a time: what is not meant keeps every byte.

Each change yields a new `Source`. Whether its text means what was wanted is for the caller to prove.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from endpoints_gitops.codecs.places import Path
from endpoints_gitops.codecs.yaml_nodes import AliasNode, MappingNode, Node, ScalarNode, SequenceNode, key_text
from endpoints_gitops.codecs.yaml_source import (
    Collection,
    Source,
    Spot,
    block_width,
    children,
    collection_at,
    column_of,
    end_with_comments,
    header_end,
    line_end,
    spot,
    spot_in,
    start_of,
    with_comments_above,
)
from endpoints_gitops.codecs.yaml_writing import Written, block, inline, list_lines, listed, mapping_lines
from endpoints_gitops.model.json import Json

_PROPERTIES: Final = re.compile(r"(?:[ \t]*[&!]\S*)*")
_BLANK_LINES: Final = re.compile(r"(?:\r?\n[ \t]*)*(?=\r?\n)")


def replace(source: Source, path: Path, value: Json) -> Source:
    """Another value in a place that is there. A tag goes; an anchor stays, but not for a collection beside a dash."""
    at = spot(source, path)
    anchor = f"&{at.node.anchor} " if not isinstance(at.node, AliasNode) and at.node.anchor else ""
    style = at.node.style if isinstance(at.node, ScalarNode) else ""
    if at.container.flow:
        return _replace_in_flow(source, at, anchor + inline(value, style=style, flow=True))
    if isinstance(at.container, SequenceNode) and isinstance(value, Mapping | list | tuple):
        anchor = ""
    written = _written(source, at, value, style)
    if not written.body and not at.is_empty and not _is_block(source, at.node):
        return source.edited(at.node.span.start, at.node.span.end, anchor + written.head)
    return _replace_lines(source, at, anchor, written)


def add(source: Source, path: Path, value: Json, order: Sequence[str] = ()) -> Source:
    """A key that is not there yet, behind the nearest one before it in `order`; or an item at an index."""
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
    place = end_with_comments(source.text, container, index - 1)
    return _edited_lines(source, place, place, ["", *lines])


def remove(source: Source, path: Path) -> Source:
    """Without a key or item, and without the comment lines directly above it; above a file's first key they stay."""
    at, text = spot(source, path), source.text
    if len(children(at.container)) == 1:
        return replace(source, path[:-1], {} if isinstance(at.container, MappingNode) else [])
    if at.container.flow:
        return _remove_in_flow(source, at)
    start = start_of(text, at.container, at.index)
    line = text.rfind("\n", 0, start) + 1
    if text[line:start].strip():
        return source.edited(start, start_of(text, at.container, at.index + 1), "")
    is_first_of_file = len(path) == 1 and at.index == 0
    line = line if is_first_of_file else with_comments_above(text, line, at.column)
    end = end_with_comments(text, at.container, at.index)
    below = text.find("\n", end) + 1
    return source.edited(line, below, "") if below else source.edited(line_end(text, line - 1), end, "")


def _written(source: Source, at: Spot, value: Json, style: str) -> Written:
    width = block_width(source.text, at.node, at.column)
    if isinstance(at.container, MappingNode):
        return block(value, parent=at.column, layout=source.layout, style=style, width=width)
    return listed(value, column=at.column, layout=source.layout, style=style, width=width)


def _is_block(source: Source, node: Node) -> bool:
    if isinstance(node, ScalarNode):
        return header_end(source.text, node) is not None
    return not isinstance(node, AliasNode) and not node.flow


def _replace_lines(source: Source, at: Spot, anchor: str, written: Written) -> Source:
    """From behind the colon or dash to the end of the value's last line; a comment beside the value stays."""
    text, start = source.text, at.node.span.start
    beside = not at.is_empty and "\n" not in text[at.after : start]
    gap = text[at.after : start] if beside else " "
    tail = _tail(source, at)
    head = (gap + anchor + written.head).rstrip() + (tail if tail.strip() else "")
    end = max(line_end(text, at.after), line_end(text, at.end))
    return _edited_lines(source, at.after, end, [head, *written.body])


def _tail(source: Source, at: Spot) -> str:
    """What stands behind the value on its first line: blanks and a comment, if anything."""
    text, place = source.text, at.end
    header = header_end(text, at.node)
    if header is not None:
        place = header
    elif _is_block(source, at.node) and _starts_below(text, at):
        found = _PROPERTIES.match(text, at.after)
        place = found.end() if found else at.after
    return text[place : line_end(text, place)]


def _starts_below(text: str, at: Spot) -> bool:
    """Whether a block collection begins on a line under its key, not beside the dash."""
    node = at.node
    return isinstance(node, MappingNode | SequenceNode) and "\n" in text[at.after : start_of(text, node, 0)]


def _edited_lines(source: Source, start: int, end: int, lines: Sequence[str]) -> Source:
    """A block text at the end that keeps its blank lines would also keep those that follow: they go."""
    if not lines[-1] and (blank := _BLANK_LINES.match(source.text, end)):
        end = blank.end()
    return source.edited(start, end, source.layout.newline.join(lines))


def _replace_in_flow(source: Source, at: Spot, written: str) -> Source:
    span = at.node.span
    if at.is_empty:
        written = f" {written}" if source.text[at.after - 1 : at.after] == ":" else f": {written}"
        return source.edited(at.after, at.after, written)
    return source.edited(span.start, span.end, written)


def _add_in_flow(source: Source, container: Collection, index: int, part: str | int, value: Json) -> Source:
    written = inline(value, flow=True)
    if isinstance(part, str):
        written = f"{inline(part, flow=True)}: {written}"
    if not children(container):
        place = container.span.end - 1
    elif index == 0:
        place, written = start_of(source.text, container, 0), f"{written}, "
    else:
        place, written = spot_in(source.text, container, index - 1).end, f", {written}"
    return source.edited(place, place, written)


def _remove_in_flow(source: Source, at: Spot) -> Source:
    if at.index + 1 < len(children(at.container)):
        start = start_of(source.text, at.container, at.index)
        return source.edited(start, start_of(source.text, at.container, at.index + 1), "")
    return source.edited(spot_in(source.text, at.container, at.index - 1).end, at.end, "")


def _index_for(container: Collection, key: str, order: Sequence[str]) -> int:
    """Behind the nearest of the keys that come before it, else before the nearest that comes after, else at the end."""
    present = [key_text(name) for name, _ in container.pairs] if isinstance(container, MappingNode) else []
    place = order.index(key) if key in order else len(order)
    before = [present.index(one) + 1 for one in order[:place] if one in present]
    after = [present.index(one) for one in order[place:] if one in present]
    return before[-1] if before else (after[0] if after else len(present))
