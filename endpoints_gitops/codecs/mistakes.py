"""Messages for the mistakes that the model finds in a definition, each with its position."""

from __future__ import annotations

import enum
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from endpoints_gitops.codecs.text import KeyPath
from endpoints_gitops.codecs.yaml.composer import Node, Span, entry
from endpoints_gitops.codecs.yaml.positions import nearest
from endpoints_gitops.errors import MOST_PROBLEMS, Problem
from endpoints_gitops.model.definition import (
    QUERY_KEYS,
    Definition,
    FreshnessWord,
    Materialization,
    ScheduleWord,
    freshness_mistake,
    query_keys_mistake,
)
from endpoints_gitops.model.suggestions import closest, did_you_mean

# Words from the API or from SQL, and the keys for them.
_OTHER_NAMES: Final = {
    "sql": "query",
    "is_active": "active",
    "is_materialized": "materialization",
    "materialized": "materialization",
    "data_freshness_seconds": "data_freshness",
    "freshness": "data_freshness",
    "sync_frequency": "schedule",
    "code_name": "name",
    "default_value": "default",
    "is_multi": "multi",
}
# Keys that a later release will support. Until then they are refused, because they would have no effect.
_NOT_YET: Final = ("assertions", "budget", "key", "tests")
_KINDS: Final = (
    (bool, "true or false"),
    (str, "text"),
    (int, "a number"),
    (float, "a number"),
    (list, "a list"),
    (Mapping, "a mapping"),
)
_EXPECTED: Final = {
    "string_type": "text",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "tuple_type": "a list",
    "model_type": "a mapping of keys to values",
    "mapping_type": "a mapping of keys to values",
    "dict_type": "a mapping of keys to values",
}


def model_problems(path: str, root: Node, value: Any, error: ValidationError) -> Iterator[Problem]:  # noqa: ANN401 - JSON
    """A problem for each mistake that the model finds in a value. `root` is the tree of the value.

    Rules over several keys are checked here too, because the model checks them only if every single key is valid. Only
    the first mistakes get a full message: others are not reported (`first_problems`), and a suggestion takes a
    millisecond.
    """
    details = [(detail, _span(root, value, detail)) for detail in error.errors(include_url=False) if detail["loc"]]
    details.sort(key=lambda pair: (pair[1].line, pair[1].column))
    first = details[: MOST_PROBLEMS + 1]
    unknown = {
        _inside(detail["loc"], value): suggested(detail) for detail, _ in first if detail["type"] == "extra_forbidden"
    }
    intended = {(*place[:-1], word) for place, word in unknown.items() if word}
    for detail, span in first:
        if not (detail["type"] == "missing" and tuple(detail["loc"]) in intended):
            code, message, fix = _words(_inside(detail["loc"], value), detail)
            yield _problem(path, span, code, message, fix)
    for detail, span in details[MOST_PROBLEMS + 1 :]:
        yield _problem(path, span, "invalid", f"{_dotted(detail['loc'])}: {detail['msg']}", None)
    if isinstance(value, dict):
        yield from _query_keys(path, root, value, intended)
        yield from _freshness(path, root, value, ())
        overlays = value.get("environments")
        for name, overlay in overlays.items() if isinstance(overlays, dict) else ():
            yield from _freshness(path, root, overlay, ("environments", name))


def suggested(detail: ErrorDetails) -> str | None:
    """The known key that is closest to an unknown one; None if none is close."""
    *parents, key = detail["loc"]
    model = annotation_at(tuple(parents))
    known = model.model_fields if isinstance(model, type) and issubclass(model, BaseModel) else {}
    other = _OTHER_NAMES.get(str(key))
    return other if other in known else closest(str(key), known)


def _span(root: Node, value: Any, detail: ErrorDetails) -> Span:  # noqa: ANN401 - JSON
    _, key, node = nearest(root, _inside(detail["loc"], value))
    return (key if detail["type"] == "extra_forbidden" else node).span


def _problem(path: str, span: Span, code: str, message: str, fix: str | None) -> Problem:
    return Problem(path=path, line=span.line, column=span.column, message=message, code=f"definition.{code}", fix=fix)


def _words(place: KeyPath, detail: ErrorDetails) -> tuple[str, str, str | None]:
    kind, key = detail["type"], _dotted(place)
    if kind == "extra_forbidden":
        return _unknown_key(place, detail)
    if kind == "missing":
        return "missing-key", f"missing key {_dotted(detail['loc'])!r}", None
    if kind in ("literal_error", "enum"):
        return _unknown_value(place, detail["input"])
    if kind in _EXPECTED:
        return _wrong_kind(key, kind, detail["input"])
    if kind == "string_pattern_mismatch":
        message = "the name of an endpoint must be a letter, followed by up to 127 letters, digits, _ or -"
        return "name", message, None
    if kind == "greater_than_equal":
        return "invalid", f"{key} must be at least {detail['ctx']['ge']}, not {_described(detail['input'])}", None
    if kind == "value_error":
        return "invalid", f"{key}: {detail['ctx']['error']}", None
    return "invalid", f"{key}: {detail['msg']}", None


