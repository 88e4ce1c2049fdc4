"""Parse HogQL into PostHog's syntax tree (docs/server.md#hogql). Only this module uses the parser.

    ParseFailure
    ├── HogQLSyntaxError    the text is not HogQL; with the position
    ├── ParserTimeout       the text cannot be parsed within the limits of time and depth
    │   └── ParserStopped   the parser process was stopped from outside
    └── ParserUnavailable   the parser is not installed

A tree is the decoded JSON of the parser: a node is a dict with its kind under `node`, and the `offset` in its `start`
and `end` counts characters. Trees are cached and shared: never change one.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from hashlib import sha256
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path
from typing import Any, Final, Protocol

type Tree = dict[str, Any]

MOST_CHARACTERS: Final = 2_000_000
SECONDS: Final = 10.0
"""Seconds after which a parser process is killed."""

MOST_NESTED: Final = 400
"""The maximum nesting of brackets, including those in strings. Python cannot process deeper trees."""

MOST_STEPS: Final = 20_000_000
"""The cost of a query that is parsed in this process, some 20 ms: it grows with the cube of the length where operators
follow each other, and doubles with each bracket or CASE that is open where the parser finds a mistake.
"""

_MOST_STEPS_ALONE: Final = 400_000_000
"""The same where nothing else runs, some 0.4 s at worst: an ordinary query takes 0.1 ms, a process for it 50 ms."""

_OPENING: Final = "([{"
_CLOSING: Final = {")": "(", "]": "[", "}": "{"}
_OTHER_QUOTES: Final = ('"', "`", "\\", "--", "//", "/*", "#", "<")

_KEPT: Final = 512
"""Texts whose trees are kept, some 40 kB each: a command asks many things about the same queries, often in rounds."""

_SELECT: Final = '"SelectQuery"'  # once for each in a tree, and perhaps in other places

_ERROR: Final = '"error":true'  # never inside a tree: quotes in its strings are escaped, and no node has this key


class ParseFailure(ValueError):
    """The text has no tree; `message` says why. `is_undecided`: it is unknown whether the text is valid."""

    is_undecided = True

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class HogQLSyntaxError(ParseFailure):
    """The parser refuses the text. `offset` counts characters from 0; `code` is the server's error code."""

    is_undecided = False

    def __init__(self, message: str, offset: int, code: str = "hogql_syntax_error") -> None:
        super().__init__(message)
        self.offset = offset
        self.code = code


class ParserTimeout(ParseFailure):
    """The text is too long, too deep or too slow to parse; it is unknown whether it is valid."""


class ParserStopped(ParserTimeout):
    """The parser process was ended by a signal or could not be started; another attempt can succeed."""


class ParserUnavailable(ParseFailure):
    """`hogql_parser_rs` is not installed, as on Windows, for which it has no build; nothing that needs a tree can be
    decided."""

    def __init__(self) -> None:
        super().__init__(
            "PostHog's parser is not available here: the package hogql-parser-rs is not installed "
            "(it has no build for Windows)"
        )


class UnfinishedQueries(Protocol):
    """A store of queries that the parser could not finish, by key, which outlives the process."""

    def reason(self, key: str) -> str | None:
        """Why the query of this key cannot be parsed; None if it is unknown."""

    def add(self, key: str, reason: str) -> None:
        """Store why a query cannot be parsed."""


@dataclass(slots=True)
class _Surroundings:
    """Hooks of the program: a store of unfinished queries, and a report of slow ones."""

    unfinished: Callable[[], UnfinishedQueries] | None = None
    on_slow: Callable[[str], None] | None = None
    most_steps: int = MOST_STEPS
    timeouts: int = 0


_SURROUNDINGS: Final = _Surroundings()


def surround(
    *, unfinished: Callable[[], UnfinishedQueries] | None, on_slow: Callable[[str], None] | None = None
) -> None:
    """Store queries that cannot be parsed in `unfinished()`, and call `on_slow` with each query that takes longer than
    a second.

    The setting is global, like the cache of the parser; None removes it. `unfinished` is called when it is needed.
    """
    _SURROUNDINGS.unfinished, _SURROUNDINGS.on_slow = unfinished, on_slow


@contextmanager
def nothing_else_waits() -> Iterator[None]:
    """Within the block, parse larger queries in this process too: for processes in which no other thread waits."""
    _SURROUNDINGS.most_steps = _MOST_STEPS_ALONE
    try:
        yield
    finally:
        _SURROUNDINGS.most_steps = MOST_STEPS


