"""From the bytes of an answer to values. What has not the expected shape is a BadAnswer, of a write a LostAnswer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from endpoints_gitops.api import errors
from endpoints_gitops.api.flow import Line, lost, request_line
from endpoints_gitops.api.refusals import excerpt
from endpoints_gitops.api.wire import Answer, Request
from endpoints_gitops.model.json import JsonObject
from endpoints_gitops.model.printable import one_line


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAnswer:
    """What a run answered. `columns` is None for insights; `types` pairs columns with ClickHouse's types.

    `materialized` is true only where the answer was read from the table. `raw` is all of it.
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
    """An answer of another shape; says in which way."""


def read[T](line: Line, request: Request, answer: Answer, reader: Callable[[Mapping[str, Any]], T]) -> T:
    """What `reader` makes of the object in the answer. It raises Unexpected, or pydantic's ValidationError."""
    from pydantic import ValidationError

    try:
        return reader(_object(answer))
    except Unexpected as error:
        wrong = str(error)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        wrong = f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg']}"
    told = f"expected {request.expects}, got {excerpt(answer, line.mask)} ({one_line(line.mask(wrong))})"
    if request.repeatable:
        raise errors.BadAnswer(told, request=request_line(request), status=answer.status)
    raise lost(request, told)


def run_answer(body: Mapping[str, Any]) -> RunAnswer:
    """Newer servers send `types` as pairs, older texts speak of bare types in the order of the columns."""
    results = body.get("results")
    if not isinstance(results, list | dict):
        raise Unexpected("there are no results in it")
    columns = _columns(body.get("columns"))
    version = body.get("endpoint_version")
    return RunAnswer(
        columns=columns,
        types=_types(body.get("types"), columns or ()),
        results=results if isinstance(results, list) else [results],
        has_more=body.get("hasMore") is True,
        version=version if isinstance(version, int) else None,
        execution_id=body["execution_id"] if isinstance(body.get("execution_id"), str) else None,
        materialized=body.get("endpoint_materialized") is True,
        raw=body,
    )


def _object(answer: Answer) -> Mapping[str, Any]:
    try:
        body = json.loads(answer.body)
    except (ValueError, RecursionError):
        raise Unexpected("that is no JSON") from None
    if not isinstance(body, dict):
        raise Unexpected(f"that is JSON, but {_A.get(type(body), 'something else')}")
    return body


_A: Final = {list: "a list", str: "a text", int: "a number", float: "a number", bool: "a flag", type(None): "null"}


def _columns(sent: object) -> tuple[str, ...] | None:
    if sent is None:
        return None
    if not isinstance(sent, list):
        raise Unexpected("columns is no list")
    return tuple(str(name) for name in sent)


def _types(sent: object, columns: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    if not isinstance(sent, list):
        return ()
    names = [*columns, *[""] * len(sent)]
    return tuple(_pair(each, name) for each, name in zip(sent, names, strict=False))


def _pair(sent: object, column: str) -> tuple[str, str]:
    if isinstance(sent, list) and len(sent) == 2:
        return str(sent[0]), str(sent[1])
    return column, str(sent)
