"""Whether a call fits its pin, and whether the answer does. Pure: the test plugin asks the same questions.

What is checked before anything is sent costs no request, and says what the server would not: it knows no types of
variables (docs/server.md#running).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from endpoints_gitops.consumer.errors import (
    ColumnMistake,
    ColumnsBroken,
    EndpointRecreated,
    MissingVariable,
    RowsBroken,
    UnknownVariable,
    VariableMistake,
    WrongVariableType,
    WrongVersion,
)
from endpoints_gitops.consumer.sending import Unsendable, as_json, mistake_of
from endpoints_gitops.model.json import Json
from endpoints_gitops.model.pin import Pin, PinnedColumn, PinnedVariable, ReadingStyle, Use

if TYPE_CHECKING:
    from endpoints_gitops.api.answers import RunAnswer

HOGQL: Final = "HogQLQuery"
_OPTIONS: Final = ("_limit", "_offset", "_refresh")
_SAME_BIRTH_SECONDS: Final = 60
"""An endpoint and its first version are made in one go; a new one of the same name is not made within that time."""


def check_variables(pin: Pin, sent: Mapping[str, object]) -> dict[str, Json]:
    """What to send for these values, dates and decimals written as JSON has them.

    Raises VariablesWrong with every mistake: names that the version does not take, values of another type, and
    variables that it requires and that are not there.
    """
    variables = {variable.name: variable for variable in pin.variables}
    is_insight = pin.query.get("kind") != HOGQL
    values: dict[str, Json] = {}
    unknown, wrong = [], []
    for name, value in sent.items():
        variable = variables.get(name)
        if variable is None:
            unknown.append(_unknown(pin, name))
            continue
        try:
            values[name] = as_json(value)
            message = mistake_of(variable, values[name], value, is_insight=is_insight)
        except Unsendable as error:
            message = f"variable {name!r}: {error}"
        if message is not None:
            wrong.append(VariableMistake(name=name, message=message, expected=variable.type))
    # null counts as none where a table answers; where the query is computed it is SQL's NULL
    missing = [
        _missing(pin, variable)
        for variable in pin.variables
        if variable.required and (variable.name not in sent or (pin.materialized and sent[variable.name] is None))
    ]
    for kind, mistakes in ((UnknownVariable, unknown), (MissingVariable, missing), (WrongVariableType, wrong)):
        if mistakes:
            raise kind(pin, (*unknown, *missing, *wrong), fix=_signature(pin))
    return values


def check_answer(pin: Pin, answer: RunAnswer, use: Use | None = None) -> None:
    """Raise ContractBroken where an answer is not of the pinned version, or does not fit its contract.

    `use` says how the app reads: by position the order of columns counts, by name only the columns that it names (all,
    where it names none). Results of insights are checked where they are read (`insights`).
    """
    if answer.version != pin.version:
        raise WrongVersion(pin, answer.version)
    answered = answer.raw.get("endpoint_version_created_at")
    if isinstance(answered, str) and _is_recreated(pin.created_at, pin.version, answered):
        raise EndpointRecreated(pin, answered)
    if answer.columns is None:
        if pin.kind == HOGQL:
            raise ColumnsBroken(pin, [ColumnMistake(kind="gone", column="", message="the answer has no columns")], ())
        return
    reads, wanted = (use.reads, use.columns) if use else ("name", None)
    if pin.columns is not None:
        received = typed_columns(answer.columns, answer.types)
        mistakes = column_mistakes(
            _judged(pin.columns, bool(pin.variables)), received, reads, wanted, answer.materialized
        )
        if mistakes:
            raise ColumnsBroken(pin, mistakes, received)
    check_widths(pin, answer)


def check_widths(pin: Pin, answer: RunAnswer) -> None:
    """Raise RowsBroken for a row that is none, or that has another number of values than there are columns."""
    width = len(answer.columns or ())
    for number, row in enumerate(answer.results):
        if not isinstance(row, list) or len(row) != width:
            has = f"has {len(row)} values" if isinstance(row, list) else "is no list"
            raise RowsBroken(pin, f"row {number} {has}, and there are {width} columns")


def typed_columns(columns: Sequence[str], types: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Each column with ClickHouse's type, empty where the answer does not say it; by place, since names can repeat."""
    if len(types) == len(columns):
        return tuple([(name, written) for name, (_, written) in zip(columns, types, strict=True)])
    by_name = dict(types)
    return tuple([(name, by_name.get(name, "")) for name in columns])


