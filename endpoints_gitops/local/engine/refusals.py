"""Refusals of queries, including those of ClickHouse (docs/server.md#hogql)."""

from __future__ import annotations

import re
from typing import Final, Literal

from endpoints_gitops.errors import CouldNotFindOut
from endpoints_gitops.hogql.parser import HogQLSyntaxError, ParseFailure

ErrorType = Literal["validation_error", "server_error"]

_SHAPE: Final = re.compile(r"Code: (\d+)\. DB::Exception: (.*?)(?:\s*\(([A-Z0-9_]+)\))?\s*", re.DOTALL)
_NARROW: Final = "Narrow its scope (e.g. a smaller date range) or materialize the endpoint"
_BOUNDED: Final = {
    159: (
        "query_timeout",
        f"This query exceeded the execution time limit. {_NARROW} for dedicated compute.",
    ),
    241: (
        "query_memory_limit",
        f"This query exceeded the memory limit. {_NARROW}.",
    ),
    62: ("query_too_large", "The query text is too large to execute. Simplify the query."),
}
_FIXED: Final = {
    6: "Cannot parse a value as the requested type. Check your input formats and type conversions.",
    69: "An argument is out of bounds.",
    70: "Cannot convert one type to another in the query. Check the types in your comparisons and IN clauses.",
    258: "Mismatched number of columns in UNION ALL.",
}
_TOO_LARGE_TEXT: Final = "Max query size exceeded"


class ClickHouseUnavailable(CouldNotFindOut):
    """ClickHouse does not answer, whatever the query is."""

    code = "clickhouse.unavailable"


class QueryRefused(ValueError):
    """The query is refused; `message`, `code` and `type` are those of the 400."""

    def __init__(
        self, message: str, code: str = "hogql_query_error", *, error_type: ErrorType = "validation_error"
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.type = error_type

    @property
    def brief(self) -> str:
        """The first line of the message, without ClickHouse's copy of the query and its advice for SQL."""
        return re.split(r": In scope|\. In query|In scope|\. Look at https", self.message.splitlines()[0])[0].strip(
            " :."
        )


class Unresolved(QueryRefused):
    """An unknown name. PostHog does not report the text; this server does."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "invalid_input")


def from_parser(failure: ParseFailure) -> QueryRefused:
    """The refusal of a text that cannot be parsed."""
    if isinstance(failure, HogQLSyntaxError):
        return QueryRefused(failure.message, failure.code)
    return QueryRefused(failure.message)


def too_large() -> QueryRefused:
    code, message = _BOUNDED[62]
    return QueryRefused(message, code, error_type="server_error")


def timed_out() -> QueryRefused:
    code, message = _BOUNDED[159]
    return QueryRefused(message, code, error_type="server_error")


def from_clickhouse(text: str) -> QueryRefused:
    """The refusal for the text of a ClickHouse exception."""
    found = _SHAPE.fullmatch(text.strip())
    if found is None:
        return QueryRefused(text.strip(), "hogql_query_error")
    number, message, name = int(found[1]), found[2], found[3]
    if number in _BOUNDED and (number != 62 or _TOO_LARGE_TEXT in message):
        code, message = _BOUNDED[number]
        return QueryRefused(message, code, error_type="server_error")
    return QueryRefused(_FIXED.get(number, message), (name or f"clickhouse_error_{number}").lower())
