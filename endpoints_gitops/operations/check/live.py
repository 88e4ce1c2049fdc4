"""Ask the server whether it has the tables and fields of queries. Without this, a push is the first to find out.

Each query is sent with `LIMIT 0` around it, so that it is resolved and reads next to nothing (scope `query:read`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.api.client import Client
from endpoints_gitops.api.errors import (
    OffsetRefused,
    QueryMemory,
    QueryTimeout,
    QueryTooLarge,
    QueryTooSlow,
    Refused,
)
from endpoints_gitops.errors import CouldNotFindOut, EndpointsError, InvalidInput, Location
from endpoints_gitops.model.definition import QUERY_KEYS, LoadedDefinition
from endpoints_gitops.model.finding import Finding, Scope, Severity
from endpoints_gitops.model.json import Json
from endpoints_gitops.model.sunset import Announcement, DeprecationPolicy, today_at
from endpoints_gitops.operations.check.definition import DefinitionFile
from endpoints_gitops.operations.concurrency import concurrent_map
from endpoints_gitops.workspace.definitions import read_file

_UNDECIDED: Final = (OffsetRefused, QueryMemory, QueryTimeout, QueryTooLarge, QueryTooSlow)
_QUOTED: Final = re.compile(r"`([^`]+)`|'([^']+)'|\"([^\"]+)\"|: ([\w.$]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveAnswers:
    """What the server answered. `unasked` are insights, which have no text; `failures` prevented a query."""

    asked: int
    findings: tuple[Finding, ...]
    unasked: tuple[str, ...]
    failures: tuple[EndpointsError, ...]


def resolve(client: Client, files: Sequence[DefinitionFile]) -> LiveAnswers:
    """Ask the server about every file that is a definition; `check` has the findings for the others."""
    definitions = [loaded for file in files if (loaded := _loaded(file)) is not None]
    queries = [(loaded, sql) for loaded in definitions if (sql := _sql(loaded)) is not None]
    unasked = tuple(loaded.name for loaded in definitions if _sql(loaded) is None)
    try:
        answers = concurrent_map(partial(_refusal, client), queries)
    except EndpointsError as error:  # every other query would meet it too
        return LiveAnswers(asked=0, findings=(), unasked=unasked, failures=(error,))
    return LiveAnswers(
        asked=sum(not isinstance(answer, EndpointsError) for answer in answers),
        findings=tuple(answer for answer in answers if isinstance(answer, Finding)),
        unasked=unasked,
        failures=tuple(answer for answer in answers if isinstance(answer, EndpointsError)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What the server knows about the calls of endpoints whose sunset has passed; `names` are those it was asked for.

    `failure` prevented the request.
    """

    names: frozenset[str] = frozenset()
    findings: tuple[Finding, ...] = ()
    failure: EndpointsError | None = None


def read_traffic(
    client: Client, announcements: Sequence[Announcement], now: datetime, policy: DeprecationPolicy
) -> Traffic:
    """Ask for the last calls of all endpoints whose sunset has passed: one list, and no request if there are none."""
    from endpoints_gitops.contract.announcements import traffic_finding

    over = {item.name: item for item in announcements if item.is_on and item.notice.is_over(today_at(now))}
    if not over:
        return Traffic()
    try:
        endpoints = [endpoint for endpoint in client.list_endpoints() if endpoint.name in over]
    except EndpointsError as error:
        return Traffic(failure=error)
    findings = (traffic_finding(over[endpoint.name], endpoint, now, policy) for endpoint in endpoints)
    return Traffic(names=frozenset(over), findings=tuple(finding for finding in findings if finding is not None))


def _loaded(file: DefinitionFile) -> LoadedDefinition | None:
    try:
        return read_file(file.path, file.folder)
    except InvalidInput:
        return None


def _sql(loaded: LoadedDefinition) -> str | None:
    node = loaded.definition.query_definition
    if node is None:
        return loaded.sql
    return str(node["query"]) if node.get("kind") == "HogQLQuery" else None


def _refusal(client: Client, query: tuple[LoadedDefinition, str]) -> Finding | CouldNotFindOut | None:
    """The finding for a refusal, an error that concerns this query alone, or None where the server has everything."""
    loaded, sql = query
    try:
        bound = _bound(loaded, sql)
        sent = f"SELECT * FROM (\n{bound}\n) LIMIT 0"  # noqa: S608 - the query of the user's own file
        client.query({"kind": "HogQLQuery", "query": sent})
    except CouldNotFindOut as error:
        return error
    except _UNDECIDED as error:
        return _undecided(loaded, error.message)
    except Refused as error:
        return _finding(loaded, sql, error.detail or error.message)
    return None


def _undecided(loaded: LoadedDefinition, reason: str) -> CouldNotFindOut:
    message = f"cannot tell whether the server has the tables and fields of {loaded.name}: {reason}"
    fix = Advice(Command("run", "--file", loaded.path))
    return CouldNotFindOut(message, where=loaded.where(_key(loaded)), fix=fix, code="check.undecided")


def _bound(loaded: LoadedDefinition, sql: str) -> str:
    """The query with a value for each variable: its default, else one of its type."""
    from endpoints_gitops.hogql.parser import ParseFailure, parse
    from endpoints_gitops.hogql.printer import UnboundVariable
    from endpoints_gitops.hogql.variables import bind, variables_used

    try:
        return bind(sql, {name: _value(loaded, name) for name in variables_used(parse(sql))})
    except (UnboundVariable, ParseFailure) as error:
        raise _undecided(loaded, error.message) from None


def _value(loaded: LoadedDefinition, name: str) -> Json:
    declared = next((variable for variable in loaded.definition.variables or () if variable.name == name), None)
    if declared is None:
        return ""
    samples: dict[str, Json] = {"Number": 0, "Boolean": False, "List": [""], "Date": "2026-01-01"}
    return declared.default if declared.default is not None else samples.get(declared.type, "")


def _finding(loaded: LoadedDefinition, sql: str, refusal: str) -> Finding:
    return Finding(
        code="check.refused",
        slug="query-refused",
        severity=Severity.ERROR,
        scope=Scope.NEITHER,
        endpoint=loaded.name,
        locus="query",
        where=_where(loaded, sql, refusal),
        after=refusal,
        message=f"the server refuses the query of {loaded.name}: {refusal}",
        fix="name a table or field that this project has; `run --file` shows what a query answers",
    )


def _key(loaded: LoadedDefinition) -> str:
    return next(key for key in QUERY_KEYS if getattr(loaded.definition, key) is not None)


def _where(loaded: LoadedDefinition, sql: str, refusal: str) -> Location:
    """The place of the first name that the server complains about, else of the query."""
    names = [next(filter(None, groups)) for groups in _QUOTED.findall(refusal)]
    matches = (re.search(rf"\b{re.escape(name)}\b", sql) for name in names)
    offset = next((match.start() for match in matches if match), None)
    if offset is None or loaded.position is None:
        return loaded.where(_key(loaded))
    return loaded.position(offset)