@lru_cache(maxsize=1024)
def column_mistakes(
    pinned: tuple[PinnedColumn, ...],
    received: tuple[tuple[str, str], ...],
    reads: ReadingStyle,
    wanted: tuple[str, ...] | None,
    is_from_table: bool,
) -> tuple[ColumnMistake, ...]:
    """What of an answer's columns breaks a caller that reads so.

    Tables wrap types in Nullable where the query did not, so nullability is judged for computed answers only.
    """
    if reads == "call":
        return ()
    if reads == "position":
        return (*_by_position(pinned, received, is_from_table=is_from_table),)
    read = [column for column in pinned if wanted is None or column.name in wanted]
    return (*_by_name(read, received, is_from_table=is_from_table),)


@lru_cache(maxsize=1024)
def _judged(columns: tuple[PinnedColumn, ...], has_variables: bool) -> tuple[PinnedColumn, ...]:
    """The pinned columns, with the types that can be relied on: the server finds them with `''` for each variable, so
    "string" can mean the type of any value (docs/server.md#answers).
    """
    if not has_variables:
        return columns
    return tuple(replace(column, type="unknown") if column.type == "string" else column for column in columns)


@lru_cache(maxsize=1024)
def _is_recreated(endpoint_created_at: datetime | None, version: int, version_created_at: str) -> bool:
    """Whether a version that was created at that time cannot be the pinned one.

    The lock has the time at which the endpoint was created: its first version is as old, and no other is older.
    """
    try:
        created_at = datetime.fromisoformat(version_created_at)
    except ValueError:
        return False
    if endpoint_created_at is None or endpoint_created_at.tzinfo is None:
        return False
    created_at = created_at if created_at.tzinfo else created_at.replace(tzinfo=UTC)
    seconds = (created_at - endpoint_created_at).total_seconds()
    return seconds < -_SAME_BIRTH_SECONDS or (version == 1 and seconds > _SAME_BIRTH_SECONDS)


def _by_name(
    pinned: Sequence[PinnedColumn], received: tuple[tuple[str, str], ...], *, is_from_table: bool
) -> Iterator[ColumnMistake]:
    there = dict(reversed(received))
    for column in pinned:
        if column.name not in there:
            yield _gone(column, [name for name, _ in received])
        else:
            yield from _typed(column, there[column.name], is_from_table=is_from_table)


def _by_position(
    pinned: Sequence[PinnedColumn], received: tuple[tuple[str, str], ...], *, is_from_table: bool
) -> Iterator[ColumnMistake]:
    """Columns that come after all pinned ones disturb nobody."""
    names = [name for name, _ in received]
    for index, column in enumerate(pinned):
        if index < len(names) and names[index] == column.name:
            yield from _typed(column, received[index][1], is_from_table=is_from_table)
        elif column.name in names:
            message = f"column {column.name!r} was at place {index}, and is at {names.index(column.name)}"
            yield ColumnMistake(kind="moved", column=column.name, message=message, expected=column.type)
        else:
            yield _gone(column, names)


def _gone(column: PinnedColumn, there: Sequence[str]) -> ColumnMistake:
    message = f"column {column.name!r} is gone; the answer has {', '.join(there) or 'none'}"
    return ColumnMistake(kind="gone", column=column.name, message=message, expected=column.type)


def _typed(column: PinnedColumn, written: str, *, is_from_table: bool) -> Iterator[ColumnMistake]:
    from endpoints_gitops.contract.clickhouse import is_nullable, type_word

    word = type_word(written) if written else "unknown"
    if "unknown" not in (word, column.type) and word != column.type:
        message = f"column {column.name!r} was {column.type}, and is {written}"
        yield ColumnMistake(kind="type", column=column.name, message=message, expected=column.type, received=written)
    elif column.nullable is False and not is_from_table and is_nullable(written):
        message = f"column {column.name!r} can be null now: it is {written}"
        yield ColumnMistake(
            kind="nullable", column=column.name, message=message, expected=column.type, received=written
        )


def _unknown(pin: Pin, name: str) -> VariableMistake:
    from endpoints_gitops.model.suggestions import closest

    near = closest(name, [variable.name for variable in pin.variables])
    guess = f"; did you mean {near!r}?" if near else ""
    option = "" if near or f"_{name}" not in _OPTIONS else f"; the option is called _{name}"
    return VariableMistake(name=name, message=f"it takes no variable {name!r}{guess}{option}", near=near)


def _missing(pin: Pin, variable: PinnedVariable) -> VariableMistake:
    why = "it has no default"
    if pin.materialized:
        why = f"version {pin.version} is materialised, which makes its variables required"
        why += ", its default notwithstanding" if variable.has_default else ""
    return VariableMistake(name=variable.name, message=f"variable {variable.name!r} is missing: {why}")


def _signature(pin: Pin) -> str:
    """What a call of it looks like."""
    if not pin.variables:
        return f"{pin.label} takes no variables"
    parameters = (
        f"{variable.name}: {variable.type}{'' if variable.required else ' (optional)'}" for variable in pin.variables
    )
    return f"{pin.label} takes {', '.join(parameters)}"
