"""HogQL text in, PostHog's own syntax tree out (docs/server.md#hogql). The only module that knows the parser.

    ParseFailure
    ├── HogQLSyntaxError    the text is not HogQL; says where
    ├── ParserTimeout       the text is beyond what can be parsed in bounded time and depth
    │   └── ParserStopped   the process that parsed it was stopped from outside
    └── ParserUnavailable   there is no parser for this platform (Windows)

A tree is what `json.loads` makes of the parser's answer: a node is a dict with its kind under `node`, and the `offset`
in its `start` and `end` counts characters. Trees are shared between callers: never change one.
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
"""What a query may take. A parser process is ended then, wherever it is."""

MOST_NESTED: Final = 400
"""Brackets inside of each other, those in texts counted too. Deeper trees are beyond what Python walks through."""

MOST_STEPS: Final = 20_000_000
"""The cost of a query that is parsed in this process, some 20 ms: it grows with the cube of the length where operators
follow each other, and doubles with each bracket that is open where the parser finds a mistake.
"""

_MOST_STEPS_ALONE: Final = 400_000_000
"""The same where nothing else runs, some 0.4 s at worst: an ordinary query takes 0.1 ms, a process for it 50 ms."""

_KEPT: Final = 512
"""Texts whose trees are kept, some 40 kB each: a command asks many things about the same queries, often in rounds."""

_SELECT: Final = '"SelectQuery"'  # once for each in a tree, and perhaps in other places

_ERROR: Final = '"error":true'  # never inside a tree: quotes in its strings are escaped, and no node has this key


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


class ParserStopped(ParserTimeout):
    """The parser process was ended by a signal or could not be started: the next look at the query may go better."""


class ParserUnavailable(ParseFailure):
    """`hogql_parser_rs` is not installed: it has no build for Windows. What needs a tree is undecidable then."""

    def __init__(self) -> None:
        super().__init__("PostHog's parser is not available here: the package hogql-parser-rs has no build for Windows")


class UnfinishedQueries(Protocol):
    """What is known of queries that the parser could not finish, by key; kept from one command to the next."""

    def reason(self, key: str) -> str | None:
        """Why the query of this key cannot be parsed; None where nothing is known."""

    def add(self, key: str, reason: str) -> None:
        """Keep why a query cannot be parsed."""


@dataclass(slots=True)
class _Surroundings:
    """What the program around the parser offers: a memory, and a report of what takes long."""

    unfinished: Callable[[], UnfinishedQueries] | None = None
    on_slow: Callable[[str], None] | None = None
    most_steps: int = MOST_STEPS
    timeouts: int = 0


_SURROUNDINGS: Final = _Surroundings()


def surround(
    *, unfinished: Callable[[], UnfinishedQueries] | None, on_slow: Callable[[str], None] | None = None
) -> None:
    """Keep what cannot be parsed in `unfinished()`, and call `on_slow` with each query that takes longer than a second.

    For the whole process, as the parser's own memory is; None takes them away. `unfinished` is called when needed.
    """
    _SURROUNDINGS.unfinished, _SURROUNDINGS.on_slow = unfinished, on_slow


@contextmanager
def nothing_else_waits() -> Iterator[None]:
    """In the block, larger queries are parsed in this process too: for one in which no thread and no user waits."""
    _SURROUNDINGS.most_steps = _MOST_STEPS_ALONE
    try:
        yield
    finally:
        _SURROUNDINGS.most_steps = MOST_STEPS


def unfinished_queries() -> UnfinishedQueries | None:
    """The memory that `surround` set; a process that parses for this one is to use it too."""
    return _SURROUNDINGS.unfinished() if _SURROUNDINGS.unfinished is not None else None


def on_slow_query() -> Callable[[str], None] | None:
    """The report of slow queries that `surround` set."""
    return _SURROUNDINGS.on_slow


def timeouts() -> int:
    """How many times a text could not be parsed in time or depth in this process, so that it may go better later."""
    return _SURROUNDINGS.timeouts


def parse(sql: str) -> Tree:
    """The tree of one SELECT statement or set of them. Raises a ParseFailure."""
    return _given(_outcome(sql))


def remember(sql: str) -> None:
    """Parse a text now, whatever comes of it, so that `parse` answers at once later."""
    with suppress(ParseFailure):
        parse(sql)


def parse_without_positions(sql: str) -> Tree:
    """The same tree without `start` and `end`: equal for two texts that differ only in their layout."""
    return _given(_tree(_given(_answered(sql)), _without_position))


def is_single_select(sql: str) -> bool:
    """Whether a text, which `parse` has parsed, is one SELECT without any other inside of it."""
    answer = _answered(sql)
    return isinstance(answer, str) and answer.count(_SELECT) == 1 and parse(sql)["node"] == "SelectQuery"


def stop_parsing(*, for_good: bool = False) -> None:
    """End what is parsed in other threads, each with a ParserStopped. `for_good`: and what begins before
    `resume_parsing`.
    """
    if for_good:
        from endpoints_gitops.hogql.parser_processes import POOL

        POOL.close()
    elif (processes := sys.modules.get("endpoints_gitops.hogql.parser_processes")) is not None:
        processes.POOL.stop()


def resume_parsing() -> None:
    """Parse again after `stop_parsing(for_good=True)`."""
    if (processes := sys.modules.get("endpoints_gitops.hogql.parser_processes")) is not None:
        processes.POOL.open()


def line_and_column(sql: str, offset: int) -> tuple[int, int]:
    """The place of an offset, both counted from 1, for messages."""
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
    """Failures are kept too: a text that ran out of time must not be another thing on the second look."""
    try:
        answer = _answer(sql)
    except ParserStopped:
        _SURROUNDINGS.timeouts += 1
        raise
    except ParseFailure as failure:
        return failure
    return _refusal(sql, json.loads(answer)) if _ERROR in answer else answer


def _answer(sql: str) -> str:
    surrogate = next((place for place, character in enumerate(sql) if "\ud800" <= character <= "\udfff"), None)
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
    """The most brackets that are open at one place; as many as there are where that is few enough anyway."""
    total = sum(map(sql.count, "([{"))
    if total <= MOST_NESTED:
        return total
    steps = accumulate(("([{".count(character) - ")]}".count(character) for character in sql), initial=0)
    return max(steps)


def _is_trivial(sql: str) -> bool:
    """Whether any text of this length with so many opening brackets is parsed in a moment; `<` opens a tag."""
    brackets = sum(map(sql.count, "([{<"))
    return len(sql) ** 3 << min(brackets, 64) <= _SURROUNDINGS.most_steps


def _answer_of_process(sql: str) -> str:
    """A call of the parser cannot be interrupted and lets no other thread run, but a process can be killed."""
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
    """Where the parser is installed, looked for once."""
    installed = find("hogql_parser_rs")
    return installed.origin if installed is not None else None


def _key(sql: str, parser: str) -> str:
    """Another parser, or more time, may finish what this one does not."""
    found = Path(parser).parent.stat()
    return sha256(f"{found.st_mtime_ns} {SECONDS}\0{sql}".encode()).hexdigest()


def _tree(answer: str, hook: Callable[[Tree], Tree] | None = None) -> Tree | ParseFailure:
    from pydantic_core import from_json

    try:
        tree: Tree = from_json(answer) if hook is None else json.loads(answer, object_hook=hook)
    except ValueError:  # it reads no halves of surrogate pairs, and trees of some 200 levels
        return _deep_tree(answer)
    except RecursionError:
        return ParserTimeout("the query is nested too deeply to be analysed")
    return tree


def _deep_tree(answer: str) -> Tree | ParseFailure:
    try:
        tree: Tree = json.loads(answer)
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
