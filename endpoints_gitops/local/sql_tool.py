"""The tool `execute_sql` of PostHog's own agents (docs/server.md#mcp-tools)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from pydantic import ValidationError

from endpoints_gitops.hogql.parser import parse
from endpoints_gitops.hogql.variables import variables_used
from endpoints_gitops.local.bodies import ExecuteSql
from endpoints_gitops.local.call import RouteAnswer, RouteCall
from endpoints_gitops.local.deployment import Deployment
from endpoints_gitops.local.engine.interface import EngineRows
from endpoints_gitops.local.engine.refusals import QueryRefused
from endpoints_gitops.local.system_tables import rows_of
from endpoints_gitops.model.json import Json

MOST_ROWS: Final = 500
LONGEST_CELL: Final = 500
_NULL: Final = "(null)"
_NO_CONNECTION: Final = (
    "Invalid connectionId: no direct-query-capable data source with this id in this team, "
    "or you don't have access to it."
)
_RAW: Final = "sendRawQuery needs a connectionId. Set one, or drop sendRawQuery to run the query as HogQL."
_NO_HOGQL: Final = "HogQL parsing error: this query isn't valid HogQL."
_WORDS_OF_PARSERS: Final = (
    "no viable alternative",
    "trailing tokens after expression",
    "unexpected token in expression",
    "mismatched input",
)
_RETRY: Final = " You may retry with adjusted inputs."
_TYPE_OF: Final = {
    "query_timeout": "timeout",
    "query_memory_limit": "memory_limit",
    "table_access_denied": "permission",
}


class ToolFailed(Exception):
    """The tool cannot answer; `kind` is its `error_type`."""

    def __init__(self, message: str, kind: str = "validation") -> None:
        super().__init__(message)
        self.message = message
        self.kind = kind


def answered_sql(deployment: Deployment, call: RouteCall) -> RouteAnswer:
    """Run HogQL, and answer with a table of text."""
    sent = call.incoming.sent()
    try:
        arguments = ExecuteSql.model_validate(sent.get("args", {}) if isinstance(sent, dict) else sent)
    except ValidationError as error:
        mistakes = error.errors(include_url=False)
        return _failure(f"There was a validation error calling the tool:\n{mistakes}", status=400)
    try:
        rows = _rows(deployment, call, arguments)
    except ToolFailed as failed:
        is_final = failed.kind == "permission"
        name, hint = ("MaxToolFatalError", "") if is_final else ("MaxToolRetryableError", _RETRY)
        return _failure(f"Tool failed: {name}: {failed.message}.{hint}", kind=failed.kind)
    table = as_text(rows.columns, rows.results, longest=LONGEST_CELL if arguments.truncate else None)
    return RouteAnswer(body={"success": True, "content": table})


def as_text(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, longest: int | None) -> str:
    """The table as text: columns and cells with `|` between them. A longer cell of JSON is cut to `longest`."""
    lines = ["|".join(columns), *("|".join(_cell(cell, longest) for cell in row) for row in rows)]
    return "\n".join(lines)


def _rows(deployment: Deployment, call: RouteCall, arguments: ExecuteSql) -> EngineRows:
    """The rows of the query. Raises ToolFailed."""
    if arguments.connectionId:
        raise ToolFailed(_NO_CONNECTION, "internal")
    if arguments.sendRawQuery:
        raise ToolFailed(_RAW)
    sql = arguments.query.rstrip(";").strip()
    if not sql:
        raise ToolFailed("Query validation failed: Query is empty")
    try:
        deployment.engine.describe({"query": sql})
    except QueryRefused as refusal:
        reason = _NO_HOGQL if refusal.message.startswith(_WORDS_OF_PARSERS) else refusal.message
        raise ToolFailed(f"Query validation failed: {reason}") from None
    try:
        return deployment.engine.run(
            sql,
            _values(deployment, call, sql),
            limit=None,
            offset=None,
            maximum=MOST_ROWS,
            rows_of=rows_of(deployment, call),
        )
    except QueryRefused as refusal:
        raise ToolFailed(refusal.message, _TYPE_OF.get(refusal.code, "validation")) from None


def _values(deployment: Deployment, call: RouteCall, sql: str) -> dict[str, Json]:
    """The project's defaults of the variables that the query uses."""
    used = variables_used(parse(sql))
    with deployment.store.lock:
        known = deployment.store.variables_of(call.project)
    return {variable.code_name: variable.default_value for variable in known if variable.code_name in used}


def _cell(value: Any, longest: int | None) -> str:  # noqa: ANN401 - a value of an answer
    if value is None:
        return _NULL
    written = str(value)
    if written == _NULL:
        return f'"{_NULL}"'
    is_json = isinstance(value, (dict, list)) or (isinstance(value, str) and value.startswith(("{", "[")))
    if is_json and longest is not None and len(written) > longest:
        return f"{written[:longest]}...truncated"
    return written


def _failure(content: str, *, kind: str | None = None, status: int = 200) -> RouteAnswer:
    body: dict[str, Json] = {"success": False, "content": content}
    return RouteAnswer(body=body if kind is None else {**body, "error_type": kind}, status=status)
