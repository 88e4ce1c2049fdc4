"""Values put in the place of a query's variables, for running a text that the server does not hold.

The server substitutes variables of the project only, so a definition that was never pushed is bound here: the syntax
tree says where each placeholder stands, and its value is written there as a HogQL literal.
"""

from __future__ import annotations

from collections.abc import Mapping

from endpoints_gitops.hogql.parser import parse
from endpoints_gitops.hogql.variables import Placeholder, placeholders
from endpoints_gitops.model.json import Json


class UnboundVariable(ValueError):
    """A placeholder for which there is no value, or that is more than a variable; `message` names it."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def bind(sql: str, values: Mapping[str, Json]) -> str:
    """The text with a literal for each `{variables.NAME}`. Raises UnboundVariable or a ParseFailure."""
    bound = sql
    for placeholder in reversed(placeholders(parse(sql))):
        bound = bound[: placeholder.start] + literal(_value(placeholder, values)) + bound[placeholder.end :]
    return bound


def literal(value: Json) -> str:
    """A JSON value as HogQL writes it. Lists become arrays; objects have no literal."""
    if value is None or isinstance(value, bool):
        return {None: "NULL", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        raise UnboundVariable("a variable's value is text, a number, a truth value or a list of those, not an object")
    return f"[{', '.join(literal(item) for item in value)}]"


def _value(placeholder: Placeholder, values: Mapping[str, Json]) -> Json:
    if len(placeholder.variables) != 1 or placeholder.chain[:1] not in {("variables",), ()}:
        raise UnboundVariable(f"the placeholder at character {placeholder.start} is no variable")
    (name,) = placeholder.variables
    if placeholder.chain != ("variables", name):
        raise UnboundVariable(f"the placeholder of {name} is an expression; only {{variables.{name}}} can be bound")
    if name not in values:
        raise UnboundVariable(f"variable {name} has neither a value nor a default")
    return values[name]


def _quoted(text: str) -> str:
    if "\0" in text:
        raise UnboundVariable("a zero byte cannot be written in HogQL: the parser drops it")
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    for character, spelled in (("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
        escaped = escaped.replace(character, spelled)
    return f"'{escaped}'"
