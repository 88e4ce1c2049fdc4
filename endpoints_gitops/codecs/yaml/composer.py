"""Compose the events of a YAML parser into a tree of nodes with their positions.

Composing uses no recursion, so a document cannot overflow the stack. An alias is a separate node with a reference to
its target.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.cyaml import CParser  # type: ignore[attr-defined]  # it re-exports the C extension's class
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.reader import ReaderError

from endpoints_gitops.codecs.text import BOM, LARGEST_FILE, line_and_column
from endpoints_gitops.errors import InvalidInput, Problem

EMPTY_DEFINITION: Final = "this file is empty; a definition needs a name and a query"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Span:
    """A range of the text: offsets in characters without the byte order mark; `line` and `column` count from 1."""

    start: int
    end: int
    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScalarNode:
    """`style` is empty for a plain scalar, else one of `'`, `"`, `|`, `>`. The span includes anchor and tag."""

    span: Span
    anchor: str | None
    tag: str | None
    style: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SequenceNode:
    span: Span
    anchor: str | None
    tag: str | None
    flow: bool
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MappingNode:
    span: Span
    anchor: str | None
    tag: str | None
    flow: bool
    pairs: tuple[tuple[Node, Node], ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AliasNode:
    span: Span
    anchor: str
    target: SolidNode


type SolidNode = ScalarNode | SequenceNode | MappingNode
type Node = SolidNode | AliasNode


def solid(node: Node) -> SolidNode:
    """The node itself, or the target of an alias."""
    return node.target if isinstance(node, AliasNode) else node


def key_text(key: Node) -> str:
    """The text of a mapping's key; empty for a key that is not a scalar."""
    scalar = solid(key)
    return scalar.text if isinstance(scalar, ScalarNode) else ""


def entry(node: Node, key: str | int) -> tuple[Node, Node] | None:
    """The (key, value) nodes of a mapping's key, or (item, item) at a sequence's index, or None.

    The mapping's own keys come before those that `<<` merges in.
    """
    collection = solid(node)
    if isinstance(collection, MappingNode) and isinstance(key, str):
        return _pair(collection, key)
    if isinstance(collection, SequenceNode) and isinstance(key, int) and 0 <= key < len(collection.items):
        return collection.items[key], collection.items[key]
    return None


def is_merge(key: Node) -> bool:
    """Whether this key is `<<`, which merges in the keys of another mapping."""
    return isinstance(key, ScalarNode) and key.text == "<<" and not key.style and key.tag is None


def merged(value: Node) -> tuple[MappingNode, ...]:
    """The mappings that a `<<` merges in; the keys of an earlier one win."""
    collection = solid(value)
    items = collection.items if isinstance(collection, SequenceNode) else (collection,)
    return tuple(source for source in map(solid, items) if isinstance(source, MappingNode))


def _pair(mapping: MappingNode, key: str) -> tuple[Node, Node] | None:
    own = _by_key(mapping).get(key)
    if own is not None:
        return own
    sources = (source for name, value in mapping.pairs if is_merge(name) for source in merged(value))
    return next((pair for source in sources if (pair := _pair(source, key))), None)


@lru_cache(maxsize=32)
def _by_key(mapping: MappingNode) -> dict[str, tuple[Node, Node]]:
    """The first pair of each key, cached because a file with many mistakes looks up many keys."""
    return {key_text(pair[0]): pair for pair in reversed(mapping.pairs) if not is_merge(pair[0])}


DEEPEST: Final = 100
"""Levels of nesting; the C parser takes quadratic time and memory for deeper ones."""

_LARGEST_FOR_PYTHON: Final = 65_536


