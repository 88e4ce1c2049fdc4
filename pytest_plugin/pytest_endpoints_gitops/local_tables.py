"""The tables of mode `local` and of the canary `worktree`: queries run on ClickHouse in this process.

That needs no account and no network, and every pinned version can be run, however many there have been since. The
tables are files of the suite, or the sample product.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from endpoints_gitops.api.answers import RunAnswer
from endpoints_gitops.errors import EndpointsError, InvalidInput, MissingExtra, UsageError
from endpoints_gitops.extras import require
from endpoints_gitops.model.json import Json, JsonObject, canonical
from endpoints_gitops.model.pin import Pin
from pytest_endpoints_gitops.calls import ALL_ROWS, HOGQL, Page, run_of
from pytest_endpoints_gitops.errors import parts_of
from pytest_endpoints_gitops.failures import NotSetUp

if TYPE_CHECKING:
    from endpoints_gitops.local.engine.engine import Engine


class NotRunnable(Exception):
    """The local engine cannot run this query; the message says why."""


class LocalTables:
    """An engine over the suite's tables (files and folders, as for `serve --data`), opened by `open` or the first
    query. `now` stops the clock of queries; `project` is the file with the settings of the project.
    """

    def __init__(self, paths: Sequence[Path], now: datetime | None, project: Path | None = None) -> None:
        self._paths = paths
        self._now = now
        self._project = project
        self._engine: Engine | None = None
        self._lock = threading.Lock()

    def run_pin(self, pin: Pin, variables: JsonObject, definitions: Path | None, page: Page = ALL_ROWS) -> RunAnswer:
        """The answer of the pinned version. Raises NotRunnable.

        An insight that is not computed locally is answered by the rows that the lock's examples declare, else those of
        the definition, if it is at hand.
        """
        if pin.kind != HOGQL:
            rows = self._insight(pin, variables, definitions)
            limit, offset = page
            start, end = (0, len(rows)) if limit is None else (offset or 0, (offset or 0) + limit)
            return run_of(pin, None, (), rows[start:end], has_more=end < len(rows))
        defaults = {variable.name: variable.default for variable in pin.variables}
        return self.run(pin, pin.query, defaults | dict(variables), is_from_table=pin.materialized, page=page)

    def run(
        self, pin: Pin, node: JsonObject, values: Mapping[str, Json], *, is_from_table: bool, page: Page = ALL_ROWS
    ) -> RunAnswer:
        """The answer of a HogQL node with these values, as one of this pin. Columns of a table that is read without
        variables are in alphabetical order (docs/server.md#materialization). Raises NotRunnable.
        """
        from endpoints_gitops.local.engine.refusals import QueryRefused
        from endpoints_gitops.local.insights.sql_filters import sql_of

        try:
            result = self.open().run(sql_of(self.open(), node), values, limit=page[0], offset=page[1])
        except QueryRefused as refused:
            raise NotRunnable(refused.message) from None
        order = list(range(len(result.columns)))
        if is_from_table and not values:
            order.sort(key=lambda index: result.columns[index])
        return run_of(
            pin,
            tuple(result.columns[index] for index in order),
            tuple(result.types[index] for index in order),
            [[row[index] for index in order] for row in result.results],
            has_more=result.has_more,
        )

    def run_insight(self, pin: Pin, node: JsonObject, variables: JsonObject) -> RunAnswer | None:
        """The computed results of an insight, as an answer of this pin; None if it is not computed locally.

        Raises NotRunnable.
        """
        from endpoints_gitops.local.insights.refused import NotComputed

        try:
            return run_of(pin, None, (), self._computed(node, variables), has_more=False)
        except NotComputed:
            return None

    def _insight(self, pin: Pin, variables: JsonObject, definitions: Path | None) -> list[Any]:
        from endpoints_gitops.local.insights.refused import NotComputed

        try:
            return self._computed(pin.query, variables)
        except NotComputed as refused:
            declared = _declared_in_lock(pin, variables)
            return _declared(definitions, pin, variables, refused.message) if declared is None else declared

    def _computed(self, node: JsonObject, variables: JsonObject) -> list[Any]:
        """The results of an insight; one object is a list of one. Raises NotComputed, and NotRunnable for what PostHog
        refuses too."""
        from endpoints_gitops.local.engine.refusals import QueryRefused
        from endpoints_gitops.local.insights.computed import computed
        from endpoints_gitops.local.insights.refused import NotComputed

        try:
            results = computed(self.open(), node, variables).results
        except NotComputed:
            raise
        except QueryRefused as refused:
            raise NotRunnable(refused.message) from None
        return results if isinstance(results, list) else [results]

    def open(self) -> Engine:
        """The engine, opened once. Raises NotSetUp."""
        with self._lock:
            if self._engine is None:
                self._engine = _engine(self._paths, self._now, self._project)
            return self._engine

    def close(self) -> None:
        with self._lock:
            if self._engine is not None:
                self._engine.close()
                self._engine = None


def parse_time(text: str) -> datetime | None:
    """The time at which the clock of queries stands still; None for an empty text. Raises NotSetUp."""
    from endpoints_gitops.local.clock import clock_time

    if not text:
        return None
    try:
        return clock_time(text)
    except ValueError as error:
        command = ("pytest", "--endpoints-now=2026-07-31T12:00:00Z")
        raise NotSetUp("endpoints_now", str(error), command=command) from None


def _engine(paths: Sequence[Path], now: datetime | None, project: Path | None) -> Engine:
    try:
        require("local", "it")
        from endpoints_gitops.local.engine.engine import Engine
        from endpoints_gitops.local.engine.project_data import UNKNOWN_PROJECT
        from endpoints_gitops.local.insights.project_file import read_project

        settings = UNKNOWN_PROJECT if project is None else read_project(project, now)
        return Engine.open(sample=not paths, data=paths, now=now, project=settings)
    except InvalidInput as error:
        received = ("received", "\n".join(map(str, error.problems)))
        serve = ("endpoints-gitops", "serve", "--help")
        what = "settings of the project" if {problem.path for problem in error.problems} == {str(project)} else "tables"
        raise NotSetUp("mode local", f"the {what} have mistakes", received, command=serve) from None
    except MissingExtra as error:
        advice, command = parts_of(error.fix)
        raise NotSetUp("mode local", error.message, advice=advice, command=command) from None
    except UsageError as error:
        raise NotSetUp("endpoints_project", error.message, command=("pytest", "--endpoints-project=FILE")) from None
    except EndpointsError as error:
        advice, command = parts_of(error.fix)
        alone = ("endpoints-gitops", "serve", "--sample")
        raise NotSetUp(
            "mode local", f"cannot start: {error.message}", advice=advice, command=command or alone
        ) from None


def _declared_in_lock(pin: Pin, variables: JsonObject) -> list[Any] | None:
    for example in pin.examples:
        if example.rows is not None and canonical(example.variables) == canonical(variables):
            return list(example.rows)
    return None


def _declared(folder: Path | None, pin: Pin, variables: JsonObject, because: str) -> list[Any]:
    from endpoints_gitops.local import insight_examples
    from endpoints_gitops.local.errors import RequestRefused

    try:
        rows = insight_examples.rows_of(folder, pin.name, pin.query, variables, because=because)
    except RequestRefused as refusal:
        raise NotRunnable(refusal.detail) from None
    return list(rows) if isinstance(rows, list) else [rows]
