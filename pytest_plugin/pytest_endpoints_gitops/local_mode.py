"""Mode `local`: the pinned query, which stands in the lock, runs for real on ClickHouse in this process.

It needs no account and no network, and every pinned version can be run, however many there have been since. The tables
are files of the suite, or the sample product.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from endpoints_gitops.api.answers import RunAnswer
from endpoints_gitops.errors import EndpointsError, InvalidInput
from endpoints_gitops.model.json import Json, JsonObject, canonical
from endpoints_gitops.model.pin import Pin
from pytest_endpoints_gitops.config import redacted
from pytest_endpoints_gitops.failures import CallRefused, NotSetUp
from pytest_endpoints_gitops.live import refuse_cut
from pytest_endpoints_gitops.values import Answer, Call

if TYPE_CHECKING:
    from endpoints_gitops.local.engine.engine import Engine
    from pytest_endpoints_gitops.app import App

HOGQL: Final = "HogQLQuery"
ORIGIN: Final = "local"


class Refusal(Exception):
    """A query that cannot be run here; says why."""


class Local:
    """The mode. Answers are computed anew at each call."""

    def __init__(self, app: App) -> None:
        self.name = "local"
        self.is_immediate = False
        self.uses_recordings = False
        self._app = app
        self._tables = tables_of(app)

    def answer(self, call: Call) -> Answer:
        try:
            run = self._tables.answer_of_pin(call.pin, call.variables, limit=call.limit, offset=call.offset)
            refuse_cut(call, run)
            rows = redacted(run.results, run.columns, self._app.config.redact)
            return Answer(replace(run, results=rows), ORIGIN)
        except Refusal as refusal:
            raise CallRefused(
                f"{call.label}: this query does not run here",
                ("why", str(refusal)),
                ("query", str(call.pin.query.get("query") or call.pin.kind)),
                command=call.command("replay"),
            ) from None


class Tables:
    """An engine over the suite's tables, opened at the first question."""

    def __init__(self, files: Sequence[Path], folder: Path | None, now: datetime | None) -> None:
        self._files = files
        self._folder = folder
        self._now = now
        self._engine: Engine | None = None
        self._lock = threading.Lock()

    def answer_of_pin(
        self, pin: Pin, variables: JsonObject, *, limit: int | None = None, offset: int | None = None
    ) -> RunAnswer:
        """The answer of the pinned version. Raises Refusal."""
        if pin.kind != HOGQL:
            rows = self._insight(pin, variables)
            start, end = (0, len(rows)) if limit is None else (offset or 0, (offset or 0) + limit)
            return run_of(pin, None, (), rows[start:end], has_more=end < len(rows))
        values = {one.name: one.default if one.has_default else None for one in pin.variables}
        sql, values = str(pin.query.get("query")), values | dict(variables)
        columns, types, found, has_more = self.rows(
            sql, values, is_from_table=pin.materialized, limit=limit, offset=offset
        )
        return run_of(pin, columns, types, found, has_more=has_more)

    def rows(
        self,
        sql: str,
        values: Mapping[str, Json],
        *,
        is_from_table: bool,
        limit: int | None = None,
        offset: int | None = None,
    ) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...], list[Any], bool]:
        """Columns, types and rows of a query with these values, and whether there are more. A table that is read
        without variables has its columns in alphabetical order (docs/server.md#materialisation). Raises Refusal.
        """
        from endpoints_gitops.local.engine.refusals import QueryRefused

        try:
            found = self._opened().run(sql, values, limit=limit, offset=offset)
        except QueryRefused as refused:
            raise Refusal(refused.message) from None
        order = list(range(len(found.columns)))
        if is_from_table and not values:
            order.sort(key=lambda place: found.columns[place])
        return (
            tuple(found.columns[place] for place in order),
            tuple(found.types[place] for place in order),
            [[row[place] for place in order] for row in found.results],
            found.has_more,
        )

    def close(self) -> None:
        with self._lock:
            if self._engine is not None:
                self._engine.close()
                self._engine = None

    def _opened(self) -> Engine:
        with self._lock:
            if self._engine is None:
                self._engine = _engine(self._files, self._now)
            return self._engine

    def _insight(self, pin: Pin, variables: JsonObject) -> list[Any]:
        """The rows that the lock's examples declare, else those of the definition, where that is at hand."""
        for example in pin.examples:
            if example.rows is not None and canonical(example.variables) == canonical(variables):
                return list(example.rows)
        return _declared(self._folder, pin, variables)


