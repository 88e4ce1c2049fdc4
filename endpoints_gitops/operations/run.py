"""Run an endpoint of the server, or the query of a definition that may never have been pushed.

The values of a command line come first, then runs by name, with one request or page by page (docs/server.md#running),
then runs of files.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from endpoints_gitops.api.answers import RunAnswer
from endpoints_gitops.api.client import Client
from endpoints_gitops.api.errors import BadAnswer
from endpoints_gitops.api.run_pages import (
    UNPAGED_ROWS,
    AnyPage,
    KeyPage,
    PageRequest,
    key_page_rows,
    may_be_truncated,
    page_rows,
    unstable_pages,
    whole_rows,
)
from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.definition import Definition, LoadedDefinition, VariableType
from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.model.json import Json, JsonObject
from endpoints_gitops.model.pin import Pin
from endpoints_gitops.operations.project import Progress
from endpoints_gitops.workspace.files import shown

if TYPE_CHECKING:
    pass


_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_TRUTH: Final = {"true": True, "false": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """One `--var`. `text` is what follows `=`; None for JSON, which is `value`."""

    name: str
    text: str | None = None
    value: Json = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableShape:
    """The type of a variable, and whether it takes a list (None: unknown)."""

    type: VariableType
    takes_list: bool | None = None


def parse_assignments(words: Sequence[str]) -> tuple[Assignment, ...]:
    """The assignments of a command line. Raises UsageError for a word that is not one, and for invalid JSON."""
    return tuple(map(_parse_assignment, words))


def typed_values(
    assignments: Sequence[Assignment], inputs: Mapping[str, VariableShape]
) -> tuple[dict[str, Json], tuple[str, ...]]:
    """The values by name, and a note for each text that its variable's type cannot read and that therefore stays text.

    Several assignments of one name are a list. Raises UsageError where a name that takes no list is assigned twice.
    """
    typed: dict[str, Json] = {}
    notes: list[str] = []
    for name in dict.fromkeys(assignment.name for assignment in assignments):
        same = [assignment for assignment in assignments if assignment.name == name]
        known = inputs.get(name)
        if len(same) > 1:
            typed[name] = _several(name, same, known)
        elif same[0].text is None:
            typed[name] = same[0].value
        else:
            typed[name] = _typed(same[0].text, known)
            if _is_odd(typed[name], known):
                notes.append(
                    f"variable {name} is a {known.type if known else ''}, and {same[0].text!r} is not: sent as text"
                )
    return typed, tuple(notes)


def inputs_of_definition(loaded: LoadedDefinition) -> dict[str, VariableShape]:
    """The variables that a definition declares."""
    return {
        variable.name: VariableShape(
            type=variable.type,
            takes_list=True if variable.multi or isinstance(variable.default, list | tuple) else variable.multi,
        )
        for variable in loaded.definition.variables or ()
    }


def inputs_of_pin(pin: Pin) -> dict[str, VariableShape]:
    """The variables that a pinned version takes. Those of an unknown type are left out."""
    words = {word.value: word for word in VariableType}
    return {
        variable.name: VariableShape(
            type=words[variable.type], takes_list=isinstance(variable.default, list) if variable.has_default else None
        )
        for variable in pin.variables
        if variable.type in words
    }


def inputs_of_document(document: JsonObject) -> dict[str, VariableShape]:
    """The variables in the OpenAPI document of a version. Parts of an unexpected shape are left out."""
    part: Any = document
    for key in ("components", "schemas", "Variables", "properties"):
        part = part.get(key) if isinstance(part, Mapping) else None
    schemas = part.items() if isinstance(part, Mapping) else ()
    return {name: _input(schema) for name, schema in schemas if isinstance(schema, Mapping)}


def _input(schema: Mapping[str, Any]) -> VariableShape:
    words = {"number": VariableType.NUMBER, "integer": VariableType.NUMBER, "boolean": VariableType.BOOLEAN}
    if schema.get("type") == "array":
        example = schema.get("example")
        return VariableShape(type=VariableType.LIST, takes_list=None if example is None else isinstance(example, list))
    is_date = schema.get("format") == "date"
    return VariableShape(type=VariableType.DATE if is_date else words.get(str(schema.get("type")), VariableType.STRING))


def _parse_assignment(word: str) -> Assignment:
    name, equals, rest = word.partition("=")
    if not equals or name in {"", ":"}:
        fix = "write --var NAME=VALUE, or --var NAME:=JSON"
        raise UsageError(f"--var {word!r} is not an assignment", fix=fix, code="usage.variable")
    if not name.endswith(":"):
        return Assignment(name=name, text=rest)
    try:
        return Assignment(name=name[:-1], value=json.loads(rest, parse_constant=_refuse_constant))
    except (ValueError, RecursionError) as error:
        fix = f"quote it for your shell, as in --var '{name}=\"text\"'; --var {name[:-1]}=VALUE takes plain text"
        message = f"the value of --var {name}= is not valid JSON: {error}"
        raise UsageError(message, fix=fix, code="usage.variable") from None


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a JSON number")


def _several(name: str, same: Sequence[Assignment], known: VariableShape | None) -> Json:
    if known is None or known.type is not VariableType.LIST:
        raise UsageError(f"--var {name} is given {len(same)} times, and does not take a list", code="usage.variable")
    return [assignment.value if assignment.text is None else assignment.text for assignment in same]


def _typed(text: str, known: VariableShape | None) -> Json:
    """The value of a text for a variable of this type; the text itself where the type cannot read it."""
    reader = _READERS.get(known.type) if known else None
    return reader(text, known) if reader and known else text


def _number(text: str, _: VariableShape) -> Json:
    if not _NUMBER.fullmatch(text.strip()):
        return text
    try:
        return int(text)
    except ValueError:
        number = float(text)
        return number if math.isfinite(number) else text


def _boolean(text: str, _: VariableShape) -> Json:
    return _TRUTH.get(text.strip().lower(), text)


def _list(text: str, known: VariableShape) -> Json:
    """A list from JSON, or from texts between commas. A single text stays one where the variable takes no list."""
    if text.lstrip().startswith("["):
        try:
            return json.loads(text, parse_constant=_refuse_constant)  # type: ignore[no-any-return]  # JSON is Json
        except (ValueError, RecursionError):
            return text
    if known.takes_list is False:
        return text
    return [part.strip() for part in text.split(",")]


def _is_odd(value: Json, known: VariableShape | None) -> bool:
    return isinstance(value, str) and known is not None and known.type in {VariableType.NUMBER, VariableType.BOOLEAN}


_READERS: Final[Mapping[VariableType, Callable[[str, VariableShape], Json]]] = {
    VariableType.NUMBER: _number,
    VariableType.BOOLEAN: _boolean,
    VariableType.LIST: _list,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """The options of a run; None leaves one to the server."""

    values: Mapping[str, Json]
    version: int | None = None
    limit: int | None = None
    offset: int | None = None
    refresh: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """The rows of an answer. `columns` is None for an insight, whose `rows` are objects; `notes` are for the reader."""

    columns: tuple[str, ...] | None
    rows: tuple[Any, ...]
    notes: tuple[str, ...] = ()


def run(client: Client, name: str, options: RunOptions) -> RunResult:
    """Run an endpoint with one request. Raises ApiError."""
    answer = _request(client, name, options)
    return RunResult(columns=answer.columns, rows=tuple(whole_rows(answer)), notes=tuple(_notes(answer, options)))


def run_all(client: Client, name: str, options: RunOptions, progress: Progress, key: str | None = None) -> RunResult:
    """Read every row of an endpoint, `limit` at a time, by offset or by a key of the query (docs/server.md#paging).

    All pages are of the version of the first one, so edits cannot mix in. Raises UsageError for a key that the query
    cannot be paged by, and ApiError.
    """
    from endpoints_gitops.hogql.paging import paged

    stored = _stored(client, name, options.version)
    if key is None and stored is not None and stored.sql is None:
        return run(client, name, replace(options, limit=None, offset=None))
    paging = paged(stored.sql if stored is not None else None)
    first: AnyPage
    if key is None:
        size = page_rows(options.limit, is_stable=paging.unstable is None)
        first = PageRequest(limit=size, offset=options.offset or 0, version=options.version, ceiling=paging.ceiling)
    else:
        first = _first_page_by_key(stored, name, options, key)
    rows: list[Any] = []
    columns, pages = None, 0
    progress.started("reading pages", 0)
    try:
        is_materialized = stored is not None and stored.is_materialized
        for answer, page in _read_pages(client, name, options, first, draws_materialized=is_materialized):
            rows += page
            columns, pages = answer.columns, pages + 1
            progress.advanced(name, f"{len(rows):,} rows")
    finally:
        progress.finished()
    notes = (unstable_pages(paging.unstable),) if key is None and pages > 1 and paging.unstable else ()
    return RunResult(columns=columns, rows=tuple(rows), notes=notes)


def _first_page_by_key(stored: Endpoint | None, name: str, options: RunOptions, key: str) -> KeyPage:
    from endpoints_gitops.hogql.paging import KeysetRefused, keyset

    if stored is None:
        raise _not_paged_by(name, key, "this key can run it, but cannot read its query")
    if stored.sql is None:
        raise _not_paged_by(name, key, f"a {stored.kind} has no pages")
    if stored.materialization.is_on:
        raise _not_paged_by(name, key, "it is materialized, and a table has no order")
    try:
        way = keyset(stored.sql, key)
    except KeysetRefused as refused:
        raise _not_paged_by(name, key, str(refused)) from None
    entries = (stored.query.get("variables") or {}).values()
    defaults = {entry.get("code_name"): entry.get("value") for entry in entries}
    if options.values.get(way.variable, defaults.get(way.variable)) is None:
        reason = f"the start is unknown: add --var {way.variable}=…, a value less than every {key}"
        raise _not_paged_by(name, key, reason)
    limit = key_page_rows(options.limit, way.ceiling)
    return KeyPage(column=key, variable=way.variable, limit=limit, version=options.version)


def _not_paged_by(name: str, key: str, reason: str) -> UsageError:
    fix = f"omit --key to page by offset, or push the query with WHERE {key} > {{variables.after}} ORDER BY {key}"
    return UsageError(f"{name} cannot be paged by {key}: {reason}", fix=fix, code="usage.paging")


def _read_pages(
    client: Client, name: str, options: RunOptions, first: AnyPage, *, draws_materialized: bool
) -> Iterator[tuple[RunAnswer, list[Any]]]:
    page: AnyPage | None = first
    while page is not None:
        values = {**options.values, **page.values}
        of_page = replace(options, values=values, limit=page.limit, offset=page.offset, version=page.version)
        answer = _request(client, name, of_page, draws_materialized=draws_materialized)
        rows, page = page.read(answer)
        yield answer, rows


def _request(client: Client, name: str, options: RunOptions, *, draws_materialized: bool = False) -> RunAnswer:
    return client.run(
        name,
        variables=options.values,
        version=options.version,
        limit=options.limit,
        offset=options.offset or None,
        refresh=options.refresh,
        draws_materialized=draws_materialized,
    )


def _notes(answer: RunAnswer, options: RunOptions) -> Iterator[str]:
    count = len(answer.results)
    if answer.has_more:
        after = (options.offset or 0) + count
        yield f"there are more rows: continue with --limit {count} --offset {after}, or get all with --all"
    elif may_be_truncated(answer, options.limit):
        yield f"the server stops after {UNPAGED_ROWS} rows of a query without LIMIT: get all with --all"


def _stored(client: Client, name: str, version: int | None) -> Endpoint | None:
    """The endpoint or version to run, for its kind and its LIMIT; None for a key that may run it and not read it."""
    from endpoints_gitops.api.errors import Forbidden
    from endpoints_gitops.errors import CredentialsError

    try:
        return client.get_endpoint(name) if version is None else client.get_version(name, version)
    except (Forbidden, CredentialsError):
        return None


_DATES: Final = ("date_from", "date_to")


def run_definition(
    client: Client, loaded: LoadedDefinition, values: Mapping[str, Json], limit: int | None
) -> RunResult:
    """Run the query of a file on the server (scope `query:read`), for its first `limit` rows. Raises ApiError."""
    answer = client.query(bound_node(loaded, values))
    results, columns = answer.get("results"), answer.get("columns")
    if not isinstance(results, list | dict):
        raise BadAnswer("there are no results in the answer to the query")
    rows: tuple[Any, ...] = tuple(results) if isinstance(results, list) else (results,)
    names = tuple(map(str, columns)) if isinstance(columns, list) else None
    if names is not None and any(not isinstance(row, list) or len(row) != len(names) for row in rows):
        raise BadAnswer(f"a row does not have {len(names)} values, one per column")
    more = answer.get("hasMore") is True and (limit is None or limit > len(rows))
    notes = (f"the server stopped after {len(rows)} rows; a LIMIT in the query sets another number",) if more else ()
    return RunResult(columns=names, rows=rows[:limit], notes=notes)


def sql_file(path: Path) -> LoadedDefinition:
    """A definition with only the SQL of a file. Raises InvalidInput, and UsageError for a file without a query."""
    from endpoints_gitops.workspace.definitions import read_sql

    return sql_text(shown(path), read_sql(path))


def sql_text(label: str, content: bytes) -> LoadedDefinition:
    """The same for bytes that `label` names. The variables are those that the query uses, without types."""
    from endpoints_gitops.codecs.text import BOM, decode

    sql = decode(label, content, what="a query").removeprefix(BOM).replace("\r\n", "\n").strip()
    if not sql:
        raise UsageError("there is no query to run", where=label, code="run.no-query")
    return LoadedDefinition(path=label, definition=Definition(name="query", query=sql), sql=sql, lines={"query": 1})


def bound_node(loaded: LoadedDefinition, values: Mapping[str, Json]) -> JsonObject:
    """The query node to send. Raises UsageError for variables without a value, and for values without a variable."""
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
    """The defaults of variables; those that the file declares win over those of its query node."""
    entries = stored.values() if isinstance(stored, Mapping) else ()
    brought = {
        str(entry["code_name"]): entry["value"]
        for entry in entries
        if isinstance(entry, Mapping) and "code_name" in entry and "value" in entry
    }
    declared = {
        variable.name: variable.default for variable in loaded.definition.variables or () if variable.states("default")
    }
    return brought | declared


def _insight(loaded: LoadedDefinition, node: dict[str, Any], values: Mapping[str, Json]) -> JsonObject:
    """The node of an insight with its dates in the date range. Only an endpoint on the server narrows breakdowns."""
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
