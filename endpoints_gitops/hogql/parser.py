"""HogQL text in, PostHog's own syntax tree out (docs/server.md#hogql). The only module that knows the parser.

    ParseFailure
    ├── HogQLSyntaxError    the text is not HogQL; says where
    ├── ParserTimeout       the text is beyond what can be parsed in bounded time and depth
    └── ParserUnavailable   there is no parser for this platform (Windows)

A tree is what `json.loads` makes of the parser's answer: a node is a dict with its kind under `node`, and the `offset`
in its `start` and `end` counts characters. Trees are shared between callers: never change one.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, Final

type Tree = dict[str, Any]

IN_PROCESS_CHARACTERS: Final = 4_000
MOST_CHARACTERS: Final = 2_000_000
SECONDS: Final = 10.0

_KEPT: Final = 512
"""Texts whose trees are kept, some 40 kB each: a command asks many things about the same queries, often in rounds."""

_ERROR: Final = '"error":true'  # never inside a tree: quotes in its strings are escaped, and no node has this key

_CHILD: Final = (
    "import sys, hogql_parser_rs as parser;"
    "text = sys.stdin.buffer.read().decode('utf-8');"
    "sys.stdout.buffer.write(parser.parse_select_json(text).encode('utf-8'))"
)


class ParseFailure(ValueError):
    """There is no tree for this text; `message` says why. `is_undecided`: whether the text is right is not known."""

    is_undecided = True

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class HogQLSyntaxError(ParseFailure):
    """The parser refuses the text. `offset` counts characters from 0; `code` is the server's for this refusal."""

    is_undecided = False

    def __init__(self, message: str, offset: int, code: str = "hogql_syntax_error") -> None:
        super().__init__(message)
        self.offset = offset
        self.code = code


class ParserTimeout(ParseFailure):
    """Too long, too deep or too slow to parse; whether it is right is not known."""


class ParserUnavailable(ParseFailure):
    """`hogql_parser_rs` is not installed: it has no build for Windows. What needs a tree is undecidable then."""

    def __init__(self) -> None:
        super().__init__("PostHog's parser is not available here: the package hogql-parser-rs has no build for Windows")


def parse(sql: str) -> Tree:
    """The tree of one SELECT statement or set of them. Raises a ParseFailure."""
    return _given(_outcome(sql))


def parse_without_positions(sql: str) -> Tree:
    """The same tree without `start` and `end`: equal for two texts that differ only in their layout."""
    return _given(_tree(_given(_answered(sql)), _without_position))


def line_and_column(sql: str, offset: int) -> tuple[int, int]:
    """The place of an offset, both counted from 1, for messages."""
    before = sql[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1


def _given[Wanted](outcome: Wanted | ParseFailure) -> Wanted:
    if isinstance(outcome, ParseFailure):
        raise outcome.with_traceback(None)
    return outcome


@lru_cache(maxsize=_KEPT)
def _outcome(sql: str) -> Tree | ParseFailure:
    answer = _answered(sql)
    return answer if isinstance(answer, ParseFailure) else _tree(answer)


@lru_cache(maxsize=_KEPT)
def _answered(sql: str) -> str | ParseFailure:
    """Failures are kept too: a text that ran out of time must not be another thing on the second look."""
    try:
        answer = _answer(sql)
    except ParseFailure as failure:
        return failure
    return _refusal(sql, json.loads(answer)) if _ERROR in answer else answer


def _answer(sql: str) -> str:
    surrogate = next((place for place, character in enumerate(sql) if "\ud800" <= character <= "\udfff"), None)
    if surrogate is not None:
        raise HogQLSyntaxError("half of a surrogate pair is not text", surrogate)
    if len(sql) > MOST_CHARACTERS:
        raise ParserTimeout(f"the query has {len(sql):,} characters; at most {MOST_CHARACTERS:,} are parsed")
    if len(sql) > IN_PROCESS_CHARACTERS:
        return _answer_of_child(sql)
    try:
        from hogql_parser_rs import parse_select_json  # type: ignore[import-untyped]  # ships no types
    except ImportError:
        raise ParserUnavailable from None
    return str(parse_select_json(sql))


def _answer_of_child(sql: str) -> str:
    """Long operator chains take the parser minutes and a call cannot be interrupted, but a process can be killed."""
    if find_spec("hogql_parser_rs") is None:
        raise ParserUnavailable
    command = [sys.executable, "-I", "-c", _CHILD]
    try:
        ended = subprocess.run(command, input=sql.encode(), capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise ParserTimeout(f"the query could not be parsed within {SECONDS:g} seconds") from None
    if ended.returncode != 0:
        raise ParserTimeout(f"the parser ended with status {ended.returncode} on this query")
    return ended.stdout.decode()


def _tree(answer: str, hook: Callable[[Tree], Tree] | None = None) -> Tree | ParseFailure:
    try:
        tree: Tree = json.loads(answer, object_hook=hook)
    except RecursionError:
        return ParserTimeout("the query is nested too deeply to be analysed")
    return tree


def _without_position(node: Tree) -> Tree:
    node.pop("start", None)
    node.pop("end", None)
    return node


def _refusal(sql: str, answer: Tree) -> HogQLSyntaxError:
    """Nodes count characters, but the place of an error is counted in bytes of UTF-8."""
    code = "hogql_syntax_error" if answer["type"] == "SyntaxError" else "hogql_error"
    before = sql.encode()[: answer["start"]["offset"]]
    return HogQLSyntaxError(answer["message"], len(before.decode(errors="ignore")), code)
