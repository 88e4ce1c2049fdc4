"""Strategies of hypothesis: rows and variables that the contract in the lock allows.

A test module makes them at import (`@given(endpoint_rows("revenue_by_plan"))`), when it is not known yet which test
draws: the lock is found when the first example is drawn. Only this module imports hypothesis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from endpoints_gitops.consumer.sending import mistake_of
from endpoints_gitops.contract.clickhouse import parse_type
from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.json import Json
from endpoints_gitops.model.pin import Pin, PinnedColumn, PinnedVariable
from endpoints_gitops.model.suggestions import did_you_mean
from pytest_endpoints_gitops.background import current_owner
from pytest_endpoints_gitops.calls import HOGQL
from pytest_endpoints_gitops.config import DEFAULT
from pytest_endpoints_gitops.errors import set_up
from pytest_endpoints_gitops.options import nearest_lock, only_lock
from pytest_endpoints_gitops.project import AppProject, PinnedEnvironment
from pytest_endpoints_gitops.stub_rows import FIRST_DAY, LAST_DAY, LEAST_INTEGER
from pytest_endpoints_gitops.suite import suite_of

type Row = dict[str, Any]
type Overrides = Mapping[str, SearchStrategy[Any]]

_LARGEST: Final = -LEAST_INTEGER - 1
_EDGE_INTEGERS: Final = (0, -1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), _LARGEST, LEAST_INTEGER)
_EDGE_TEXTS: Final = ("", " ", "0", "null", "NaN", "é\u0301", "\u202e", "日本", "🧾", "a\x00b", "'", "x" * 1000)
_EDGE_DAYS: Final = (FIRST_DAY, LAST_DAY, date(1970, 1, 1), date(2149, 6, 6), date(2149, 6, 7), date(2028, 2, 29))
_EDGE_TIMES: Final = tuple(datetime.combine(day, at, UTC) for day in _EDGE_DAYS for at in (time.min, time.max))
_LARGEST_PART: Final = 10**38
_SCALES: Final = (0, 2, 38)


def endpoint_rows(
    name: str,
    *,
    columns: Overrides | None = None,
    min_size: int = 0,
    max_size: int = 10,
    lock: str | Path | None = None,
    environment: str | None = None,
) -> SearchStrategy[list[Row]]:
    """Lists of rows that the pinned version may return, as dictionaries of Python values: integers up to Int256,
    decimals, texts, days at the limits, and null in each column of which the lock does not say that it never is.

        @given(rows=endpoint_rows("revenue_by_plan", columns={"mrr": st.decimals(0, 100, places=2)}))
        def test_total(rows): ...

    `columns`: strategies for some of the columns. `lock` and `environment`: those of the test that draws, else the
    nearest lock above the working directory.

    Drawing raises NotSetUp without a lock, NotPinned, and UsageError for a column that is not in the pin, for an
    insight, and for a version whose columns the lock does not list.
    """

    def rows(pinned: PinnedEnvironment, pin: Pin) -> SearchStrategy[list[Row]]:
        del pinned
        return _rows(pin, columns or {}, min_size, max_size)

    return _of_pin("endpoint_rows", name, lock, environment, rows)


def endpoint_variables(
    name: str,
    *,
    variables: Overrides | None = None,
    lock: str | Path | None = None,
    environment: str | None = None,
) -> SearchStrategy[Row]:
    """Variables that a call of the pinned version may send: all required ones, and some of the optional ones. A List
    variable whose definition is in this checkout has one of its `values`.

        @given(variables=endpoint_variables("revenue_by_plan"))
        def test_call(variables): ...

    `variables`: strategies for some of them. Otherwise as `endpoint_rows`.
    """

    def calls(pinned: PinnedEnvironment, pin: Pin) -> SearchStrategy[Row]:
        return _variables(pinned, pin, variables or {})

    return _of_pin("endpoint_variables", name, lock, environment, calls)


def _of_pin(
    title: str,
    name: str,
    lock: str | Path | None,
    environment: str | None,
    make: Callable[[PinnedEnvironment, Pin], SearchStrategy[Any]],
) -> SearchStrategy[Any]:
    """A strategy that is made when the first example is drawn, and again for another project."""
    made: list[tuple[Pin, SearchStrategy[Any]]] = []

    def drawn(draw: Callable[[SearchStrategy[Any]], Any]) -> Any:  # noqa: ANN401 - of the strategy
        pinned = _environment(lock, environment)
        pin = pinned.pin(name)
        if not made or made[0][0] is not pin:
            made[:] = [(pin, make(pinned, pin))]
        return draw(made[0][1])

    drawn.__name__ = title
    return st.composite(drawn)()


def _decimal(digits: int, scale: int) -> Decimal:
    return Decimal(f"{digits}e-{scale}")


_TEXTS: Final = st.text(max_size=20) | st.sampled_from(_EDGE_TEXTS)
_FLOATS: Final = st.floats(allow_nan=False, allow_infinity=False)
_NUMBERS: Final = st.integers(-(2**63), 2**64 - 1) | _FLOATS
_DAYS: Final = st.dates(FIRST_DAY, LAST_DAY) | st.sampled_from(_EDGE_DAYS)
_SCALARS: Final[SearchStrategy[Any]] = _NUMBERS | _TEXTS | st.booleans()
"""What JSON can hold in a place whose type is not known, without null."""
_ITEMS: Final = _SCALARS | st.none()

_SIMPLE: Final[Mapping[str, SearchStrategy[Any]]] = {
    "integer": st.integers(LEAST_INTEGER, _LARGEST) | st.sampled_from(_EDGE_INTEGERS),
    "float": _FLOATS,
    "decimal": st.builds(_decimal, st.integers(-_LARGEST_PART, _LARGEST_PART), st.sampled_from(_SCALES)),
    "string": _TEXTS,
    "date": _DAYS,
    "datetime": st.datetimes(
        datetime.combine(FIRST_DAY, time.min), datetime.combine(LAST_DAY, time.max), timezones=st.just(UTC)
    )
    | st.sampled_from(_EDGE_TIMES),
    "boolean": st.booleans(),
    "array": st.lists(_ITEMS, max_size=3),
    "json": st.dictionaries(_TEXTS, _ITEMS, max_size=3) | st.lists(_ITEMS, max_size=3),
}

_PROJECTS: Final[dict[tuple[Path | None, int | None, str | None], PinnedEnvironment]] = {}


def _environment(lock: str | Path | None, environment: str | None) -> PinnedEnvironment:
    """That of the test that draws, else of the nearest lock above the working directory. Raises NotSetUp."""
    owner = current_owner()
    if lock is not None:
        return _outside_of_tests(Path(lock).absolute(), environment)
    if owner is None:
        return _outside_of_tests(nearest_lock(Path.cwd()), environment)
    config = getattr(owner.item, "funcargs", {}).get("endpoints_config", DEFAULT)
    tested = suite_of(owner.item.config).app_of(owner.item, config).environment
    is_same = environment is None or environment == tested.name
    return tested if is_same else _outside_of_tests(tested.project.lock_path, environment)


def _outside_of_tests(path: Path | None, environment: str | None) -> PinnedEnvironment:
    """That of a lock, which is read once until it changes."""
    key = (path, path.stat().st_mtime_ns if path is not None and path.exists() else None, environment)
    if key not in _PROJECTS:
        settings = only_lock("" if path is None else str(path), environment or "")
        folder = Path.cwd() if path is None else path.parent
        _PROJECTS[key] = PinnedEnvironment(AppProject(folder, settings), DEFAULT)
    return _PROJECTS[key]


def _rows(pin: Pin, overrides: Overrides, least: int, most: int) -> SearchStrategy[list[Row]]:
    if pin.kind != HOGQL:
        raise UsageError(f"{pin.label} is a {pin.kind}: endpoint_rows is for HogQL", code="call.option")
    if pin.columns is None:
        raise UsageError(f"the lock lists no columns of {pin.label}", code="call.option")
    names = [column.name for column in pin.columns]
    _refuse_unknown(pin, overrides, names, "column")
    values = {
        column.name: overrides[column.name] if column.name in overrides else _column(column) for column in pin.columns
    }
    return st.lists(st.fixed_dictionaries(values), min_size=least, max_size=most)


def _column(column: PinnedColumn) -> SearchStrategy[Any]:
    values = _values(column.full or column.type)
    is_never_null = column.nullable is False or (column.nullable is None and column.type == "array")
    return values if is_never_null else values | st.none()


def _values(kind: str) -> SearchStrategy[Any]:
    """Values of a type, by the server's name for it or by a full type, as the library reads them."""
    parsed = parse_type(kind)
    items = [_item(argument) for argument in parsed.inner]
    match parsed.name:
        case "Array":
            return st.lists(items[0], max_size=3)
        case "Tuple":
            return st.tuples(*items).map(list)
        case "Map":
            return st.dictionaries(_values(parsed.inner[0]), items[-1], max_size=3)
    return _SIMPLE.get(parsed.name, _SCALARS)


