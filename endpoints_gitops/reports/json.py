"""JSON: the machine output of the command, as `--json` prints it."""

from __future__ import annotations

import json

from endpoints_gitops.model.json import Json
from endpoints_gitops.model.outcome import Outcome
from endpoints_gitops.model.printable import printable_json
from endpoints_gitops.reports import Invocation


def render(outcome: Outcome, invocation: Invocation) -> str:
    """The envelope: schema_version, command, exit_code, ok, summary, items, errors."""
    del invocation
    return document(outcome.as_json())


def document(value: Json) -> str:
    """A value as indented JSON, in which no text breaks out of a line or of a log."""
    return printable_json(json.dumps(value, indent=2, ensure_ascii=False, default=str)) + "\n"


def is_report(text: str) -> bool:
    """Whether it is an object with the keys of the envelope."""
    value = parsed(text)
    return isinstance(value, dict) and {"schema_version", "command", "exit_code", "items"} <= value.keys()


def parsed(text: str) -> Json:
    """The value of a JSON text; None for any other."""
    try:
        value: Json = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value