def _unknown_key(place: KeyPath, detail: ErrorDetails) -> tuple[str, str, str | None]:
    name = str(place[-1])
    if len(place) == 1 and name in _NOT_YET:
        return "unknown-key", f"unknown key {name!r}: this release does not support it yet", "remove it"
    near = suggested(detail)
    if near:
        return "unknown-key", f"unknown key {name!r}; did you mean {near!r}?", f"write {near}"
    if len(place) == 1 and name in Materialization.model_fields:
        return "unknown-key", f"unknown key {name!r}; it belongs under materialization", None
    model = annotation_at(place[:-1])
    known = ", ".join(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else ""
    return "unknown-key", f"unknown key {name!r}", f"the keys here are {known}"


def _unknown_value(place: KeyPath, value: object) -> tuple[str, str, str | None]:
    words = _words_of(annotation_at(place))
    near = did_you_mean(value, words) if isinstance(value, str) else ""
    seconds = ", or its seconds" if annotation_at(place) == FreshnessWord else ""
    listed = ", ".join(words)
    return "unknown-value", f"{_dotted(place)} must be one of {listed}{seconds}, not {_described(value)}{near}", None


def _wrong_kind(key: str, kind: str, value: object) -> tuple[str, str, str | None]:
    message = f"{key} must be {_EXPECTED[kind]}, not {_described(value)}"
    if kind == "string_type" and isinstance(value, (int, float)):
        return "wrong-type", message, "put the value in quotes"
    if kind == "bool_type" and isinstance(value, str):
        return "wrong-type", message, "write true or false, without quotes"
    if key == "query" and isinstance(value, Mapping):
        return "wrong-type", message, "write query_definition for a query node, such as one of an insight"
    return "wrong-type", message, None


def _described(value: object) -> str:
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (str, int, float)):
        return repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:60]}…"
    return next((word for kind, word in _KINDS if isinstance(value, kind)), "another kind of value")


def _dotted(place: Iterable[str | int]) -> str:
    return ".".join(map(str, place))


def _inside(location: tuple[str | int, ...], value: Any) -> KeyPath:  # noqa: ANN401 - JSON
    """The part of pydantic's location that exists in the value; pydantic also includes the branches of unions."""
    known: KeyPath = ()
    for part in location:
        if not isinstance(value, (dict, list)):
            break
        try:
            value = value[part]  # type: ignore[index]  # a mismatch of part and value ends the loop
        except (KeyError, IndexError, TypeError):
            break
        known = (*known, part)
    return known


def annotation_at(place: KeyPath) -> Any:  # noqa: ANN401 - any annotation
    """The type of the model at a path, or None."""
    annotation: Any = Definition
    for part in place:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            field = annotation.model_fields.get(str(part))
            annotation = _bare(field.annotation if field else None)
        else:
            arguments = [argument for argument in get_args(annotation) if argument is not Ellipsis]
            annotation = _bare(arguments[-1] if arguments else None)
    return annotation


def _bare(annotation: Any) -> Any:  # noqa: ANN401 - as above
    """The annotation without `| None` and without pydantic's metadata."""
    if get_origin(annotation) in (types.UnionType, Union):
        return _bare(next(branch for branch in get_args(annotation) if branch is not types.NoneType))
    return _bare(annotation.__origin__) if hasattr(annotation, "__metadata__") else annotation


def _words_of(annotation: Any) -> list[str]:  # noqa: ANN401 - as above
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return [str(member.value) for member in annotation]
    arguments = get_args(annotation) if get_origin(annotation) is Literal else ()
    return [argument for argument in arguments if isinstance(argument, str)]


def _query_keys(path: str, root: Node, value: dict[str, Any], intended: set[KeyPath]) -> Iterator[Problem]:
    """The mistake of a definition with no query or several; `intended` are the keys that were misspelled."""
    keys = [key for key in value if key in QUERY_KEYS and value[key] is not None]
    mistake = query_keys_mistake(keys)
    if mistake is None or (not keys and any((key,) in intended for key in QUERY_KEYS)):
        return
    second = entry(root, keys[1]) if len(keys) > 1 else None
    span = (second[0] if second else root).span
    yield Problem(path=path, line=span.line, column=span.column, message=mistake, code="definition.query-keys")


def _freshness(path: str, root: Node, settings: Any, place: KeyPath) -> Iterator[Problem]:  # noqa: ANN401 - JSON
    if not isinstance(settings, dict):
        return
    materialization = settings.get("materialization")
    schedule = materialization.get("schedule") if isinstance(materialization, dict) else None
    freshness = settings.get("data_freshness")
    if schedule not in get_args(ScheduleWord) or freshness not in get_args(FreshnessWord):
        return
    mistake = freshness_mistake(freshness, schedule)
    if mistake is not None:
        span = nearest(root, (*place, "data_freshness"))[1].span
        code = "definition.freshness-disagrees"
        yield Problem(path=path, line=span.line, column=span.column, message=mistake, code=code)
