"""What a pinned endpoint takes and returns, in terms that every target language can express.

A generated client is made from pins alone: no server and no HogQL parser is needed. Everything that a language needs to
know about an endpoint is in its `EndpointInterface`; the module of a language only chooses words for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from endpoints_gitops.contract.clickhouse import is_nullable, parse_type
from endpoints_gitops.model.json import Json
from endpoints_gitops.model.pin import Pin, PinnedColumn, PinnedVariable

_HOGQL: Final = "HogQLQuery"


class ValueKind(StrEnum):
    """The kinds of values in the JSON of answers and variables (docs/server.md#answers).

    Integers have all their digits, which can be more than a double holds. Decimals, dates (`2026-07-01`) and times
    (ISO 8601) are texts. A map is an object whose keys are texts. Values of ANY can be any JSON.
    """

    INTEGER = "integer"
    FLOAT = "float"
    DECIMAL = "decimal"
    STRING = "string"
    BOOLEAN = "boolean"
    DATE = "date"
    DATETIME = "datetime"
    ARRAY = "array"
    TUPLE = "tuple"
    MAP = "map"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class ValueType:
    """The type of a value. `items` is the item type of an array, the key and value types of a map, or the types of a
    tuple's items. Nullability that the lock does not know counts as nullable: a null must not surprise a caller.
    """

    kind: ValueKind
    nullable: bool = False
    items: tuple[ValueType, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RowField:
    """One column of a row.

    The type is ANY if it depends on the value of a variable. A client should refuse a value of another type, because a
    project can change the type of a property.
    """

    column: str
    type: ValueType


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A variable of a call. `required` takes materialization into account; `default` is valid only if `has_default`.

    `takes_lists`: a list of values is accepted too, as for a variable whose default is a list. The type is nullable if
    the default is null.
    """

    variable: str
    type: ValueType
    required: bool
    has_default: bool = False
    default: Json = None
    takes_lists: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointInterface:
    """A pinned endpoint as its callers see it.

    `fields` is None if rows have no known columns: insights, and queries that the server could not describe.
    Parameters without a default come first, in the order of the lock otherwise. `twins` are the pins of other
    environments with the same interface.
    """

    pin: Pin
    parameters: tuple[Parameter, ...]
    fields: tuple[RowField, ...] | None
    twins: tuple[Pin, ...] = ()

    @property
    def is_insight(self) -> bool:
        """Whether the results are those of an insight (`pin.kind` says which) instead of rows with columns."""
        return self.pin.kind != _HOGQL

    @property
    def repeated_columns(self) -> tuple[str, ...]:
        """The names that several columns have. Such rows cannot be objects: they are read by position."""
        names = [field.column for field in self.fields or ()]
        return tuple(sorted({name for name in names if names.count(name) > 1}))

    @property
    def funnel_view(self) -> str | None:
        """The view of a funnel (`steps`, `time_to_convert`, `trends`), which decides on the shape of its results. None
        for other kinds.
        """
        if self.pin.kind != "FunnelsQuery":
            return None
        settings = self.pin.query.get("funnelsFilter")
        view = settings.get("funnelVizType") if isinstance(settings, Mapping) else None
        return "steps" if view is None else str(view)

    @property
    def record(self) -> str | None:
        """The name of the type of an insight's results, in all languages; None without one.

        The results of a funnel with an unknown view, and of web analytics, have no type.
        """
        if self.pin.kind == "FunnelsQuery":
            return FUNNELS.get(self.funnel_view or "")
        return RECORDS.get(self.pin.kind)

    def is_like(self, other: EndpointInterface) -> bool:
        """Whether code for one of the two is right for the other."""
        mine, theirs = ((side.pin.kind, side.funnel_view, side.parameters, side.fields) for side in (self, other))
        return mine == theirs

    @property
    def requires_variables(self) -> bool:
        return any(parameter.required for parameter in self.parameters)


def interface_of(pin: Pin) -> EndpointInterface:
    """The interface of a pin."""
    parameters = sorted((_parameter(pin, variable) for variable in pin.variables), key=lambda item: not item.required)
    fields = tuple(map(_field, pin.columns)) if pin.columns and pin.kind == _HOGQL else None
    return EndpointInterface(pin=pin, parameters=tuple(parameters), fields=fields)


def value_type(written: str, *, nullable: bool = False) -> ValueType:
    """The type for a name of the server (`integer`) or a type with item types (`Array(Nullable(integer))`).

    Floats are always nullable: NaN and infinities, such as the average of no values, are sent as null
    (docs/server.md#hogql).
    """
    parsed = parse_type(written)
    items = tuple(value_type(item, nullable=is_nullable(item)) for item in parsed.inner)
    kind = _KINDS.get(parsed.name, ValueKind.ANY)
    expected = {ValueKind.ARRAY: 1, ValueKind.MAP: 2}.get(kind, len(items))
    if len(items) != expected or (kind is ValueKind.TUPLE and not items):
        items = (_ANY_NULLABLE,) * expected
        kind = ValueKind.ANY if kind is ValueKind.TUPLE else kind
    return ValueType(kind, nullable or kind in (ValueKind.ANY, ValueKind.FLOAT), items)


def identifiers(
    names: Iterable[str],
    style: Callable[[str], str],
    reserved: frozenset[str] = frozenset(),
    *,
    same: Callable[[str], str] = str,
) -> Mapping[str, str]:
    """An identifier for each name, by the name. All are different, and none is reserved.

    Endpoint names differ by characters that an identifier cannot have (`a-b`, `a_b`). The identifiers of all names of
    such a group but the first, in alphabetical order, end in `_2`, `_3`, …; the result does not depend on the order of
    `names`. Identifiers for which `same` returns the same text count as equal, such as `str.lower` for file names.

        identifiers(["sign-ups", "sign_ups"], snake_case) == {"sign-ups": "sign_ups", "sign_ups": "sign_ups_2"}
    """
    chosen: dict[str, str] = {}
    taken = set(map(same, reserved))
    for name in sorted(set(names)):
        base = style(name)
        candidate, number = base, 2
        while same(candidate) in taken:
            candidate, number = f"{base}_{number}", number + 1
        taken.add(same(candidate))
        chosen[name] = candidate
    return chosen


def snake_case(name: str) -> str:
    """`Sign-ups` as `sign_ups`: ASCII letters, digits and underscores, never empty, never a digit first."""
    return _leading_letter("_".join(word.lower() for word in _words(name)))


def pascal_case(name: str) -> str:
    """`sign-ups` as `SignUps`."""
    return _leading_letter("".join(word[:1].upper() + word[1:] for word in _words(name)), "X")


def camel_case(name: str) -> str:
    """`sign-ups` as `signUps`."""
    first, *rest = _words(name) or [""]
    return _leading_letter(first[:1].lower() + first[1:] + "".join(word[:1].upper() + word[1:] for word in rest))


def _words(name: str) -> list[str]:
    spaced = "".join(character if character.isascii() and character.isalnum() else " " for character in name)
    return spaced.split()


def _leading_letter(text: str, letter: str = "x") -> str:
    return text if text[:1].isalpha() else f"{letter}{text}"


def _parameter(pin: Pin, variable: PinnedVariable) -> Parameter:
    known = _VARIABLES.get(variable.type, _ANY_NULLABLE)
    is_null_default = variable.has_default and variable.default is None
    return Parameter(
        variable=variable.name,
        type=replace(known, nullable=known.nullable or is_null_default),
        required=variable.required,
        has_default=variable.has_default,
        default=variable.default,
        takes_lists=pin.kind != _HOGQL or isinstance(variable.default, list | tuple),
    )


def _field(column: PinnedColumn) -> RowField:
    written = "unknown" if column.varies else column.full or column.type
    return RowField(column=column.name, type=value_type(written, nullable=column.nullable is not False))


RECORDS: Final[Mapping[str, str]] = {
    "TrendsQuery": "TrendSeries",
    "LifecycleQuery": "LifecycleSeries",
    "RetentionQuery": "RetentionCohort",
    "PathsQuery": "PathLink",
    "StickinessQuery": "StickinessSeries",
}
"""The types of results, by the kind of the insight."""
FUNNELS: Final[Mapping[str, str]] = {"steps": "FunnelStep", "time_to_convert": "FunnelTimes", "trends": "FunnelTrend"}
"""The types of results, by the view of a funnel. All languages use these names."""
_ANY_NULLABLE: Final = ValueType(ValueKind.ANY, nullable=True)
_TEXT: Final = ValueType(ValueKind.STRING)
_VARIABLES: Final[Mapping[str, ValueType]] = {
    "String": _TEXT,
    "Number": ValueType(ValueKind.FLOAT),
    "Boolean": ValueType(ValueKind.BOOLEAN),
    "List": ValueType(ValueKind.ARRAY, items=(_TEXT,)),
    "Date": ValueType(ValueKind.DATE),
}
"""The types of variables. A Date variable also takes a time."""
_KINDS: Final[Mapping[str, ValueKind]] = {
    **{str(kind): kind for kind in ValueKind if kind not in (ValueKind.TUPLE, ValueKind.MAP)},
    "Array": ValueKind.ARRAY,
    "Tuple": ValueKind.TUPLE,
    "Map": ValueKind.MAP,
}
