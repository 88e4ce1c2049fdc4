"""The tables of a project in ClickHouse, filled from the sample or from files, with sessions computed from events."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from endpoints_gitops.contract.clickhouse import is_nullable, parse_type, type_word
from endpoints_gitops.hogql.tables import EVENT_PROPERTIES, TABLES, Relation, Table, TypedColumn, group_relation, table
from endpoints_gitops.hogql.types import Kind, Typed
from endpoints_gitops.local.engine import clickhouse_files
from endpoints_gitops.local.engine.data_files import DataFiles
from endpoints_gitops.local.engine.literals import identifier, text
from endpoints_gitops.local.engine.project_data import UTC_ZONE
from endpoints_gitops.local.engine.session import ClickHouseSession
from endpoints_gitops.local.engine.table_files import TableFile


def project_tables(
    group_types: Mapping[str, int], property_types: Mapping[str, Mapping[str, Kind]] = MappingProxyType({})
) -> dict[str, Table]:
    """The tables that hold data. `group_types` are the names of the project's kinds of groups with their slots.

    `property_types` has the types of properties by the table that stores them.
    """
    groups = {name: group_relation(slot) for name, slot in group_types.items()}
    return {
        name: _with_groups(_with_properties(table, property_types.get(table.stored_as, {})), groups)
        for name, table in TABLES.items()
        if not table.is_generated
    }


def _with_properties(table: Table, types: Mapping[str, Kind]) -> Table:
    if not types:
        return table
    columns = {**table.columns, "properties": replace(table.columns["properties"], properties=types)}
    return replace(table, columns=columns)


def _with_groups(table: Table, groups: Mapping[str, Relation]) -> Table:
    return replace(table, relations={**table.relations, **groups}) if table.name == "events" else table


_KINDS: Final = {"json": Kind.TUPLE}


def typed_of(written: str) -> Typed:
    """The type of a column with this ClickHouse type, including the type of an array's items."""
    parsed = parse_type(written)
    item = typed_of(parsed.arguments[0]) if parsed.name == "Array" else None
    return Typed(_kind_of(parsed.name, type_word(written)), is_nullable(written), item=item)


def _kind_of(name: str, word: str) -> Kind:
    if name == "UUID":
        return Kind.UUID
    if name == "DateTime64":
        return Kind.DATETIME64
    return _KINDS.get(word) or Kind(word)


_TYPES: Final = {
    Kind.STRING: "String",
    Kind.JSON: "String",
    Kind.UUID: "UUID",
    Kind.INTEGER: "Int64",
    Kind.DATETIME64: "DateTime64(6, 'UTC')",
}
_DEFAULTS: Final = {
    "team_id": "1",
    "event_issue_id": "toUUIDOrNull(JSONExtractString(properties, '$exception_issue_id'))",
}
_OF_ELEMENTS: Final = {
    "href": """extract(elements_chain, '(?::|")href="(.*?)"')""",
    "texts": """arrayDistinct(extractAll(elements_chain, '(?::|")text="(.*?)"'))""",
    "ids": """arrayDistinct(extractAll(elements_chain, '(?::|")attr_id="(.*?)"'))""",
    "elements": "arrayDistinct(extractAll(elements_chain, "
    r"'(?:^|;)(a|button|form|input|select|textarea|label)(?:\\.|$|:)'))",
}
"""What the columns `elements_chain_…` of events are computed from (docs/server.md#hogql)."""
_SORTED_BY: Final = {
    "events": "toDate(timestamp), event, distinct_id, uuid",
    "persons": "id",
    "groups": "`index`, key",
    "person_distinct_ids": "distinct_id",
    "cohort_people": "cohort_id",
    "static_cohort_people": "cohort_id",
}
"""The tables that are filled; sessions are computed from events."""
_HIDDEN: Final = ("_row UInt64", "person_properties String")
"""Columns of events that no query sees. Of events with the same key, the last one counts, as on the server
(docs/server.md#batch-exports)."""
_PEOPLE_OF_EVENTS: Final = {
    "persons (id, created_at, properties)": "SELECT person_id, min(timestamp), if(max(person_properties) = '', '{}', "
    "argMax(person_properties, (person_properties != '', timestamp, person_properties))) "
    "FROM events GROUP BY person_id",
    "person_distinct_ids (distinct_id, person_id)": "SELECT distinct_id, argMax(person_id, (timestamp, _row)) "
    "FROM events GROUP BY distinct_id",
}
"""Without a file of persons: each is created with its first event, and has the properties of its last one that has
any. A distinct id belongs to the person of its last event."""
_BATCH: Final = 16_000_000
"""The characters of JSON that are sent to ClickHouse at once."""
SYSTEM_TABLES: Final = frozenset(name for name, table in TABLES.items() if table.is_system)
"""The tables that stay empty: a query that reads them brings their rows."""
_TABLE_OF: Final = {"distinct_ids": "person_distinct_ids"}
_SHAPES: Final = {
    "boolean": r"""^"?(true|false)"?$""",
    "float": "^-?[0-9]",
    "datetime": r"""^"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)"$""",
}
"""Patterns of JSON values for which PostHog infers a type other than text."""
_AI_ID: Final = re.compile(r"\$ai_.*_id")
_OF_URL: Final = {"current_url": "{}", "pathname": "path({})", "hostname": "domain({})"}
_URL: Final = "JSONExtractString(properties, '$current_url')"