def compose(path: str, text: str, *, empty: str = EMPTY_DEFINITION) -> SolidNode:
    """The document of a file as a tree. `empty` is the mistake of a file without one.

    Raises InvalidInput for text that is not YAML, for none or several documents, and for one that is nested too deeply
    or too large with its aliases expanded.
    """
    content = text.removeprefix(BOM)
    try:
        return _composed(path, c_events(content), empty)
    except YAMLError as error:
        failure = error
    if is_misread_flow(failure) and len(content) <= _LARGEST_FOR_PYTHON:
        try:
            return _composed(path, YAML(typ="safe", pure=True).parse(content), empty)
        except YAMLError:
            raise InvalidInput((explain(path, content, failure),)) from None
    raise InvalidInput((explain(path, content, failure),))


def compose_purely(path: str, text: str) -> SolidNode:
    """Like `compose`, with ruamel.yaml's own parser: slow, but independent of the C parser."""
    content = text.removeprefix(BOM)
    try:
        return _composed(path, YAML(typ="safe", pure=True).parse(content), EMPTY_DEFINITION)
    except YAMLError as error:
        raise InvalidInput((explain(path, content, error),)) from None


def c_parser(text: str) -> Any:  # noqa: ANN401 - the C extension has no types
    """libyaml's parser of a text without a byte order mark."""
    return CParser(text)


def c_events(text: str) -> Iterator[Any]:
    """The C parser's events. Raises ruamel's YAMLError."""
    parser = c_parser(text)
    while parser.check_event():
        yield parser.get_event()


def _composed(path: str, events: Iterator[Any], empty: str) -> SolidNode:
    composer = _Composer(path=path)
    for event in events:
        composer.take(event)
    if composer.root is None:
        composer.refuse(None, "empty", empty)
    return composer.root


@dataclass(slots=True, kw_only=True)
class _OpenCollection:
    """A collection that has not ended yet."""

    event: Any
    weight_before: int
    children: list[Node] = field(default_factory=list)
    height: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Anchored:
    """The node of an anchor, with its size and its levels when its aliases are expanded."""

    node: SolidNode
    weight: int
    height: int


@dataclass(slots=True, kw_only=True)
class _Composer:
    """Builds the tree. `weight` counts the characters of the document with every alias expanded."""

    path: str
    root: SolidNode | None = None
    open: list[_OpenCollection] = field(default_factory=list)
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
                "a second document starts here; a file must have one definition",
                fix="move it to a separate file",
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
        self.open.append(_OpenCollection(event=event, weight_before=self.weight))
        self.weight += 1

    def _end(self, event: Any) -> None:  # noqa: ANN401 - as above
        ended = self.open.pop()
        self._add(_collection(ended, event), weight=self.weight - ended.weight_before, height=ended.height)

    def _alias(self, event: Any) -> None:  # noqa: ANN401 - as above
        name = event.anchor
        if name not in self.anchors:
            self.refuse(event, "unknown-anchor", f"*{name} has no anchor &{name} before it")
        anchored = self.anchors[name]
        if anchored is None:
            self.refuse(event, "alias-of-itself", f"*{name} is inside its own anchor")
        self._check_depth(event, anchored.height)
        self.weight += anchored.weight
        if self.weight > LARGEST_FILE:
            message = f"with its aliases expanded, this file has more than {LARGEST_FILE:,} characters"
            self.refuse(event, "too-large", message)
        node = AliasNode(span=_span(event, event.end_mark.index), anchor=name, target=anchored.node)
        self._add(node, weight=anchored.weight, height=anchored.height)

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


def _collection(ended: _OpenCollection, event: Any) -> SequenceNode | MappingNode:  # noqa: ANN401 - as above
    """The node of a collection. A block ends with its last child, because the parser's mark is after following
    comments."""
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


_TAB_INDENT: Final = re.compile(r"[ ]*\t")

