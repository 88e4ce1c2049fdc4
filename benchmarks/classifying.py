"""What a thousand edits do to their callers, each of a query of its own: what `breaking` pays after reading files."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

from benchmarks.measure import Measure
from endpoints_gitops.codecs.definition import read_definition
from endpoints_gitops.contract.build import from_definition
from endpoints_gitops.contract.compare import compare
from endpoints_gitops.contract.contract import Contract

PAIRS = 1_000
_SQL = """\
SELECT toDate(timestamp) AS day, event, count() AS times, avg(length(event)) AS weight
FROM events
WHERE event != 'test {number}' AND timestamp >= {{variables.since}}
GROUP BY day, event
ORDER BY day, times DESC
LIMIT 100"""
_EDITS = (
    ("count() AS times", "uniq(person_id) AS times"),
    ("AS weight", "AS length"),
    ("'test", "'demo"),
    ("LIMIT 100", "LIMIT 50"),
    (", avg(length(event)) AS weight", ""),
    ("SELECT ", "select "),
    ("GROUP BY day, event", "GROUP BY day"),
    ("AS weight", "AS weight, max(timestamp) AS last"),
    ("{variables.since}", "{variables.from_day}"),
    ("times DESC", "times ASC"),
)


def measures() -> Iterator[Measure]:
    pairs = [_pair(number) for number in range(PAIRS)]
    started = time.perf_counter()
    found = sum(len(compare(before, after)) for before, after in pairs)
    seconds = time.perf_counter() - started
    assert found >= PAIRS, "every edit is found"
    yield Measure(what=f"classification of {PAIRS:,} pairs", value=seconds, unit="s", limit=2)


def _pair(number: int) -> tuple[Contract, Contract]:
    sql = _SQL.format(number=number)
    return _contract(number, sql), _contract(number, sql.replace(*_EDITS[number % len(_EDITS)]))


def _contract(number: int, sql: str) -> Contract:
    names = [name for name in ("since", "from_day") if name in sql]
    variables = [{"name": name, "type": "Date", "default": "2026-01-01"} for name in names]
    content = json.dumps({"name": f"endpoint_{number}", "query": sql, "variables": variables})
    return from_definition(read_definition("endpoint.yaml", content.encode(), lambda _: b""))
