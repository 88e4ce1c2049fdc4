"""Decode answers. An answer of an unexpected shape is a BadAnswer, or a LostAnswer if it answers a write."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from endpoints_gitops.api import errors
from endpoints_gitops.api.flow import ClientContext, lost, request_line
from endpoints_gitops.api.refusals import excerpt
from endpoints_gitops.api.wire import Answer, Request
from endpoints_gitops.model.json import JsonObject
from endpoints_gitops.model.printable import one_line


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAnswer:
    """The answer of a run.

    `columns` is None for insights; `types` are pairs of column name and ClickHouse type. `results` are rows, or the
    result objects of an insight. `materialized` is true if the server read the answer from a table. `raw` is the
    complete JSON object.
    """

    columns: tuple[str, ...] | None
    types: tuple[tuple[str, str], ...]
    results: list[Any]
    has_more: bool
    version: int | None
    execution_id: str | None
    materialized: bool
    raw: JsonObject


class Unexpected(Exception):
    """An answer has an unexpected shape; the text says how."""


def read[T](context: ClientContext, request: Request, answer: Answer, reader: Callable[[Mapping[str, Any]], T]) -> T:
    """Decode the JSON object in an answer with `reader`, which raises Unexpected for one of another shape.

    Raises BadAnswer for an unexpected answer, or LostAnswer if it answers a write.
    """
    try:
        body = json.loads(answer.body)
    except (ValueError, RecursionError):
        raise _unexpected(context, request, answer, "not valid JSON") from None
    if not isinstance(body, dict):
        raise _unexpected(context, request, answer, f"the JSON is {_JSON_TYPES.get(type(body), 'not an object')}")
    try:
        return reader(body)
    except Unexpected as error:
        raise _unexpected(context, request, answer, str(error)) from None


def _unexpected(context: ClientContext, request: Request, answer: Answer, reason: str) -> errors.ApiError:
    message = f"expected {request.expects}, got {excerpt(answer, context.mask)} ({one_line(context.mask(reason))})"
    if request.repeatable:
        return errors.BadAnswer(message, request=request_line(request), status=answer.status)
    return lost(request, message)


def run_answer(body: Mapping[str, Any]) -> RunAnswer:
    """Decode the answer of a run. Raises Unexpected if `results` or `columns` are missing or wrong.

    Servers send `types` as pairs, or, by older documentation, as bare types in the order of the columns.
    """
    results = body.get("results")
    if not isinstance(results, list | dict):
        raise Unexpected("it has no results")
    columns, types, version = body.get("columns"), body.get("types"), body.get("endpoint_version")
    if not isinstance(columns, list | None):
        raise Unexpected("columns is not a list")
    names = None if columns is None else tuple(map(str, columns))
    return RunAnswer(
        columns=names,
        types=_types(types, names or ()) if isinstance(types, list) else (),
        results=results if isinstance(results, list) else [results],
        has_more=body.get("hasMore") is True,
        version=version if isinstance(version, int) else None,
        execution_id=body["execution_id"] if isinstance(body.get("execution_id"), str) else None,
        materialized=body.get("endpoint_materialized") is True,
        raw=body,
    )


_JSON_TYPES: Final = {
    list: "a list",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "a boolean",
    type(None): "null",
}


def _types(sent: list[object], columns: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Pairs of column and type; bare types are those of the columns in order."""
    names = [*columns, *[""] * len(sent)]
    return tuple(
        [
            (str(item[0]), str(item[1])) if isinstance(item, list) and len(item) == 2 else (name, str(item))
            for item, name in zip(sent, names, strict=False)
        ]
    )
