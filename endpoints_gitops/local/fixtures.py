"""Write rows that hit and miss each condition of a query, found by running the conditions on the engine.

Values are tried near the constants of each condition. What the engine says about them decides, so that every cast and
comparison means what it means in the query, and rows are believed only after the query itself was run over them.
"""

from __future__ import annotations

import itertools
import json
import math
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from endpoints_gitops.hogql.parser import Tree, parse
from endpoints_gitops.hogql.predicates import FieldPath, FilteredSelect, Predicate, Unknown, conditions
from endpoints_gitops.hogql.printer import readable
from endpoints_gitops.hogql.syntax_tree import Clause
from endpoints_gitops.local.engine.engine import Engine
from endpoints_gitops.local.engine.refusals import QueryRefused
from endpoints_gitops.model.uuids import is_uuid

MOST_COMBINATIONS: Final = 4000
"""The rows that are tried for conditions that share fields."""
_MISSING: Final = object()
_TIMES: Final = ("timestamp", "created_at")
_NEVER_EMPTY: Final = (("event",), ("distinct_id",))
_AGES: Final = (timedelta(hours=1), timedelta(days=2), timedelta(days=8), timedelta(days=31), timedelta(days=100))
_SHIFTS: Final = (timedelta(0), timedelta(seconds=-1), timedelta(seconds=1), timedelta(days=-1), timedelta(days=1))
_FEW: Final = 12
"""The values of a constant's neighborhood that are tried where many constants have one."""

