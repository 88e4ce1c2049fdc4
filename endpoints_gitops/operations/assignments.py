"""Values for a run, from the words of a command line: `NAME=TEXT`, typed by the variable, and `NAME:=JSON`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.definition import LoadedDefinition, VariableType
from endpoints_gitops.model.json import Json, JsonObject
from endpoints_gitops.model.pin import Pin

_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_TRUTH: Final = {"true": True, "false": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """One `--var`. `text` is what stands behind `=`; None where JSON was given, which is `value`."""

    name: str
    text: str | None = None
    value: Json = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableShape:
    """What is known of a variable: its type, and whether it takes a list (None: that is not known)."""

    type: VariableType
    takes_list: bool | None = None


def parsed(words: Sequence[str]) -> tuple[Assignment, ...]:
    """The assignments of a command line. Raises UsageError for a word that is none, and for broken JSON."""
    return tuple(map(_parsed, words))


def values(
    assignments: Sequence[Assignment], inputs: Mapping[str, VariableShape]
) -> tuple[dict[str, Json], tuple[str, ...]]:
    """The values by name, and a note for each text that is not of its variable's type and therefore stays text.

    A list may be given as several assignments of one name. Raises UsageError where another name is given twice.
    """
    typed: dict[str, Json] = {}
    notes: list[str] = []
    for name in dict.fromkeys(one.name for one in assignments):
        same = [one for one in assignments if one.name == name]
        known = inputs.get(name)
        if len(same) > 1:
            typed[name] = _several(name, same, known)
        elif same[0].text is None:
            typed[name] = same[0].value
        else:
            typed[name] = _typed(same[0].text, known)
            if _is_odd(typed[name], known):
                notes.append(
                    f"variable {name} is a {known.type if known else ''}, and {same[0].text!r} is none: sent as text"
                )
    return typed, tuple(notes)


def inputs_of_definition(loaded: LoadedDefinition) -> dict[str, VariableShape]:
    """What a definition declares."""
    return {
        variable.name: VariableShape(
            type=variable.type,
            takes_list=True if variable.multi or isinstance(variable.default, list | tuple) else variable.multi,
        )
        for variable in loaded.definition.variables or ()
    }


def inputs_of_pin(pin: Pin) -> dict[str, VariableShape]:
    """What the pinned version takes. Types that nobody knows say nothing."""
    words = {word.value: word for word in VariableType}
    return {
        variable.name: VariableShape(
            type=words[variable.type], takes_list=isinstance(variable.default, list) if variable.has_default else None
        )
        for variable in pin.variables
        if variable.type in words
    }


def inputs_of_document(document: JsonObject) -> dict[str, VariableShape]:
    """What the OpenAPI document of a version says; what has another shape than expected says nothing."""
    found: Any = document
    for key in ("components", "schemas", "Variables", "properties"):
        found = found.get(key) if isinstance(found, Mapping) else None
    schemas = found.items() if isinstance(found, Mapping) else ()
    return {name: _input(schema) for name, schema in schemas if isinstance(schema, Mapping)}


def _input(schema: Mapping[str, Any]) -> VariableShape:
    words = {"number": VariableType.NUMBER, "integer": VariableType.NUMBER, "boolean": VariableType.BOOLEAN}
    if schema.get("type") == "array":
        example = schema.get("example")
        return VariableShape(type=VariableType.LIST, takes_list=None if example is None else isinstance(example, list))
    is_date = schema.get("format") == "date"
    return VariableShape(type=VariableType.DATE if is_date else words.get(str(schema.get("type")), VariableType.STRING))


def _parsed(word: str) -> Assignment:
    name, equals, rest = word.partition("=")
    if not equals or name in {"", ":"}:
        fix = "write --var NAME=VALUE, or --var NAME:=JSON"
        raise UsageError(f"--var {word!r} is no assignment", fix=fix, code="usage.variable")
    if not name.endswith(":"):
        return Assignment(name=name, text=rest)
    try:
        return Assignment(name=name[:-1], value=json.loads(rest, parse_constant=_refuse_constant))
    except (ValueError, RecursionError) as error:
        fix = f"quote it for your shell, as in --var '{name}=\"text\"'; --var {name[:-1]}=VALUE takes plain text"
        message = f"what stands behind --var {name}= is no JSON: {error}"
        raise UsageError(message, fix=fix, code="usage.variable") from None


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number in JSON")


def _several(name: str, same: Sequence[Assignment], known: VariableShape | None) -> Json:
    if known is None or known.type is not VariableType.LIST:
        raise UsageError(f"--var {name} is given {len(same)} times, and is no list", code="usage.variable")
    return [one.value if one.text is None else one.text for one in same]


def _typed(text: str, known: VariableShape | None) -> Json:
    """The value that a text means for a variable of this type; the text itself where it means none."""
    reader = _READERS.get(known.type) if known else None
    return reader(text, known) if reader and known else text


def _number(text: str, _: VariableShape) -> Json:
    if not _NUMBER.fullmatch(text.strip()):
        return text
    try:
        return int(text)
    except ValueError:
        number = float(text)
        return number if math.isfinite(number) else text


def _boolean(text: str, _: VariableShape) -> Json:
    return _TRUTH.get(text.strip().lower(), text)


def _list(text: str, known: VariableShape) -> Json:
    """JSON, or texts between commas. A single text is a list only where one is wanted: some queries take one choice."""
    if text.lstrip().startswith("["):
        try:
            return json.loads(text, parse_constant=_refuse_constant)  # type: ignore[no-any-return]  # JSON is Json
        except (ValueError, RecursionError):
            return text
    if known.takes_list is False:
        return text
    return [part.strip() for part in text.split(",")]


def _is_odd(value: Json, known: VariableShape | None) -> bool:
    return isinstance(value, str) and known is not None and known.type in {VariableType.NUMBER, VariableType.BOOLEAN}


_READERS: Final[Mapping[VariableType, Callable[[str, VariableShape], Json]]] = {
    VariableType.NUMBER: _number,
    VariableType.BOOLEAN: _boolean,
    VariableType.LIST: _list,
}