def unfinished_queries() -> UnfinishedQueries | None:
    """The store that `surround` set; child processes that parse must use it too."""
    return _SURROUNDINGS.unfinished() if _SURROUNDINGS.unfinished is not None else None


def on_slow_query() -> Callable[[str], None] | None:
    """The report of slow queries that `surround` set."""
    return _SURROUNDINGS.on_slow


def timeouts() -> int:
    """The number of texts that this process could not parse within its limits, and that may succeed later."""
    return _SURROUNDINGS.timeouts


def parse(sql: str) -> Tree:
    """The tree of a SELECT statement or a set of them. Raises ParseFailure."""
    return _given(_outcome(sql))


def remember(sql: str) -> None:
    """Parse a text into the cache, so that a later `parse` returns at once; errors are cached too."""
    with suppress(ParseFailure):
        parse(sql)


def parse_without_positions(sql: str) -> Tree:
    """The tree without `start` and `end`, equal for texts that differ only in layout."""
    return _given(_tree(_given(_answered(sql)), _without_position))


def is_single_select(sql: str) -> bool:
    """Whether a parsed text is a single SELECT without subqueries."""
    answer = _answered(sql)
    return isinstance(answer, str) and answer.count(_SELECT) == 1 and parse(sql)["node"] == "SelectQuery"


def stop_parsing(*, for_good: bool = False) -> None:
    """Stop parsing in other threads, each with a ParserStopped. `for_good`: also stop later calls until
    `resume_parsing`."""
    if for_good:
        from endpoints_gitops.hogql.parser_processes import POOL

        POOL.close()
    elif (processes := sys.modules.get("endpoints_gitops.hogql.parser_processes")) is not None:
        processes.POOL.stop()


def resume_parsing() -> None:
    """Allow parsing again after `stop_parsing(for_good=True)`."""
    if (processes := sys.modules.get("endpoints_gitops.hogql.parser_processes")) is not None:
        processes.POOL.open()


