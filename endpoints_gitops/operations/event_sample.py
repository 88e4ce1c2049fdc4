"""Copy a sample of a project's events through the query API (docs/server.md#queries), newest first."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from endpoints_gitops.api.client import Client
from endpoints_gitops.api.errors import BadAnswer
from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.json import JsonObject
from endpoints_gitops.operations.event_redaction import RedactedRows, RedactionRules, redact_events
from endpoints_gitops.operations.project import Progress

PAGE: Final = 1000
"""The events of one request: a query of a key has about 10 seconds, and an answer has a size limit."""
_COLUMNS: Final = (
    "uuid", "event", "distinct_id", "timestamp", "created_at", "person_id", "properties", "person_properties",
)  # fmt: skip
_TIME: Final = "toUnixTimestamp64Milli(timestamp)"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSample:
    """Redacted events, the newest first, and the number of requests that they took."""

    redacted: RedactedRows
    requests: int


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class _Cursor:
    """The last event of a page: its time in milliseconds, and its id."""

    milliseconds: int
    uuid: str


def copy_events(
    client: Client, *, count: int, days: int, now: datetime, rules: RedactionRules, progress: Progress
) -> EventSample:
    """The newest `count` events of the last `days` days before `now`, redacted by the rules.

    Raises UsageError if there are none, BadAnswer for pages that do not continue, and ApiError.
    """
    rows: dict[str, dict[str, Any]] = {}
    cursor, requests = None, 0
    progress.started("copying events", -(-count // PAGE))
    try:
        while len(rows) < count:
            size = min(PAGE, count - len(rows))
            page = _page(client, size, now, days, cursor)
            requests += 1
            for row, _ in page:
                rows.setdefault(row["uuid"], row)  # an event that was sent twice is there twice, for some time
            progress.advanced("events", f"{len(rows):,} of {count:,}")
            if len(page) < size:
                break
            if cursor is not None and page[-1][1] >= cursor:
                raise BadAnswer("a page of events does not continue the one before it")
            cursor = page[-1][1]
    finally:
        progress.finished()
    if not rows:
        message = f"the project has no events in the last {days} days"
        raise UsageError(message, fix="look further back with --days N", code="usage.no-events")
    return EventSample(redacted=redact_events(list(rows.values()), rules), requests=requests)


def query_of_page(size: int, now: datetime, days: int, after: tuple[int, str] | None) -> str:
    """The HogQL of one page. Events are ordered by their time in milliseconds, which answers show exactly, and id."""
    upper = _milliseconds(now) if after is None else after[0] + 1
    where = [
        f"timestamp >= fromUnixTimestamp64Milli({_milliseconds(now - timedelta(days=days))})",
        f"timestamp < fromUnixTimestamp64Milli({upper})",
    ]
    if after is not None:
        time, last = after
        where.append(f"({_TIME} < {time} OR ({_TIME} = {time} AND toString(uuid) < '{last}'))")
    columns = (
        "toString(uuid) AS id, event, distinct_id, timestamp, created_at, toString(person_id) AS owner, properties, "
        f"person.properties AS person_properties, {_TIME} AS milliseconds"
    )
    order = f"ORDER BY milliseconds DESC, id DESC LIMIT {size}"
    return f"SELECT {columns} FROM events WHERE {' AND '.join(where)} {order}"  # noqa: S608 - numbers, and a UUID


def _page(
    client: Client, size: int, now: datetime, days: int, cursor: _Cursor | None
) -> list[tuple[dict[str, Any], _Cursor]]:
    after = None if cursor is None else (cursor.milliseconds, cursor.uuid)
    answer = client.query({"kind": "HogQLQuery", "query": query_of_page(size, now, days, after)})
    results = answer.get("results")
    if not isinstance(results, list) or len(results) > size:
        raise BadAnswer(f"the answer to the query for events does not have {size} rows or fewer")
    return [_row(result) for result in results]


def _row(result: Any) -> tuple[dict[str, Any], _Cursor]:  # noqa: ANN401 - JSON of any shape
    if not isinstance(result, list) or len(result) != len(_COLUMNS) + 1:
        raise BadAnswer(f"a row of events does not have {len(_COLUMNS) + 1} values")
    *values, milliseconds = result
    row = dict(zip(_COLUMNS, values, strict=True))
    try:
        properties = {name: _object(row[name]) for name in ("properties", "person_properties")}
        cursor = _Cursor(milliseconds=int(milliseconds), uuid=str(uuid.UUID(row["uuid"])))
    except (TypeError, ValueError) as error:
        raise BadAnswer(f"a row of events cannot be read: {error}") from None
    if not all(isinstance(row[name], str) for name in ("event", "distinct_id", "timestamp", "created_at", "person_id")):
        raise BadAnswer("a row of events has a value that is not text")
    return row | properties, cursor


def _object(value: Any) -> JsonObject:  # noqa: ANN401 - JSON of any shape
    parsed = json.loads(value) if isinstance(value, str) and value else value or {}
    if not isinstance(parsed, dict):
        raise ValueError("properties are not an object")
    return parsed


def _milliseconds(time: datetime) -> int:
    return int(time.timestamp() * 1000)
