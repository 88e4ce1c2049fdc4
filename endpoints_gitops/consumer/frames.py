"""Data frames of pandas and polars, and tables of Arrow, with lossless types. Only this module imports the packages,
which are extras.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from endpoints_gitops.contract.clickhouse import ClickHouseType, bits, is_nullable, parse_type, type_word, unwrapped
from endpoints_gitops.extras import require

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

type Column = tuple[str, str, list[Any]]
"""Name, type as in the answer, values."""

_PANDAS: Final = {"float": "float64", "boolean": "boolean", "decimal": "object", "date": "object"}


def pandas_frame(columns: Sequence[Column]) -> pd.DataFrame:
    """Return a pandas DataFrame of the columns. Raises MissingExtra if pandas is not installed."""
    require("pandas", "to_pandas()")
    import pandas as pd

    series = [pd.Series(values, dtype=_pandas_type(written, values)) for _, written, values in columns]
    frame = pd.DataFrame(dict(enumerate(series)))
    frame.columns = pd.Index([name for name, _, _ in columns], dtype="object")
    return frame


def polars_frame(columns: Sequence[Column]) -> pl.DataFrame:
    """Return a polars DataFrame of the columns. Raises MissingExtra if polars is not installed."""
    require("polars", "to_polars()")
    import polars as pl

    return pl.DataFrame([_polars_series(pl, *column) for column in columns])


def _pandas_type(written: str, values: list[Any]) -> Any:  # noqa: ANN401 - a pandas dtype
    word = _word(written)
    if word == "integer":
        width = bits(written) or 64
        return "object" if width > 64 else "UInt64" if unwrapped(written).startswith("U") else "Int64"
    if word == "datetime":
        zone = _zone_of(written, values)
        return zone if zone == "object" else f"datetime64[us, {zone}]" if zone else "datetime64[us]"
    return _PANDAS.get(word, "object")


def _zone_of(written: str, values: list[Any]) -> str | None:
    """The time zone of a column: that of its type, else of its values, else UTC, the server's. None if the values have
    no zone; "object" if they have several.
    """
    arguments = parse_type(written).arguments if written[:1].isupper() else ()
    named = arguments[-1].strip("'") if arguments and arguments[-1].startswith("'") else None
    zones = {value.tzinfo for value in values if isinstance(value, datetime)}
    if len(zones) > 1:
        return "object"
    if zones == {None}:
        return None
    zone = next(iter(zones), None)
    key = getattr(zone, "key", None)
    return named or key or ("UTC" if zone is None or not zone.utcoffset(None) else "object")


def _polars_series(pl: Any, name: str, written: str, values: list[Any]) -> Any:  # noqa: ANN401 - the module, imported late
    """A Series of the type of the answer, even if it is empty. Maps become lists of key and value, as in Arrow."""
    kind = _polars_type(pl, written, values)
    if kind is pl.Object:
        return pl.Series(name, values, dtype=pl.Object)
    polars_values = [_polars_value(pl, kind, value) for value in values]
    return pl.Series(name, polars_values, dtype=kind)


def _polars_type(pl: Any, written: str, values: list[Any]) -> Any:  # noqa: ANN401 - a polars dtype
    word = _word(written)
    if word == "integer":
        width = bits(written) or 64
        return pl.Object if width > 64 else pl.UInt64 if unwrapped(written).startswith("U") else pl.Int64
    if word == "datetime":
        zone = _zone_of(written, values)
        return pl.Object if zone == "object" else pl.Datetime("us", zone)
    if word == "decimal":
        return _decimal_type(pl, written, values)
    if word in ("array", "json") and written[:1].isupper():
        return _nested_type(pl, written, values)
    plain = {"float": pl.Float64, "boolean": pl.Boolean, "date": pl.Date, "string": pl.String}
    if word in plain:
        return plain[word]
    return pl.Object if written[:1].isupper() else _inferred_type(pl, values)  # JSON, Dynamic, Variant: anything


def _inferred_type(pl: Any, values: list[Any]) -> Any:  # noqa: ANN401 - as above
    """The type inferred from the values, for an answer without types. Objects stay objects: their keys can differ."""
    if any(map(_contains_object, values)):
        return pl.Object
    try:
        kind = pl.Series(values, strict=True).dtype
    except (TypeError, ValueError, pl.exceptions.PolarsError):
        return pl.Object
    return kind


def _contains_object(value: object) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(map(_contains_object, value)))


def _decimal_type(pl: Any, written: str, values: list[Any]) -> Any:  # noqa: ANN401 - as above
    """The type of `Decimal(18, 2)` and `Decimal64(2)`; the server's name `decimal` has no scale."""
    digits = [int(argument) for argument in parse_type(written).arguments if argument.isdigit() and len(argument) < 4]
    return pl.Decimal(38, digits[-1]) if digits and digits[-1] <= 38 else _inferred_type(pl, values)


