"""Run an endpoint: once, or page by page until all rows are there (docs/server.md#running, #paging)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from endpoints_gitops.api.answers import RunAnswer
from endpoints_gitops.api.client import Client
from endpoints_gitops.api.run_pages import (
    UNPAGED_ROWS,
    AnyPage,
    KeyPage,
    PageRequest,
    key_page_rows,
    may_be_cut,
    page_rows,
    unstable_pages,
    whole_rows,
)
from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.model.json import Json
from endpoints_gitops.operations.progress import Progress

if TYPE_CHECKING:
    from endpoints_gitops.hogql.paging import QueryPaging


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a run is asked for; None leaves it to the server."""

    values: Mapping[str, Json]
    version: int | None = None
    limit: int | None = None
    offset: int | None = None
    refresh: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """The answer. `columns` is None for an insight, whose `rows` are objects of its kind; `notes` are for a person."""

    columns: tuple[str, ...] | None
    rows: tuple[Any, ...]
    notes: tuple[str, ...] = ()


def run(client: Client, name: str, asked: Asked) -> RunResult:
    """One request."""
    answer = _ask(client, name, asked)
    return RunResult(columns=answer.columns, rows=tuple(whole_rows(answer)), notes=tuple(_left_out(answer, asked)))


def run_all(client: Client, name: str, asked: Asked, progress: Progress, key: str | None = None) -> RunResult:
    """Every row, `limit` at a time, by offset or by the key of the query. The version of the first page is asked for
    all others: edits cannot mix in. Raises UsageError for a key that the query cannot be paged by.
    """
    stored = _stored(client, name, asked.version)
    if key is None and stored is not None and stored.sql is None:
        return run(client, name, replace(asked, limit=None, offset=None))
    page = _first_page(stored, asked) if key is None else _first_page_by_key(stored, name, asked, key)
    rows: list[Any] = []
    columns, pages = None, 0
    progress.started("reading pages", 0)
    try:
        for answer, some in _pages(client, name, asked, page, draws_materialized=_is_from_table(stored)):
            rows += some
            columns, pages = answer.columns, pages + 1
            progress.advanced(name, f"{len(rows):,} rows")
    finally:
        progress.finished()
    notes = tuple(_of_pages(stored, pages)) if key is None else ()
    return RunResult(columns=columns, rows=tuple(rows), notes=notes)


def _first_page(stored: Endpoint | None, asked: Asked) -> PageRequest:
    paged = _paged(stored)
    size = page_rows(asked.limit, is_stable=paged.unstable is None)
    return PageRequest(limit=size, offset=asked.offset or 0, version=asked.version, ceiling=paged.ceiling)


def _first_page_by_key(stored: Endpoint | None, name: str, asked: Asked, key: str) -> KeyPage:
    from endpoints_gitops.hogql.paging import KeysetRefused, keyset

    if stored is None:
        raise _refused(name, key, "this key may run it, and not read its query")
    if stored.sql is None:
        raise _refused(name, key, f"a {stored.kind} has no pages")
    if stored.materialization.is_on:
        raise _refused(name, key, "it is materialised, and a table keeps no order")
    try:
        way = keyset(stored.sql, key)
    except KeysetRefused as refused:
        raise _refused(name, key, str(refused)) from None
    entries = (stored.query.get("variables") or {}).values()
    defaults = {entry.get("code_name"): entry.get("value") for entry in entries}
    if asked.values.get(way.variable, defaults.get(way.variable)) is None:
        raise _refused(name, key, f"nothing says where to begin: add --var {way.variable}=…, below every {key}")
    limit = key_page_rows(asked.limit, way.ceiling)
    return KeyPage(column=key, variable=way.variable, limit=limit, version=asked.version)


def _refused(name: str, key: str, reason: str) -> UsageError:
    fix = f"leave --key away to page by offset, or push the query with WHERE {key} > {{variables.after}} ORDER BY {key}"
    return UsageError(f"{name} cannot be paged by {key}: {reason}", fix=fix, code="usage.paging")


def _pages(
    client: Client, name: str, asked: Asked, first: AnyPage, *, draws_materialized: bool
) -> Iterator[tuple[RunAnswer, list[Any]]]:
    page: AnyPage | None = first
    while page is not None:
        values = {**asked.values, **page.values}
        about = replace(asked, values=values, limit=page.limit, offset=page.offset, version=page.version)
        answer = _ask(client, name, about, draws_materialized=draws_materialized)
        rows, page = page.read(answer)
        yield answer, rows


def _ask(client: Client, name: str, asked: Asked, *, draws_materialized: bool = False) -> RunAnswer:
    return client.run(
        name,
        variables=asked.values,
        version=asked.version,
        limit=asked.limit,
        offset=asked.offset or None,
        refresh=asked.refresh,
        draws_materialized=draws_materialized,
    )


def _left_out(answer: RunAnswer, asked: Asked) -> Iterator[str]:
    count = len(answer.results)
    if answer.has_more:
        after = (asked.offset or 0) + count
        yield f"there are more rows: --limit {count} --offset {after} goes on, --all gets every one"
    elif may_be_cut(answer, asked.limit):
        yield f"these are {UNPAGED_ROWS} rows, where the server stops if the query has no LIMIT: --all gets every one"


def _of_pages(stored: Endpoint | None, pages: int) -> Iterator[str]:
    if pages > 1 and (why := _paged(stored).unstable):
        yield unstable_pages(why)


def _is_from_table(stored: Endpoint | None) -> bool:
    return stored is not None and stored.is_materialized


def _stored(client: Client, name: str, version: int | None) -> Endpoint | None:
    """What is run, for its kind and its LIMIT. A key that may only run is not let see it."""
    from endpoints_gitops.api.errors import Forbidden
    from endpoints_gitops.errors import CredentialsError

    try:
        return client.get_endpoint(name) if version is None else client.get_version(name, version)
    except (Forbidden, CredentialsError):
        return None


def _paged(stored: Endpoint | None) -> QueryPaging:
    from endpoints_gitops.hogql.paging import paged

    return paged(stored.sql if stored is not None else None)
