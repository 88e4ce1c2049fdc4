"""What every file of a definitions folder states that other files may contradict, without reading most of them.

It is kept in the cache of `check`, for each file with its size, times and inode. A file whose times are too recent to
tell a later change by is read again by the next run, as git does.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from endpoints_gitops.errors import InvalidInput, Problem
from endpoints_gitops.operations.check.definition import DefinitionFile
from endpoints_gitops.workspace.check_cache import content_hash
from endpoints_gitops.workspace.definitions import DefinitionsWalk, open_file
from endpoints_gitops.workspace.files import checkout, read_regular_file

if TYPE_CHECKING:
    from endpoints_gitops.workspace.check_cache import CheckCache

_PLAIN: Final = re.compile(rb"(?:[ \t]*(?:#[^\n]*)?\r?\n)*name: +([A-Za-z][A-Za-z0-9_-]*)[ \t]*\r?\n")
"""A file whose first key is its name, which nothing that follows can change."""
_SETTLED: Final = 2_000_000_000
"""Nanoseconds after which a change of a file shows in its times: the coarsest file systems count in two seconds."""
_WORTH_WRITING: Final = 20
_ANY_QUERY: Final = b"SELECT 1"


class Statements(NamedTuple):
    """What a file states: its name (None if it cannot be read), its `query_file`, and shared variables by code name."""

    name: str | None
    query_file: str | None = None
    shared: Sequence[Sequence[str]] = ()


type _Row = list[Any]
"""The stamp of a file, and what it states, flat: thousands of rows are read faster so."""
_STAMPED: Final = 4
_NAME, _QUERY_FILE, _SHARED = range(_STAMPED, _STAMPED + len(Statements._fields))


class IndexedFile(NamedTuple):
    """A definition file: its path, its entry, its real path, and its row in the cache.

    The entry is the path without links in its folder: a link to a file of the same folder has another one than that
    file. `folder` is the definitions folder.
    """

    path: str
    folder: Path
    entry: str
    real: str
    row: _Row

    @property
    def name(self) -> str | None:
        name: str | None = self.row[_NAME]
        return name

    @property
    def query_file(self) -> str | None:
        query_file: str | None = self.row[_QUERY_FILE]
        return query_file

    @property
    def shared(self) -> Sequence[Sequence[str]]:
        shared: Sequence[Sequence[str]] = self.row[_SHARED]
        return shared

    def as_definition(self) -> DefinitionFile:
        return DefinitionFile(path=Path(self.path), folder=self.folder)


@dataclass(frozen=True, kw_only=True)
class FolderIndex:
    """Every definition file of a folder, and what could not be listed. `has_links`: some entry was a link."""

    files: tuple[IndexedFile, ...] = ()
    problems: tuple[Problem, ...] = ()
    has_links: bool = False

    @cached_property
    def entries(self) -> frozenset[str]:
        return frozenset(file.entry for file in self.files)

    def users_of(self, sql_file: str) -> Iterator[IndexedFile]:
        """The definitions whose query is in a `.sql` file (a real path); also those that cannot be read and name it."""
        name = os.path.basename(sql_file).encode("utf-8", "surrogateescape")  # noqa: PTH119 - as texts, for every file
        for file in self.files:
            if file.query_file is not None:
                path = _beside(file, file.query_file)
                if sql_file == (os.path.realpath(path) if self.has_links else path):
                    yield file
            elif file.name is None and _contains(file.path, name):
                yield file

    def without_query(self) -> Iterator[IndexedFile]:
        """The definitions whose `query_file` does not exist."""
        for file in self.files:
            query_file = file.query_file
            if query_file is not None and not os.path.isfile(_beside(file, query_file)):  # noqa: PTH113 - as texts
                yield file


def index_of(folder: Path, cache: CheckCache | None) -> FolderIndex:
    """The index of a folder, from the cache for unchanged files; empty if the folder does not exist."""
    if not folder.is_dir():
        return FolderIndex()
    began = time.time_ns()
    key = content_hash(b"index\0" + os.fsencode(os.path.realpath(folder)))
    kept = _rows(cache.get(key)) if cache is not None else {}
    prefix = len(os.path.join(folder, ""))  # noqa: PTH118 - as texts, for every file
    walk = DefinitionsWalk(boundary=checkout(folder))
    files: list[IndexedFile] = []
    added = 0
    for real_folder, entry in walk.files(str(folder)):
        path = entry.path
        now, row = _stamp(entry), kept.get(path[prefix:])
        if row is None or row[:_STAMPED] != now:
            row = [*now, *_statements(Path(path), folder)]
            added += 1
        here = f"{real_folder}{os.sep}{entry.name}"
        real = os.path.realpath(path) if walk.has_links and entry.is_symlink() else here
        files.append(IndexedFile(path, folder, here, real, row))
    if cache is not None and added and (added >= _WORTH_WRITING or not kept):
        settled = (file for file in files if max(file.row[1:3]) + _SETTLED < began)
        cache.put(key, {file.path[prefix:]: file.row for file in settled})
        cache.save()
    return FolderIndex(files=tuple(files), problems=tuple(walk.problems), has_links=walk.has_links)


def _rows(value: Any) -> dict[str, _Row]:  # noqa: ANN401 - any JSON value
    width = _STAMPED + len(Statements._fields)
    is_whole = isinstance(value, dict) and all(isinstance(row, list) and len(row) == width for row in value.values())
    return value if is_whole else {}


def _stamp(entry: os.DirEntry[str]) -> list[int]:
    """What differs after every change of a file; -1 for a link that leads nowhere, which is read again."""
    try:
        status = entry.stat()
    except OSError:
        return [-1, 0, 0, 0]
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _statements(path: Path, folder: Path) -> Statements:
    """What a file states. YAML is only read where the text alone does not show that it has just a name."""
    try:
        opened = open_file(path, folder)
    except InvalidInput:
        return Statements(None)
    content = opened.content
    plain = _PLAIN.match(content)
    has_more = b"query_file" in content or content.count(b"variables") != content.count(b"{variables.")
    if plain and not has_more and b"\\" not in content:
        return Statements(plain[1].decode())
    from endpoints_gitops.plan.variables import statements

    try:
        loaded = replace(opened, read_beside=lambda _: _ANY_QUERY).read(is_parsed=False)
    except InvalidInput:
        return Statements(None)
    return Statements(loaded.name, loaded.definition.query_file, statements(loaded))


def _beside(file: IndexedFile, query_file: str) -> str:
    folder = os.path.dirname(file.entry)  # noqa: PTH120 - as texts, for every file
    return os.path.normpath(os.path.join(folder, query_file))  # noqa: PTH118 - likewise


def _contains(path: str, text: bytes) -> bool:
    try:
        return text in read_regular_file(Path(path))
    except OSError:
        return False
