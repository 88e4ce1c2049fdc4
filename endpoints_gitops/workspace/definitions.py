"""The definitions folder: reads every file in it, and reports every mistake in every file at once."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.errors import InvalidInput, Problem, UsageError
from endpoints_gitops.model.name import is_endpoint_name
from endpoints_gitops.model.printable import printable
from endpoints_gitops.workspace.files import (
    checkout,
    inside,
    leads_out,
    read_regular_file,
    real_path,
    remove_leftovers,
    shown,
)

if TYPE_CHECKING:
    from endpoints_gitops.model.definition import LoadedDefinition

SUFFIXES: Final = (".yaml", ".yml")
_NAMED_TWINS: Final = 3
"""Other files of the same name that a mistake names; there may be thousands."""


def read_all(folder: Path, *, is_parsed: bool = True) -> tuple[LoadedDefinition, ...]:
    """The definitions in a folder and the folders below it, ordered by path.

    Files end in `.yaml` or `.yml`; what begins with a dot is left out. Raises UsageError where there is no folder, and
    InvalidInput with every problem in every file: a file that cannot be read is one, and so are two of one name.
    Without `is_parsed` no HogQL is looked at.
    """
    paths, problems = list_files(folder)
    definitions: list[LoadedDefinition] = []
    for path in paths:
        try:
            definitions.append(read_file(path, folder, is_parsed=is_parsed))
        except InvalidInput as error:
            problems += error.problems
    problems += doubled(definitions)
    if problems:
        raise InvalidInput(tuple(sorted(problems, key=lambda problem: (problem.path, problem.line, problem.column))))
    return tuple(definitions)


def list_files(folder: Path) -> tuple[list[Path], list[Problem]]:
    """The files of definitions in a folder, unread and ordered by path, with a problem for each folder in it that
    cannot be listed. Raises UsageError where there is no folder.
    """
    if not folder.is_dir():
        reason = "is not a folder" if folder.exists() else "does not exist"
        message = f"the definitions folder {shown(folder)} {reason}"
        fix = Advice(Command("init"), ", or name the folder with --dir")
        raise UsageError(message, fix=fix, code="definitions.folder")
    walk = _Walk(boundary=checkout(folder))
    return sorted(walk.files(folder), key=lambda path: path.parts), walk.problems


def read_file(path: Path, folder: Path, *, is_parsed: bool = True) -> LoadedDefinition:
    """One definition, whose `query_file` may not lead out of `folder`. Raises InvalidInput with all that is wrong.

    The path may not be a link that leads out of the repository.
    """
    return open_file(path, folder).read(is_parsed=is_parsed)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedFile:
    """The bytes of a definition's file. `path` is what messages name; `read_beside` reads the file that `query_file`
    names, and raises UsageError for one outside of the folder."""

    path: str
    content: bytes
    read_beside: Callable[[str], bytes]

    def read(self, *, is_parsed: bool = True) -> LoadedDefinition:
        """The definition. Raises InvalidInput with all that is wrong."""
        from endpoints_gitops.codecs.definition import read_definition

        return read_definition(self.path, self.content, self.read_beside, is_parsed=is_parsed)


def open_file(path: Path, folder: Path) -> OpenedFile:
    """The content of one definition's file, as `read_file` reads it. Raises InvalidInput where it cannot be read."""
    if os.path.islink(path) and leads_out(path, folder):  # noqa: PTH114 - for every file: many times faster as a text
        raise InvalidInput((_outside(path),))
    try:
        content = _content(path)
    except OSError as error:
        raise InvalidInput((_unreadable(path, error),)) from error
    return OpenedFile(path=shown(path), content=content, read_beside=_reader_beside(path, folder))


def bounding_folder(path: Path, folder: Path) -> Path | None:
    """The definitions folder, if a path that a command line names is in it, else None.

    Raises UsageError for a path in the definitions folder that links lead out of the repository.
    """
    is_below = Path(os.path.abspath(path)).is_relative_to(os.path.abspath(folder))  # noqa: PTH100 - links are not followed
    if is_below and leads_out(path, folder):
        raise UsageError(f"{shown(path)} leads out of the repository, to {real_path(path)}", code="files.outside")
    return folder if real_path(path).is_relative_to(real_path(folder)) else None


