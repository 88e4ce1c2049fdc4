"""Check calls and answers against their pin, for apps and the test plugin.

Checks before the request cost nothing and find more than the server, which does not check the types of variables
(docs/server.md#running).
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
from endpoints_gitops.consumer.sending import Unsendable, as_json, fits, mistake_of
from endpoints_gitops.model.json import Json
from endpoints_gitops.model.pin import Pin, PinnedColumn, PinnedVariable, ReadingStyle, Use

if TYPE_CHECKING:
    from endpoints_gitops.api.answers import RunAnswer

HOGQL: Final = "HogQLQuery"
_OPTIONS: Final = ("_limit", "_offset", "_refresh", "_max_wait")
_CREATION_SECONDS: Final = 60
"""An endpoint and its first version are created together. A recreated endpoint is at least this much younger."""


def check_variables(pin: Pin, sent: Mapping[str, object]) -> dict[str, Json]:
    """The values as JSON, with dates as text and decimals as numbers.

    Raises VariablesWrong with every mistake: unknown names, values of a wrong type, and missing required variables.
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
            is_right = fits(variable, values[name], is_insight=is_insight)
            message = None if is_right else mistake_of(variable, values[name], value, is_insight=is_insight)
        except Unsendable as error:
            message = f"variable {name!r}: {error}"
        if message is not None:
            wrong.append(VariableMistake(name=name, message=message, expected=variable.type))
    # for a table, null counts as missing; for a computed query it is SQL's NULL
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
    """Raise ContractBroken if an answer is not from the pinned version, or does not match its contract.

    `use` is how the app reads: by position, the order of columns matters; by name, only the columns that it lists (all,
    if it lists none). Results of insights are checked when they are decoded (`insights`).
    """
    if answer.version != pin.version:
        raise WrongVersion(pin, answer.version)
    created_at = answer.raw.get("endpoint_version_created_at")
    if isinstance(created_at, str) and _is_recreated(pin.created_at, pin.version, created_at):
        raise EndpointRecreated(pin, created_at)
    if answer.columns is None:
        if pin.kind == HOGQL:
            raise ColumnsBroken(pin, [ColumnMistake(kind="gone", column="", message="the answer has no columns")], ())
        return
    reads, wanted = (use.reads, use.columns) if use else ("name", None)
    if pin.columns is not None:
        received = typed_columns(answer.columns, answer.types)
        mistakes = column_mistakes(
            _reliable_columns(pin.columns, bool(pin.variables)), received, reads, wanted, answer.materialized
        )
        if mistakes:
            raise ColumnsBroken(pin, mistakes, received)
    check_widths(pin, answer)


def check_widths(pin: Pin, answer: RunAnswer) -> None:
    """Raise RowsBroken if a row is not a list, or does not have one value per column."""
    width = len(answer.columns or ())
    for number, row in enumerate(answer.results):
        if not isinstance(row, list) or len(row) != width:
            problem = f"has {len(row)} values for {width} columns" if isinstance(row, list) else "is not a list"
            raise RowsBroken(pin, f"row {number} {problem}")