def _item(kind: str) -> SearchStrategy[Any]:
    values = _values(kind)
    return values | st.none() if kind.startswith("Nullable(") else values


def _variables(of: PinnedEnvironment, pin: Pin, overrides: Overrides) -> SearchStrategy[Row]:
    _refuse_unknown(pin, overrides, [variable.name for variable in pin.variables], "variable")
    choices = dict(_choices(of, pin)) if any(variable.type == "List" for variable in pin.variables) else {}
    values = {
        variable.name: overrides[variable.name]
        if variable.name in overrides
        else _variable(variable, choices.get(variable.name, ()))
        for variable in pin.variables
    }
    required = {variable.name for variable in pin.variables if variable.required}
    return st.fixed_dictionaries(
        {name: strategy for name, strategy in values.items() if name in required},
        optional={name: strategy for name, strategy in values.items() if name not in required},
    )


_VARIABLES: Final[Mapping[str, SearchStrategy[Any]]] = {
    "Number": _NUMBERS,
    "Boolean": st.booleans(),
    "Date": _DAYS,
}


def _variable(variable: PinnedVariable, choices: tuple[Json, ...]) -> SearchStrategy[Any]:
    single = st.sampled_from(choices) if choices else _VARIABLES.get(variable.type, _TEXTS)
    takes_lists = variable.type == "List" or isinstance(variable.default, list | tuple)
    return single | st.lists(single, max_size=3) if takes_lists else single


def _choices(of: PinnedEnvironment, pin: Pin) -> Iterator[tuple[str, tuple[Json, ...]]]:
    """The `values` of the List variables in the definition, where that is in the checkout; the lock has none."""
    from endpoints_gitops.workspace.definitions import read_all

    if of.definitions is None:
        return
    with set_up("definitions", "they cannot be used"):
        definition = next((known for known in read_all(of.definitions) if known.name == pin.name), None)
    declared = {variable.name: variable for variable in pin.variables}
    for variable in (definition.definition.variables or ()) if definition else ():
        pinned = declared.get(variable.name)
        if pinned is not None and pinned.type == "List":
            fitting = (value for value in variable.values or () if _is_choice(pinned, value))
            yield variable.name, tuple(fitting)


def _is_choice(variable: PinnedVariable, value: Json) -> bool:
    return isinstance(value, str) and mistake_of(variable, value, value, is_insight=False) is None


def _refuse_unknown(pin: Pin, overrides: Overrides, names: list[str], what: str) -> None:
    for name in overrides:
        if name not in names:
            message = f"{pin.label} has no {what} {name!r}{did_you_mean(name, names)}"
            raise UsageError(message, code="call.option")
