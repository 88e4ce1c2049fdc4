"""The engine: HogQL in, rows and columns out, on an embedded ClickHouse with the tables that it was opened with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from endpoints_gitops.contract.clickhouse import type_word
from endpoints_gitops.hogql.parser import ParseFailure, Tree, parse
from endpoints_gitops.hogql.tables import Table
from endpoints_gitops.hogql.variables import variables_used
from endpoints_gitops.local.engine.answers import converted
from endpoints_gitops.local.engine.binding import bind
from endpoints_gitops.local.engine.refusals import QueryRefused, from_parser
from endpoints_gitops.local.engine.select import Printed
from endpoints_gitops.local.engine.session import Raw, Session
from endpoints_gitops.local.engine.storage import stored_tables
from endpoints_gitops.local.engine.translate import Page, paged, translate


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a query's answer, with the API's word for its type."""

    name: str
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Rows in the order of `columns`. `types` are ClickHouse's, with their columns; `clickhouse` is what ran."""

    columns: tuple[str, ...]
    types: tuple[tuple[str, str], ...]
    results: Sequence[Sequence[Any]]
    has_more: bool
    clickhouse: str


class Engine:
    """Several threads may ask at once; they are answered one after the other."""

    def __init__(self, session: Session, tables: Mapping[str, Table], now: datetime | None) -> None:
        self._session = session
        self._tables = tables
        self._now = now

    @classmethod
    def open(cls, *, sample: bool = False, data: Sequence[Path] = (), now: datetime | None = None) -> Self:
        """An engine with the sample product, with tables from files, or with empty tables.

        `now` stops the clock of queries. Raises InvalidInput with every mistake in the files.
        """
        session = Session()
        try:
            return cls(session, stored_tables(session, sample=sample, files=data, now=now), now)
        except BaseException:
            session.close()
            raise

    def describe(self, query_node: Mapping[str, Any]) -> Sequence[Column]:
        """The columns of a HogQL node, found with '' for each variable (docs/server.md#answers).

        Raises QueryRefused for what cannot be translated. What only ClickHouse refuses has no columns, as on the
        server: '' may stand where only a number would do.
        """
        printed = self._described(str(query_node["query"]))
        try:
            types = self._session.types_of(printed.text)
        except QueryRefused:
            return ()
        return [
            Column(name=item.name, type=type_word(written)) for item, written in zip(printed.items, types, strict=True)
        ]

    def types(self, sql: str) -> Sequence[tuple[str, str]]:
        """The names of a query's columns and ClickHouse's types, without running it. Raises QueryRefused."""
        printed = self._described(sql)
        types = self._session.types_of(printed.text)
        return [(item.name, written) for item, written in zip(printed.items, types, strict=True)]

    def _described(self, sql: str) -> Printed:
        tree = _parsed(sql)
        return translate(bind(tree, dict.fromkeys(variables_used(tree), "")), self._tables, self._now)

    def run(
        self, sql: str, values: Mapping[str, Any], *, limit: int | None = None, offset: int | None = None
    ) -> Answer:
        """The rows of a query. Without `limit` nothing is paged and `has_more` is false (docs/server.md#paging)."""
        tree, page = bind(_parsed(sql), values), None
        if limit is not None:
            tree, page = paged(tree, limit, offset or 0)
        printed = translate(tree, self._tables, self._now)
        raw = self._session.ask(printed.text)
        names = tuple(item.name for item in printed.items)
        return Answer(
            columns=names,
            types=tuple(zip(names, raw.types, strict=True)),
            results=_shown(raw, page),
            has_more=page is not None and page.has_more(len(raw.rows)),
            clickhouse=printed.text,
        )

    def close(self) -> None:
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        self.close()


def _parsed(sql: str) -> Tree:
    try:
        return parse(sql)
    except ParseFailure as failure:
        raise from_parser(failure) from None


def _shown(raw: Raw, page: Page | None) -> Sequence[Sequence[Any]]:
    rows = raw.rows if page is None else raw.rows[: page.shown]
    return converted(rows, raw.types)
