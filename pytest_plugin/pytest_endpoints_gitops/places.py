"""Where something is written, for messages: found by its text, since nothing is to be understood there."""

from __future__ import annotations

import re
from pathlib import Path

from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.pin import Pin
from endpoints_gitops.workspace.configuration import Configuration, definitions_folder
from endpoints_gitops.workspace.definitions import list_files
from endpoints_gitops.workspace.files import read_regular_file, shown


def place_of_definition(configuration: Configuration, environment: str, name: str) -> str | None:
    """`path:line` of the definition of this name; None where no folder of definitions is at hand."""
    settings = configuration.environments.get(environment, configuration.common)
    try:
        paths, _ = list_files(definitions_folder(configuration, settings, None))
    except UsageError:
        return None
    named = re.compile(rf"^name:\s*[\"']?{re.escape(name)}[\"']?\s*(?:#.*)?$", re.MULTILINE)
    for path in paths:
        place = _place(path, named)
        if place:
            return place
    return None


def place_of_pin(lock: Path, pin: Pin) -> str:
    """`path:line` of the pin's block."""
    block = rf'^environment = "{re.escape(pin.environment)}"\nname = "{re.escape(pin.name)}"$'
    return _place(lock, re.compile(block, re.MULTILINE)) or shown(lock)


def _place(path: Path, pattern: re.Pattern[str]) -> str | None:
    try:
        text = read_regular_file(path).decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    found = pattern.search(text)
    return f"{shown(path)}:{text.count(chr(10), 0, found.start()) + 1}" if found else None
