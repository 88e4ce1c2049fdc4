"""Rows written by hand, as the server would send them (docs/server.md#hogql), checked against what the pin promises."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any, Final
from uuid import UUID

from endpoints_gitops.api.answers import RunAnswer
from endpoints_gitops.consumer.errors import ResultsBroken
from endpoints_gitops.consumer.insights import records
from endpoints_gitops.consumer.rows import Row
from endpoints_gitops.consumer.sending import Unsendable, as_json
from endpoints_gitops.contract.clickhouse import bits, parse_type
from endpoints_gitops.model.json import Json
from endpoints_gitops.model.pin import Pin, PinnedColumn
from endpoints_gitops.model.suggestions import did_you_mean
from pytest_endpoints_gitops.calls import HOGQL, run_of

FIRST_DAY: Final = date(1900, 1, 1)
LAST_DAY: Final = date(2299, 12, 31)
"""The days of ClickHouse's Date32 and DateTime64."""

LEAST_INTEGER: Final = -(2**255)
LARGEST_INTEGER: Final = 2**256 - 1
"""Int256 and UInt256: a lock does not say how wide an integer is."""

DECIMAL_DIGITS: Final = 76
_INTEGERS: Final = ("Int64", "UInt64", "Int128", "UInt128", "Int256", "UInt256")
_LAST_SHORT_DAY: Final = date(2149, 6, 6)
_SHOWN: Final = 100


class RowsMistaken(Exception):
    """Rows that the pinned version cannot return. `problems` are what is wrong, the first one first; `received` is the
    row, as it was written.
    """

    def __init__(self, problems: Sequence[str], received: str) -> None:
        super().__init__(problems[0])
        self.problems = tuple(problems)
        self.received = received


class _Unfit(Exception):
    """A value that a column cannot have; the message completes "column x is …"."""


def stub_answer(pin: Pin, rows: object) -> RunAnswer:
    """The answer with these rows: dictionaries, records with a field for each column, or values in column order; for an
    insight its `results`. Raises RowsMistaken.
    """
    listed = _listed(rows)
    if pin.kind != HOGQL:
        return _insight(pin, listed)
    if pin.columns is None:
        reason = "the lock lists no columns of this version, so rows by hand cannot be checked"
        raise RowsMistaken([reason], f"{len(listed)} rows")
    values = [_values(pin.columns, row, number) for number, row in enumerate(listed)]
    sent: list[list[Json]] = []
    for number, (row, original) in enumerate(zip(values, listed, strict=True)):
        mistakes, encoded = [], []
        for column, value in zip(pin.columns, row, strict=True):
            try:
                encoded.append(wire_value(column, value))
            except _Unfit as error:
                mistakes.append(f'column "{column.name}" {error}')
        if mistakes:
            raise RowsMistaken(mistakes, f"row {number}: {_shown(original)}")
        sent.append(encoded)
    types = [_typed(column, [row[index] for row in sent]) for index, column in enumerate(pin.columns)]
    return run_of(pin, tuple(column.name for column in pin.columns), types, sent)


def wire_value(column: PinnedColumn, value: object) -> Json:
    """A value as the server sends one of this column. Raises an error that completes `column "x" …`."""
    if value is None:
        if column.nullable is False:
            raise _Unfit("is null, and the lock says never")
        if column.type == "array" and column.nullable is None:
            raise _Unfit("is null, which an array never is")
        return None
    return _encoded(column.full or column.type, value)


def _listed(rows: object) -> list[Any]:
    if isinstance(rows, str | bytes | Mapping) or not isinstance(rows, Iterable):
        raise RowsMistaken(["rows is a list of rows"], _shown(rows))
    return list(rows)


def _insight(pin: Pin, results: list[Any]) -> RunAnswer:
    try:
        sent = [as_json(getattr(result, "raw", result)) for result in results]
        records(pin, sent)
    except Unsendable as error:
        raise RowsMistaken([str(error)], _shown(results)) from None
    except ResultsBroken as error:
        raise RowsMistaken([error.problem], _shown(results if error.at is None else results[error.at])) from None
    return run_of(pin, None, (), sent)


