"""The JSON value of a YAML text, and a problem for everything that JSON cannot represent.

Plain scalars follow the core schema of YAML 1.2 as serde_yaml reads it, because files of posthog-cli must have the same
values here: `yes`, `on`, `2026-01-01`, `007` and `1_000` are text; `0x1f`, `1e3` and `.5` are numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from endpoints_gitops.codecs.text import BOM
from endpoints_gitops.codecs.yaml.composer import (
    DEEPEST,
    MappingNode,
    Node,
    ScalarNode,
    SequenceNode,
    SolidNode,
    c_parser,
    is_merge,
    key_text,
    merged,
    solid,
)
from endpoints_gitops.errors import Problem

_STANDARD: Final = "tag:yaml.org,2002:"


class LookCloser(Exception):
    """The document has features that `quick_value` does not support: anchors, tags, duplicate keys, or a mistake."""


def quick_value(text: str) -> Any:  # noqa: ANN401 - any JSON value
    """The value of an ordinary document, in one pass over the C parser's events. Raises LookCloser for any other.

    `ValueReader` defines the value of a document; this function returns the same value several times as fast.
    """
    parser = c_parser(text.removeprefix(BOM))
    try:
        return _walk(parser.get_event)
    except (YAMLError, NotJson) as error:
        raise LookCloser from error


def _walk(next_event: Callable[[], Any]) -> Any:  # noqa: ANN401 - any JSON value
    waiting: list[list[Any]] = []
    current: list[Any] = []
    while (kind := type(event := next_event())) is not StreamEndEvent:
        if kind is ScalarEvent:
            if event.anchor is not None or event.ctag is not None:
                raise LookCloser
            current.append(event.value if event.style else plain(event.value))
        elif kind is MappingStartEvent or kind is SequenceStartEvent:
            _check_start(event, len(waiting))
            waiting.append(current)
            current = []
        elif kind is MappingEndEvent or kind is SequenceEndEvent:
            ended, current = current, waiting.pop()
            current.append(_mapping(ended) if kind is MappingEndEvent else ended)
        elif kind is AliasEvent or (kind is DocumentStartEvent and current):
            raise LookCloser
    if len(current) != 1:
        raise LookCloser
    return current[0]


def _check_start(event: Any, depth: int) -> None:  # noqa: ANN401 - ruamel.yaml has no types for its events
    if event.anchor is not None or event.ctag is not None or depth >= DEEPEST:
        raise LookCloser


def _mapping(children: list[Any]) -> dict[str, Any]:
    keys = children[::2]
    if not set(map(type, keys)) <= {str} or "<<" in keys:
        raise LookCloser
    mapping = dict(zip(keys, children[1::2], strict=True))
    if len(mapping) != len(keys):
        raise LookCloser
    return mapping


@dataclass(slots=True, kw_only=True)
class ValueReader:
    """The JSON values of nodes. A node without a JSON value becomes null and a problem."""

    path: str
    _found: dict[Problem, None] = field(default_factory=dict)

    @property
    def problems(self) -> tuple[Problem, ...]:
        return tuple(self._found)

    def value(self, node: Node) -> Any:  # noqa: ANN401 - any JSON value
        target = solid(node)
        if isinstance(target, ScalarNode):
            return self._scalar(target)
        self._check_tag(target)
        if isinstance(target, SequenceNode):
            return [self.value(item) for item in target.items]
        return self._mapping(target)

    def _mapping(self, node: MappingNode) -> dict[str, Any]:
        own: dict[str, Any] = {}
        inherited: dict[str, Any] = {}
        for key, value in node.pairs:
            if is_merge(key):
                inherited = self._merged(value) | inherited
            elif self._is_new_key(key, own):
                own[key_text(key)] = self.value(value)
        return inherited | own

    def _merged(self, value: Node) -> dict[str, Any]:
        sources = merged(value)
        if not sources:
            self._add(value, "merge", "`<<` must be a mapping or a list of mappings")
        inherited: dict[str, Any] = {}
        for source in sources:
            inherited = self._mapping(source) | inherited
        return inherited

    def _is_new_key(self, key: Node, own: dict[str, Any]) -> bool:
        """Whether a key is text and new; otherwise a problem is added. The first of several equal keys wins."""
        scalar = solid(key)
        if not isinstance(scalar, ScalarNode):
            self._add(key, "key", "a key must be text, not a list or a mapping")
            return False
        value = self._scalar(scalar)
        if not isinstance(value, str):
            self._add(key, "key", f"a key must be text, not {scalar.text or 'empty'}", f'write "{scalar.text}"')
        elif value in own:
            self._add(key, "duplicate-key", f"duplicate key {value!r}", "remove one of them")
            return False
        return True

    def _scalar(self, node: ScalarNode) -> Scalar:
        try:
            return self._tagged(node) if node.tag else (node.text if node.style else plain(node.text))
        except NotJson as error:
            self._add(node, "number", str(error), f'write "{node.text}" if it is text')
            return None

    def _tagged(self, node: ScalarNode) -> Scalar:
        tag = str(node.tag).removeprefix(_STANDARD)
        if tag in ("!", "str"):
            return node.text
        value = plain(node.text) if tag in ("null", "bool", "int") else number(node.text)
        if not _fits(tag, value):
            self._refuse_tag(node)
        return float(value) if tag == "float" and isinstance(value, int) else value

    def _check_tag(self, node: SolidNode) -> None:
        expected = "seq" if isinstance(node, SequenceNode) else "map"
        if node.tag not in (None, "!", _STANDARD + expected):
            self._refuse_tag(node)

    def _refuse_tag(self, node: SolidNode) -> None:
        tag = str(node.tag).replace(_STANDARD, "!!")
        self._add(node, "tag", f"the tag {tag} is not allowed: a definition has only JSON values", "remove the tag")

    def _add(self, node: Node, code: str, message: str, fix: str | None = None) -> None:
        span = node.span
        code = f"definition.{code}"
        problem = Problem(path=self.path, line=span.line, column=span.column, message=message, code=code, fix=fix)
        self._found[problem] = None


def _fits(tag: str, value: Scalar) -> bool:
    if tag == "null":
        return value is None
    kinds: dict[str, type | tuple[type, ...]] = {"bool": bool, "int": int, "float": (int, float)}
    return isinstance(value, kinds.get(tag, ())) and (tag == "bool") == isinstance(value, bool)


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
    """JSON cannot represent the scalar: it is infinite, not a number, or has more than 64 bits."""


def plain(text: str) -> Scalar:
    """The value of an unquoted scalar. Raises NotJson if JSON cannot represent it."""
    if text and text[0] not in _FIRST:
        return text
    if text in _WORDS:
        return _WORDS[text]
    return number(text)


def number(text: str) -> str | int | float:
    """The number of a text, or else the text. Raises NotJson for a number that JSON cannot represent."""
    if _INTEGER.fullmatch(text) or _BASED.fullmatch(text):
        return _integer(text)
    if _FLOAT.fullmatch(text):
        return _float(text)
    if _NO_NUMBER.fullmatch(text):
        raise NotJson(f"{text} is not a JSON number")
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
        raise NotJson("this number is too large for JSON")
    return value
