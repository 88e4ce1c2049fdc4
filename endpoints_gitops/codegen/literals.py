"""Values as literals of other languages."""

from __future__ import annotations

import json
from collections.abc import Mapping

from endpoints_gitops.model.json import Json


def json_literal(value: Json) -> str:
    """A value as JSON on one line, with texts like `string_literal`."""
    if isinstance(value, str):
        return string_literal(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{string_literal(key)}: {json_literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(json_literal, value))}]"
    return json.dumps(value)


def string_literal(text: str) -> str:
    """A string literal of JSON and JavaScript; of Python and Go too, if all characters of the text can be printed.

    Characters that print nothing are escaped, and those that could end a literal around this one.
    """
    return '"' + "".join(map(_character, text)) + '"'


def _character(character: str) -> str:
    if character == '"':
        return '\\"'
    if character.isprintable() and character not in "\\'`":
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[index : index + 2].hex()}" for index in range(0, len(units), 2))
