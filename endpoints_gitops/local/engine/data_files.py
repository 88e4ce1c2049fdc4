"""Read the files of `serve --data` for `events` and `persons`, and report every mistake with its line."""

from __future__ import annotations

import csv
import json
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from endpoints_gitops.errors import InvalidInput, Problem
from endpoints_gitops.hogql.tables import TABLES
from endpoints_gitops.model.suggestions import did_you_mean

FORMATS: Final = {".csv": "CSVWithNames", ".jsonl": "JSONEachRow", ".ndjson": "JSONEachRow", ".parquet": "Parquet"}
"""ClickHouse's name of the format, by suffix."""

type Row = dict[str, Any]
type RowsOfParquet = Callable[[Path], Iterator[Row]]


class UnreadableData(ValueError):
    """The file cannot be read after this line."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


def records(path: Path, rows_of_parquet: RowsOfParquet) -> Iterator[tuple[int, Row]]:
    """Each record with its line (its number in a Parquet file), without empty CSV fields."""
    if path.suffix.lower() == ".parquet":
        yield from enumerate(rows_of_parquet(path), 1)
        return
    with path.open(encoding="utf-8-sig", newline="") as stream:
        if path.suffix.lower() == ".csv":
            yield from _records_of_csv(stream)
        else:
            yield from ((line, _object(text, line)) for line, text in enumerate(stream, 1) if text.strip())


def _records_of_csv(stream: Iterator[str]) -> Iterator[tuple[int, Row]]:
    reader = csv.DictReader(stream, strict=True)
    try:
        if not reader.fieldnames:
            raise UnreadableData("the header with the column names is missing", 1)
        for record in reader:
            if None in record or None in record.values():
                raise UnreadableData(
                    f"the header has {len(reader.fieldnames)} columns, but this row has a different number",
                    reader.line_num,
                )
            yield reader.line_num, {key: value for key, value in record.items() if value != ""}
    except csv.Error as error:
        raise UnreadableData(f"not CSV: {error}", reader.reader.line_num) from None


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

    try:
        value = json.loads(text, parse_constant=no_constant)
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at character {error.pos + 1}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    json.dumps(value, ensure_ascii=False).encode()  # ClickHouse does not accept half of a surrogate pair
    return value


_MOST_PROBLEMS: Final = 20
_NAMESPACE: Final = uuid.UUID("6f1d9e0e-6d6f-5b5e-9d55-0f6f4c1a7e11")

type Read = Callable[[object], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Rows for the tables, and files that become tables of their own."""

    events: Sequence[Row] = ()
    persons: Sequence[Row] = ()
    distinct_ids: Sequence[Row] = ()
    others: Sequence[Path] = ()


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


def read(files: Sequence[Path], *, sample: bool, rows_of_parquet: RowsOfParquet) -> Given:
    """The content of the files. Raises InvalidInput with the mistakes of all files."""
    mistakes = _Mistakes()
    by_name = _by_name(files, mistakes, sample=sample)
    found = {
        name: list(_rows(by_name[name], columns, mistakes, rows_of_parquet)) if name in by_name else []
        for name, columns in (("events", _EVENT), ("persons", _PERSON))
    }
    others = [path for name, path in by_name.items() if name not in found]
    for path in others:
        if path.suffix.lower() != ".parquet":  # ClickHouse reads these, and would accept anything else
            deque(_readable(path, mistakes, rows_of_parquet), maxlen=0)
    owners = _owners(found["persons"], by_name.get("persons", Path("persons")), mistakes)
    mistakes.raise_any()
    events = [_event(row, owners) for _, row in found["events"]]
    persons = [_person(row) for _, row in found["persons"]]
    if "persons" not in by_name:
        persons = _persons_of(events)
        owners = {row["distinct_id"]: row["person_id"] for row in events}
    return Given(
        events=events,
        persons=persons,
        distinct_ids=[{"distinct_id": name, "person_id": owner} for name, owner in owners.items()],
        others=others,
    )


def _by_name(files: Sequence[Path], mistakes: _Mistakes, *, sample: bool) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in files:
        message = _against(path, found, sample=sample)
        if message is None:
            found[path.stem] = path
        else:
            mistakes.add(path, message)
    return found