def typed_columns(columns: Sequence[str], types: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Pairs of column name and ClickHouse type, empty if the answer has none; by position, because names can repeat."""
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
    """The columns of an answer that break a caller with this way of reading.

    Tables add Nullable to types, so nullability is checked for computed answers only.
    """
    if reads == "call":
        return ()
    if reads == "position":
        return (*_by_position(pinned, received, is_from_table=is_from_table),)
    read = [column for column in pinned if wanted is None or column.name in wanted]
    return (*_by_name(read, received, is_from_table=is_from_table),)


@lru_cache(maxsize=1024)
def _reliable_columns(columns: tuple[PinnedColumn, ...], has_variables: bool) -> tuple[PinnedColumn, ...]:
    """The pinned columns with reliable types only. The server describes a query with `''` for each variable, so the
    type "string" of a query with variables can be wrong (docs/server.md#answers).
    """
    if not has_variables:
        return columns
    return tuple(replace(column, type="unknown") if column.type == "string" else column for column in columns)


@lru_cache(maxsize=1024)
def _is_recreated(endpoint_created_at: datetime | None, version: int, version_created_at: str) -> bool:
    """Whether a version with this creation time cannot be the pinned one.

    The lock has the creation time of the endpoint: its first version is as old, and no other version is older.
    """
    try:
        created_at = datetime.fromisoformat(version_created_at)
    except ValueError:
        return False
    if endpoint_created_at is None or endpoint_created_at.tzinfo is None:
        return False
    created_at = created_at if created_at.tzinfo else created_at.replace(tzinfo=UTC)
    seconds = (created_at - endpoint_created_at).total_seconds()
    return seconds < -_CREATION_SECONDS or (version == 1 and seconds > _CREATION_SECONDS)


def _by_name(
    pinned: Sequence[PinnedColumn], received: tuple[tuple[str, str], ...], *, is_from_table: bool
) -> Iterator[ColumnMistake]:
    """Columns of the same name are compared in their order."""
    types: dict[str, list[str]] = {}
    for name, written in reversed(received):
        types.setdefault(name, []).append(written)
    for column in pinned:
        if not types.get(column.name):
            yield _missing_column(column, [name for name, _ in received])
        else:
            yield from _type_mistakes(column, types[column.name].pop(), is_from_table=is_from_table)


def _by_position(
    pinned: Sequence[PinnedColumn], received: tuple[tuple[str, str], ...], *, is_from_table: bool
) -> Iterator[ColumnMistake]:
    """Additional columns after all pinned ones are ignored."""
    names = [name for name, _ in received]
    for index, column in enumerate(pinned):
        if index < len(names) and names[index] == column.name:
            yield from _type_mistakes(column, received[index][1], is_from_table=is_from_table)
        elif column.name in names:
            message = f"column {column.name!r} moved from position {index} to {names.index(column.name)}"
            yield ColumnMistake(kind="moved", column=column.name, message=message, expected=column.type)
        else:
            yield _missing_column(column, names)


def _missing_column(column: PinnedColumn, names: Sequence[str]) -> ColumnMistake:
    message = f"column {column.name!r} is missing; the answer has {', '.join(names) or 'no columns'}"
    return ColumnMistake(kind="gone", column=column.name, message=message, expected=column.type)


def _type_mistakes(column: PinnedColumn, written: str, *, is_from_table: bool) -> Iterator[ColumnMistake]:
    from endpoints_gitops.contract.clickhouse import is_nullable, type_word

    word = type_word(written) if written else "unknown"
    if "unknown" not in (word, column.type) and word != column.type:
        message = f"the type of column {column.name!r} changed: {written}; it was {column.type}"
        yield ColumnMistake(kind="type", column=column.name, message=message, expected=column.type, received=written)
    elif column.nullable is False and not is_from_table and is_nullable(written):
        message = f"column {column.name!r} became nullable: {written}"
        yield ColumnMistake(
            kind="nullable", column=column.name, message=message, expected=column.type, received=written
        )


def _unknown(pin: Pin, name: str) -> VariableMistake:
    from endpoints_gitops.model.suggestions import closest

    near = closest(name, [variable.name for variable in pin.variables])
    guess = f"; did you mean {near!r}?" if near else ""
    option = "" if near or f"_{name}" not in _OPTIONS else f"; the option is named _{name}"
    return VariableMistake(name=name, message=f"unknown variable {name!r}{guess}{option}", near=near)


def _missing(pin: Pin, variable: PinnedVariable) -> VariableMistake:
    why = "it has no default"
    if pin.materialized:
        why = f"version {pin.version} is materialized, which makes its variables required"
        why += " despite their defaults" if variable.has_default else ""
    return VariableMistake(name=variable.name, message=f"variable {variable.name!r} is missing: {why}")


def _signature(pin: Pin) -> str:
    """The variables of a pin in words, for the fix of an error."""
    if not pin.variables:
        return f"{pin.label} has no variables"
    parameters = (
        f"{variable.name}: {variable.type}{'' if variable.required else ' (optional)'}" for variable in pin.variables
    )
    return f"the variables of {pin.label} are {', '.join(parameters)}"