def run_of(
    pin: Pin,
    columns: tuple[str, ...] | None,
    types: tuple[tuple[str, str], ...],
    rows: list[Any],
    *,
    has_more: bool = False,
) -> RunAnswer:
    """Rows as the answer of a pinned version."""
    raw: dict[str, Any] = {"results": rows, "name": pin.name, "endpoint_version": pin.version, "hasMore": has_more}
    if columns is not None:
        raw |= {"columns": list(columns), "types": [list(pair) for pair in types]}
    return RunAnswer(
        columns=columns,
        types=types,
        results=rows,
        has_more=has_more,
        version=pin.version,
        execution_id=None,
        materialized=pin.materialized,
        raw=raw,
    )


def tables_of(app: App) -> Tables:
    """The tables of a suite: one engine for each set of files in a process, since opening one takes a second."""
    session = app.session
    files = _files(app)
    now = _moment(session.settings.now.value)
    known: dict[Any, Tables] = session.config.stash.setdefault(_TABLES, {})
    key = (files, now)
    if key not in known:
        known[key] = Tables(files, definitions_of(app), now)
        session.closing.callback(known[key].close)
    return known[key]


_TABLES: Final = pytest.StashKey[dict[Any, Tables]]()


def _engine(files: Sequence[Path], now: datetime | None) -> Engine:
    try:
        from endpoints_gitops.local.extra import refuse_without_extra

        refuse_without_extra()
        from endpoints_gitops.local.engine.engine import Engine

        return Engine.open(sample=not files, data=files, now=now)
    except InvalidInput as error:
        mistakes = "\n".join(map(str, error.problems))
        raise NotSetUp(
            "the tables of mode local are not right", ("mistakes", mistakes), command="endpoints-gitops serve --help"
        ) from None
    except EndpointsError as error:
        raise NotSetUp(f"mode local cannot start: {error.message}", command=error.fix or _INSTALL) from None


_INSTALL: Final = "pip install 'endpoints-gitops[local]'"


def _files(app: App) -> tuple[Path, ...]:
    """Those that `endpoints_config` names, else the folder of the setting; folders stand for the files in them."""
    given: Iterable[Path] = app.config.tables
    if not given and app.session.settings.data.value:
        given = (app.session.config.rootpath / app.session.settings.data.value,)
    return tuple(file for path in given for file in _in(path))


def _in(path: Path) -> Iterable[Path]:
    from endpoints_gitops.local.engine.data_files import FORMATS

    if not path.is_dir():
        return (path,)
    found = sorted(each for each in path.iterdir() if each.suffix.lower() in FORMATS)
    if not found:
        said = ", ".join(FORMATS)
        raise NotSetUp(f"{path} holds no tables", ("expected", f"files that end in {said}"), command=f"ls {path}")
    return found


def definitions_of(app: App) -> Path | None:
    """The definitions folder, where this checkout has one."""
    from endpoints_gitops.workspace.configuration import definitions_folder
    from pytest_endpoints_gitops.trouble import set_up

    settings = app.configuration.environments.get(app.environment, app.configuration.common)
    with set_up("the configuration cannot be used"):
        folder = definitions_folder(app.configuration, settings, None)
    return folder if folder.is_dir() else None


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise NotSetUp(
            f"endpoints_now is no time: {text!r}", command="pytest --endpoints-now=2026-07-31T12:00:00Z"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _declared(folder: Path | None, pin: Pin, variables: JsonObject) -> list[Any]:
    from endpoints_gitops.local import insight_examples
    from endpoints_gitops.local.errors import RequestRefused

    try:
        rows = insight_examples.rows_of(folder, pin.name, pin.query, variables)
    except RequestRefused as refusal:
        raise Refusal(refusal.detail) from None
    return list(rows) if isinstance(rows, list) else [rows]
