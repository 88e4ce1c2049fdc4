"""The plan as JSON: the file that `plan -o` writes and `push --plan` reads, and the content of the journal.

Its digest covers the rest of the plan, so that a damaged or edited plan is never pushed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.errors import InvalidInput, Problem
from endpoints_gitops.model.json import Json, JsonObject, fingerprint
from endpoints_gitops.plan.changes import Plan

if TYPE_CHECKING:
    from pydantic import TypeAdapter

SCHEMA_VERSION: Final = 1
_FIX: Final = Advice("create a new plan with ", Command("plan", "-o", "FILE"))
_ATTRIBUTION: Final = "verdict"
"""The key of the attribution of skipped changes in the format."""


def to_json(plan: Plan) -> dict[str, Json]:
    """The plan as a JSON object, with multi-line SQL as a list of lines."""
    value: dict[str, Any] = {"schema_version": SCHEMA_VERSION, **_plain(asdict(plan))}
    for query in _queries(value):
        if isinstance(query.get("query"), str) and "\n" in query["query"]:
            query["query"] = query["query"].split("\n")
    for key_change in (key_change for change in value["changes"] for key_change in change["keys"]):
        if key_change["overwrites"] is None:
            del key_change["overwrites"]
    value["left_alone"] = [_renamed(left, "attribution", _ATTRIBUTION) for left in value["left_alone"]]
    return {**value, "digest": fingerprint(value)}


def from_json(value: JsonObject, path: str) -> Plan:
    """The plan of a JSON object from `to_json`. Raises InvalidInput, naming `path` and the location in it."""
    found = value.get("schema_version")
    if type(found) is not int:
        raise _invalid(path, "it has no schema_version")
    if found > SCHEMA_VERSION:
        message = f"a newer release wrote it (schema_version {found}, not {SCHEMA_VERSION})"
        raise _invalid(path, message, Advice("install that release of endpoints-gitops, or ", _FIX))
    stated = {key: item for key, item in value.items() if key not in {"schema_version", "digest"}}
    plan = _validated(stated, path)
    expected = to_json(plan)
    digest, expected_digest = value.get("digest"), expected.pop("digest")
    where = _difference(expected, {"schema_version": found, **stated}, "")
    if where is not None:
        raise _invalid(path, f"{where or 'the file'} has a value that is not valid in a plan")
    if digest is None:
        raise _invalid(path, "it has no digest: an older release of endpoints-gitops wrote it")
    if digest != expected_digest:
        raise _invalid(path, "its digest does not match: the file was damaged, or edited by hand")
    return plan


def write_plan(plan: Plan) -> bytes:
    """The bytes of a plan's file, from which `read_plan` returns the same plan."""
    value = to_json(plan)
    try:
        return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode("utf-8")
    except UnicodeEncodeError:  # half of a surrogate pair must be escaped
        return (json.dumps(value, indent=2) + "\n").encode("ascii")


def read_plan(content: bytes, path: str) -> Plan:
    """Parse a plan's file. Raises InvalidInput, naming `path` and the location in it."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _invalid(path, f"not valid JSON ({error})") from error
    if not isinstance(value, dict):
        raise _invalid(path, "it has no schema_version")
    return from_json(value, path)


def _plain(value: Any) -> Any:  # noqa: ANN401 - any JSON value, with tuples
    """The value with lists instead of tuples, as JSON is read."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _renamed(value: Any, before: str, after: str) -> Any:  # noqa: ANN401 - any JSON value
    """An object with one key renamed; any other value unchanged."""
    if not isinstance(value, dict):
        return value
    return {after if key == before else key: item for key, item in value.items()}


def _with_text(value: JsonObject) -> dict[str, Any]:
    """The value with the lines of each query joined. The value can have any shape."""
    copy: dict[str, Any] = _plain(dict(value))
    for query in _queries(copy):
        lines = query.get("query")
        if isinstance(lines, list) and all(isinstance(line, str) for line in lines):
            query["query"] = "\n".join(lines)
    left_alone = copy.get("left_alone")
    if isinstance(left_alone, list):
        copy["left_alone"] = [_renamed(left, _ATTRIBUTION, "attribution") for left in left_alone]
    return copy


def _queries(value: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every HogQL node that a change has before or after."""
    for change in _objects(value.get("changes")):
        for key_change in _objects(change.get("keys")):
            for query in _objects([key_change.get("before"), key_change.get("after")]):
                if query.get("kind") == "HogQLQuery":
                    yield query


def _objects(value: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - any JSON value
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list | tuple) else []


def _validated(value: JsonObject, path: str) -> Plan:
    from pydantic import ValidationError

    try:
        return _adapter().validate_python(_with_text(value))
    except ValidationError as error:
        problems = (_problem(path, _place(fault["loc"]), fault["msg"]) for fault in error.errors(include_input=False))
        raise InvalidInput(tuple(dict.fromkeys(problems)), message=f"{path} is not a valid plan", fix=_FIX) from error
    except RecursionError as error:
        raise _invalid(path, "it is nested too deeply") from error


@cache
def _adapter() -> TypeAdapter[Plan]:
    from pydantic import TypeAdapter

    return TypeAdapter(Plan)


def _difference(expected: object, found: object, place: str) -> str | None:
    """The location where a file differs from the plan that was read from it, such as an extra key or a number as
    text."""
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
        wheres = (_difference(before, after, f"{place}{index}.") for index, (before, after) in pairs)
        return next((where for where in wheres if where is not None), None)
    return None if expected == found and _is_same_type(expected, found) else place.removesuffix(".")


def _is_same_type(expected: object, found: object) -> bool:
    """Whether the types are equal; a member of a string enumeration counts as text."""
    return type(expected) is type(found) or (isinstance(expected, str) and isinstance(found, str))


def _place(steps: tuple[int | str, ...]) -> str:
    return ".".join(_ATTRIBUTION if step == "attribution" else str(step) for step in steps)


def _problem(path: str, place: str, message: str) -> Problem:
    return Problem(path=path, message=f"{place}: {message}" if place else message, code="plan.invalid", fix=_FIX)


def _invalid(path: str, message: str, fix: str = _FIX) -> InvalidInput:
    return InvalidInput((_problem(path, "", message),), message=f"{path} is not a valid plan: {message}", fix=fix)
