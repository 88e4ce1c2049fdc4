"""The local server: its start, its queries, insights over a million events, and what grows with endpoints."""

from __future__ import annotations

import re
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx

from benchmarks.measure import Measure, by_turns
from benchmarks.project import served
from endpoints_gitops.local.engine.embedded import EmbeddedSession
from endpoints_gitops.local.engine.engine import Engine, EngineAnswer
from endpoints_gitops.local.engine.storage import stored_tables
from endpoints_gitops.local.serve import running_server
from endpoints_gitops.local.store import new_id

STARTS: Final = 7
QUERIES: Final = 100
EVENTS: Final = 1_000_000
PEOPLE: Final = 20_000
INSIGHTS: Final = 7
FEW: Final = 100
MANY: Final = 10_000
VERSIONS: Final = 10
_COUNT: Final = {"kind": "HogQLQuery", "query": "SELECT count() FROM events WHERE event = 'note created'"}
_INSIGHTS: Final[dict[str, dict[str, Any]]] = {
    "a daily trend over a year": {
        "kind": "TrendsQuery",
        "interval": "day",
        "dateRange": {"date_from": "-365d"},
        "series": [{"kind": "EventsNode", "event": "$pageview", "math": "total"}],
    },
    "a funnel of three steps": {
        "kind": "FunnelsQuery",
        "dateRange": {"date_from": "-365d"},
        "series": [{"kind": "EventsNode", "event": name} for name in ("user signed up", "note created", "note shared")],
    },
    "a weekly retention": {
        "kind": "RetentionQuery",
        "dateRange": {"date_from": "-8w"},
        "retentionFilter": {
            "period": "Week",
            "totalIntervals": 8,
            "targetEntity": {"id": "$pageview", "type": "events"},
            "returningEntity": {"id": "note created", "type": "events"},
        },
    },
}
_FILL: Final = f"""
INSERT INTO events (uuid, event, timestamp, distinct_id, person_id, properties)
SELECT generateUUIDv4(),
    ['$pageview', 'note created', 'note shared', 'user signed up'][1 + cityHash64(number, 1) % 4],
    now() - toIntervalSecond(intDiv(number * 31536000, {EVENTS})),
    concat('user-', toString(cityHash64(number) % {PEOPLE})),
    toUUID(concat('00000000-0000-4000-8000-', leftPad(toString(cityHash64(number) % {PEOPLE}), 12, '0'))),
    concat('{{"$browser":"', ['Chrome', 'Safari', 'Firefox'][1 + number % 3], '","n":', toString(number % 100), '}}')
FROM numbers({EVENTS})
"""


def measures() -> Iterator[Measure]:
    yield from _starts()
    yield from _queries()
    yield from _insights()
    yield from _growth()


def _starts() -> Iterator[Measure]:
    listed, queried, sampled = [], [], []
    for _ in range(STARTS):
        listed.append(_seconds_until(lambda client: client.get("/endpoints/")))
        queried.append(_seconds_until(lambda client: client.post("/query/", json={"query": _COUNT})))
    sampled.append(_seconds_until(lambda client: client.post("/query/", json={"query": _COUNT}), "--sample"))
    yield Measure(what="`serve`, to its first answer", value=statistics.median(listed) * 1000, unit="ms", limit=250)
    what = "… to its first query, with ClickHouse"
    yield Measure(what=what, value=statistics.median(queried) * 1000, unit="ms", limit=1000)
    yield Measure(what="… with the sample product", value=statistics.median(sampled) * 1000, unit="ms")


def _seconds_until(ask: Callable[[httpx.Client], httpx.Response], *words: str) -> float:
    started = time.perf_counter()
    with served(*words) as server, _client(server) as client:
        ask(client)
        return time.perf_counter() - started


def _queries() -> Iterator[Measure]:
    with served("--sample") as server, _client(server) as client:
        client.post("/endpoints/", json={"name": "notes", "query": _COUNT})
        ask = partial(client.post, "/query/", json={"query": _COUNT})
        run = partial(client.post, "/endpoints/notes/run/", json={})
        query, again = by_turns(ask, run, QUERIES)
        yield Measure(what="a simple query, median", value=query, unit="ms", limit=20)
        note = "" if run().json()["is_cached"] else "computed again: results are not cached"
        yield Measure(what="a run whose result is cached, median", value=again, unit="ms", limit=2, note=note)
        status = Path(f"/proc/{server['pid']}/status").read_text(encoding="utf-8")
        kilobytes = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert kilobytes is not None
        yield Measure(what="memory after these queries", value=int(kilobytes[1]) * 1024 / 1e6, unit="MB", limit=450)