def _values(columns: Sequence[PinnedColumn], row: object, number: int) -> list[Any]:
    """The values of a row in column order. Raises RowsMistaken."""
    names = [column.name for column in columns]
    if isinstance(row, list | tuple | Row) and not hasattr(row, "_fields"):
        if len(row) != len(names):
            problem = f"row {number} has {len(row)} values for {len(names)} columns"
            raise RowsMistaken([problem], _shown(row))
        return list(row)
    named = _named(row)
    if named is None:
        problem = f"row {number} is no row: a dictionary, or values in the order of the columns"
        raise RowsMistaken([problem], _shown(row))
    unknown = [f'the pin has no column "{name}"{did_you_mean(str(name), names)}' for name in named if name not in names]
    lacking = [f'the stub has no column "{name}"' for name in names if name not in named]
    twice = [f'several columns are named "{name}": write values in column order' for name in _repeated(names)]
    if unknown or lacking or twice:
        raise RowsMistaken([*twice, *unknown, *lacking], f"row {number}: {_shown(row)}")
    return [named[name] for name in names]


def _named(row: object) -> Mapping[Any, Any] | None:
    if isinstance(row, Mapping):
        return row
    if dataclasses.is_dataclass(row) and not isinstance(row, type):
        return {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}
    if hasattr(row, "_asdict"):
        fields: Mapping[str, Any] = row._asdict()
        return fields
    model_fields = getattr(type(row), "model_fields", None)
    return {name: getattr(row, name) for name in model_fields} if isinstance(model_fields, Mapping) else None


def _repeated(names: Sequence[str]) -> Iterator[str]:
    return (name for name in dict.fromkeys(names) if names.count(name) > 1)


def _encoded(kind: str, value: object) -> Json:
    """A value of a type, by the server's name for it or by a full type. Raises _Unfit."""
    parsed = parse_type(kind)
    if parsed.name in _CONTAINERS:
        return _CONTAINERS[parsed.name](parsed.inner, value)
    return _ENCODERS.get(parsed.name, _any)(value)


def _item(kind: str, value: object) -> Json:
    if value is None and kind.startswith("Nullable("):
        return None
    return _encoded(kind, value)


def _array(items: Sequence[str], value: object) -> Json:
    if not isinstance(value, list | tuple):
        raise _unfit("a list", value)
    return [_item(items[0], item) for item in value]


def _tuple(items: Sequence[str], value: object) -> Json:
    if isinstance(value, Mapping) and len(value) == len(items):
        return {str(key): _item(kind, item) for kind, (key, item) in zip(items, value.items(), strict=True)}
    if not isinstance(value, list | tuple) or len(value) != len(items):
        raise _unfit(f"a tuple of {len(items)} values", value)
    return [_item(kind, item) for kind, item in zip(items, value, strict=True)]


def _map(items: Sequence[str], value: object) -> Json:
    if not isinstance(value, Mapping):
        raise _unfit("an object", value)
    return {_key(key): _item(items[-1], item) for key, item in value.items()}


def _key(key: object) -> str:
    return key if isinstance(key, str) else str(as_json(key))


_CONTAINERS: Final[Mapping[str, Callable[[Sequence[str], object], Json]]] = {
    "Array": _array,
    "Tuple": _tuple,
    "Map": _map,
}


def _integer(value: object) -> Json:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _unfit("an integer", value)
    if not LEAST_INTEGER <= value <= LARGEST_INTEGER:
        raise _Unfit("is an integer of more than 256 bits, which ClickHouse does not have")
    return int(value)


def _float(value: object) -> Json:
    """NaN and infinities are null in the server's JSON."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise _unfit("a float", value)
    number = float(value)
    return number if math.isfinite(number) else None


def _decimal(value: object) -> Json:
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
            raise _unfit("a decimal", value)
        number = Decimal(repr(value) if isinstance(value, float) else value)
    except InvalidOperation:
        raise _unfit("a decimal", value) from None
    if not number.is_finite():
        raise _Unfit(f"is {value}, which is no decimal")
    text = format(number, "f")
    _decimal_type([text])
    return text


def _string(value: object) -> Json:
    if isinstance(value, Enum) and isinstance(value.value, str):
        return value.value
    if not isinstance(value, str | UUID):
        raise _unfit("a string", value)
    text = str(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _Unfit("is a text that UTF-8 cannot represent") from None
    return text


def _boolean(value: object) -> Json:
    if not isinstance(value, bool):
        raise _unfit("true or false", value)
    return value


def _date(value: object) -> Json:
    if isinstance(value, str):
        try:
            value = date.fromisoformat(value)
        except ValueError:
            raise _unfit("a date", value) from None
    if not isinstance(value, date) or isinstance(value, datetime):
        raise _unfit("a date", value)
    _require_day(value)
    return value.isoformat()


def _datetime(value: object) -> Json:
    """UTC ends in Z; other zones have their offset. A time without a zone is UTC."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise _unfit("a time", value) from None
    if not isinstance(value, datetime):
        raise _unfit("a time", value)
    _require_day(value.date())
    aware = value if value.tzinfo else value.replace(tzinfo=UTC)
    return aware.isoformat().replace("+00:00", "Z")


