"""The definitions folder: read every file, and report every mistake in all files at once."""

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
"""How many other files with the same name a message lists; there can be thousands."""


def read_all(folder: Path, *, is_parsed: bool = True) -> tuple[LoadedDefinition, ...]:
    """The definitions in a folder and the folders below it, ordered by path.

    Files end in `.yaml` or `.yml`; names that begin with a dot are skipped. Raises UsageError if the folder does not
    exist, and InvalidInput with every problem in all files, including unreadable files and duplicate names. Without
    `is_parsed`, HogQL is not parsed.
    """
    paths, problems = list_files(folder)
    definitions: list[LoadedDefinition] = []
    for path in paths:
        try:
            definitions.append(read_file(path, folder, is_parsed=is_parsed))
        except InvalidInput as error:
            problems += error.problems
    problems += duplicates(definitions)
    if problems:
        raise InvalidInput(tuple(sorted(problems, key=lambda problem: (problem.path, problem.line, problem.column))))
    return tuple(definitions)


def list_files(folder: Path) -> tuple[list[Path], list[Problem]]:
    """The definition files in a folder, ordered by path, and a problem for each subfolder that cannot be listed.

    Raises UsageError if the folder does not exist.
    """
    if not folder.is_dir():
        reason = "is not a folder" if folder.exists() else "does not exist"
        message = f"the definitions folder {shown(folder)} {reason}"
        fix = Advice(Command("init"), ", or name the folder with --dir")
        raise UsageError(message, fix=fix, code="definitions.folder")
    walk = DefinitionsWalk(boundary=checkout(folder))
    paths = (Path(entry.path) for _, entry in walk.files(str(folder)))
    return sorted(paths, key=lambda path: path.parts), walk.problems


def read_file(path: Path, folder: Path, *, is_parsed: bool = True) -> LoadedDefinition:
    """Read one definition, whose `query_file` must be inside `folder`. Raises InvalidInput with every mistake.

    The path must not be a link out of the repository.
    """
    return open_file(path, folder).read(is_parsed=is_parsed)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedFile:
    """The bytes of a definition's file. `path` is the path in messages; `read_beside` reads the file that `query_file`
    names, and raises UsageError for one outside of the folder."""

    path: str
    content: bytes
    read_beside: Callable[[str], bytes]

    def read(self, *, is_parsed: bool = True) -> LoadedDefinition:
        """Parse the definition. Raises InvalidInput with every mistake."""
        from endpoints_gitops.codecs.definition import read_definition

        return read_definition(self.path, self.content, self.read_beside, is_parsed=is_parsed)


def open_file(path: Path, folder: Path) -> OpenedFile:
    """Read the bytes of one definition's file, like `read_file`. Raises InvalidInput if it cannot be read."""
    if os.path.islink(path) and leads_out(path, folder):  # noqa: PTH114 - for every file: much faster with text
        raise InvalidInput((_outside(path),))
    try:
        content = _content(path)
    except OSError as error:
        raise InvalidInput((_unreadable(path, error),)) from error
    return OpenedFile(path=shown(path), content=content, read_beside=_reader_beside(path, folder))


def bounding_folder(path: Path, folder: Path) -> Path | None:
    """The definitions folder, if a path from the command line is in it, else None.

    Raises UsageError for a path in the definitions folder that a link leads out of the repository.
    """
    is_below = Path(os.path.abspath(path)).is_relative_to(os.path.abspath(folder))  # noqa: PTH100 - links are not followed
    if is_below and leads_out(path, folder):
        raise UsageError(f"{shown(path)} leads out of the repository, to {real_path(path)}", code="files.outside")
    return folder if real_path(path).is_relative_to(real_path(folder)) else None


def read_sql(path: Path) -> bytes:
    """The bytes of a `.sql` file. Raises InvalidInput if it cannot be read or is too large for a query."""
    try:
        return _content(path, "a query")
    except OSError as error:
        raise InvalidInput((_unreadable(path, error),)) from error


