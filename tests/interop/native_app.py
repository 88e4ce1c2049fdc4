"""An app beside the local server: endpoints of every kind, the lock that pins them, and commands in its folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from endpoints_gitops.local.engine.engine import Engine
from endpoints_gitops.local.serve import RunningServer, running_server
from tests.serve_process import PROGRAM

TYPES: Final = """
SELECT 1 AS small, -9007199254740991 AS safe, 1.5 AS ratio, toFloat('nan') AS not_a_number,
  toDecimal('1.10', 2) AS price, 'it''s "é" \\n' AS words, toBool(1) AS yes, toDate('2026-07-01') AS start,
  toDateTime('2026-07-01 10:00:00.123456') AS moment, toDateTime('2026-07-01 10:00:00', 'Europe/Berlin') AS berlin,
  ['x', NULL] AS labels, [[1, 2], []] AS nested, (1, 'x', toDate('2026-07-01')) AS pair, map('k', 1) AS counts,
  NULL AS nothing, nullIf(1, 1) AS no_integer, nullIf('a', 'a') AS no_text, toDate('never') AS no_date,
  nullIf(toDateTime('2026-07-01 10:00:00'), toDateTime('2026-07-01 10:00:00')) AS no_time,
  toDecimal('never', 2) AS no_price, JSONExtractRaw('{"a": [1]}', 'a') AS raw
"""
REVENUE: Final = """
SELECT event AS plan, count() AS orders, toDecimal(count(), 2) AS mrr
FROM events WHERE event = {variables.plan} AND timestamp >= toDateTime({variables.since})
GROUP BY plan ORDER BY plan
"""
BY_BROWSER: Final = {
    "kind": "TrendsQuery",
    "series": [{"kind": "EventsNode", "event": "$pageview"}],
    "breakdownFilter": {"breakdown": "$browser", "breakdown_type": "event"},
}
INSIGHTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "by_browser": BY_BROWSER,
    "statuses": {"kind": "LifecycleQuery", "series": [{"kind": "EventsNode", "event": "$pageview"}]},
    "cohorts": {
        "kind": "RetentionQuery",
        "retentionFilter": {"totalIntervals": 3, "targetEntity": {"id": "$pageview", "type": "events"}},
    },
    "steps": {
        "kind": "FunnelsQuery",
        "series": [{"kind": "EventsNode", "event": "$pageview"}, {"kind": "EventsNode", "event": "user signed up"}],
    },
}
QUERIES: Final[Mapping[str, str]] = {
    "all-types": TYPES,
    "big": "SELECT toInt('9007199254740993') AS total, [toInt('-9223372036854775808')] AS many",
    "giant": "SELECT cityHash64('c') AS total",
    "numbers": "SELECT arrayJoin(range(250)) AS num ORDER BY num",
    "delete": "SELECT 1 AS `odd name`, 2 AS `1st`, 3 AS `größe`, 4 AS `__proto__`, 5 AS `class`, 6 AS `a-b`, "
    "7 AS `a_b`",
    "twice": "SELECT 1, 'x', 1",
    "a-b": "SELECT 1 AS one",
    "a_b": "SELECT 2 AS two",
    "then": "SELECT 3 AS three",
    "clock": "SELECT toDateTime('2026-07-01 10:00:00') AS moment",
    "empty": "SELECT event, count() AS orders FROM events WHERE event = 'never' GROUP BY event",
}


@dataclass(frozen=True, slots=True)
class NativeApp:
    """The folder of the app, and the server of its only environment."""

    folder: Path
    server: RunningServer
    client: httpx.Client

    def run(self, *words: str) -> str:
        """Run a command of this program in the folder, and return its stdout. It has to succeed."""
        environment = {**os.environ, "APP_KEY": self.server.key, "ENDPOINTS_GITOPS_STATE": str(self.folder / ".state")}
        command = [sys.executable, "-c", PROGRAM, *words]
        ran = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False, timeout=120
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def create(self, name: str, query: Mapping[str, Any], **settings: Any) -> None:
        response = self.client.post("endpoints/", json={"name": name, "query": query, **settings})
        assert response.status_code == 201, response.text

    def upgrade(self, name: str, sql: str) -> None:
        """Give an endpoint another query, and pin it."""
        query = {**self.client.get(f"endpoints/{name}/").json()["query"], "query": sql}
        self.client.patch(f"endpoints/{name}/", json={"query": query}).raise_for_status()
        self.run("upgrade", name, "--allow-breaking", "the app is adapted", "--yes")

    def use(self, names: Sequence[str]) -> None:
        """Write the configuration, and lock the newest versions."""
        uses = "".join(f'"{name}" = "*"\n' for name in names)
        (self.folder / "endpoints.toml").write_text(
            f"[uses]\n{uses}[environments.prod]\n"
            f'host = "{self.server.url}"\nproject_id = {self.server.project_id}\nkey = "env:APP_KEY"\n'
        )
        self.run("lock")


@contextmanager
def native_app(folder: Path, engine: Engine, names: Sequence[str] = ()) -> Iterator[NativeApp]:
    """The app, with these endpoints pinned; by default all."""
    with (
        running_server(engine=engine) as server,
        httpx.Client(
            base_url=f"{server.url}/api/projects/{server.project_id}/",
            headers={"Authorization": f"Bearer {server.key}"},
            verify=False,
            timeout=60,
        ) as client,
    ):
        app = NativeApp(folder, server, client)
        variables = {}
        for name, kind, default in (("plan", "String", "$pageview"), ("since", "Date", None)):
            variable = client.post("insight_variables/", json={"name": name, "type": kind}).json()
            variables[name] = {variable["id"]: {"variableId": variable["id"], "code_name": name, "value": default}}
        by_plan = "SELECT event, count() AS orders FROM events WHERE event = {variables.plan} GROUP BY event"
        queries: dict[str, Mapping[str, Any]] = {
            "revenue_by_plan": {
                "kind": "HogQLQuery",
                "query": REVENUE,
                "variables": variables["plan"] | variables["since"],
            },
            "sums": {"kind": "HogQLQuery", "query": by_plan, "variables": variables["plan"]},
            **{name: {"kind": "HogQLQuery", "query": sql} for name, sql in QUERIES.items()},
            **INSIGHTS,
        }
        for name in names or queries:
            app.create(name, queries[name], is_materialized=name == "sums")
        app.use(list(names or queries))
        yield app
