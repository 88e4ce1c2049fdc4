"""From the parser's events to nodes, without recursion: no document can overflow the stack."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.cyaml import CParser  # type: ignore[attr-defined]  # it re-exports the C extension's class
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from endpoints_gitops.codecs.text import BOM, LARGEST_FILE
from endpoints_gitops.codecs.yaml_faults import explain, is_misread_flow
from endpoints_gitops.codecs.yaml_nodes import AliasNode, MappingNode, Node, ScalarNode, SequenceNode, SolidNode, Span
from endpoints_gitops.errors import InvalidInput, Problem

DEEPEST: Final = 100
"""Levels of nesting; the C parser takes quadratic time and memory for ever deeper ones."""

_LARGEST_FOR_PYTHON: Final = 65_536


def compose(path: str, text: str) -> SolidNode:
    """The one document of a file. Raises InvalidInput: not YAML, none or several, too deep, too large written out."""
    seen = text.removeprefix(BOM)
    try:
        return _composed(path, c_events(seen))
    except YAMLError as error:
        fault = error
    if is_misread_flow(fault) and len(seen) <= _LARGEST_FOR_PYTHON:
        try:
            return _composed(path, YAML(typ="safe", pure=True).parse(seen))
        except YAMLError:
            raise InvalidInput((explain(path, seen, fault),)) from None
    raise InvalidInput((explain(path, seen, fault),))


def compose_purely(path: str, text: str) -> SolidNode:
    """The same by ruamel.yaml's own parser: slow, and independent of the C parser. Raises InvalidInput."""
    seen = text.removeprefix(BOM)
    try:
        return _composed(path, YAML(typ="safe", pure=True).parse(seen))
    except YAMLError as error:
        raise InvalidInput((explain(path, seen, error),)) from None


def c_parser(text: str) -> Any:  # noqa: ANN401 - the C extension has no types
    """libyaml's parser over this text, which starts with no byte order mark."""
    return CParser(text)


def c_events(text: str) -> Iterator[Any]:
    """The C parser's events. Raises ruamel's YAMLError."""
    parser = c_parser(text)
    while parser.check_event():
        yield parser.get_event()


def _composed(path: str, events: Iterator[Any]) -> SolidNode:
    composer = _Composer(path=path)
    for event in events:
        composer.take(event)
    if composer.root is None:
        composer.refuse(None, "empty", "this file is empty: a definition has at least a name and a query")
    return composer.root


@dataclass(slots=True, kw_only=True)
class _Open:
    """A collection whose end has not come yet."""

    event: Any
    weight_before: int
    children: list[Node] = field(default_factory=list)
    height: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Anchored:
    """What an anchor names, with its size and its levels when written out."""

    node: SolidNode
    weight: int
    height: int


@dataclass(slots=True, kw_only=True)
class _Composer:
    """`weight` counts the characters that the document would have with every alias written out."""

    path: str
    root: SolidNode | None = None
    open: list[_Open] = field(default_factory=list)
    anchors: dict[str, _Anchored | None] = field(default_factory=dict)
    weight: int = 0

    def take(self, event: Any) -> None:  # noqa: ANN401 - ruamel.yaml has no types for its events
        kind = type(event)
        if kind is ScalarEvent:
            self._scalar(event)
        elif kind is MappingStartEvent or kind is SequenceStartEvent:
            self._start(event)
        elif kind is MappingEndEvent or kind is SequenceEndEvent:
            self._end(event)
        elif kind is AliasEvent:
            self._alias(event)
        elif kind is DocumentStartEvent and self.root is not None:
            self.refuse(
                event,
                "several-documents",
                "a second document starts here; a file holds one definition",
                fix="move it to a file of its own",
            )

    def refuse(self, event: Any, code: str, message: str, fix: str | None = None) -> NoReturn:  # noqa: ANN401 - as above
        line, column = (event.start_mark.line + 1, event.start_mark.column + 1) if event else (0, 0)
        code = f"definition.{code}"
        raise InvalidInput((Problem(path=self.path, line=line, column=column, message=message, code=code, fix=fix),))

    def _scalar(self, event: Any) -> None:  # noqa: ANN401 - as above
        before = self.weight
        self.weight += len(event.value) + 1
        node = ScalarNode(
            span=_span(event, event.end_mark.index),
            anchor=event.anchor,
            tag=_tag(event),
            style=event.style or "",
            text=event.value,
        )
        self._add(node, weight=self.weight - before, height=0)

    def _start(self, event: Any) -> None:  # noqa: ANN401 - as above
        self._check_depth(event, 1)
        if event.anchor:
            self.anchors[event.anchor] = None
        self.open.append(_Open(event=event, weight_before=self.weight))
        self.weight += 1

    def _end(self, event: Any) -> None:  # noqa: ANN401 - as above
        ended = self.open.pop()
        self._add(_collection(ended, event), weight=self.weight - ended.weight_before, height=ended.height)

    def _alias(self, event: Any) -> None:  # noqa: ANN401 - as above
        name = event.anchor
        if name not in self.anchors:
            self.refuse(event, "unknown-anchor", f"*{name} stands for nothing: no &{name} comes before it")
        found = self.anchors[name]
        if found is None:
            self.refuse(event, "alias-of-itself", f"*{name} stands inside of what it stands for")
        self._check_depth(event, found.height)
        self.weight += found.weight
        if self.weight > LARGEST_FILE:
            message = f"with its aliases written out, this file has more than {LARGEST_FILE:,} characters"
            self.refuse(event, "too-large", message)
        node = AliasNode(span=_span(event, event.end_mark.index), anchor=name, target=found.node)
        self._add(node, weight=found.weight, height=found.height)

    def _check_depth(self, event: Any, height: int) -> None:  # noqa: ANN401 - as above
        if len(self.open) + height > DEEPEST:
            self.refuse(event, "too-deep", f"this is nested more than {DEEPEST} levels deep")

    def _add(self, node: Node, *, weight: int, height: int) -> None:
        if not isinstance(node, AliasNode) and node.anchor:
            self.anchors[node.anchor] = _Anchored(node=node, weight=weight, height=height)
        if self.open:
            above = self.open[-1]
            above.children.append(node)
            above.height = max(above.height, height + 1)
        elif not isinstance(node, AliasNode):
            self.root = node


def _collection(ended: _Open, event: Any) -> SequenceNode | MappingNode:  # noqa: ANN401 - as above
    """A block collection ends where its last child does: the parser's own mark lies behind the comments that follow."""
    start, children = ended.event, tuple(ended.children)
    flow = bool(start.flow_style)
    end = event.end_mark.index if flow or not children else children[-1].span.end
    if type(start) is SequenceStartEvent:
        return SequenceNode(span=_span(start, end), anchor=start.anchor, tag=_tag(start), flow=flow, items=children)
    pairs = tuple(zip(children[::2], children[1::2], strict=True))
    return MappingNode(span=_span(start, end), anchor=start.anchor, tag=_tag(start), flow=flow, pairs=pairs)


def _span(event: Any, end: int) -> Span:  # noqa: ANN401 - as above
    mark = event.start_mark
    return Span(start=mark.index, end=end, line=mark.line + 1, column=mark.column + 1)


def _tag(event: Any) -> str | None:  # noqa: ANN401 - as above
    return None if event.ctag is None else str(event.ctag)