def _nested_type(pl: Any, written: str, values: list[Any]) -> Any:  # noqa: ANN401 - as above
    """The type of an array, tuple or map whose items all have a polars type; otherwise a Python object."""
    parsed = parse_type(written)
    if parsed.name == "Array" and len(parsed.inner) == 1:
        items = [item for value in values if isinstance(value, list) for item in value]
        inner = _polars_type(pl, parsed.inner[0], items)
        return pl.Object if inner is pl.Object else pl.List(inner)
    if parsed.name == "Map" and len(parsed.inner) == 2:
        maps = [value for value in values if isinstance(value, dict)]
        key = _polars_type(pl, parsed.inner[0], [key for value in maps for key in value])
        item = _polars_type(pl, parsed.inner[1], [item for value in maps for item in value.values()])
        is_known = pl.Object not in (key, item)
        return pl.List(pl.Struct([pl.Field("key", key), pl.Field("value", item)])) if is_known else pl.Object
    if parsed.name == "Tuple" and parsed.inner:
        return _tuple_type(pl, parsed, values)
    return pl.Object


def _tuple_type(pl: Any, parsed: ClickHouseType, values: list[Any]) -> Any:  # noqa: ANN401 - as above
    """A struct type. Items without a name are named 1, 2, …, as in ClickHouse."""
    parts = [list(value.values()) if isinstance(value, dict) else value for value in values if value is not None]
    if any(not isinstance(part, list) or len(part) != len(parsed.inner) for part in parts):
        return pl.Object
    inner = [_polars_type(pl, kind, [part[index] for part in parts]) for index, kind in enumerate(parsed.inner)]
    names = _names_of_items(parsed)
    if pl.Object in inner or len(set(names)) != len(names):
        return pl.Object
    return pl.Struct([pl.Field(name, kind) for name, kind in zip(names, inner, strict=True)])


def _polars_value(pl: Any, kind: Any, value: Any) -> Any:  # noqa: ANN401 - as above, and JSON of any shape
    """A value in the form that polars expects for a type."""
    if isinstance(kind, pl.List) and isinstance(value, dict):
        inner = kind.inner
        fields = {field.name: field.dtype for field in inner.fields}
        return [
            {"key": _polars_value(pl, fields["key"], key), "value": _polars_value(pl, fields["value"], item)}
            for key, item in value.items()
        ]
    if isinstance(kind, pl.List) and isinstance(value, list):
        return [_polars_value(pl, kind.inner, item) for item in value]
    if isinstance(kind, pl.Struct) and isinstance(value, list | dict):
        items = value.values() if isinstance(value, dict) else value
        return {
            field.name: _polars_value(pl, field.dtype, item) for field, item in zip(kind.fields, items, strict=True)
        }
    return value


type _ArrowKind = tuple[Any, Callable[[Any], Any]]
"""A type of Arrow, and the function that converts values other than None to what Arrow expects for it."""

_ANYTHING: Final = ("JSON", "Dynamic", "Variant", "Object")


def arrow_table(columns: Sequence[Column]) -> pa.Table:
    """Return a table of Arrow of the columns. Raises MissingExtra if pyarrow is not installed."""
    require("arrow", "to_arrow()")
    import pyarrow as pa

    fields, arrays = [], []
    for name, written, values in columns:
        kind, convert = _arrow_kind(pa, written, values)
        arrays.append(pa.array([None if value is None else convert(value) for value in values], type=kind))
        can_be_null = is_nullable(written) or _word(written) in ("float", "unknown") or not written[:1].isupper()
        fields.append(pa.field(name, kind, nullable=can_be_null or None in values))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _arrow_kind(pa: Any, written: str, values: list[Any]) -> _ArrowKind:  # noqa: ANN401 - the module, imported late
    word, is_known = _word(written), written[:1].isupper()
    plain = {"float": pa.float64(), "boolean": pa.bool_(), "date": pa.date32(), "string": pa.string()}
    if word in plain:
        return plain[word], _same
    if word == "integer":
        return _arrow_integer(pa, written, values)
    if word == "datetime":
        return _arrow_time(pa, written, values)
    if word == "decimal":
        return _arrow_decimal(pa, written, values)
    if word in ("array", "json") and is_known:
        return _arrow_nested(pa, parse_type(written), values)
    if is_known:
        is_text = parse_type(written).name not in _ANYTHING
        return pa.string(), lambda value: value if is_text and isinstance(value, str) else _json_text(value)
    return _arrow_inferred(pa, values)