def read_sql(path: Path) -> bytes:
    """The bytes of a `.sql` file. Raises InvalidInput where it cannot be read, or is larger than a query may be."""
    try:
        return _content(path, "a query")
    except OSError as error:
        raise InvalidInput((_unreadable(path, error),)) from error


def path_for(name: str, folder: Path, definitions: Iterable[LoadedDefinition]) -> Path:
    """The file to write a definition to: the one that defines the name, else `NAME.yaml`.

    Raises UsageError for a name that no file should be called after, where that file defines something else, and where
    it would be outside the folder.
    """
    for loaded in definitions:
        if loaded.name == name:
            return Path(loaded.path)
    if not is_endpoint_name(name):
        message = f"no file can be named after the endpoint {name!r}"
        raise UsageError(message, fix="leave it out with `manage` in the configuration", code="definitions.name")
    path = folder / f"{name}.yaml"
    inside(folder, path)
    if os.path.lexists(path):
        message = f"{shown(path)} exists and does not define {name}"
        raise UsageError(message, fix="rename that file; any name does", code="definitions.taken")
    return path


@dataclass(slots=True)
class _Walk:
    """Links lead nowhere out of `boundary`, and what they reach twice is read once, so a circle of links ends."""

    boundary: Path
    problems: list[Problem] = field(default_factory=list)
    seen: set[Path] = field(default_factory=set)

    def files(self, folder: Path) -> Iterator[Path]:
        real = real_path(folder)
        if real in self.seen:
            return
        self.seen.add(real)
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            self.problems.append(_unreadable(folder, error))
            return
        remove_leftovers(folder, (entry.name for entry in entries if entry.name.startswith(".")))
        for entry in entries:
            path, is_definition = folder / entry.name, entry.name.lower().endswith(SUFFIXES)
            is_folder = _is_folder(entry)
            if entry.name.startswith(".") or not (is_folder or is_definition):
                continue
            if entry.is_symlink() and not real_path(path).is_relative_to(self.boundary):
                self.problems.append(_outside(path))
            elif is_folder and is_definition:
                self.problems.append(_unreadable(path, IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))))
            elif is_folder:
                yield from self.files(path)
            else:
                yield path


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _content(path: Path, what: str = "a definition") -> bytes:
    """The bytes of a file; what is no file (a pipe would never end) or too large is refused before it is read."""
    from endpoints_gitops.codecs.text import LARGEST_FILE, refuse_size

    content = read_regular_file(path, largest=LARGEST_FILE)
    if len(content) > LARGEST_FILE:
        refuse_size(shown(path), path.stat().st_size, what=what)
    return content


def _reader_beside(path: Path, folder: Path) -> Callable[[str], bytes]:
    def read_beside(name: str) -> bytes:
        place = path.parent / name
        if "\0" in name or not real_path(place).is_relative_to(real_path(folder)):
            fix = f"move the file into {shown(folder)}"
            raise UsageError(
                f"query_file {printable(name)} is outside the definitions folder", fix=fix, code="files.outside"
            )
        return _content(place, "a query")

    return read_beside


def doubled(definitions: Iterable[LoadedDefinition]) -> list[Problem]:
    """A problem at each of the places that define one name."""
    places: dict[str, list[LoadedDefinition]] = {}
    for loaded in definitions:
        places.setdefault(loaded.name, []).append(loaded)
    return [_doubled_at(loaded, same) for same in places.values() if len(same) > 1 for loaded in same]


def _doubled_at(loaded: LoadedDefinition, same: list[LoadedDefinition]) -> Problem:
    others = [str(other.where()) for other in same[: _NAMED_TWINS + 1] if other is not loaded][:_NAMED_TWINS]
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


def _outside(path: Path) -> Problem:
    message = "this link leads out of the repository, and is not followed"
    return Problem(path=shown(path), message=message, code="definition.outside", fix="copy what it leads to")


def _unreadable(path: Path, error: OSError) -> Problem:
    reason = error.strerror or str(error)
    return Problem(path=shown(path), message=f"cannot be read: {reason}", code="definition.unreadable")
