"""Convert the values of an answer to Python, by ClickHouse type or by the server's name of the type
(docs/server.md#answers). In JSON, dates and decimals are text, and integers have all their digits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal
from functools import lru_cache, partial
from typing import Any, Final

from endpoints_gitops.contract.clickhouse import parse_type

type Reader = Callable[[Any], Any]


@lru_cache(maxsize=4096)
def reader(written: str) -> Reader | None:
    """The converter for values of a type; None if they need no conversion.

    Integers become int of any size, decimals Decimal, dates date, times datetime with the time zone of the type or of
    the value. Arrays become lists and maps dictionaries of converted values. Strings, UUIDs and enums are str. Null is
    None. A converter raises ValueError, TypeError or ArithmeticError for a value that does not fit the type.
    """
    parsed = parse_type(written)
    if parsed.name in _NESTED:
        return _NESTED[parsed.name](parsed.inner)
    if parsed.name.startswith("DateTime") or parsed.name == "datetime":
        return partial(_datetime, _zone(parsed.arguments))
    return next((read for names, read in _PLAIN if parsed.name.startswith(names)), None)


def nullable(read: Reader | None) -> Reader | None:
    """A converter that also accepts null, as None."""
    return None if read is None else lambda value: None if value is None else read(value)


def own(value: Any) -> Any:  # noqa: ANN401 - JSON of any shape
    """A deep copy of a JSON value."""
    if isinstance(value, list):
        return [own(item) for item in value]
    if isinstance(value, dict):
        return {key: own(item) for key, item in value.items()}
    return value


def holds_containers(written: str) -> bool:
    """Whether values of a type can be lists or objects in JSON."""
    return not parse_type(written).name.startswith(_TEXTS)


_TEXTS: Final = ("String", "FixedString", "UUID", "Enum", "IPv", "string")


def _array(arguments: Sequence[str]) -> Reader | None:
    read = nullable(reader(arguments[0])) if arguments else None
    return None if read is None else lambda value: [read(item) for item in _list(value)]


def _tuple(arguments: Sequence[str]) -> Reader | None:
    readers = [nullable(reader(argument)) for argument in arguments]
    if not any(readers):
        return None
    return partial(_read_tuple, readers)


def _read_tuple(readers: list[Reader | None], value: Any) -> Any:  # noqa: ANN401 - JSON of any shape
    """Convert a tuple. Tuples with named items can be JSON objects."""
    if isinstance(value, Mapping):
        pairs = zip(readers, value.items(), strict=True)
        return {key: read(item) if read else own(item) for read, (key, item) in pairs}
    return [read(item) if read else own(item) for read, item in zip(readers, _list(value), strict=True)]


def _map(arguments: Sequence[str]) -> Reader | None:
    types = arguments if len(arguments) == 2 else ("", "")
    read_key, read_item = (nullable(reader(argument)) or own for argument in types)
    if read_key is own and read_item is own:
        return None
    return lambda value: {read_key(key): read_item(item) for key, item in _mapping(value).items()}


_NESTED: Final[Mapping[str, Callable[[Sequence[str]], Reader | None]]] = {"Array": _array, "Tuple": _tuple, "Map": _map}


def _same(value: Any) -> Any:  # noqa: ANN401 - any value
    return value


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    return value


def _mapping(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError("not an object")
    return value


def _whole(value: object) -> int:
    """Convert an integer. Servers can send large ones as text, because some clients would round them."""
    if isinstance(value, int):
        return value
    if isinstance(value, str):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise TypeError("not an integer")


def _float(value: object) -> float:
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        return float(value)
    raise TypeError("not a number")


def _decimal(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError("not a number")
    return Decimal(repr(value) if isinstance(value, float) else value)


def _date(value: object) -> date:
    if not isinstance(value, str):
        raise TypeError("not a string")
    return date.fromisoformat(value)


def _truth(value: object) -> bool:
    if value in (0, 1):
        return bool(value)
    raise TypeError("neither true nor false")


def _zone(arguments: Sequence[str]) -> tzinfo | None:
    """The time zone of a type: `DateTime64(6, 'Europe/Berlin')`. None if this machine does not know it: values keep
    their offset.
    """
    name = arguments[-1].strip("'") if arguments and arguments[-1].startswith("'") else None
    if name in (None, "UTC"):
        return UTC if name else None
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name or "")
    except (KeyError, ValueError, OSError):
        return None


def _datetime(zone: tzinfo | None, value: object) -> datetime:
    """Convert a time. Without an offset it is in the time zone of its type, if that has one."""
    if not isinstance(value, str):
        raise TypeError("not a string")
    time = datetime.fromisoformat(value)
    if zone is None:
        return time
    return time.replace(tzinfo=zone) if time.tzinfo is None else time.astimezone(zone)


_PLAIN: Final[tuple[tuple[tuple[str, ...], Reader], ...]] = (
    (("Interval",), _same),
    (("Int", "UInt", "integer"), _whole),
    (("Float", "BFloat", "float"), _float),
    (("Decimal", "decimal"), _decimal),
    (("Date", "date"), _date),
    (("Bool", "boolean"), _truth),
)