def _insights() -> Iterator[Measure]:
    """Each insight over HTTP, and its own SQL sent to ClickHouse, by turns."""
    session = EmbeddedSession()
    tables = stored_tables(session, sample=False, files=(), now=None)
    session.execute(_FILL)
    session.restrict()
    with _Recorded(session, tables, None) as engine, running_server(engine=engine) as server:
        told = {"url": server.url, "project_id": server.project_id, "key": server.key}
        with _client(told) as client:
            for name, node in _INSIGHTS.items():
                ask = partial(client.post, "/query/", json={"query": node})
                engine.asked.clear()
                ask()
                statements = tuple(engine.asked)
                computed, bare = by_turns(ask, partial(_run_all, session, statements), INSIGHTS)
                what = f"{name}, {EVENTS:,} events" if name.endswith("year") else f"… {name}"
                yield Measure(what=what, value=computed, unit="ms", limit=300)
                note = f"its SQL alone takes {bare:.0f} ms"
                yield Measure(what="… against its SQL alone", value=computed / bare, limit=1.5, note=note)


def _run_all(session: EmbeddedSession, statements: Sequence[str]) -> None:
    for statement in statements:
        session.execute(statement, "JSONCompact")


class _Recorded(Engine):
    """An engine that keeps the SQL that it ran."""

    def __init__(self, *opened: Any) -> None:  # noqa: ANN401 - as the engine
        super().__init__(*opened)
        self.asked: list[str] = []

    def run(self, *asked: Any, **more: Any) -> EngineAnswer:  # noqa: ANN401 - as the engine
        answer = super().run(*asked, **more)
        self.asked.append(answer.clickhouse)
        return answer


def _growth() -> Iterator[Measure]:
    """The same requests to a server with few endpoints and to one with many, by turns."""
    with _endpoints(FEW) as few, _endpoints(MANY) as many:
        for what, ask in _REQUESTS.items():
            before, after = by_turns(partial(ask, few, FEW), partial(ask, many, MANY), 30)
            note = f"{after:.1f} ms, with {FEW * VERSIONS:,} versions {before:.1f} ms"
            yield Measure(what=f"{what}, {MANY:,} endpoints against {FEW}", value=after / before, limit=1.5, note=note)


_REQUESTS: Final[dict[str, Callable[[httpx.Client, int], httpx.Response]]] = {
    "page of the list": lambda client, _: client.get("/endpoints/"),
    "last page": lambda client, count: client.get("/endpoints/", params={"limit": 100, "offset": count - 100}),
    "retrieve": lambda client, _: client.get("/endpoints/e50/"),
    "run": lambda client, _: client.post("/endpoints/e50/run/", json={}),
    "update": lambda client, _: client.patch("/endpoints/e50/", json={"description": "x"}),
}


@contextmanager
def _endpoints(count: int) -> Iterator[httpx.Client]:
    """A server with so many endpoints of ten versions each, which are copies of one that was created."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder, running_server(state=Path(folder)) as server:
        told = {"url": server.url, "project_id": server.project_id, "key": server.key}
        with _client(told) as client:
            query = {"kind": "HogQLQuery", "query": "SELECT 1 AS one"}
            body = {"name": "e0", "query": query, "is_materialized": True}
            client.post("/endpoints/", json=body)
            client.get("/endpoints/")  # its table is built
            store = server.store
            with store.transaction():
                endpoint = store.endpoints.first("name = 'e0'", ())
                assert endpoint is not None
                version = store.current_version(endpoint)
                assert version is not None
                for number in range(1, count):
                    copy = store.endpoints.insert(replace(endpoint, id=new_id(), name=f"e{number}"))
                    for each in range(1, VERSIONS + 1):
                        own = replace(version, id=str(uuid.uuid4()), endpoint_id=copy.id, number=each)
                        store.versions.insert(own)
            yield client


def _client(server: dict[str, Any]) -> httpx.Client:
    """A client of the project, for which an answer that is no success ends the benchmark."""
    return httpx.Client(
        base_url=f"{server['url']}/api/projects/{server['project_id']}",
        headers={"Authorization": f"Bearer {server['key']}"},
        event_hooks={"response": [httpx.Response.raise_for_status]},
        trust_env=False,
        timeout=300,
    )