def stored_tables(
    session: ClickHouseSession, *, sample: bool, files: Sequence[Path], now: datetime | None, zone: str = UTC_ZONE
) -> Mapping[str, Table]:
    """Fill the database, and return the tables that queries can read. Times are in the zone of the project.

    Raises InvalidInput for mistakes in files.
    """
    for name, order in _SORTED_BY.items():
        columns = [_declared(name, column) for column in _stored_columns(name)]
        if name == "events":
            session.create_table(name, [*columns, *_HIDDEN], order, version="_row")
        else:
            session.create_table(name, columns, order)
    for name in SYSTEM_TABLES:
        columns = [_declared(name, column).replace(text(UTC_ZONE), text(zone)) for column in _stored_columns(name)]
        session.create_table(name, columns, "tuple()")
    others = _fill_from_files(session, files, sample=sample) if files else []
    group_types = _fill_sample(session, now) if sample else {}
    if zone != UTC_ZONE:
        for name, order in _SORTED_BY.items():
            _move_to_zone(session, name, order, zone)
    session.fill("sessions", _sessions(), "session_id")
    types = {name: _property_types(session, name) for name in ("events", "persons", "groups")}
    return project_tables(group_types, types) | {other.name: other for other in others}


def _fill_from_files(session: ClickHouseSession, files: Sequence[Path], *, sample: bool) -> list[Table]:
    """Fill the tables of the catalog, and return those that the files add."""
    data = DataFiles(session, files, sample=sample)
    people = data.people()
    insert(session, "persons", people.rows)
    insert(session, "person_distinct_ids", people.distinct_ids())
    insert(session, "events", data.events(people.owners))
    data.check_others()
    data.raise_mistakes()
    session.execute("OPTIMIZE TABLE events FINAL")
    if not data.has_persons:
        for name, query in _PEOPLE_OF_EVENTS.items():
            session.execute(f"INSERT INTO {name} {query}")
    return [_other_table(session, file) for file in data.others]


def _move_to_zone(session: ClickHouseSession, name: str, order: str, zone: str) -> None:
    """Give the times of a table another zone; the timestamps stay the same."""
    in_utc = f"{name}_in_utc"
    session.execute(f"RENAME TABLE {name} TO {in_utc}{session.on_cluster}")
    moved = []
    for column, written in session.columns_of(in_utc):
        shown = identifier(column)
        moved.append(f"toTimeZone({shown}, {text(zone)}) AS {shown}" if "DateTime" in written else shown)
    session.fill(name, f"SELECT {', '.join(moved)} FROM {in_utc}", order)  # noqa: S608 - our own names
    session.execute(f"DROP TABLE {in_utc}{session.on_cluster}")


def _stored_columns(name: str) -> list[TypedColumn]:
    """The columns of all catalog tables that share a ClickHouse table."""
    columns = [column for table in TABLES.values() if table.stored_as == name for column in table.columns.values()]
    return list({column.name: column for column in columns if column.is_local and column.target is None}.values())


def _declared(name: str, column: TypedColumn) -> str:
    """A column of a CREATE TABLE. Stored properties of events have the name of the property."""
    default = _DEFAULTS.get(column.name) or _OF_ELEMENTS.get(column.name.removeprefix("elements_chain_"))
    if name == "events" and column.name == "created_at":
        default = "timestamp"
    if name == "events" and column.name in EVENT_PROPERTIES:
        default = f"JSONExtractString(properties, {text(column.name)})"
    return f"{identifier(column.name)} {declared_type(column)}" + (f" DEFAULT {default}" if default else "")


def declared_type(column: TypedColumn) -> str:
    typed = column.stored
    item = typed.item
    name = column.clickhouse or (f"Array({_TYPES[item.kind]})" if item is not None else _TYPES[typed.kind])
    return f"Nullable({name})" if typed.nullable else name


