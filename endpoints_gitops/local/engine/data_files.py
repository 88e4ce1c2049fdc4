"""Read the files of `serve --data` for `events` and `persons`, and report every mistake with its line."""

from __future__ import annotations

import csv
import json
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from endpoints_gitops.errors import InvalidInput, Problem
from endpoints_gitops.hogql.tables import TABLES
from endpoints_gitops.hogql.types import Kind
from endpoints_gitops.local.engine.clickhouse_files import content, rows_of_parquet
from endpoints_gitops.local.engine.session import ClickHouseSession
from endpoints_gitops.local.engine.table_files import IN_PARTS, TableFile, find
from endpoints_gitops.model.suggestions import did_you_mean

type Row = dict[str, Any]


class UnreadableData(ValueError):
    """The file cannot be read after this line."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


def records(session: ClickHouseSession, file: TableFile) -> Iterator[tuple[int, Row]]:
    """Each record with its line (its number in a Parquet file), without empty CSV fields."""
    with content(session, file) as plain:
        if file.suffix == ".parquet":
            yield from enumerate(rows_of_parquet(session, file, plain), 1)
            return
        with plain.open(encoding="utf-8-sig", newline="") as stream:
            if file.suffix == ".csv":
                yield from _records_of_csv(stream, skip_empty=file.table in IN_PARTS)
            else:
                yield from ((line, _object(text, line)) for line, text in enumerate(stream, 1) if text.strip())


def _records_of_csv(stream: Iterator[str], *, skip_empty: bool) -> Iterator[tuple[int, Row]]:
    """The records of CSV. An empty line is skipped, or a mistake where ClickHouse reads the file: it would be a row."""
    limit = csv.field_size_limit(_LONGEST_FIELD)  # of the process, 131,072 by default
    reader = csv.reader(stream, strict=True)
    try:
        header = next(reader, [])
        if not header:
            raise UnreadableData("the header with the column names is missing", 1)
        if "" in header:
            raise UnreadableData(f"column {header.index('') + 1} of the header has no name", 1)
        if repeated := _repeated(header):
            raise UnreadableData(f"the header has the column {repeated!r} more than once", 1)
        for fields in reader:
            if not fields and skip_empty:
                continue
            if not fields:
                raise UnreadableData("an empty line is not a row: remove it", reader.line_num)
            if len(fields) != len(header):
                raise UnreadableData(
                    f"the header has {len(header)} columns, but this row has a different number", reader.line_num
                )
            yield reader.line_num, {name: value for name, value in zip(header, fields, strict=True) if value != ""}
    except csv.Error as error:
        raise UnreadableData(f"not CSV: {error}", reader.line_num) from None
    finally:
        csv.field_size_limit(limit)


def _repeated(names: Iterable[str]) -> str | None:
    """The first name that is there more than once."""
    return next((name for name, count in Counter(names).items() if count > 1), None)


def _object(text: str, line: int) -> Row:
    try:
        value = parse_json(text.strip())
    except ValueError as error:
        raise UnreadableData(f"not JSON: {error}", line) from None
    if not isinstance(value, dict):
        raise UnreadableData("each line must be one JSON object", line)
    return value


def parse_json(text: str) -> Any:  # noqa: ANN401 - JSON of any shape
    """The value of a JSON text. Raises ValueError with the mistake and its position."""

    def no_constant(name: str) -> None:
        raise ValueError(f"{name} is not a JSON number")

    def unique(pairs: list[tuple[str, Any]]) -> Row:
        row = dict(pairs)
        if len(row) < len(pairs):
            raise ValueError(f"the key {_repeated(name for name, _ in pairs)!r} is there more than once")
        return row

    try:
        value = json.loads(text, parse_constant=no_constant, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at character {error.pos + 1}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    json.dumps(value, ensure_ascii=False).encode()  # ClickHouse does not accept half of a surrogate pair
    return value


_LONGEST_FIELD: Final = 2**31 - 1
_MOST_PROBLEMS: Final = 20
_NAMESPACE: Final = uuid.UUID("6f1d9e0e-6d6f-5b5e-9d55-0f6f4c1a7e11")

type Read = Callable[[object], object]


@dataclass(slots=True, kw_only=True)
class _Mistakes:
    """The maximum number of reported mistakes of one file."""

    problems: list[Problem] = field(default_factory=list)
    unsaid: dict[str, int] = field(default_factory=dict)

    def add(self, path: Path, message: str, line: int = 0) -> None:
        if sum(problem.path == str(path) for problem in self.problems) < _MOST_PROBLEMS:
            self.problems.append(
                Problem(path=str(path), line=line, column=1 if line else 0, message=message, code="data.invalid")
            )
        else:
            self.unsaid[str(path)] = self.unsaid.get(str(path), 0) + 1

    def raise_any(self) -> None:
        more = [
            Problem(path=path, message=f"and {count} more mistakes", code="data.invalid")
            for path, count in self.unsaid.items()
        ]
        if self.problems:
            raise InvalidInput((*self.problems, *more))


class DataFiles:
    """The rows of the files for `events` and `persons`, and the files that become tables of their own.

    Persons and their distinct ids are held in memory, events come one by one. Mistakes are collected.
    """

    def __init__(self, session: ClickHouseSession, paths: Sequence[Path], *, sample: bool) -> None:
        self._session = session
        self._mistakes = _Mistakes()
        self._tables = _by_table(find(paths, self._mistakes.add), self._mistakes, sample=sample)

    @property
    def has_persons(self) -> bool:
        """Whether there is a file of persons, even an empty one."""
        return "persons" in self._tables

    @property
    def others(self) -> list[TableFile]:
        return [file for name, files in self._tables.items() if name not in IN_PARTS for file in files]

    def people(self) -> People:
        """The persons, and the person of each distinct id."""
        return _people(self._rows("persons", _person_columns), self._mistakes)

    def events(self, owners: Mapping[str, str]) -> Iterator[Row]:
        """The events in order, which `_row` counts. The person of an event is the owner of its distinct id, or else the
        one in the row, or else a new one."""
        rows = (_event(row, owners) for row in self._rows("events", _event_columns))
        yield from (row | {"_row": number} for number, row in enumerate(rows))

    def check_others(self) -> None:
        """Look for mistakes in text files of other tables: ClickHouse reads these, and would accept anything else."""
        for file in self.others:
            if file.suffix != ".parquet":
                deque(_readable(self._session, file, self._mistakes), maxlen=0)

    def raise_mistakes(self) -> None:
        """Raises InvalidInput with the mistakes of all files."""
        self._mistakes.raise_any()

    def _rows(self, name: str, columns_of: ColumnsOf) -> Iterator[Row]:
        return _rows(self._session, self._tables.get(name, ()), columns_of, self._mistakes)


def _by_table(files: Sequence[TableFile], mistakes: _Mistakes, *, sample: bool) -> dict[str, list[TableFile]]:
    tables: dict[str, list[TableFile]] = {}
    for file in files:
        message = _against(file, tables, sample=sample)
        if message is None:
            tables.setdefault(file.table, []).append(file)
        else:
            mistakes.add(file.path, message)
    return tables


def _against(file: TableFile, tables: Mapping[str, Sequence[TableFile]], *, sample: bool) -> str | None:
    """Why a file cannot be a table, or a part of one; None if it can."""
    name = file.table
    if not name.isidentifier() or not name.isascii():
        is_dated = name[:1].isdigit()  # as PostHog names the files of a batch export
        hint = ", or put the files of a batch export of events into a folder named events" if is_dated else ""
        return f"{name!r} is not a valid table name: use letters, digits and _{hint}"
    if name in tables and not (file.is_part and tables[name][0].is_part):
        return f"{tables[name][0].path} already defines the table {name}"
    if name in IN_PARTS:
        return "the sample has this table: omit --sample or this file" if sample else None
    if name in TABLES:
        return f"the table {name} is derived from events and persons: rename the file"
    return None


def _rows(
    session: ClickHouseSession, files: Sequence[TableFile], columns_of: ColumnsOf, mistakes: _Mistakes
) -> Iterator[Row]:
    """The valid rows, each with where it was read."""
    for number, file in enumerate(files):
        for line, record in _readable(session, file, mistakes):
            row, wrong = _checked(record, columns_of(record))
            for message in wrong:
                mistakes.add(file.path, message, line)
            if not wrong:
                yield row | {"#": _RowSource(path=file.path, number=number, line=line)}


def _readable(session: ClickHouseSession, file: TableFile, mistakes: _Mistakes) -> Iterator[tuple[int, Row]]:
    """The records before the first unreadable one."""
    try:
        yield from records(session, file)
    except UnreadableData as error:
        mistakes.add(file.path, str(error), error.line)
    except InvalidInput as error:
        mistakes.problems += error.problems
    except OSError as error:  # its path is a name of our own
        mistakes.add(file.path, f"cannot be read: {error.strerror}")
    except UnicodeDecodeError as error:
        mistakes.add(file.path, f"not UTF-8: {error}")


def _checked(record: Row, columns: Mapping[str, _FieldReader]) -> tuple[Row, list[str]]:
    row = {}
    unknown = record.keys() - columns.keys() - EXPORT_ONLY
    wrong = [f"unknown column {name!r}{did_you_mean(name, columns)}" for name in sorted(unknown)]
    for name, column in columns.items():
        value = record.get(name)
        if value is None:
            if column.needed:
                wrong.append(f"{name} is missing")
            continue
        try:
            row[name] = column.read(value)
        except ValueError as error:
            wrong.append(f"{name}: {error}")
    return row, wrong


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{value!r} is not a string")
    return value


def _uuid(value: object) -> str:
    try:
        return str(uuid.UUID(str(value)))
    except ValueError:
        raise ValueError(f"{value!r} is not a UUID") from None


def _timestamp(value: object) -> str:
    """A time in UTC for ClickHouse; a time without a zone is in UTC."""
    try:
        timestamp = datetime.fromisoformat(str(value))
    except ValueError:
        raise ValueError(f"{value!r} is not an ISO time: write it like 2026-07-01T12:00:00Z") from None
    zoned = timestamp if timestamp.tzinfo else timestamp.replace(tzinfo=UTC)
    if not 1970 < zoned.year < 2262:
        raise ValueError(f"{value!r} is outside the range of ClickHouse's times")
    return zoned.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def _properties(value: object) -> str:
    found = _parsed(value)
    if not isinstance(found, dict):
        raise ValueError("must be a JSON object")
    return json.dumps(found, ensure_ascii=False)


def _texts(value: object) -> list[str]:
    found = _parsed(value)
    if not isinstance(found, list) or not found:
        raise ValueError('must be a JSON list of strings, like ["a"]')
    return [_text(item) for item in found]


def _parsed(value: object) -> Any:  # noqa: ANN401 - JSON of any shape
    """Decode JSON in text, the only form of JSON in CSV and Parquet."""
    if not isinstance(value, str):
        return value
    try:
        return parse_json(value)
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from None


def _elements(value: object) -> str:
    """The chain of elements, which some destinations of batch exports write as JSON, even twice."""
    chain = value
    while isinstance(chain, str) and chain.startswith('"'):  # a chain starts with the name of an element
        chain = _parsed(chain)
    if not isinstance(chain, str):
        raise ValueError(f"{value!r} is not a string")
    return chain


def _flag(value: object) -> bool:
    flags = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
    flag = flags.get(str(value).lower())
    if flag is None:
        raise ValueError(f"{value!r} is not true or false")
    return flag


def _version(value: object) -> int:
    try:
        return int(str(value))
    except ValueError:
        raise ValueError(f"{value!r} is not a whole number") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class _FieldReader:
    read: Read
    needed: bool = True


type ColumnsOf = Callable[[Row], Mapping[str, _FieldReader]]

_READERS: Final[Mapping[Kind, Read]] = {
    Kind.STRING: _text,
    Kind.JSON: _properties,
    Kind.UUID: _uuid,
    Kind.DATETIME64: _timestamp,
}
_NEEDED: Final = ("event", "distinct_id", "timestamp")
_STATED: Final = {
    name: _READERS[column.typed.kind] for name, column in TABLES["events"].columns.items() if column.is_in_data
}
_EVENT: Final = {
    **{name: _FieldReader(read=_STATED[name]) for name in _NEEDED},
    **{name: _FieldReader(read=read, needed=False) for name, read in _STATED.items() if name not in _NEEDED},
    "person_properties": _FieldReader(read=_properties, needed=False),
    "elements_chain": _FieldReader(read=_elements, needed=False),
    "elements": _FieldReader(read=_elements, needed=False),
}
_PERSON: Final = {
    "id": _FieldReader(read=_uuid),
    "distinct_ids": _FieldReader(read=_texts),
    "properties": _FieldReader(read=_properties, needed=False),
    "created_at": _FieldReader(read=_timestamp),
}
_EXPORTED_PERSON: Final = {
    "person_id": _FieldReader(read=_uuid),
    "distinct_id": _FieldReader(read=_text),
    "properties": _FieldReader(read=_properties, needed=False),
    "created_at": _FieldReader(read=_timestamp),
    "person_version": _FieldReader(read=_version, needed=False),
    "person_distinct_id_version": _FieldReader(read=_version, needed=False),
    "is_deleted": _FieldReader(read=_flag, needed=False),
}
EXPORT_ONLY: Final = frozenset(
    (
        "team_id",
        "_inserted_at",
        "set",
        "set_once",
        "people_set",
        "people_set_once",
        "ip",
        "site_url",
        "bq_ingested_timestamp",
        "databricks_ingested_timestamp",
    )
)
"""Columns of batch exports that are not read: about the export and its project, or copies of properties."""


def _event_columns(_record: Row) -> Mapping[str, _FieldReader]:
    return _EVENT


def _person_columns(record: Row) -> Mapping[str, _FieldReader]:
    """A batch export has a row for each distinct id of a person; a file of our own has a row for each person."""
    return _EXPORTED_PERSON if "person_id" in record else _PERSON


@dataclass(frozen=True, slots=True, kw_only=True)
class _RowSource:
    """Where a row was read; `number` counts the files of a table, and `line` is that of the row in a Parquet file."""

    path: Path
    number: int
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """The rows of persons, and the person of each distinct id."""

    rows: Sequence[Row]
    owners: Mapping[str, str]

    def distinct_ids(self) -> Iterator[Row]:
        """A row for each distinct id."""
        return ({"distinct_id": name, "person_id": owner} for name, owner in self.owners.items())


def _people(read_rows: Iterator[Row], mistakes: _Mistakes) -> People:
    """The persons of files. A person has one row, and a distinct id one person; a batch export has versions of both,
    of which the newest counts, and deleted persons are gone.
    """
    rows: dict[str, Row] = {}
    owners: dict[str, str] = {}
    versions: dict[str, int] = {}
    for row in read_rows:
        source = row["#"]
        if "person_id" in row:
            known = rows.get(row["person_id"])
            if known is None or row.get("person_version", 0) >= known.get("person_version", 0):
                rows[row["person_id"]] = row
            name, version = row["distinct_id"], row.get("person_distinct_id_version", 0)
            if version >= versions.get(name, version):
                owners[name], versions[name] = row["person_id"], version
            continue
        if row["id"] in rows:
            mistakes.add(source.path, f"there is a person {row['id']} already", source.line)
        rows[row["id"]] = row
        for name in row["distinct_ids"]:
            if owners.setdefault(name, row["id"]) != row["id"]:
                message = f"the distinct id {name!r} belongs to the person {owners[name]} already"
                mistakes.add(source.path, message, source.line)
    alive = {person: row for person, row in rows.items() if not row.get("is_deleted")}
    return People(
        rows=[_person(person, row) for person, row in alive.items()],
        owners={name: person for name, person in owners.items() if person in alive},
    )


def _event(row: Row, owners: Mapping[str, str]) -> Row:
    """The person of an event: the one with this distinct id, or else the one in the row, or else a new one."""
    name, source = row["distinct_id"], row.pop("#")
    own = row.get("person_id") or str(uuid.uuid5(_NAMESPACE, name))
    chain = row.pop("elements", "")
    new = str(uuid.uuid5(_NAMESPACE, f"events:{source.number}:{source.line}"))
    defaults = {"uuid": new, "properties": "{}", "elements_chain": chain, "created_at": row["timestamp"]}
    return defaults | row | {"person_id": owners.get(name, own)}


def _person(person: str, row: Row) -> Row:
    return {"id": person, "properties": row.get("properties", "{}"), "created_at": row["created_at"]}