def path_for(name: str, folder: Path, definitions: Iterable[LoadedDefinition]) -> Path:
    """The file to write a definition to: the one that defines the name, else `NAME.yaml`.

    Raises UsageError for a name that is not a safe file name, if that file defines something else, or if it would be
    outside of the folder.
    """
    for loaded in definitions:
        if loaded.name == name:
            return Path(loaded.path)
    if not is_endpoint_name(name):
        message = f"the endpoint name {name!r} is not a valid file name"
        raise UsageError(message, fix="exclude it with `manage` in the configuration", code="definitions.name")
    path = folder / f"{name}.yaml"
    inside(folder, path)
    if os.path.lexists(path):
        message = f"{shown(path)} exists but does not define {name}"
        raise UsageError(message, fix="rename that file; any file name works", code="definitions.taken")
    return path


@dataclass(slots=True)
class DefinitionsWalk:
    """Lists files. Links out of `boundary` are not followed, and every file is listed once, so cycles of links end.

    `has_links`: some entry was a link. Paths are texts: with them, thousands of files are listed much faster.
    """

    boundary: Path
    problems: list[Problem] = field(default_factory=list)
    has_links: bool = False
    seen: set[str] = field(default_factory=set)

    def files(self, folder: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
        """Each definition file in a folder and the folders below it, with the real path of its folder."""
        real = os.path.realpath(folder)
        if real in self.seen:
            return
        self.seen.add(real)
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            self.problems.append(_unreadable(Path(folder), error))
            return
        remove_leftovers(Path(folder), (entry.name for entry in entries if entry.name.startswith(".")))
        for entry in entries:
            is_link = entry.is_symlink()
            self.has_links |= is_link
            is_definition, is_folder = entry.name.lower().endswith(SUFFIXES), _is_folder(entry)
            if entry.name.startswith(".") or not (is_folder or is_definition):
                continue
            if is_link and not real_path(Path(entry.path)).is_relative_to(self.boundary):
                self.problems.append(_outside(Path(entry.path)))
            elif is_folder and is_definition:
                reason = IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
                self.problems.append(_unreadable(Path(entry.path), reason))
            elif is_folder:
                yield from self.files(entry.path)
            else:
                yield real, entry


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _content(path: Path, what: str = "a definition") -> bytes:
    """The bytes of a file. Anything but a regular file (a pipe would never end), or a too large one, is not read."""
    from endpoints_gitops.codecs.text import LARGEST_FILE, refuse_size

    content = read_regular_file(path, largest=LARGEST_FILE)
    if len(content) > LARGEST_FILE:
        refuse_size(shown(path), path.stat().st_size, what=what)
    return content


def _reader_beside(path: Path, folder: Path) -> Callable[[str], bytes]:
    def read_beside(name: str) -> bytes:
        target = path.parent / name
        if "\0" in name or not real_path(target).is_relative_to(real_path(folder)):
            fix = f"move the file into {shown(folder)}"
            raise UsageError(
                f"query_file {printable(name)} is outside the definitions folder", fix=fix, code="files.outside"
            )
        return _content(target, "a query")

    return read_beside


def duplicates(definitions: Iterable[LoadedDefinition]) -> list[Problem]:
    """A problem for each definition whose name another one has too."""
    by_name: dict[str, list[LoadedDefinition]] = {}
    for loaded in definitions:
        by_name.setdefault(loaded.name, []).append(loaded)
    return [_duplicate(loaded, same) for same in by_name.values() if len(same) > 1 for loaded in same]


def _duplicate(loaded: LoadedDefinition, same: list[LoadedDefinition]) -> Problem:
    others = [str(other.where()) for other in same[: _NAMED_TWINS + 1] if other is not loaded][:_NAMED_TWINS]
    more = len(same) - 1 - len(others)
    if more:
        others.append(f"{more:,} more file{'s' if more > 1 else ''}")
    return Problem(
        path=loaded.path,
        line=loaded.lines.get("name", 1),
        column=1,
        message=f"the name {loaded.name!r} is also defined in {' and '.join(others)}",
        code="definition.duplicate",
        fix="delete one of the files, or rename one of the endpoints",
    )


def _outside(path: Path) -> Problem:
    message = "this link leads out of the repository, so it is not followed"
    return Problem(
        path=shown(path), message=message, code="definition.outside", fix="replace the link with a copy of its target"
    )


def _unreadable(path: Path, error: OSError) -> Problem:
    reason = error.strerror or str(error)
    return Problem(path=shown(path), message=f"cannot be read: {reason}", code="definition.unreadable")
