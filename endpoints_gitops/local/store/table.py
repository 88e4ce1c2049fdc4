"""Frozen values in and out of a SQLite table: the columns are the fields of the class."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, get_args, get_type_hints

_SCALARS = (str, int, bool, float)


class Table[Row]:
    """One table of one kind of row. The first field is the primary key; rows keep the order they were made in."""

    def __init__(self, connection: sqlite3.Connection, kind: type[Row], name: str) -> None:
        self._connection = connection
        self._kind = kind
        self.name = name
        hints = get_type_hints(kind)
        self._types = {field.name: _plain(hints[field.name]) for field in fields(kind)}  # type: ignore[arg-type]  # a dataclass
        self._names = tuple(self._types)
        self.key = self._names[0]
        columns = ", ".join(f'"{column}"' for column in self._names)
        connection.execute(
            f'CREATE TABLE IF NOT EXISTS {name} (place INTEGER PRIMARY KEY, {columns}, UNIQUE("{self.key}"))'
        )

        there = {record[1] for record in connection.execute(f"PRAGMA table_info({name})")}
        for column in (column for column in self._names if column not in there):  # a state of an older release
            connection.execute(f'ALTER TABLE {name} ADD COLUMN "{column}"')

    def insert(self, row: Row) -> Row:
        marks = ", ".join("?" * len(self._names))
        columns = ", ".join(f'"{column}"' for column in self._names)
        self._connection.execute(f"INSERT INTO {self.name} ({columns}) VALUES ({marks})", self._written(row))  # noqa: S608 - names of ours
        return row

    def update(self, row: Row) -> Row:
        changes = ", ".join(f'"{column}" = ?' for column in self._names)
        key = getattr(row, self.key)
        self._connection.execute(f'UPDATE {self.name} SET {changes} WHERE "{self.key}" = ?', (*self._written(row), key))  # noqa: S608 - names of ours
        return row

    def delete(self, key: str | int) -> None:
        self._connection.execute(f'DELETE FROM {self.name} WHERE "{self.key}" = ?', (key,))  # noqa: S608 - names of ours

    def select(self, where: str = "1", values: Sequence[Any] = (), *, tail: str = "ORDER BY place") -> list[Row]:
        columns = ", ".join(f'"{column}"' for column in self._names)
        sql = f"SELECT {columns} FROM {self.name} WHERE {where} {tail}"  # noqa: S608 - conditions of ours, values bound
        return [self._read(record) for record in self._connection.execute(sql, tuple(values))]

    def first(self, where: str, values: Sequence[Any] = (), *, tail: str = "ORDER BY place") -> Row | None:
        found = self.select(where, values, tail=f"{tail} LIMIT 1")
        return found[0] if found else None

    def count(self, where: str = "1", values: Sequence[Any] = ()) -> int:
        sql = f"SELECT count(*) FROM {self.name} WHERE {where}"  # noqa: S608 - conditions of ours, values bound
        (number,) = self._connection.execute(sql, tuple(values)).fetchone()
        return int(number)

    def _written(self, row: Row) -> tuple[Any, ...]:
        return tuple(_to_column(getattr(row, name), self._types[name]) for name in self._names)

    def _read(self, record: Sequence[Any]) -> Row:
        return self._kind(
            **{name: _from_column(value, self._types[name]) for name, value in zip(self._names, record, strict=True)}
        )


def _plain(hint: Any) -> Any:  # noqa: ANN401 - a type of any form
    """The type without `| None`; anything that is no scalar and no time is kept as JSON."""
    named = [each for each in get_args(hint) if each is not type(None)] if type(None) in get_args(hint) else [hint]
    return named[0] if len(named) == 1 and named[0] in (*_SCALARS, datetime) else object


def _to_column(value: Any, kind: Any) -> Any:  # noqa: ANN401 - what SQLite holds
    if kind is object:
        return None if value is None else json.dumps(value)
    return value.isoformat() if value is not None and kind is datetime else value


def _from_column(value: Any, kind: Any) -> Any:  # noqa: ANN401 - what SQLite holds
    if value is None:
        return None
    if kind is object:
        return json.loads(value)
    return datetime.fromisoformat(value) if kind is datetime else kind(value)
