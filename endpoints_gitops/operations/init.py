"""Set up a folder for definitions: a configuration, the definitions folder, and an example. Overwrites nothing."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from endpoints_gitops.codecs.toml import NotToml, load_toml
from endpoints_gitops.errors import UsageError
from endpoints_gitops.workspace.configuration import POSTHOG_CLI
from endpoints_gitops.workspace.credentials import DEFAULT_HOST
from endpoints_gitops.workspace.files import read_regular_file, shown, write_atomically

OWN_FILE: Final = "endpoints.toml"
_PYPROJECT: Final = "pyproject.toml"
_TABLE: Final = "tool.endpoints-gitops"
_KEY_SOURCES: Final = ("env:NAME", "dotenv:FILE:NAME", POSTHOG_CLI)
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_BOM: Final = b"\xef\xbb\xbf"
EXAMPLE_NAME: Final = "daily_active_users"
_EXAMPLE: Final = {
    "name": EXAMPLE_NAME,
    "description": "How many people were active on each of the last 30 days.",
    "query": (
        "SELECT toDate(timestamp) AS day, count(DISTINCT person_id) AS users\n"
        "FROM events\n"
        "WHERE timestamp >= now() - INTERVAL 30 DAY\n"
        "GROUP BY day\n"
        "ORDER BY day"
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEnvironment:
    """The first environment of a configuration; `project_id` None leaves it commented out, to be filled in.

    `key` says where the key comes from, never what it is.
    """

    name: str
    host: str = DEFAULT_HOST
    project_id: int | None = None
    key: str = "env:POSTHOG_API_KEY"


def write_configuration(here: Path, *, folder: str, environment: NewEnvironment) -> Path:
    """Write the configuration of a folder that has none, and return the file.

    It is appended to an existing `pyproject.toml`, of which no other byte changes, else written to a new
    `endpoints.toml`. Raises UsageError for a `pyproject.toml` that is not TOML.
    """
    project = here / _PYPROJECT
    if os.path.lexists(project) and (content := _appended(project, folder, environment)) is not None:
        write_atomically(project, content)
        return project
    own = here / OWN_FILE
    if os.path.lexists(own):
        raise UsageError(f"{shown(own)} exists already", code="init.taken")
    write_atomically(own, _table("", folder, environment).encode("utf-8"))
    return own


def write_example(folder: Path) -> Path | None:
    """Write an example definition, and return its path; None where the folder has a file of that name."""
    from endpoints_gitops.codecs.rewriting import new_file
    from endpoints_gitops.codecs.schema import SCHEMA_FILE

    path = folder / f"{EXAMPLE_NAME}.yaml"
    if path.exists() or path.is_symlink():
        return None
    write_atomically(path, new_file(_EXAMPLE, schema=SCHEMA_FILE), folder=folder)
    return path


def write_schema(folder: Path) -> Path | None:
    """Write the schema for editors beside the definitions, and return its path; None where that file exists."""
    from endpoints_gitops.codecs.schema import SCHEMA_FILE, text

    path = folder / SCHEMA_FILE
    if path.exists() or path.is_symlink():
        return None
    write_atomically(path, text().encode("utf-8"), folder=folder)
    return path


def _appended(project: Path, folder: str, environment: NewEnvironment) -> bytes | None:
    """The file with our table at its end; None where no table can follow (`tool` is written inline)."""
    try:
        before = read_regular_file(project)
    except OSError as error:
        message = f"cannot be read: {error.strerror or error}"
        raise UsageError(message, where=shown(project), code="configuration.unreadable") from error
    text = _toml_text(project, before)
    newline = "\r\n" if "\r\n" in text else "\n"
    table = _table(_TABLE, folder, environment).replace("\n", newline)
    gap = "" if not text.strip() else newline if text.endswith("\n") else newline * 2
    try:
        load_toml((text + gap + table).replace("\r\n", "\n"))
    except NotToml:
        return None
    return before + (gap + table).encode("utf-8")


def _toml_text(path: Path, content: bytes) -> str:
    try:
        text = content.removeprefix(_BOM).decode("utf-8")
        load_toml(text)
    except (UnicodeDecodeError, NotToml) as error:
        fix = f"mend it, or write the configuration into {OWN_FILE} by hand"
        raise UsageError(
            f"not valid TOML: {error}", where=shown(path), fix=fix, code="configuration.invalid"
        ) from error
    return text


def _table(prefix: str, folder: str, environment: NewEnvironment) -> str:
    head = f"[{prefix}]\n" if prefix else "# PostHog endpoints as code. No key stands here, only where it comes from.\n"
    name = environment.name if _BARE.fullmatch(environment.name) else json.dumps(environment.name)
    section = ".".join(filter(None, (prefix, "environments", name)))
    lines = [
        f"[{section}]",
        f"host = {json.dumps(environment.host)}",
        f"project_id = {environment.project_id or 12345}",
        f"key = {json.dumps(environment.key)}  # or {', '.join(_other_sources(environment.key))}",
    ]
    unknown = "# " if environment.project_id is None else ""
    body = "".join(f"{unknown}{line}\n" for line in lines)
    return f"{head}dir = {json.dumps(folder)}\n\n{body}"


def _other_sources(key: str) -> list[str]:
    """The sources that the key is not from, as they are written."""
    kind = key.partition(":")[0]
    return [json.dumps(source) for source in _KEY_SOURCES if source.partition(":")[0] != kind]
