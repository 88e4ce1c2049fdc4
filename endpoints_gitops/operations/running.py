"""Run an endpoint: once, or page by page until all rows are there (docs/server.md#running, #paging)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from endpoints_gitops.api.answers import RunAnswer
from endpoints_gitops.api.client import Client
from endpoints_gitops.api.run_pages import UNPAGED_ROWS, Page, may_be_cut, page_rows, unstable_pages, whole_rows
from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.model.json import Json
from endpoints_gitops.operations.progress import Progress

if TYPE_CHECKING:
    from endpoints_gitops.hogql.pages import Paged


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a run is asked for; None leaves it to the server."""

    values: Mapping[str, Json]
    version: int | None = None
    limit: int | None = None
    offset: int | None = None
    refresh: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The answer. `columns` is None for an insight, whose `rows` are objects of its kind; `notes` are for a person."""

    columns: tuple[str, ...] | None
    rows: tuple[Any, ...]
    notes: tuple[str, ...] = ()


def run(client: Client, name: str, asked: Asked) -> Rows:
    """One request."""
    answer = _ask(client, name, asked)
    return Rows(columns=answer.columns, rows=tuple(whole_rows(answer)), notes=tuple(_left_out(answer, asked)))


def run_all(client: Client, name: str, asked: Asked, progress: Progress) -> Rows:
    """Every row, `limit` at a time. The version of the first page is asked for all others: edits cannot mix in."""
    stored = _stored(client, name, asked.version)
    if stored is not None and stored.sql is None:
        return run(client, name, replace(asked, limit=None, offset=None))
    paged = _paged(stored)
    size = page_rows(asked.limit, is_stable=paged.unstable is None)
    page = Page(limit=size, offset=asked.offset or 0, version=asked.version, ceiling=paged.ceiling)
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
    return Rows(columns=columns, rows=tuple(rows), notes=tuple(_of_pages(stored, pages)))


def _pages(
    client: Client, name: str, asked: Asked, first: Page, *, draws_materialized: bool
) -> Iterator[tuple[RunAnswer, list[Any]]]:
    page: Page | None = first
    while page is not None:
        about = replace(asked, limit=page.limit, offset=page.offset, version=page.version)
        answer = _ask(client, name, about, draws_materialized=draws_materialized)
        yield answer, page.rows(answer)
        page = page.following(answer)


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


def _paged(stored: Endpoint | None) -> Paged:
    from endpoints_gitops.hogql.pages import paged

    return paged(stored.sql if stored is not None else None)
