"""The plan file: readable JSON, written by `plan -o` and read by `push --plan`. Its digest is over everything else in
it: a damaged or edited plan is never pushed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from endpoints_gitops.errors import InvalidInput, Problem
from endpoints_gitops.model.json import fingerprint
from endpoints_gitops.plan.changes import Plan

if TYPE_CHECKING:
    from pydantic import TypeAdapter

SCHEMA_VERSION: Final = 1
_FIX: Final = "make it anew with endpoints-gitops plan -o FILE"


def write_plan(plan: Plan) -> bytes:
    """The plan as JSON, keys in reading order, SQL of several lines as a list of them.

    `read_plan` gives back the same plan.
    """
    value = _with_digest(_as_json(plan))
    try:
        return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode("utf-8")
    except UnicodeEncodeError:  # half of a surrogate pair can only be spelled out
        return (json.dumps(value, indent=2) + "\n").encode("ascii")


def read_plan(content: bytes, path: str) -> Plan:
    """The plan that a file holds. Raises InvalidInput, naming `path` and the place in it."""
    value = _value(content, path)
    digest = value.pop("digest", None)
    plan = _validated({key: item for key, item in value.items() if key != "schema_version"}, path)
    expected = json.loads(write_plan(plan))
    expected_digest = expected.pop("digest")
    where = _difference(expected, value, "")
    if where is not None:
        raise _invalid(path, f"{where or 'the file'} is not what a plan has there")
    if digest is None:
        raise _invalid(path, "it has no digest: an older release of endpoints-gitops wrote it")
    if digest != expected_digest:
        raise _invalid(path, "its digest is of something else: the file was damaged, or edited by hand")
    return plan


def _with_digest(value: dict[str, Any]) -> dict[str, Any]:
    return {**value, "digest": fingerprint(json.loads(json.dumps(value)))}


def _as_json(plan: Plan) -> dict[str, Any]:
    value = {"schema_version": SCHEMA_VERSION, **asdict(plan)}
    for query in _queries(value):
        if isinstance(query.get("query"), str) and "\n" in query["query"]:
            query["query"] = query["query"].split("\n")
    return value


def _with_text(value: dict[str, Any]) -> dict[str, Any]:
    """The same with the lines of each query put together again; what is read may hold anything."""
    copy: dict[str, Any] = json.loads(json.dumps(value))
    for query in _queries(copy):
        lines = query.get("query")
        if isinstance(lines, list) and all(isinstance(line, str) for line in lines):
            query["query"] = "\n".join(lines)
    return copy


def _queries(value: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every HogQL node that a change has before or after."""
    for change in _objects(value.get("changes")):
        for one in _objects(change.get("keys")):
            for query in _objects([one.get("before"), one.get("after")]):
                if query.get("kind") == "HogQLQuery":
                    yield query


def _objects(value: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - any JSON value
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list | tuple) else []


def _value(content: bytes, path: str) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _invalid(path, f"this is no JSON, as a plan is ({error})") from error
    found = value.get("schema_version") if isinstance(value, dict) else None
    if type(found) is not int or not isinstance(value, dict):
        raise _invalid(path, "this is no plan: it has no schema_version")
    if found > SCHEMA_VERSION:
        message = f"this plan was written by a newer release (schema_version {found}, not {SCHEMA_VERSION})"
        raise _invalid(path, message, "install that release of endpoints-gitops, or " + _FIX)
    return value


def _validated(value: dict[str, Any], path: str) -> Plan:
    from pydantic import ValidationError

    try:
        return _adapter().validate_python(_with_text(value))
    except ValidationError as error:
        problems = (_problem(path, _place(one["loc"]), one["msg"]) for one in error.errors(include_input=False))
        raise InvalidInput(tuple(dict.fromkeys(problems)), message=f"{path} is no plan", fix=_FIX) from error
    except RecursionError as error:
        raise _invalid(path, "this is nested deeper than a plan ever is") from error


@cache
def _adapter() -> TypeAdapter[Plan]:
    from pydantic import TypeAdapter

    return TypeAdapter(Plan)


def _difference(expected: object, found: object, place: str) -> str | None:
    """Where a file says something else than the plan that was read from it: a key too many, a number as text."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in [*expected, *(key for key in found if key not in expected)]:
            if key not in expected or key not in found:
                return f"{place}{key}"
            where = _difference(expected[key], found[key], f"{place}{key}.")
            if where is not None:
                return where
        return None
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = enumerate(zip(expected, found, strict=True))
        wheres = (_difference(one, other, f"{place}{index}.") for index, (one, other) in pairs)
        return next((where for where in wheres if where is not None), None)
    return None if expected == found and type(expected) is type(found) else place.removesuffix(".")


def _place(steps: tuple[int | str, ...]) -> str:
    return ".".join(map(str, steps))


def _problem(path: str, place: str, message: str) -> Problem:
    return Problem(path=path, message=f"{place}: {message}" if place else message, code="plan.invalid", fix=_FIX)


def _invalid(path: str, message: str, fix: str = _FIX) -> InvalidInput:
    return InvalidInput(
        (_problem(path, "", message),), message=f"{path} is no plan that can be used: {message}", fix=fix
    )
