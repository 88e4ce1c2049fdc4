"""The engine: run HogQL on an embedded ClickHouse with the tables that it was opened with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from endpoints_gitops.contract.clickhouse import type_word
from endpoints_gitops.errors import InvalidInput, Problem
from endpoints_gitops.hogql.paging import constant_limit
from endpoints_gitops.hogql.parser import ParseFailure, Tree, parse
from endpoints_gitops.hogql.printer import readable
from endpoints_gitops.hogql.syntax_tree import fold, nodes
from endpoints_gitops.hogql.tables import Table
from endpoints_gitops.hogql.variables import variables_used
from endpoints_gitops.local.engine import calls, expressions, fields, select
from endpoints_gitops.local.engine.clickhouse_url import ClickHouseUrl
from endpoints_gitops.local.engine.hog_expressions import value_of
from endpoints_gitops.local.engine.interface import MAXIMUM_LIMIT, RowsOfSystemTable, no_rows
from endpoints_gitops.local.engine.project_checks import absent_persons, refuse_wrong_expressions
from endpoints_gitops.local.engine.project_data import UNKNOWN_PROJECT, ProjectData
from endpoints_gitops.local.engine.refusals import QueryRefused, from_parser
from endpoints_gitops.local.engine.scope import QueryScope, TranslationContext
from endpoints_gitops.local.engine.select import Printed, top_query
from endpoints_gitops.local.engine.session import ClickHouseSession, RawAnswer, converted
from endpoints_gitops.local.engine.storage import stored_tables
from endpoints_gitops.local.engine.system_rows import with_rows
from endpoints_gitops.model.suggestions import close_matches


def bind(tree: Tree, values: Mapping[str, Any], *, is_blank: bool = False) -> Tree:
    """A copy of the tree with each `{variables.NAME}` replaced by a constant, and each expression by its value. Raises
    QueryRefused for other placeholders. With `is_blank`, the values are only there to describe the query: an expression
    that they do not suit is blank too.
    """

    def combine(node: dict[str, Any]) -> Any:  # noqa: ANN401 - nodes of every kind, and positions
        return _bound(node, values, is_blank) if node.get("node") == "Placeholder" else node

    bound: Tree = fold(tree, combine)
    return bound


def constant_node(value: Any) -> Tree:  # noqa: ANN401 - any JSON value may be sent
    """The node of a JSON value: a list becomes an array, a scalar a constant. Objects are refused."""
    if isinstance(value, Mapping):
        raise QueryRefused("A variable's value is text, a number, a truth value or a list of those, not an object")
    if isinstance(value, Sequence) and not isinstance(value, str):
        return {"node": "Array", "exprs": [constant_node(item) for item in value]}
    return {"node": "Constant", "value": value}


def _bound(node: Tree, values: Mapping[str, Any], is_blank: bool) -> Tree:
    name = _variable(node["expr"])
    if name is None and node["expr"]["node"] != "Field":
        return constant_node(_computed(node["expr"], values, is_blank))
    if name is None:
        raise QueryRefused(f"Unresolved placeholder: {{{readable(node['expr'])}}}")
    if name not in values:
        near = close_matches(name, values)
        hint = f" Did you mean: {', '.join(near)}?" if near else ""
        raise QueryRefused(f"Variable {name} is missing from query{hint}")
    return constant_node(values[name])


def _computed(expression: Tree, values: Mapping[str, Any], is_blank: bool) -> Any:  # noqa: ANN401 - a JSON value
    try:
        return value_of(expression, values)
    except QueryRefused as refusal:
        if is_blank and refusal.code == "invalid_input":
            return ""
        raise


def _variable(expr: Tree) -> str | None:
    """The variable of `variables.x`, `variables.x.y` or `variables['x']`."""
    chain = expr.get("chain") or []
    if expr["node"] == "Field" and len(chain) > 1 and chain[0] == "variables":
        return str(chain[1])
    if expr["node"] == "ArrayAccess" and expr["array"].get("chain") == ["variables"]:
        key = expr["property"].get("value")
        return str(key) if key else None
    return None


TRANSLATORS = (calls, expressions, fields, select)
"""Imported because they register the translators of all kinds of nodes."""

UNION_PAGED = (
    "Pagination is not supported for UNION queries. Wrap the UNION in a subquery: "
    "SELECT * FROM (... UNION ALL ...) LIMIT n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnginePage:
    """The rows that are fetched and returned; `ceiling` is the LIMIT of the query."""

    limit: int
    offset: int
    ceiling: int | None

    @property
    def shown(self) -> int:
        return self.limit if self.ceiling is None else max(0, min(self.limit, self.ceiling - self.offset))

    def has_more(self, fetched: int) -> bool:
        """Whether there are rows after this page, by the number of fetched rows."""
        below = self.ceiling is None or self.offset + self.shown < self.ceiling
        return below and fetched > self.shown


def translate(
    tree: Tree,
    tables: Mapping[str, Table],
    now: datetime | None,
    project: ProjectData = UNKNOWN_PROJECT,
    *,
    maximum: int = MAXIMUM_LIMIT,
) -> Printed:
    """The SQL of a tree without placeholders, with `maximum` rows at most. Raises QueryRefused."""
    context = TranslationContext(
        tables=tables, now=now, taken=frozenset(_taken(tree)), project=project, maximum=maximum
    )
    try:
        return top_query(tree, QueryScope(context=context))
    except RecursionError:
        raise QueryRefused("The query is nested too deeply") from None


def paged(tree: Tree, limit: int, offset: int) -> tuple[Tree, EnginePage]:
    """The query that fetches one row more than the page has. The LIMIT of the query limits all pages together."""
    if tree["node"] == "SelectSetQuery":
        raise QueryRefused(UNION_PAGED, "invalid_input")
    ceiling = constant_limit(tree)
    page = EnginePage(limit=limit, offset=offset, ceiling=ceiling)
    changed: dict[str, Any] = {"limit": _number(min(page.shown + 1, MAXIMUM_LIMIT))}
    if offset:
        changed["offset"] = _number(offset)
    return {**tree, **changed}, page


def _number(value: int) -> Tree:
    return {"node": "Constant", "value": value}


def _taken(tree: Tree) -> set[str]:
    """Every word that can become an alias in the printed SQL, where it would shadow a table of that name."""
    taken: set[str] = set()
    for node in nodes(tree):
        kind = node["node"]
        if kind == "Alias":
            taken.add(str(node["alias"]))
        elif kind == "Lambda":
            taken.update(map(str, node["args"]))
        elif kind == "Field":
            taken.add(str(node["chain"][-1]))
        elif kind == "CTE":
            taken.update(map(str, node.get("columns") or ()))
    return taken


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineColumn:
    """A column of an answer, with the API's name of its type."""

    name: str
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineAnswer:
    """The result of a query. `types` are pairs of column and ClickHouse type; `clickhouse` is the executed SQL, without
    the rows of system tables."""

    columns: tuple[str, ...]
    types: tuple[tuple[str, str], ...]
    results: Sequence[Sequence[Any]]
    has_more: bool
    clickhouse: str


