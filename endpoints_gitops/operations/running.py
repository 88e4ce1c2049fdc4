"""Run an endpoint: once, or page by page until all rows are there (docs/server.md#running, #paging)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from endpoints_gitops.api.answers import RunAnswer
from endpoints_gitops.api.client import Client
from endpoints_gitops.api.errors import BadAnswer
from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.model.json import Json
from endpoints_gitops.operations.progress import Progress

PAGE_ROWS: Final = (
    10_000  # well below 50,000, where HogQL clips a query and the server no longer says that there is more
)
UNPAGED_ROWS: Final = 100


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
    return Rows(columns=answer.columns, rows=_checked(answer), notes=tuple(_left_out(answer, asked)))


def run_all(client: Client, name: str, asked: Asked, progress: Progress) -> Rows:
    """Every row, `limit` at a time. The version of the first page is asked for all others: edits cannot mix in."""
    stored = _stored(client, name, asked.version)
    if stored is not None and stored.sql is None:
        return run(client, name, replace(asked, limit=None, offset=None))
    start = asked.offset or 0
    rows: list[Any] = []
    pages = 0
    progress.started("reading pages", 0)
    try:
        for answer in _pages(client, name, asked, draws_materialized=stored is not None and stored.is_materialized):
            rows += _checked(answer)
            pages += 1
            progress.advanced(name, f"{len(rows):,} rows")
    finally:
        progress.finished()
    most = _ceiling(stored)
    kept = rows if most is None else rows[: max(most - start, 0)]  # the probe for more rows can come back as one
    return Rows(columns=answer.columns, rows=tuple(kept), notes=tuple(_of_pages(stored, pages)))


def _pages(client: Client, name: str, asked: Asked, *, draws_materialized: bool) -> Iterator[RunAnswer]:
    page = replace(asked, limit=asked.limit or PAGE_ROWS)
    while True:
        answer = _ask(client, name, page, draws_materialized=draws_materialized)
        yield answer
        if not answer.has_more:
            return
        if not answer.results:
            raise BadAnswer("the server says that there are more rows, and sent none", request=f"POST …/{name}/run")
        page = replace(page, version=page.version or answer.version, offset=(page.offset or 0) + len(answer.results))


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


def _checked(answer: RunAnswer) -> tuple[Any, ...]:
    """The rows. Raises BadAnswer where one has another length than the columns: values would move to other columns."""
    columns = answer.columns
    if columns is not None and any(not isinstance(row, list) or len(row) != len(columns) for row in answer.results):
        raise BadAnswer(f"a row does not have the {len(columns)} values that the columns say")
    return tuple(answer.results)


def _left_out(answer: RunAnswer, asked: Asked) -> Iterator[str]:
    count = len(answer.results)
    if answer.has_more:
        after = (asked.offset or 0) + count
        yield f"there are more rows: --limit {count} --offset {after} goes on, --all gets every one"
    elif asked.limit is None and answer.columns is not None and count == UNPAGED_ROWS:
        yield f"these are {count} rows, where the server stops if the query has no LIMIT: --all gets every one"


def _of_pages(stored: Endpoint | None, pages: int) -> Iterator[str]:
    tree = _tree(stored)
    if pages > 1 and tree is not None and not tree.get("order_by"):
        yield (
            "the query has no ORDER BY: the order may change from page to page, "
            "so a row can be missing or come twice; add one to be sure"
        )


def _stored(client: Client, name: str, version: int | None) -> Endpoint | None:
    """What is run, for its kind and its LIMIT. A key that may only run is not let see it."""
    from endpoints_gitops.api.errors import Forbidden
    from endpoints_gitops.errors import CredentialsError

    try:
        return client.get_endpoint(name) if version is None else client.get_version(name, version)
    except (Forbidden, CredentialsError):
        return None


def _ceiling(stored: Endpoint | None) -> int | None:
    """The constant LIMIT of the query itself, which no paging goes beyond; None where there is none."""
    tree = _tree(stored) or {}
    limit = None if tree.get("limit_with_ties") else tree.get("limit")
    value = limit.get("value") if isinstance(limit, Mapping) and limit.get("node") == "Constant" else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _tree(stored: Endpoint | None) -> Mapping[str, Any] | None:
    """The syntax tree of the query; None where it cannot be had: then nothing is said of it, and nothing is cut off."""
    from endpoints_gitops.hogql.parser import ParseFailure, parse

    if stored is None or stored.sql is None:
        return None
    try:
        return parse(stored.sql)
    except ParseFailure:
        return None
