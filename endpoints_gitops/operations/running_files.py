"""Run a definition that may never have been pushed: its query, values in the place of its variables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from endpoints_gitops.api.client import Client
from endpoints_gitops.api.errors import BadAnswer
from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.definition import Definition, LoadedDefinition
from endpoints_gitops.model.json import Json, JsonObject
from endpoints_gitops.operations.running import RunResult
from endpoints_gitops.workspace.files import shown

_DATES: Final = ("date_from", "date_to")


def run_definition(
    client: Client, loaded: LoadedDefinition, values: Mapping[str, Json], limit: int | None
) -> RunResult:
    """Ask the server the query as it stands in the file (scope `query:read`); the first `limit` rows of the answer."""
    answer = client.query(bound_node(loaded, values))
    results, columns = answer.get("results"), answer.get("columns")
    if not isinstance(results, list | dict):
        raise BadAnswer("there are no results in the answer to the query")
    rows: tuple[Any, ...] = tuple(results) if isinstance(results, list) else (results,)
    names = tuple(map(str, columns)) if isinstance(columns, list) else None
    if names is not None and any(not isinstance(row, list) or len(row) != len(names) for row in rows):
        raise BadAnswer(f"a row does not have the {len(names)} values that the columns say")
    more = answer.get("hasMore") is True and (limit is None or limit > len(rows))
    notes = (f"the server stopped after {len(rows)} rows; a LIMIT in the query sets another number",) if more else ()
    return RunResult(columns=names, rows=rows[:limit], notes=notes)


def sql_file(path: Path) -> LoadedDefinition:
    """A definition of nothing but the SQL of a file. Raises InvalidInput and UsageError for what is no query."""
    from endpoints_gitops.workspace.definitions import read_sql

    return sql_text(shown(path), read_sql(path))


def sql_text(label: str, content: bytes) -> LoadedDefinition:
    """The same for bytes; `label` names them. Variables are whatever the query uses, and have no type."""
    from endpoints_gitops.codecs.text import BOM, decode

    sql = decode(label, content, what="a query").removeprefix(BOM).replace("\r\n", "\n").strip()
    if not sql:
        raise UsageError("there is no query to run", where=label, code="run.no-query")
    return LoadedDefinition(path=label, definition=Definition(name="query", query=sql), sql=sql, lines={"query": 1})


def bound_node(loaded: LoadedDefinition, values: Mapping[str, Json]) -> JsonObject:
    """The query node to ask. Raises UsageError for variables that have no value, and for values without a variable."""
    node = dict(loaded.definition.query_definition or {"kind": "HogQLQuery"})
    if loaded.sql is None and node["kind"] != "HogQLQuery":
        return _insight(loaded, node, values)
    sql = loaded.sql if loaded.sql is not None else str(node["query"])
    stored = node.pop("variables", None)
    return node | {"query": _bound(loaded, sql, _defaults(loaded, stored), values)}


def _bound(loaded: LoadedDefinition, sql: str, defaults: Mapping[str, Json], values: Mapping[str, Json]) -> str:
    from endpoints_gitops.hogql.parser import ParseFailure, parse
    from endpoints_gitops.hogql.printer import UnboundVariable
    from endpoints_gitops.hogql.variables import bind, variables_used

    try:
        used = variables_used(parse(sql))
        _refuse_unknown(loaded, values, used)
        _refuse_unbound(loaded, [name for name in used if name not in {*defaults, *values}])
        return bind(sql, {**defaults, **values})
    except (UnboundVariable, ParseFailure) as error:
        raise UsageError(error.message, where=loaded.where("query"), code="run.unbound") from None


def _defaults(loaded: LoadedDefinition, stored: object) -> dict[str, Json]:
    """Those that the file declares go before those that a query node brings along."""
    entries = stored.values() if isinstance(stored, Mapping) else ()
    brought = {
        str(entry["code_name"]): entry["value"]
        for entry in entries
        if isinstance(entry, Mapping) and "code_name" in entry and "value" in entry
    }
    declared = {one.name: one.default for one in loaded.definition.variables or () if one.states("default")}
    return brought | declared


def _insight(loaded: LoadedDefinition, node: dict[str, Any], values: Mapping[str, Json]) -> JsonObject:
    """Dates go into the date range; what a breakdown is narrowed to is the endpoint's business, not the query's."""
    from endpoints_gitops.hogql.insights import breakdown_properties

    narrowed = [name for name in values if name in breakdown_properties(node)]
    if narrowed:
        message = f"{', '.join(narrowed)} narrows a breakdown, which only an endpoint on the server can do"
        raise UsageError(message, fix=f"push it and run it by name: {loaded.name}", code="run.breakdown")
    _refuse_unknown(loaded, values, _DATES)
    return node | {"dateRange": {**(node.get("dateRange") or {}), **values}} if values else node


def _refuse_unbound(loaded: LoadedDefinition, names: list[str]) -> None:
    if names:
        several = len(names) > 1
        message = f"variable{'s' if several else ''} {', '.join(names)} {'have' if several else 'has'} no default"
        fix = " ".join(f"--var {name}=…" for name in names)
        raise UsageError(message, where=loaded.where("variables"), fix=f"add {fix}", code="run.unbound")


def _refuse_unknown(loaded: LoadedDefinition, values: Mapping[str, Json], known: tuple[str, ...]) -> None:
    from endpoints_gitops.model.suggestions import did_you_mean

    for name in values:
        if name not in known:
            fix = f"its variables are {', '.join(known)}" if known else "it has no variables"
            message = f"the query has no variable {name!r}{did_you_mean(name, known)}"
            raise UsageError(message, where=loaded.path, fix=fix, code="run.unknown-variable")