class Engine:
    """An engine. Threads can use it concurrently, and their queries run at the same time."""

    def __init__(
        self,
        session: ClickHouseSession,
        tables: Mapping[str, Table],
        now: datetime | None,
        project: ProjectData = UNKNOWN_PROJECT,
    ) -> None:
        self._session = session
        self._tables = tables
        self._now = now
        self.project = project

    @classmethod
    def open(
        cls,
        *,
        sample: bool = False,
        data: Sequence[Path] = (),
        now: datetime | None = None,
        project: ProjectData = UNKNOWN_PROJECT,
        clickhouse: ClickHouseUrl | None = None,
        notice: Callable[[str], object] | None = None,
    ) -> Self:
        """An engine with the sample product, with tables from files, or with empty tables.

        `now` stops the clock of queries, `project` has the settings of the project. Queries run in this process, or
        else on the server `clickhouse`. `notice` is called with what is no mistake but may be meant otherwise. Raises
        InvalidInput with every mistake in the files, and CouldNotFindOut, CredentialsError or UsageError for a server
        that cannot be used.
        """
        session = _session(clickhouse)
        try:
            tables = stored_tables(session, sample=sample, files=data, now=now, zone=project.timezone)
            engine = cls(session, tables, now, project)
            refuse_wrong_expressions(project, engine.types)
            engine._fill_cohorts()
            session.restrict()
            if notice is not None:
                engine._look_for_persons(notice)
        except BaseException:
            session.close()
            raise
        return engine

    def _fill_cohorts(self) -> None:
        """Store the members of the cohorts; those of a later one can depend on those before it. Raises InvalidInput
        for the first cohort whose members cannot be selected."""
        for cohort in self.project.cohorts:
            try:
                printed = translate(_parsed(cohort.members), self._tables, self._now, self.project)
                rows = f"SELECT DISTINCT id AS person_id, {cohort.id} AS cohort_id FROM ({printed.text})"  # noqa: S608
                self._session.execute(f"INSERT INTO {cohort.table} (person_id, cohort_id) {rows}")
            except QueryRefused as refused:
                place = cohort.where
                message = f"the members of cohort {cohort.id} cannot be selected: {refused.brief}"
                problem = Problem(
                    path=place.path, line=place.line, column=place.column, message=message, code="project.invalid"
                )
                raise InvalidInput((problem,)) from None

    def _look_for_persons(self, notice: Callable[[str], object]) -> None:
        """Say which persons of static cohorts the tables do not have."""
        for cohort in self.project.cohorts:
            said = absent_persons(cohort, lambda sql: self.run(sql, {}).results[0][0])
            if said is not None:
                notice(said)

    def describe(self, query_node: Mapping[str, Any]) -> Sequence[EngineColumn]:
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
            EngineColumn(name=item.name, type=type_word(written))
            for item, written in zip(printed.items, types, strict=True)
        ]

    def types(self, sql: str) -> Sequence[tuple[str, str]]:
        """The columns of a query with their ClickHouse types, without running it. Raises QueryRefused."""
        printed = self._described(sql)
        types = self._session.types_of(printed.text)
        return [(item.name, written) for item, written in zip(printed.items, types, strict=True)]

    def _described(self, sql: str) -> Printed:
        tree = _parsed(sql)
        blank = bind(tree, dict.fromkeys(variables_used(tree), ""), is_blank=True)
        return translate(blank, self._tables, self._now, self.project)

    def run(
        self,
        sql: str,
        values: Mapping[str, Any],
        *,
        limit: int | None = None,
        offset: int | None = None,
        maximum: int = MAXIMUM_LIMIT,
        rows_of: RowsOfSystemTable = no_rows,
    ) -> EngineAnswer:
        """Run a query. Without `limit` the answer is not paged and `has_more` is false (docs/server.md#paging).

        `maximum` bounds the LIMIT of the query. `rows_of` gives the rows of the system tables that the query reads.
        """
        tree, page = bind(_parsed(sql), values), None
        if limit is not None:
            tree, page = paged(tree, limit, offset or 0)
        printed = translate(tree, self._tables, self._now, self.project, maximum=maximum)
        raw = self._session.ask(with_rows(printed.text, tree, self._tables, rows_of, self.project.timezone))
        names = tuple(item.name for item in printed.items)
        return EngineAnswer(
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


def _session(clickhouse: ClickHouseUrl | None) -> ClickHouseSession:
    if clickhouse is None:
        from endpoints_gitops.local.engine.embedded import EmbeddedSession

        return EmbeddedSession()
    from endpoints_gitops.local.engine.remote import RemoteSession

    return RemoteSession(clickhouse)


def _parsed(sql: str) -> Tree:
    try:
        return parse(sql)
    except ParseFailure as failure:
        raise from_parser(failure) from None


def _shown(raw: RawAnswer, page: EnginePage | None) -> Sequence[Sequence[Any]]:
    rows = raw.rows if page is None else raw.rows[: page.shown]
    return converted(rows, raw.types)