# The parser's message, an explanation for the author, the fix.
_EXPLANATIONS: Final = (
    ("mapping values are not allowed", "a `: ` is not expected here", "quote the value, or check the indentation"),
    (
        "could not find expected ':'",
        "this line is not of the form `key: value`",
        "indent the line if it belongs to the value above, or end the key with a colon",
    ),
    (
        "did not find expected key",
        "a key is expected here",
        "check quotes and indentation of this line and the one above",
    ),
    (
        "did not find expected '-' indicator",
        "a list item `- …` is expected here",
        "indent all items alike, or start the next key further left",
    ),
    (
        "did not find expected ',' or",
        "the list or mapping in brackets is not closed, or a comma is missing",
        "check the brackets; quote values with special characters",
    ),
    ("block sequence entries are not allowed", "a list cannot start on this line", "start `- …` on a new line"),
    ("did not find expected node content", "a value is expected here", "quote the value"),
    ("unknown escape character", "unknown escape in double quotes", "write `\\\\` for a backslash"),
    ("invalid Unicode character escape code", "this escape is not a character", "write the character itself"),
    ("unexpected end of stream", "the quoted text that starts here is never closed", "add the closing quote"),
    ("unexpected document indicator", "the quoted text that starts here is never closed", "add the closing quote"),
    ("undefined tag handle", "this tag is unknown", "quote the text if it starts with an exclamation mark"),
)


def explain(path: str, text: str, error: YAMLError) -> Problem:
    """The problem for an error that ruamel.yaml raised about this text."""
    if isinstance(error, ReaderError):
        return _forbidden_character(path, text, error)
    if not isinstance(error, MarkedYAMLError):
        return Problem(path=path, message=f"not valid YAML: {error}", code="definition.yaml")
    mark = _telling_mark(error)
    line, column = mark.line + 1, mark.column + 1
    tab = _tab_problem(path, text, line)
    if tab is not None:
        return tab
    message, fix = _explanation(text, mark, str(error.problem or error.context))
    return Problem(path=path, line=line, column=column, message=message, code="definition.yaml", fix=fix)


def is_misread_flow(error: YAMLError) -> bool:
    """Whether the text can be a flow collection that is valid in YAML 1.2 but not for the C parser, which is for
    1.1."""
    problem = str(getattr(error, "problem", ""))
    return problem.startswith(("found unexpected ':'", "did not find expected ',' or"))


def _telling_mark(error: Any) -> Any:  # noqa: ANN401 - ruamel.yaml has no types for its marks
    """The position of the mistake. The parser reports an unclosed quote at the end of the file instead of its start."""
    unclosed = "unexpected end of stream" in str(error.problem) or "document indicator" in str(error.problem)
    started = unclosed or "could not find expected ':'" in str(error.problem)
    return (error.context_mark if started else error.problem_mark) or error.context_mark or error.problem_mark


def _tab_problem(path: str, text: str, line: int) -> Problem | None:
    lines = text.split("\n")
    for number in (line, line + 1):
        if number <= len(lines) and (indent := _TAB_INDENT.match(lines[number - 1])):
            return Problem(
                path=path,
                line=number,
                column=indent.end(),
                message="this line is indented with a tab; YAML indents with spaces",
                code="definition.tab",
                fix="replace the tab with spaces",
            )
    return None


def _explanation(text: str, mark: Any, problem: str) -> tuple[str, str | None]:  # noqa: ANN401 - as above
    character = text[mark.index : mark.index + 1]
    if "cannot start any token" in problem and character == "\t":
        return "a tab is not allowed here; YAML separates with spaces", "replace the tab with spaces"
    if "cannot start any token" in problem:
        return f"a value cannot start with `{character}`", "quote the value"
    for words, explanation, fix in _EXPLANATIONS:
        if words in problem:
            return f"not valid YAML: {explanation}", fix
    return f"not valid YAML: {problem}", None


def _forbidden_character(path: str, text: str, error: ReaderError) -> Problem:
    before = text.encode()[: error.position].decode("utf-8", "ignore")
    line, column = line_and_column(before, len(before))
    character = error.character if isinstance(error.character, int) else ord(error.character)
    return Problem(
        path=path,
        line=line,
        column=column,
        message=f"the character U+{character:04X} is not allowed in a YAML file",
        code="definition.yaml",
        fix="remove the character, or escape it in a double-quoted text",
    )