def _against(path: Path, found: Mapping[str, Path], *, sample: bool) -> str | None:
    """Why a file cannot be a table; None if it can."""
    name = path.stem
    if not path.is_file():
        return "there is no such file"
    if path.suffix.lower() not in FORMATS:
        return f"the name of the file must end in {', '.join(FORMATS)}"
    if not name.isidentifier() or not name.isascii():
        return f"{name!r} is not a valid table name: use letters, digits and _"
    if name in found:
        return f"{found[name]} already defines the table {name}"
    if name in ("events", "persons"):
        return "the sample has this table: omit --sample or this file" if sample else None
    if name in TABLES:
        return f"the table {name} is derived from events and persons: rename the file"
    return None


def _rows(
    path: Path, columns: Mapping[str, _FieldReader], mistakes: _Mistakes, rows_of_parquet: RowsOfParquet
) -> Iterator[tuple[int, Row]]:
    """The valid rows, each with its line (its number in a Parquet file)."""
    for line, record in _readable(path, mistakes, rows_of_parquet):
        row, wrong = _checked(record, columns)
        for message in wrong:
            mistakes.add(path, message, line)
        if not wrong:
            yield line, row | {"#": f"{path.stem}:{line}"}


def _readable(path: Path, mistakes: _Mistakes, rows_of_parquet: RowsOfParquet) -> Iterator[tuple[int, Row]]:
    """The records before the first unreadable one."""
    try:
        yield from records(path, rows_of_parquet)
    except UnreadableData as error:
        mistakes.add(path, str(error), error.line)
    except (OSError, UnicodeDecodeError) as error:
        mistakes.add(path, f"cannot be read: {error}")


def _checked(record: Row, columns: Mapping[str, _FieldReader]) -> tuple[Row, list[str]]:
    row = {}
    wrong = [f"unknown column {name!r}{did_you_mean(name, columns)}" for name in record.keys() - columns.keys()]
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _FieldReader:
    read: Read
    needed: bool = True


_EVENT: Final = {
    "event": _FieldReader(read=_text),
    "distinct_id": _FieldReader(read=_text),
    "timestamp": _FieldReader(read=_timestamp),
    "properties": _FieldReader(read=_properties, needed=False),
    "uuid": _FieldReader(read=_uuid, needed=False),
    "person_id": _FieldReader(read=_uuid, needed=False),
}
_PERSON: Final = {
    "id": _FieldReader(read=_uuid),
    "distinct_ids": _FieldReader(read=_texts),
    "properties": _FieldReader(read=_properties, needed=False),
    "created_at": _FieldReader(read=_timestamp),
}


def _owners(persons: Sequence[tuple[int, Row]], path: Path, mistakes: _Mistakes) -> dict[str, str]:
    """The person of each distinct id. A person has one id, and a distinct id one person."""
    owners: dict[str, str] = {}
    seen: set[str] = set()
    for line, row in persons:
        if row["id"] in seen:
            mistakes.add(path, f"there is a person {row['id']} already", line)
        seen.add(row["id"])
        for name in row["distinct_ids"]:
            if owners.setdefault(name, row["id"]) != row["id"]:
                mistakes.add(path, f"the distinct id {name!r} belongs to the person {owners[name]} already", line)
    return owners


def _event(row: Row, owners: Mapping[str, str]) -> Row:
    """The person of an event: the one with this distinct id, or else the one in the row, or else a new one."""
    name, place = row["distinct_id"], row.pop("#")
    own = row.get("person_id") or str(uuid.uuid5(_NAMESPACE, name))
    return {"uuid": str(uuid.uuid5(_NAMESPACE, place)), "properties": "{}"} | row | {"person_id": owners.get(name, own)}


def _person(row: Row) -> Row:
    return {"id": row["id"], "properties": row.get("properties", "{}"), "created_at": row["created_at"]}


def _persons_of(events: Sequence[Row]) -> list[Row]:
    """A person for each distinct id, created with its first event."""
    first: dict[str, str] = {}
    for row in events:
        first[row["person_id"]] = min(first.get(row["person_id"], row["timestamp"]), row["timestamp"])
    return [{"id": person, "properties": "{}", "created_at": created} for person, created in first.items()]