def insert(session: ClickHouseSession, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Add rows to a table; missing columns get their defaults, and objects are stored as text."""
    lines: list[str] = []
    size = 0
    for row in rows:
        lines.append(json.dumps(row, ensure_ascii=False))
        size += len(lines[-1])
        if size > _BATCH:
            session.insert(name, "\n".join(lines))
            lines, size = [], 0
    if lines:
        session.insert(name, "\n".join(lines))


def _fill_sample(session: ClickHouseSession, now: datetime | None) -> Mapping[str, int]:
    from endpoints_gitops.local.engine import sample

    product = sample.product(now or datetime.now(UTC))
    for name in ("events", "persons", "distinct_ids", "groups"):
        insert(session, _TABLE_OF.get(name, name), getattr(product, name))
    return sample.GROUP_TYPES


def _property_types(session: ClickHouseSession, name: str) -> dict[str, Kind]:
    """Properties all of whose values are numbers, truth values or times: PostHog sees that when events arrive.

    The ids of AI events stay text whatever they look like (docs/server.md#hogql).
    """
    pairs = f"SELECT arrayJoin(JSONExtractKeysAndValuesRaw(properties)) AS pair FROM {name}"  # noqa: S608 - our own names
    tests = ", ".join(f"match(pair.2, {text(pattern)}), {text(shape)}" for shape, pattern in _SHAPES.items())
    shapes_of = f"SELECT pair.1 AS name, groupUniqArray(multiIf(pair.2 = 'null', '', {tests}, 'string')) FROM"
    rows = session.ask(f"{shapes_of} ({pairs}) GROUP BY name").rows
    found = {str(key): {shape for shape in shapes if shape} for key, shapes in rows}
    return {
        key: Kind(shapes.pop())
        for key, shapes in found.items()
        if len(shapes) == 1 and "string" not in shapes and not _AI_ID.fullmatch(key)
    }


def _other_table(session: ClickHouseSession, file: TableFile) -> Table:
    clickhouse_files.create_table(session, file)
    columns = [TypedColumn(column, typed_of(written)) for column, written in session.columns_of(file.table)]
    return table(file.table, columns)


def _sessions() -> str:
    """The query that computes the sessions from the events, like PostHog (docs/server.md#hogql)."""
    first_url, last_url = f"argMinIf({_URL}, timestamp, {_URL} != '')", f"argMaxIf({_URL}, timestamp, {_URL} != '')"

    def of_url(prefix: str, url: str) -> list[str]:
        return [f"nullIf({of.format(url)}, '') AS `${prefix}_{name}`" for name, of in _OF_URL.items()]

    def first(name: str) -> str:
        value = f"JSONExtractString(properties, {text(name)})"
        return f"nullIf(argMinIf({value}, timestamp, {value} != ''), '')"

    columns = (
        "`$session_id` AS session_id",
        "argMin(events.distinct_id, timestamp) AS distinct_id",
        "min(timestamp) AS `$start_timestamp`",
        "max(timestamp) AS `$end_timestamp`",
        "max(events.created_at) AS max_inserted_at",
        f"arraySort(groupArrayIf((timestamp, {_URL}), {_URL} != '')) AS visited",
        "arrayDistinct(arrayMap(each -> each.2, visited)) AS `$urls`",
        "length(`$urls`) AS `$num_uniq_urls`",
        *of_url("entry", first_url),
        *of_url("end", last_url),
        *(f"{first(name)} AS {identifier(column)}" for column, name in _entry_properties()),
        *(f"countIf(event = {text(name)}) AS {identifier(column)}" for column, name in _counted_events()),
        "dateDiff('second', min(timestamp), max(timestamp)) AS `$session_duration`",
        "`$pageview_count` > 1 OR `$autocapture_count` > 0 OR `$session_duration` >= 10 AS stayed",
        "if(`$pageview_count` = 0, NULL, not(stayed)) AS `$is_bounce`",
        "toInt64(1) AS team_id",
    )
    return f"SELECT {', '.join(columns)} FROM events WHERE `$session_id` != '' GROUP BY `$session_id`"  # noqa: S608 - our own names


def _entry_properties() -> Iterator[tuple[str, str]]:
    """Pairs of session column and property, for columns with the first value of a property."""
    for column in TABLES["sessions"].columns:
        name = column.removeprefix("$entry_")
        if name != column and name not in _OF_URL:
            yield column, f"${name}" if name.startswith("referr") else name


def _counted_events() -> Iterator[tuple[str, str]]:
    """Pairs of session column and event, for columns that count events."""
    for column in TABLES["sessions"].columns:
        if column.startswith("$") and column.endswith("_count"):
            yield column, column.removesuffix("_count")