def line_and_column(sql: str, offset: int) -> tuple[int, int]:
    """Line and column of an offset, counted from 1, for messages."""
    before = sql[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1


def _given[Wanted](outcome: Wanted | ParseFailure) -> Wanted:
    if isinstance(outcome, ParseFailure):
        _SURROUNDINGS.timeouts += isinstance(outcome, ParserTimeout)
        raise outcome.with_traceback(None)
    return outcome


@lru_cache(maxsize=_KEPT)
def _outcome(sql: str) -> Tree | ParseFailure:
    answer = _answered(sql)
    return answer if isinstance(answer, ParseFailure) else _tree(answer)


@lru_cache(maxsize=_KEPT)
def _answered(sql: str) -> str | ParseFailure:
    """The cached answer of the parser or its failure, so that a text that timed out fails again."""
    try:
        answer = _answer(sql)
    except ParserStopped:
        _SURROUNDINGS.timeouts += 1
        raise
    except ParseFailure as failure:
        return failure
    return _refusal(sql, json.loads(answer)) if _ERROR in answer else answer


def _answer(sql: str) -> str:
    surrogate = next((index for index, character in enumerate(sql) if "\ud800" <= character <= "\udfff"), None)
    if surrogate is not None:
        raise HogQLSyntaxError("half of a surrogate pair is not text", surrogate)
    if len(sql) > MOST_CHARACTERS:
        raise ParserTimeout(f"the query has {len(sql):,} characters; at most {MOST_CHARACTERS:,} are parsed")
    if _nesting(sql) > MOST_NESTED:
        raise ParserTimeout(f"the query is nested too deeply: {MOST_NESTED} brackets inside of each other are parsed")
    if not _is_trivial(sql):
        return _answer_of_process(sql)
    try:
        from hogql_parser_rs import parse_select_json  # type: ignore[import-untyped]  # ships no types
    except ImportError:
        raise ParserUnavailable from None
    return str(parse_select_json(sql))


def _nesting(sql: str) -> int:
    """The maximum number of open brackets, or their total if that is small enough."""
    total = sum(map(sql.count, _OPENING))
    if total <= MOST_NESTED:
        return total
    steps = accumulate(("([{".count(character) - ")]}".count(character) for character in sql), initial=0)
    return max(steps)


def _is_trivial(sql: str) -> bool:
    """Whether every text of this length, nested this deeply, is parsed quickly. CASE nests too, and `<` opens a tag."""
    most = _SURROUNDINGS.most_steps // max(len(sql), 1) ** 3
    opened = sql.count("<") + sql.lower().count("case")
    brackets = sum(map(sql.count, _OPENING))
    if 1 << min(opened + brackets, 64) <= most:
        return True
    return 1 << min(opened + _open_at_once(sql), 64) <= most


def _open_at_once(sql: str) -> int:
    """The number of brackets that are open at the deepest place, or more.

    A closing bracket counts where it must be one: not in a string, and nowhere in a text with other quotes or comments.
    """
    has_other_quotes = any(mark in sql for mark in _OTHER_QUOTES)
    open_now = dict.fromkeys(_OPENING, 0)
    deepest = 0
    for index, piece in enumerate(sql.split("'")):
        is_code = index % 2 == 0 and not has_other_quotes
        for character in piece:
            if character in open_now:
                open_now[character] += 1
                deepest = max(deepest, sum(open_now.values()))
            elif is_code and (opening := _CLOSING.get(character)):
                open_now[opening] = max(open_now[opening] - 1, 0)
    return deepest


def _answer_of_process(sql: str) -> str:
    """The answer of a parser process, which can be killed; a call in this process cannot be interrupted."""
    origin = _parser_file(find_spec)
    if origin is None:
        raise ParserUnavailable
    from endpoints_gitops.hogql.parser_processes import POOL, ParserDied

    on_slow, open_unfinished = _SURROUNDINGS.on_slow, _SURROUNDINGS.unfinished
    unfinished = open_unfinished() if open_unfinished is not None else None
    key = _key(sql, origin) if unfinished is not None else ""
    if unfinished is not None and (reason := unfinished.reason(key)):
        raise ParserTimeout(reason)
    try:
        folder = Path(origin).parent.parent
        return POOL.parse(sql, SECONDS, folder, on_slow and partial(on_slow, sql))
    except ParserDied as death:
        if death.is_stopped:
            raise ParserStopped("the process that parsed the query was stopped") from None
        reason = f"the parser ended with status {death.status} on this query"
        if death.is_timeout:
            reason = f"the query could not be parsed within {SECONDS:g} seconds"
        if unfinished is not None:
            unfinished.add(key, reason)
        raise ParserTimeout(reason) from None
    except OSError as error:
        raise ParserStopped(f"the parser could not be started: {error.strerror or error}") from None


@lru_cache(maxsize=1)
def _parser_file(find: Callable[[str], ModuleSpec | None]) -> str | None:
    """The path of the installed parser, cached."""
    installed = find("hogql_parser_rs")
    return installed.origin if installed is not None else None


def _key(sql: str, parser: str) -> str:
    """The key of a query, which also depends on the version of the parser and the time limit."""
    status = Path(parser).parent.stat()
    return sha256(f"{status.st_mtime_ns} {SECONDS}\0{sql}".encode()).hexdigest()


def _tree(answer: str, hook: Callable[[Tree], Tree] | None = None) -> Tree | ParseFailure:
    core = sys.modules.get("pydantic_core")  # reads faster, and takes longer to import than a hundred queries to read
    try:
        if hook is not None:
            tree: Tree = json.loads(answer, object_hook=hook)
        else:
            tree = core.from_json(answer) if core is not None else json.loads(answer)
    except ValueError:  # it refuses halves of surrogate pairs, and trees of more than about 200 levels
        return _deep_tree(answer)
    except RecursionError:
        return ParserTimeout("the query is nested too deeply to be analyzed")
    return tree


def _deep_tree(answer: str) -> Tree | ParseFailure:
    try:
        tree: Tree = json.loads(answer)
    except RecursionError:
        return ParserTimeout("the query is nested too deeply to be analyzed")
    return tree


def _without_position(node: Tree) -> Tree:
    node.pop("start", None)
    node.pop("end", None)
    return node


def _refusal(sql: str, answer: Tree) -> HogQLSyntaxError:
    """The error of the parser. Nodes count characters, but the position of an error counts bytes of UTF-8."""
    code = "hogql_syntax_error" if answer["type"] == "SyntaxError" else "hogql_error"
    before = sql.encode()[: answer["start"]["offset"]]
    return HogQLSyntaxError(answer["message"], len(before.decode(errors="ignore")), code)
