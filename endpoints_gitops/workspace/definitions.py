"""The definitions folder: every file in it read, every mistake in every file told at once."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from endpoints_gitops.errors import InvalidInput, Problem, UsageError
from endpoints_gitops.model.definition import LoadedDefinition
from endpoints_gitops.model.name import is_endpoint_name
from endpoints_gitops.workspace.files import inside, shown

SUFFIXES: Final = (".yaml", ".yml")
_NAMED_TWINS: Final = 3
"""Other files of the same name that a mistake names; there may be thousands."""


def read_all(folder: Path) -> tuple[LoadedDefinition, ...]:
    """The definitions in a folder and the folders below it, ordered by path.

    Files end in `.yaml` or `.yml`; what begins with a dot is left out. Raises UsageError where there is no folder, and
    InvalidInput with every problem in every file: a file that cannot be read is one, and so are two of one name.
    """
    found, problems = list_files(folder)
    definitions: list[LoadedDefinition] = []
    for path in found:
        try:
            definitions.append(read_file(path, folder))
        except InvalidInput as error:
            problems += error.problems
    problems += doubled(definitions)
    if problems:
        raise InvalidInput(tuple(sorted(problems, key=lambda one: (one.path, one.line, one.column))))
    return tuple(definitions)


def list_files(folder: Path) -> tuple[list[Path], list[Problem]]:
    """The files of definitions in a folder, unread and ordered by path, with a problem for each folder in it that
    cannot be listed. Raises UsageError where there is no folder.
    """
    if not folder.is_dir():
        there = "is no folder" if folder.exists() else "is not there"
        message = f"the definitions folder {shown(folder)} {there}"
        raise UsageError(message, fix="endpoints-gitops init, or name the folder with --dir", code="definitions.folder")
    walk = _Walk()
    return sorted(walk.files(folder), key=lambda path: path.parts), walk.problems


def read_file(path: Path, folder: Path) -> LoadedDefinition:
    """One definition, whose `query_file` may not lead out of `folder`. Raises InvalidInput with all that is wrong."""
    from endpoints_gitops.codecs.definition import read_definition

    try:
        content = _content(path)
    except OSError as error:
        raise InvalidInput((_unreadable(path, error),)) from error
    return read_definition(shown(path), content, _reader_beside(path, folder))


def path_for(name: str, folder: Path, definitions: Iterable[LoadedDefinition]) -> Path:
    """The file to write a definition to: the one that defines the name, else `NAME.yaml`.

    Raises UsageError for a name that no file should be called after, where that file defines something else, and where
    it would be outside the folder.
    """
    for loaded in definitions:
        if loaded.name == name:
            return Path(loaded.path)
    if not is_endpoint_name(name):
        message = f"no file can be made for an endpoint called {name!r}"
        raise UsageError(message, fix="leave it out with `manage` in the configuration", code="definitions.name")
    path = folder / f"{name}.yaml"
    inside(folder, path)
    if os.path.lexists(path):
        message = f"{shown(path)} is there already and does not define {name}"
        raise UsageError(message, fix="rename that file; any name does", code="definitions.taken")
    return path


@dataclass(slots=True)
class _Walk:
    """Folders that symbolic links reach twice are read once, so a circle of links ends."""

    problems: list[Problem] = field(default_factory=list)
    seen: set[Path] = field(default_factory=set)

    def files(self, folder: Path) -> Iterator[Path]:
        real = folder.resolve()
        if real in self.seen:
            return
        self.seen.add(real)
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            self.problems.append(_unreadable(folder, error))
            return
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from self.files(folder / entry.name)
            elif entry.name.lower().endswith(SUFFIXES):
                yield folder / entry.name


def _content(path: Path, what: str = "a definition") -> bytes:
    """The bytes of a file; what is no file (a pipe would never end) or too large is refused before it is read."""
    from endpoints_gitops.codecs.text import LARGEST_FILE, refuse_size

    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is no regular file")
    if found.st_size > LARGEST_FILE:
        refuse_size(shown(path), found.st_size, what=what)
    return path.read_bytes()


def _reader_beside(path: Path, folder: Path) -> Callable[[str], bytes]:
    def read_beside(name: str) -> bytes:
        place = path.parent / name
        if not place.resolve().is_relative_to(folder.resolve()):
            fix = f"move the file into {shown(folder)}"
            raise UsageError(f"query_file {name} is outside the definitions folder", fix=fix, code="files.outside")
        return _content(place, "a query")

    return read_beside


def doubled(definitions: Iterable[LoadedDefinition]) -> list[Problem]:
    """A problem at each of the places that define one name."""
    places: dict[str, list[LoadedDefinition]] = {}
    for loaded in definitions:
        places.setdefault(loaded.name, []).append(loaded)
    return [_doubled_at(loaded, same) for same in places.values() if len(same) > 1 for loaded in same]


def _doubled_at(loaded: LoadedDefinition, same: list[LoadedDefinition]) -> Problem:
    others = [other.where() for other in same[: _NAMED_TWINS + 1] if other is not loaded][:_NAMED_TWINS]
    more = len(same) - 1 - len(others)
    if more:
        others.append(f"{more:,} more file{'s' if more > 1 else ''}")
    return Problem(
        path=loaded.path,
        line=loaded.lines.get("name", 1),
        column=1,
        message=f"the name {loaded.name!r} is defined in {' and '.join(others)} too",
        code="definition.duplicate",
        fix="keep one of the files, or give the other a name of its own",
    )


def _unreadable(path: Path, error: OSError) -> Problem:
    reason = error.strerror or str(error)
    return Problem(path=shown(path), message=f"cannot be read: {reason}", code="definition.unreadable")
