"""Answers of insights that are not computed locally: the rows of examples in a definitions folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from endpoints_gitops.errors import EndpointsError
from endpoints_gitops.hogql.insights import strip
from endpoints_gitops.local.errors import RequestRefused, invalid
from endpoints_gitops.model.definition import LoadedDefinition
from endpoints_gitops.model.json import Json, canonical

_SUFFIXES: Final = (".yaml", ".yml")


class _NoExample(Exception):
    """There is no example; the text says why."""


def rows_of(
    folder: Path | None, name: str, query: Mapping[str, Any], sent: Mapping[str, Json], *, because: str
) -> list[Json]:
    """The rows of the endpoint's example with these variables. Raises a 400 if there is none; `because` says why the
    results are not computed.

    Several files may define the name, one for each version that is to be answered.
    """
    try:
        return _rows(folder, name, query, sent)
    except _NoExample as reason:
        raise not_computed(f"{because} No example of '{name}' answers instead: {reason}.") from None


def not_computed(detail: str) -> RequestRefused:
    """A 400 for what the local server does not compute."""
    return invalid(detail, code="not_supported_locally")


def _rows(folder: Path | None, name: str, query: Mapping[str, Any], sent: Mapping[str, Json]) -> list[Json]:
    if folder is None:
        raise _NoExample("no definitions folder was named (--dir)")
    definitions = list(_definitions(folder, name))
    if not definitions:
        raise _NoExample(f"no definition in {folder} has this name")
    of_version = [loaded for loaded in definitions if strip(loaded.definition.query_definition or {}) == strip(query)]
    if not of_version:
        raise _NoExample(f"{definitions[0].path} defines another query than this version has")
    for example in of_version[0].definition.examples or ():
        if example.rows is not None and canonical(example.variables) == canonical(sent):
            return list(example.rows)
    raise _NoExample(f"{of_version[0].path} has no example with rows for the variables {canonical(sent)}")


def _definitions(folder: Path, name: str) -> Iterator[LoadedDefinition]:
    """The definitions of a name, and the unreadable files, which could define it."""
    from endpoints_gitops.codecs.definition import read_definition

    for path in sorted(file for file in folder.rglob("*") if file.suffix in _SUFFIXES and file.is_file()):
        try:
            loaded = read_definition(str(path), path.read_bytes(), _beside(path.parent))
        except (OSError, EndpointsError) as error:
            raise _NoExample(f"{path} cannot be read: {error}") from None
        if loaded.name == name:
            yield loaded


def _beside(folder: Path) -> Callable[[str], bytes]:
    return lambda text: (folder / text).read_bytes()