def _require_day(day: date) -> None:
    if not FIRST_DAY <= day <= LAST_DAY:
        raise _Unfit(f"is {day}; ClickHouse's days are from {FIRST_DAY} to {LAST_DAY}")


def _any(value: object) -> Json:
    try:
        return as_json(value)
    except Unsendable as error:
        raise _Unfit(f"cannot have this value: {error}") from None


def _any_list(value: object) -> Json:
    if not isinstance(value, list | tuple):
        raise _unfit("a list", value)
    return _any(value)


def _any_container(value: object) -> Json:
    if not isinstance(value, list | tuple | Mapping):
        raise _unfit("a list or an object", value)
    return _any(value)


_ENCODERS: Final[Mapping[str, Callable[[object], Json]]] = {
    "integer": _integer,
    "float": _float,
    "decimal": _decimal,
    "string": _string,
    "datetime": _datetime,
    "date": _date,
    "boolean": _boolean,
    "array": _any_list,
    "json": _any_container,
}


def _unfit(promised: str, value: object) -> _Unfit:
    return _Unfit(f"is {promised} in the lock, and {_shown(value)} in the stub")


def _typed(column: PinnedColumn, values: Sequence[Json]) -> tuple[str, str]:
    """A column and its ClickHouse type. Raises RowsMistaken where no type has all of the values."""
    try:
        return column.name, _written(column, values)
    except _Unfit as error:
        raise RowsMistaken([f'column "{column.name}" {error}'], _shown(values)) from None


def _written(column: PinnedColumn, values: Sequence[Json]) -> str:
    """The ClickHouse type of a column with these values: the narrowest that has them all."""
    present = [value for value in values if value is not None]
    written = _plain(column.type, present) if column.full is None else _full(column.full)
    is_nullable = column.nullable or (len(present) < len(values) and column.type != "float")
    return f"Nullable({written})" if is_nullable and column.type != "unknown" else written


def _full(kind: str) -> str:
    """The ClickHouse type of a full type, whose item types are the server's names."""
    parsed = parse_type(kind)
    if parsed.name in _CONTAINERS:
        written = f"{parsed.name}({', '.join(map(_full, parsed.arguments))})"
    else:
        written = _plain(parsed.name, ())
    return f"Nullable({written})" if kind.startswith("Nullable(") else written


def _plain(word: str, values: Sequence[Any]) -> str:
    if word == "integer":
        fitting = (written for written in _INTEGERS if all(_holds(written, value) for value in values))
        written = next(fitting, None)
        if written is None:
            raise _Unfit("has negative integers and some above Int256: no type of ClickHouse holds both")
        return written
    if word == "decimal":
        return _decimal_type(values)
    if word == "date":
        is_short = all("1970-01-01" <= value <= _LAST_SHORT_DAY.isoformat() for value in values)
        return "Date" if is_short else "Date32"
    if word == "datetime":
        return "DateTime64(6, 'UTC')" if all(value.endswith("Z") for value in values) else "DateTime64(6)"
    if word == "json":
        is_object = any(isinstance(value, dict) for value in values)
        return "Map(String, Dynamic)" if is_object else "Tuple"
    return _TYPES.get(word, "Dynamic")


def _decimal_type(values: Sequence[str]) -> str:
    scale = max(map(_scale, values), default=2)
    whole = max((len(value.lstrip("-0").partition(".")[0]) for value in values), default=0)
    if whole + scale > DECIMAL_DIGITS:
        raise _Unfit(
            f"has decimals of {whole} digits before and {scale} after the point: ClickHouse has {DECIMAL_DIGITS}"
        )
    return f"Decimal({DECIMAL_DIGITS}, {scale})"


_TYPES: Final = {"string": "String", "float": "Float64", "boolean": "Bool", "array": "Array(Dynamic)"}


def _holds(written: str, value: int) -> bool:
    width = bits(written) or 64
    least, most = (0, 2**width) if written.startswith("U") else (-(2 ** (width - 1)), 2 ** (width - 1))
    return bool(least <= value < most)


def _scale(text: str) -> int:
    return len(text.partition(".")[2])


def _shown(value: object) -> str:
    """A value as a test wrote it, cut."""
    try:
        text = repr(value)
    except ValueError as error:  # an integer of more than 4,300 digits
        text = str(error)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