type Values = Mapping[FieldPath, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _KnownValues:
    """The time of `now()`, and the values of expressions without fields."""

    now: datetime
    computed: Mapping[str, Sequence[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FixtureRow:
    """A row. `misses` are the conditions that it does not meet, none for a hit; `label` says so."""

    label: str
    values: Values
    misses: tuple[str, ...]
    select: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixture:
    """The rows, the files to write by name, and the conditions that have no hit or no miss, each with its reason."""

    rows: tuple[FixtureRow, ...]
    files: Mapping[str, bytes]
    unknown: tuple[Unknown, ...]
    is_timed: bool


def make_fixture(sql: str, now: datetime) -> Fixture:
    """Rows for the conditions of a query without placeholders, where `now()` is `now`. Raises ParseFailure."""
    tree = parse(sql)
    filtered, unknown = conditions(tree)
    found: list[Unknown] = list(unknown)
    rows: list[FixtureRow] = []
    comparisons = [part for select in filtered for predicate in select.predicates for part in predicate.comparisons]
    expressions = [text for part in comparisons for text in part.expressions]
    known = _KnownValues(now=now, computed=_computed(expressions, now))
    if not filtered and not found:
        reason = "it reads neither events nor persons by itself"
        found.append(Unknown(clause=Clause.FROM, text="the whole query", reason=reason))
    understood: list[FilteredSelect] = []
    for number, select in enumerate(filtered):
        made, refused = _rows_of(select, number, known)
        rows += made
        found += refused
        texts = {(unknown.clause, unknown.text) for unknown in refused if unknown.is_unmet}
        met = tuple(item for item in select.predicates if (item.clause, item.text) not in texts)
        understood.append(replace(select, predicates=met))
    if rows:
        found += _unproven(sql, understood, rows, now, is_whole=not found)
    return Fixture(
        rows=tuple(rows),
        files=_files(rows, now, labelled=True),
        unknown=tuple(dict.fromkeys(found)),
        is_timed=any(word in text for text in expressions for word in ("now(", "today(", "yesterday(")),
    )


def _rows_of(select: FilteredSelect, number: int, known: _KnownValues) -> tuple[list[FixtureRow], list[Unknown]]:
    """The hit of a SELECT, one for each side of an OR, and a miss for each condition."""
    others = dict.fromkeys(select.others, "a") | dict.fromkeys(select.numbers, 1)
    hit: dict[FieldPath, Any] = {path: value for path, value in others.items() if "properties" in path}
    unknown: list[Unknown] = []
    chosen: list[_Choice] = []
    for group in _connected(select.predicates):
        best, choices, refused = _solved(group, select, known)
        hit |= best
        chosen += choices
        unknown += refused
    name = f" of {select.table} {number + 1}" if number else ""
    met = f"hit{name}" if not unknown else f"hit{name}, but for what is not understood"
    rows = [FixtureRow(label=met, values=hit, misses=(), select=number)]
    for predicate, side, values, also in chosen:
        if values is None:
            reason = "no tried value misses it" if side is None else "no tried value meets only this side"
            unknown.append(Unknown(clause=predicate.clause, text=side or predicate.text, reason=reason))
            continue
        misses = () if side is not None else (predicate.text, *also)
        label = f"{met} (by {side})" if side is not None else f"miss{name}: {' and '.join(misses)}"
        rows.append(FixtureRow(label=label, values={**hit, **values}, misses=misses, select=number))
    return rows, unknown


type _Choice = tuple[Predicate, str | None, Values | None, tuple[str, ...]]
"""A condition, the side of its OR that a hit meets, the values (None: not found), and what else they miss."""


def _connected(predicates: Sequence[Predicate]) -> list[list[Predicate]]:
    """The conditions in groups that share no field."""
    groups: list[list[Predicate]] = []
    for predicate in predicates:
        sharing = [group for group in groups if any(set(item.fields) & set(predicate.fields) for item in group)]
        groups = [group for group in groups if group not in sharing]
        groups.append([item for group in sharing for item in group] + [predicate])
    return groups


def _solved(
    group: Sequence[Predicate], select: FilteredSelect, known: _KnownValues
) -> tuple[Values, list[_Choice], list[Unknown]]:
    """The values of a hit, what to add to it, and the conditions that no tried value meets."""
    fields = tuple(dict.fromkeys(path for predicate in group for path in predicate.fields))
    domains = [_domain(path, group, known) for path in fields]
    if math.prod(map(len, domains)) > MOST_COMBINATIONS:
        reason = f"the conditions on its fields need more than {MOST_COMBINATIONS:,} rows to try"
        return {}, [], [_unmet(predicate, reason) for predicate in group]
    tried = [
        {path: value for path, value in zip(fields, values, strict=True) if value is not _MISSING}
        for values in itertools.product(*domains)
    ]
    columns = _answers(select, tried, [predicate.tree for predicate in group], known.now)
    unknown: list[Unknown] = []
    met: dict[Predicate, list[bool]] = {}
    for predicate, column in zip(group, columns, strict=True):
        if isinstance(column, str):
            unknown.append(_unmet(predicate, column))
        elif not any(column):
            unknown.append(_unmet(predicate, "no tried value meets it"))
        else:
            met[predicate] = column
    misses = [sum(not column[index] for column in met.values()) for index in range(len(tried))]
    if not met or min(misses):
        reason = "no tried values meet it together with the other conditions on its fields"
        return {}, [], [*unknown, *(_unmet(predicate, reason) for predicate in met)]
    best = misses.index(0)

    def nearest(indexes: list[int]) -> int | None:
        return min(indexes, key=lambda index: (_distance(tried[index], tried[best]), index), default=None)

    chosen: list[_Choice] = []
    for predicate, column in met.items():
        missing = [index for index, is_met in enumerate(column) if not is_met]
        fewest = min((misses[index] for index in missing), default=0)
        index = nearest([index for index in missing if misses[index] == fewest])
        values = None if index is None else _complete(tried[index], fields)
        others = (
            [] if index is None else [other.text for other in met if other is not predicate and not met[other][index]]
        )
        chosen.append((predicate, None, values, tuple(others)))
        sides = _answers(select, tried, predicate.alternatives, known.now) if predicate.alternatives else []
        for side, own in zip(predicate.alternatives, sides, strict=True):
            only = [
                index
                for index, missed in enumerate(misses)
                if not missed and own[index] is True and sum(other[index] is True for other in sides) == 1
            ]
            if best not in only:
                index = nearest(only)
                chosen.append(
                    (predicate, readable(side), None if index is None else _complete(tried[index], fields), ())
                )
    return _complete(tried[best], fields), chosen, unknown


def _unmet(predicate: Predicate, reason: str) -> Unknown:
    return Unknown(clause=predicate.clause, text=predicate.text, reason=reason, is_unmet=True)


def _complete(values: Values, fields: Sequence[FieldPath]) -> Values:
    return {path: values.get(path, _MISSING) for path in fields}


def _distance(values: Values, other: Values) -> int:
    return sum(values.get(path, _MISSING) != other.get(path, _MISSING) for path in {*values, *other})


def _answers(
    select: FilteredSelect, tried: Sequence[Values], trees: Sequence[Tree], now: datetime
) -> list[list[bool] | str]:
    """For each condition, whether each row meets it; what the engine says where it refuses the condition."""
    rows = [FixtureRow(label="", values=values, misses=(), select=0) for values in tried]
    source = f"FROM {select.table} AS {select.name} LIMIT 50000"
    columns: list[list[bool] | str] = []
    with _engine(rows, now) as engine:
        for tree in trees:
            try:
                answer = engine.run(f"SELECT toString({_key(select)}), if({readable(tree)}, 1, 0) {source}", {})
            except QueryRefused as refused:
                columns.append(f"the engine refuses it: {refused.brief}")
                continue
            met = {str(name): value == 1 for name, value in answer.results}
            columns.append([met[_id_of(select.table, index)] for index in range(len(rows))])
    return columns


def _key(select: FilteredSelect) -> str:
    return f"{select.name}.{'uuid' if select.table == 'events' else 'id'}"


def _domain(path: FieldPath, group: Sequence[Predicate], known: _KnownValues) -> list[Any]:
    """The values to try for a field: near the constants that it is compared with."""
    about = [part for predicate in group for part in predicate.comparisons if path in part.fields]
    constants = [constant for part in about for constant in part.constants]
    constants += [value for part in about for text in part.expressions for value in known.computed[text]]
    if path[-1] in _TIMES and path[0] != "properties" and len(path) < 3:
        times = [time for constant in constants if (time := _time(constant)) is not None]
        near = [time + shift for time in times for shift in _SHIFTS]
        numbers = [constant for constant in constants if type(constant) is int]
        near += [time for start in (*near[:_FEW], known.now) for time in _parts(start, numbers)] if numbers else []
        tried = (*near, *(known.now - age for age in _AGES))
        return _distinct([_iso(time) for time in tried if 1971 <= time.year <= 2261])
    if path == ("person_id",):
        ids = [constant for constant in constants if isinstance(constant, str) and is_uuid(constant)]
        return _distinct([*ids, str(uuid.UUID(int=7)), str(uuid.UUID(int=8))])
    values = list(itertools.chain.from_iterable(_near(constant, constants) for constant in constants))
    if not values:
        values = ["a", "b", ""]
    return _distinct([value for value in values if value != ""] if path in _NEVER_EMPTY else [*values, _MISSING])


def _parts(start: datetime, numbers: Sequence[int]) -> Iterator[datetime]:
    """Times with one of the numbers as a part, such as the hour, and the days of a week."""
    for number in numbers[:_FEW]:
        for name in ("hour", "day", "month", "year"):
            part: Any = {name: number}
            with suppress(ValueError):
                yield start.replace(**part)
    yield from (start - timedelta(days=days) for days in range(1, 7))


def _near(constant: Any, constants: Sequence[Any]) -> Iterator[Any]:  # noqa: ANN401 - a JSON value
    """Values at and beside a constant, of one type for all constants: texts where there are texts."""
    texts = any(isinstance(value, str) for value in constants)
    few = len(constants) > _FEW
    if isinstance(constant, bool):
        values: tuple[Any, ...] = (constant, not constant)
    elif isinstance(constant, int | float):
        values = (constant, constant - 1, constant + 1) if not few else (constant, constant + 1)
    else:
        written = str(constant)
        filled, bare = written.replace("%", "x"), written.replace("%", "")
        time = _time(constant)
        shifted = [] if time is None else [_alike(time + shift, written) for shift in _SHIFTS]
        plain = (filled, bare, written) if "%" in written else (written,)
        literal = re.sub(r"\\(.)", r"\1", written.strip("^$"))  # of a regular expression, if it is one
        other = (f"{bare}x", f"x{bare}", bare.upper(), bare.lower(), literal, "other")
        values = (*plain, *shifted, *(other if not few else other[:1]), "")
    yield from (value if isinstance(value, str) or not texts else json.dumps(value) for value in values)


def _computed(expressions: Sequence[str], now: datetime) -> dict[str, list[Any]]:
    """The values of expressions without fields: none for what is no value by itself, and the items of a list."""
    found: dict[str, list[Any]] = {expression: [] for expression in expressions}
    with _engine((), now) as engine:
        for expression in found:
            try:
                ((value,),) = engine.run(f"SELECT {expression}", {}).results
            except QueryRefused:
                continue
            found[expression] = value if isinstance(value, list) else [value]
    return found


def _time(value: object) -> datetime | None:
    try:
        time = datetime.fromisoformat(str(value)) if isinstance(value, str) and "-" in value else None
    except ValueError:
        return None
    return time if time is None or time.tzinfo else time.replace(tzinfo=UTC)


def _alike(time: datetime, written: str) -> str:
    """A time in the form of another text: a date stays one."""
    return time.strftime("%Y-%m-%d") if len(written) == 10 else _iso(time)


def _iso(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _distinct(values: Sequence[Any]) -> list[Any]:
    """The values once each, in order; 1, 1.0 and true are three."""
    return list({(type(value), value): value for value in values}.values())


def _unproven(
    sql: str, filtered: Sequence[FilteredSelect], rows: Sequence[FixtureRow], now: datetime, *, is_whole: bool
) -> Iterator[Unknown]:
    """What running the query over the rows does not confirm. With conditions that are not understood (not `is_whole`),
    its result is not judged.
    """
    with _engine(rows, now) as engine:
        for number, select in enumerate(filtered):
            yield from _unproven_select(engine, select, number, rows)
        try:
            whole = engine.run(sql, {}).results
        except QueryRefused as refused:
            yield Unknown(
                clause=Clause.SELECT, text="the whole query", reason=f"the engine refuses it: {refused.brief}"
            )
            return
    if not is_whole:
        return
    misses = [row for row in rows if row.misses]
    with _engine(misses, now) as engine:
        if engine.run(sql, {}).results == whole:
            reason = "its result is the same without the hits"
            yield Unknown(clause=Clause.SELECT, text="the whole query", reason=reason)


def _unproven_select(
    engine: Engine, select: FilteredSelect, number: int, rows: Sequence[FixtureRow]
) -> Iterator[Unknown]:
    where = " AND ".join(f"({readable(predicate.tree)})" for predicate in select.predicates)
    source = f"FROM {select.table} AS {select.name}{f' WHERE {where}' if where else ''} LIMIT 50000"
    try:
        found = {str(row[0]) for row in engine.run(f"SELECT toString({_key(select)}) {source}", {}).results}
    except QueryRefused as refused:
        yield Unknown(clause=Clause.WHERE, text=where, reason=f"the engine refuses it: {refused.brief}")
        return
    for index, row in enumerate(rows):
        if row.select == number and (_id_of(select.table, index) in found) == bool(row.misses):
            word = "is returned" if row.misses else "is not returned"
            yield Unknown(clause=Clause.WHERE, text=where, reason=f"the row {row.label!r} {word}")


@contextmanager
def _engine(rows: Sequence[FixtureRow], now: datetime) -> Iterator[Engine]:
    """An engine over rows, whose files are removed with it."""
    with TemporaryDirectory(prefix="endpoints-gitops-") as folder:
        for name, content in _files(rows, now, labelled=False).items():
            Path(folder, name).write_bytes(content)
        with Engine.open(data=[Path(folder)], now=now) as engine:
            yield engine


def _files(rows: Sequence[FixtureRow], now: datetime, *, labelled: bool) -> dict[str, bytes]:
    """The content of events.jsonl, and of persons.jsonl if a row says something about its person."""
    events = [_event(row, index, now, labelled=labelled) for index, row in enumerate(rows)]
    files = {"events.jsonl": events}
    if any(path[0] == "person" for row in rows for path in row.values):
        files["persons.jsonl"] = [_person(row, index, events[index], now) for index, row in enumerate(rows)]
    return {
        name: "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()
        for name, lines in files.items()
    }


def _id_of(table: str, index: int) -> str:
    """The id of a row by its number: of its event, or of its person."""
    return str(uuid.UUID(int=(1 if table == "events" else 2) << 64 | index + 1, version=4))


def _event(row: FixtureRow, index: int, now: datetime, *, labelled: bool) -> dict[str, Any]:
    properties: dict[str, Any] = {"fixture": row.label} if labelled else {}
    event: dict[str, Any] = {
        "event": "event",
        "distinct_id": f"row-{index + 1}",
        "timestamp": _iso((now - _AGES[0]).replace(microsecond=0)),
        "properties": properties,
        "uuid": _id_of("events", index),
        "person_id": _id_of("persons", index),
    }
    for path, value in row.values.items():
        if value is not _MISSING and path[0] != "person":
            _put(event, path, value)
    return event


def _person(row: FixtureRow, index: int, event: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    person: dict[str, Any] = {
        "id": event["person_id"],
        "distinct_ids": [f"person-{index + 1}" if ("distinct_id",) in row.values else event["distinct_id"]],
        "properties": {},
        "created_at": _iso((now - _AGES[0]).replace(microsecond=0)),
    }
    for path, value in row.values.items():
        if value is not _MISSING and path[0] == "person":
            _put(person, path[1:], value)
    return person


def _put(target: dict[str, Any], path: FieldPath, value: Any) -> None:  # noqa: ANN401 - a JSON value
    for name in path[:-1]:
        target = target.setdefault(name, {})
    target[path[-1]] = value
