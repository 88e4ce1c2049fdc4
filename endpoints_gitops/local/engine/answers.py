"""What ClickHouse answers, as the API's JSON has it (docs/server.md#hogql)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from endpoints_gitops.contract.clickhouse import ClickHouseType, parse_type

type Convert = Callable[[Any], Any]

_AS_IS: Final[Convert] = lambda value: value  # noqa: E731 - compared by identity, to leave whole columns alone


def converted(rows: list[list[Any]], types: list[str]) -> list[list[Any]]:
    """The rows with datetimes in ISO 8601 and floats as such; everything else ClickHouse writes as the API does."""
    converters = [converter(each) for each in types]
    if all(each is _AS_IS for each in converters):
        return rows
    return [[convert(value) for convert, value in zip(converters, row, strict=True)] for row in rows]


def converter(written: str) -> Convert:
    """How a value of this type is changed; NULL never is."""
    of = parse_type(written)
    if of.name.startswith("DateTime"):
        return _moments(of)
    if of.name.startswith(("Float", "BFloat")):
        return lambda value: float(value) if isinstance(value, int) else value
    if of.name == "Array":
        return _items(converter(of.inner[0]))
    if of.name == "Tuple":
        return _parts([converter(part) for part in of.inner])
    if of.name == "Map":
        return _values(converter(of.inner[1]))
    return _AS_IS


def _items(convert: Convert) -> Convert:
    if convert is _AS_IS:
        return _AS_IS
    return lambda value: value if value is None else [convert(item) for item in value]


def _parts(converters: list[Convert]) -> Convert:
    if all(each is _AS_IS for each in converters):
        return _AS_IS
    return lambda value: value and [convert(item) for convert, item in zip(converters, value, strict=True)]


def _values(convert: Convert) -> Convert:
    if convert is _AS_IS:
        return _AS_IS
    return lambda value: value and {key: convert(item) for key, item in value.items()}


def _moments(of: ClickHouseType) -> Convert:
    """ClickHouse is asked for UTC; the zone of the column says what is written."""
    zone = next((each.strip("'") for each in of.arguments if each.startswith("'")), None)

    def convert(value: Any) -> Any:  # noqa: ANN401 - a text or None
        if value is None:
            return None
        moment = _read(value).astimezone(UTC if zone is None else ZoneInfo(zone))
        written = moment.replace(tzinfo=None).isoformat(timespec="microseconds" if moment.microsecond else "seconds")
        return written + ("" if zone is None else _offset(moment, zone))

    return convert


def _read(value: str) -> datetime:
    """Nanoseconds are cut to what the API writes."""
    whole, dot, fraction = value.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{whole}{dot}{fraction[:6]}").replace(tzinfo=UTC)


def _offset(moment: datetime, zone: str) -> str:
    return "Z" if zone == "UTC" else moment.isoformat()[-6:]
