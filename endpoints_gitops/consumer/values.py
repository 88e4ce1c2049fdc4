"""From the values of an answer to Python's, by ClickHouse's type, or by the server's word where an answer says no type
(docs/server.md#answers, and how values look in JSON: dates as text, decimals as text, whole numbers unrounded).
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
    """What converts a value of this type; None where it stays as it is.

    Whole numbers are int of any size, decimals Decimal, dates date, moments datetime: with a zone where the type or the
    value has one. Arrays are lists, maps dictionaries, of converted values. Texts, UUIDs and enums are str. Null is
    None. What it returns raises ValueError, TypeError or ArithmeticError for a value that is none of its type.
    """
    found = parse_type(written)
    if found.name in _NESTED:
        return _NESTED[found.name](found.inner)
    if found.name.startswith("DateTime") or found.name == "datetime":
        return partial(_moment, _zone(found.arguments))
    return next((read for names, read in _PLAIN if found.name.startswith(names)), None)


def nullable(read: Reader | None) -> Reader | None:
    """The same, and null is None."""
    return None if read is None else lambda value: None if value is None else read(value)


def own(value: Any) -> Any:  # noqa: ANN401 - JSON of any shape
    """The same value, with lists and objects that nobody else holds."""
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
    item = nullable(reader(arguments[0])) if arguments else None
    return None if item is None else lambda value: [item(each) for each in _list(value)]


def _tuple(arguments: Sequence[str]) -> Reader | None:
    items = [nullable(reader(each)) for each in arguments]
    if not any(items):
        return None
    return partial(_read_tuple, items)


def _read_tuple(items: list[Reader | None], value: Any) -> Any:  # noqa: ANN401 - JSON of any shape
    """Tuples whose elements have names can come as objects."""
    if isinstance(value, Mapping):
        pairs = zip(items, value.items(), strict=True)
        return {key: read(each) if read else own(each) for read, (key, each) in pairs}
    return [read(each) if read else own(each) for read, each in zip(items, _list(value), strict=True)]


def _map(arguments: Sequence[str]) -> Reader | None:
    key, item = (nullable(reader(each)) or own for each in arguments) if len(arguments) == 2 else (own, own)
    if key is own and item is own:
        return None
    return lambda value: {key(name): item(each) for name, each in _mapping(value).items()}


_NESTED: Final[Mapping[str, Callable[[Sequence[str]], Reader | None]]] = {"Array": _array, "Tuple": _tuple, "Map": _map}


def _same(value: Any) -> Any:  # noqa: ANN401 - any value
    return value


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("no list")
    return value


def _mapping(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError("no object")
    return value


def _whole(value: object) -> int:
    """A large number can come as text, where a server takes care of clients that would round it."""
    if isinstance(value, int):
        return value
    if isinstance(value, str):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise TypeError("no whole number")


def _float(value: object) -> float:
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        return float(value)
    raise TypeError("no number")


def _decimal(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError("no number")
    return Decimal(repr(value) if isinstance(value, float) else value)


def _date(value: object) -> date:
    if not isinstance(value, str):
        raise TypeError("no text")
    return date.fromisoformat(value)


def _truth(value: object) -> bool:
    if value in (0, 1):
        return bool(value)
    raise TypeError("neither true nor false")


def _zone(arguments: Sequence[str]) -> tzinfo | None:
    """The zone that a type names: `DateTime64(6, 'Europe/Berlin')`. One that this machine does not know counts as none:
    values keep their offset.
    """
    name = arguments[-1].strip("'") if arguments and arguments[-1].startswith("'") else None
    if name in (None, "UTC"):
        return UTC if name else None
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name or "")
    except (KeyError, ValueError, OSError):
        return None


def _moment(zone: tzinfo | None, value: object) -> datetime:
    """A moment without offset is in the zone of its type; without that one too it stays without."""
    if not isinstance(value, str):
        raise TypeError("no text")
    moment = datetime.fromisoformat(value)
    if zone is None:
        return moment
    return moment.replace(tzinfo=zone) if moment.tzinfo is None else moment.astimezone(zone)


_PLAIN: Final[tuple[tuple[tuple[str, ...], Reader], ...]] = (
    (("Interval",), _same),
    (("Int", "UInt", "integer"), _whole),
    (("Float", "BFloat", "float"), _float),
    (("Decimal", "decimal"), _decimal),
    (("Date", "date"), _date),
    (("Bool", "boolean"), _truth),
)