def _arrow_integer(pa: Any, written: str, values: list[Any]) -> _ArrowKind:  # noqa: ANN401 - as above
    width = bits(written)
    if width is None:  # the server's name has no width
        fits = all(value is None or -(2**63) <= value < 2**63 for value in values)
        return (pa.int64(), _same) if fits else (pa.string(), str)
    if width == 128:
        return pa.decimal256(39, 0), _same
    if width > 128:  # more digits than a decimal has
        return pa.string(), str
    return getattr(pa, f"{'u' if unwrapped(written).startswith('U') else ''}int{width}")(), _same


def _arrow_time(pa: Any, written: str, values: list[Any]) -> _ArrowKind:  # noqa: ANN401 - as above
    """A timestamp. With several offsets it is in UTC; some of them without any are text."""
    zone = _zone_of(written, values)
    if zone != "object":
        return pa.timestamp("us", zone), _same
    if all(value is None or value.tzinfo is not None for value in values):
        return pa.timestamp("us", "UTC"), _same
    return pa.string(), lambda value: value.isoformat()


def _arrow_decimal(pa: Any, written: str, values: list[Any]) -> _ArrowKind:  # noqa: ANN401 - as above
    """The type of `Decimal(18, 2)` and `Decimal64(2)`; the server's name `decimal` has no scale."""
    parsed = parse_type(written)
    digits = [int(argument) for argument in parsed.arguments if argument.isdigit() and len(argument) < 4]
    if not digits or digits[-1] > 76:
        return _arrow_inferred(pa, values)
    is_wide = parsed.name == "Decimal256" or (len(digits) > 1 and digits[0] > 38) or digits[-1] > 38
    return (pa.decimal256(76, digits[-1]) if is_wide else pa.decimal128(38, digits[-1])), _same


def _arrow_nested(pa: Any, parsed: ClickHouseType, values: list[Any]) -> _ArrowKind:  # noqa: ANN401 - as above
    """A list, a map or a struct; a tuple without one name for each item is JSON text."""
    if parsed.name == "Array" and len(parsed.inner) == 1:
        items = [item for value in values if value is not None for item in value]
        kind, convert = _arrow_kind(pa, parsed.inner[0], items)
        return pa.list_(kind), lambda value: [None if item is None else convert(item) for item in value]
    if parsed.name == "Map" and len(parsed.inner) == 2:
        maps = [value for value in values if value is not None]
        key, convert_key = _arrow_kind(pa, parsed.inner[0], [key for value in maps for key in value])
        item, convert_item = _arrow_kind(pa, parsed.inner[1], [item for value in maps for item in value.values()])
        return pa.map_(key, item), lambda value: [
            (convert_key(key), None if item is None else convert_item(item)) for key, item in value.items()
        ]
    parts = [list(value.values()) if isinstance(value, dict) else value for value in values if value is not None]
    names = _names_of_items(parsed)
    if not names or len(set(names)) < len(names) or any(len(part) != len(names) for part in parts):
        return pa.string(), _json_text
    kinds = [_arrow_kind(pa, kind, [part[index] for part in parts]) for index, kind in enumerate(parsed.inner)]

    def convert_tuple(value: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON of any shape
        items = value.values() if isinstance(value, dict) else value
        converted = zip(names, kinds, items, strict=True)
        return {name: None if item is None else convert(item) for name, (_, convert), item in converted}

    return pa.struct([pa.field(name, kind) for name, (kind, _) in zip(names, kinds, strict=True)]), convert_tuple


def _names_of_items(parsed: ClickHouseType) -> list[str]:
    """The names of the items of a tuple. Items without a name are named 1, 2, …, as in ClickHouse."""
    return [
        written.removesuffix(kind).strip() or str(index)
        for index, (written, kind) in enumerate(zip(parsed.arguments, parsed.inner, strict=True), start=1)
    ]


def _arrow_inferred(pa: Any, values: list[Any]) -> _ArrowKind:  # noqa: ANN401 - as above
    """The type inferred from the values, for an answer without types. What has no common type is JSON text."""
    if any(map(_contains_object, values)):
        return pa.string(), _json_text
    try:
        return pa.array(values).type, _same
    except (pa.ArrowException, OverflowError):
        return pa.string(), _json_text


def _same(value: Any) -> Any:  # noqa: ANN401 - any value
    return value


def _json_text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _word(written: str) -> str:
    """The server's name of a type, which is written as that name or as a ClickHouse type."""
    return type_word(written) if written[:1].isupper() else written
