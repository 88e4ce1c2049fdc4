"""The definitions of a folder as a commit has them, read from git without touching the work tree."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from endpoints_gitops.errors import InvalidInput, Problem
from endpoints_gitops.model.definition import LoadedDefinition
from endpoints_gitops.workspace.definitions import SUFFIXES, doubled
from endpoints_gitops.workspace.git import Repository, git, repository
from endpoints_gitops.workspace.git_blobs import Blobs

_FILES = ("100644", "100755")
_SUBMODULE = "160000"
_INDEX: Final = ""  # in front of a path, `:` alone means git's index


@dataclass(frozen=True, slots=True, kw_only=True)
class NotOnDisk:
    """What git tracks in a definitions folder and the work tree does not have, although no one deleted it.

    `definitions` are as git's index has them: sparse checkouts and skip-worktree leave files out, and a folder that is
    empty or missing may not be mounted. `submodules` are those that are not initialised; what they define is unknown.
    """

    definitions: tuple[LoadedDefinition, ...] = ()
    submodules: tuple[str, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        return frozenset(loaded.name for loaded in self.definitions)

    @property
    def advice(self) -> str:
        """How to get the submodules."""
        return f"git submodule update --init {' '.join(self.submodules)}"


def not_on_disk(folder: Path) -> NotOnDisk:
    """What is tracked and not there. Raises InvalidInput where a definition of the index cannot be read."""
    found = repository(folder)
    if found is None or not folder.resolve().is_relative_to(found.top):
        return NotOnDisk()
    prefix = found.inside(folder.resolve())
    entries = tuple(_index(found, prefix))
    left_out = [entry for entry in entries if entry.mode != _SUBMODULE and entry.is_left_out(found.top)]
    submodules = [entry.path for entry in entries if entry.mode == _SUBMODULE and _is_empty(found.top / entry.path)]
    submodules += [path for path in _submodules_around(found, prefix) if _is_empty(found.top / path)]
    if not left_out:
        return NotOnDisk(submodules=tuple(submodules))
    with Blobs(found) as blobs:
        definitions = tuple(_read(blobs, _INDEX, entry.mode, entry.path, prefix, entry.path) for entry in left_out)
    return NotOnDisk(definitions=definitions, submodules=tuple(submodules))


def tracked(found: Repository, folder: Path) -> tuple[LoadedDefinition, ...]:
    """The definitions that HEAD or the index have in a folder: whoever deletes one commits that first.

    Raises InvalidInput where one cannot be read.
    """
    prefix = found.inside(folder.resolve())
    committed, problems = definitions_at(found, found.head, prefix, "HEAD")
    if problems:
        raise InvalidInput(problems)
    with Blobs(found) as blobs:
        staged = tuple(
            _read(blobs, _INDEX, entry.mode, entry.path, prefix, f"index:{entry.path}")
            for entry in _index(found, prefix)
            if entry.mode != _SUBMODULE and not os.path.lexists(found.top / entry.path)
        )
    return (*committed, *staged)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    mode: str
    path: str
    is_skipped: bool

    def is_left_out(self, top: Path) -> bool:
        path = top / self.path
        return not os.path.lexists(path) and (self.is_skipped or _is_empty(path.parent))


def _index(found: Repository, prefix: str) -> Iterator[_Entry]:
    """The definitions and the submodules that git's index has in a folder."""
    answer = git(found.top, "ls-files", "-z", "-t", "--stage", "--full-name", "--", prefix)
    for entry in filter(None, answer.split(b"\0")):
        facts, _, name = entry.partition(b"\t")
        tag, mode, *_ = facts.decode("ascii").split()
        path = os.fsdecode(name)
        if mode == _SUBMODULE or _is_definition(path, prefix):
            yield _Entry(mode=mode, path=path, is_skipped=tag == "S")


def _submodules_around(found: Repository, prefix: str) -> Iterator[str]:
    """The submodule that a folder is in or is, where that is no repository of its own yet."""
    parts = prefix.split("/")
    paths = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    answer = git(found.top, "ls-tree", "-z", "--full-tree", found.head, "--", *paths)
    for entry in filter(None, answer.split(b"\0")):
        facts, _, name = entry.partition(b"\t")
        if facts.startswith(_SUBMODULE.encode("ascii")) and os.fsdecode(name) in paths[:-1]:
            yield os.fsdecode(name)


def _is_empty(folder: Path) -> bool:
    """Whether a folder has nothing in it, or is not there."""
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is None
    except OSError:
        return True


def definitions_at(
    found: Repository, commit: str, prefix: str, shown: str
) -> tuple[tuple[LoadedDefinition, ...], tuple[Problem, ...]]:
    """The definitions that a commit has in a folder, by path, and what is wrong with those that cannot be read.

    `prefix` is the folder as git names it; `shown` stands for the commit in paths. A file outside the folder is no part
    of it, wherever a `query_file` leads.
    """
    definitions: list[LoadedDefinition] = []
    problems: list[Problem] = []
    with Blobs(found) as blobs:
        for mode, path in listed(found, commit, prefix):
            name = f"{shown}:{path}"
            try:
                definitions.append(_read(blobs, commit, mode, path, prefix, name))
            except InvalidInput as error:
                problems += error.problems
    return tuple(definitions), (*problems, *doubled(definitions))


def listed(found: Repository, commit: str, prefix: str) -> Iterator[tuple[str, str]]:
    """The mode and path of each definition's file in a folder of a commit."""
    answer = git(found.top, "ls-tree", "-r", "-z", "--full-tree", commit, "--", prefix)
    for entry in filter(None, answer.split(b"\0")):
        facts, _, name = entry.partition(b"\t")
        path = os.fsdecode(name)
        if _is_definition(path, prefix):
            yield facts.split()[0].decode("ascii"), path


def _is_definition(path: str, prefix: str) -> bool:
    below = path.removeprefix(f"{prefix}/")
    return below.lower().endswith(SUFFIXES) and not any(part.startswith(".") for part in below.split("/"))


def _read(blobs: Blobs, commit: str, mode: str, path: str, prefix: str, shown: str) -> LoadedDefinition:
    from endpoints_gitops.codecs.definition import read_definition

    content = blobs.at(commit, path) if mode in _FILES else None
    if content is None:
        problem = Problem(path=shown, message="is no regular file in that commit", code="definition.unreadable")
        raise InvalidInput((problem,))
    return read_definition(shown, content[1], _reader_beside(blobs, commit, path, prefix))


def _reader_beside(blobs: Blobs, commit: str, path: str, prefix: str) -> Callable[[str], bytes]:
    def read_beside(name: str) -> bytes:
        place = posixpath.normpath(posixpath.join(posixpath.dirname(path), name))
        is_below = not place.startswith("../") and (prefix == "." or place.startswith(f"{prefix}/"))
        content = blobs.at(commit, place) if is_below else None
        return content[1] if content else _not_there(name)

    return read_beside


def _not_there(name: str) -> NoReturn:
    raise FileNotFoundError(2, "it is not in that commit", name)
