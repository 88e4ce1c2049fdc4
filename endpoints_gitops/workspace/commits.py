"""The definitions of a folder in a commit, read from git without touching the work tree."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NoReturn

from endpoints_gitops.errors import InvalidInput, Problem, UsageError
from endpoints_gitops.model.definition import LoadedDefinition
from endpoints_gitops.workspace.definitions import SUFFIXES, duplicates, list_files
from endpoints_gitops.workspace.files import shown
from endpoints_gitops.workspace.git import Blobs, Repository, git, repository

_FILES = ("100644", "100755")
_SUBMODULE = "160000"
_INDEX: Final = ""  # in front of a path, `:` alone means git's index

type Choose = Callable[[Sequence[LoadedDefinition]], Collection[str]]
"""Chooses the names of the definitions whose HogQL is parsed, from all unparsed definitions."""


def no_names(_: Sequence[LoadedDefinition]) -> Collection[str]:
    """A `Choose` that parses no HogQL: for commands that need only names and settings."""
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NotOnDisk:
    """Definitions that git tracks in a folder and that are missing from the work tree without being deleted.

    `definitions` are those of git's index: sparse checkouts and skip-worktree omit files, and an empty or missing
    folder may not be mounted. `submodules` are not initialized, so their definitions are unknown.
    """

    definitions: tuple[LoadedDefinition, ...] = ()
    submodules: tuple[str, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        return frozenset(loaded.name for loaded in self.definitions)

    @property
    def advice(self) -> str:
        """The command that gets the submodules."""
        return f"git submodule update --init {' '.join(self.submodules)}"


def not_on_disk(folder: Path, *, choose: Choose = no_names) -> NotOnDisk:
    """The tracked definitions that are missing on disk. Only the HogQL of the chosen ones is parsed.

    Raises InvalidInput if a definition of the index cannot be read.
    """
    repo = repository(folder)
    if repo is None or not folder.resolve().is_relative_to(repo.top):
        return NotOnDisk()
    prefix = repo.inside(folder.resolve())
    entries = tuple(_index(repo, prefix))
    left_out = [entry for entry in entries if entry.mode != _SUBMODULE and entry.is_left_out(repo.top)]
    submodules = [entry.path for entry in entries if entry.mode == _SUBMODULE and _is_empty(repo.top / entry.path)]
    submodules += [path for path in _submodules_around(repo, prefix) if _is_empty(repo.top / path)]
    if not left_out:
        return NotOnDisk(submodules=tuple(submodules))
    with Blobs(repo) as blobs:
        reader = _Reader(blobs=blobs, commit=_INDEX, prefix=prefix)
        definitions, problems = reader.read_all([(entry.mode, entry.path, entry.path) for entry in left_out], choose)
    if problems:
        raise InvalidInput(problems)
    return NotOnDisk(definitions=definitions, submodules=tuple(submodules))


def refuse_not_on_disk(folder: Path) -> None:
    """Raise UsageError if a folder has no definition on disk, but git's index has some in it.

    The folder may not be mounted, a sparse checkout may omit it, or a submodule may not be initialized. An empty index,
    as after `git clone --no-checkout`, does not mean that everything was deleted.
    """
    repo = repository(folder)
    if repo is None or not folder.resolve().is_relative_to(repo.top):
        return
    if folder.is_dir() and list_files(folder)[0]:
        return
    prefix = repo.inside(folder.resolve())
    entries = tuple(_index(repo, prefix))
    submodules = [*_submodules_around(repo, prefix), *(entry.path for entry in entries if entry.mode == _SUBMODULE)]
    files = [entry for entry in entries if entry.mode != _SUBMODULE]
    if submodules:
        message = f"{shown(folder)} has no definition on disk: the submodule {submodules[0]} is not initialized"
        fix = f"git submodule update --init {submodules[0]}"
    elif files:
        message = f"{shown(folder)} has no definition on disk, but git tracks {len(files):,} in it"
        is_sparse = any(entry.is_skipped for entry in files)
        restore = f"git sparse-checkout add {prefix}" if is_sparse else f"git restore {shown(folder)}"
        fix = f"{restore}; after a deletion: git add --all {shown(folder)}"
    elif not git(repo.top, "ls-files", "-z") and (committed := tuple(listed(repo, repo.head, prefix))):
        count = f"HEAD has {len(committed):,} in it"
        message = f"{shown(folder)} has no definition on disk, but {count}: git's index is empty"
        fix = "git checkout HEAD -- ."
    else:
        return
    raise UsageError(message, fix=fix, code="definitions.not-on-disk")


def tracked(repo: Repository, folder: Path) -> tuple[LoadedDefinition, ...]:
    """The definitions that HEAD or the index have in a folder, including those with uncommitted deletions.

    No HogQL is parsed. Raises InvalidInput if one cannot be read.
    """
    prefix = repo.inside(folder.resolve())
    committed, problems = definitions_at(repo, repo.head, prefix, "HEAD", choose=no_names)
    with Blobs(repo) as blobs:
        entries = [
            (entry.mode, entry.path, f"index:{entry.path}")
            for entry in _index(repo, prefix)
            if entry.mode != _SUBMODULE and not os.path.lexists(repo.top / entry.path)
        ]
        staged, more = _Reader(blobs=blobs, commit=_INDEX, prefix=prefix).read_all(entries, no_names)
    if problems or more:
        raise InvalidInput((*problems, *more))
    return (*committed, *staged)


@dataclass(frozen=True, slots=True, kw_only=True)
class _IndexEntry:
    mode: str
    path: str
    is_skipped: bool

    def is_left_out(self, top: Path) -> bool:
        path = top / self.path
        return not os.path.lexists(path) and (self.is_skipped or _is_empty(path.parent))


def _index(repo: Repository, prefix: str) -> Iterator[_IndexEntry]:
    """The definitions and the submodules that git's index has in a folder."""
    answer = git(repo.top, "ls-files", "-z", "-t", "--stage", "--full-name", "--", prefix)
    for entry in filter(None, answer.split(b"\0")):
        facts, _, name = entry.partition(b"\t")
        tag, mode, *_ = facts.decode("ascii").split()
        path = os.fsdecode(name)
        if mode == _SUBMODULE or _is_definition(path, prefix):
            yield _IndexEntry(mode=mode, path=path, is_skipped=tag == "S")


def _submodules_around(repo: Repository, prefix: str) -> Iterator[str]:
    """The path of the submodule that contains a folder, if the submodule is not initialized."""
    parts = prefix.split("/")
    paths = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    answer = git(repo.top, "ls-tree", "-z", "--full-tree", repo.head, "--", *paths)
    for entry in filter(None, answer.split(b"\0")):
        facts, _, name = entry.partition(b"\t")
        if facts.startswith(_SUBMODULE.encode("ascii")) and os.fsdecode(name) in paths[:-1]:
            yield os.fsdecode(name)


def _is_empty(folder: Path) -> bool:
    """Whether a folder is empty or missing."""
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is None
    except OSError:
        return True


def definitions_at(
    repo: Repository, commit: str, prefix: str, shown: str, *, choose: Choose | None = None
) -> tuple[tuple[LoadedDefinition, ...], tuple[Problem, ...]]:
    """The definitions of a folder in a commit, by path, and the problems of those that cannot be read.

    `prefix` is the folder as git names it; `shown` is the commit in the paths of messages. A `query_file` outside of
    the folder is not read. Only the HogQL of the chosen definitions is parsed; None parses all.
    """
    with Blobs(repo) as blobs:
        entries = [(mode, path, f"{shown}:{path}") for mode, path in listed(repo, commit, prefix)]
        definitions, problems = _Reader(blobs=blobs, commit=commit, prefix=prefix).read_all(entries, choose)
    problems = (*problems, *duplicates(definitions))
    return definitions, tuple(replace(problem, is_committed=True) for problem in problems)


def definitions_in(
    repo: Repository, commit: str, prefix: str, files: Mapping[str, tuple[str, str]], *, is_parsed: bool = True
) -> tuple[dict[str, LoadedDefinition], dict[str, tuple[Problem, ...]]]:
    """The definitions in some files of a commit, and the problems of those that cannot be read, both by path.

    `files` has the mode of each file, and its path in messages. `prefix` is the folder as git names it.
    """
    definitions: dict[str, LoadedDefinition] = {}
    problems: dict[str, tuple[Problem, ...]] = {}
    if not files:
        return definitions, problems
    with Blobs(repo) as blobs:
        reader = _Reader(blobs=blobs, commit=commit, prefix=prefix)
        for path, (mode, shown) in files.items():
            try:
                definitions[path] = reader.read(mode, path, shown, is_parsed=is_parsed)
            except InvalidInput as error:
                problems[path] = error.problems
    return definitions, problems


def listed(repo: Repository, commit: str, prefix: str) -> Iterator[tuple[str, str]]:
    """The mode and path of each definition file in a folder of a commit."""
    answer = git(repo.top, "ls-tree", "-r", "-z", "--full-tree", commit, "--", prefix)
    for entry in filter(None, answer.split(b"\0")):
        facts, _, name = entry.partition(b"\t")
        path = os.fsdecode(name)
        if _is_definition(path, prefix):
            yield facts.split()[0].decode("ascii"), path


def _is_definition(path: str, prefix: str) -> bool:
    below = path.removeprefix(f"{prefix}/")
    return below.lower().endswith(SUFFIXES) and not any(part.startswith(".") for part in below.split("/"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reader:
    """Reads the definitions that a commit (or the index) has in the folder `prefix`."""

    blobs: Blobs
    commit: str
    prefix: str

    def read_all(
        self, entries: Sequence[tuple[str, str, str]], choose: Choose | None
    ) -> tuple[tuple[LoadedDefinition, ...], tuple[Problem, ...]]:
        """The definitions of entries (mode, path, path in messages), and the problems of those that cannot be read."""
        definitions: dict[tuple[str, str, str], LoadedDefinition] = {}
        problems: list[Problem] = []
        self._read_into(definitions, problems, entries, is_parsed=choose is None)
        if choose is not None and (names := frozenset(choose(tuple(definitions.values())))):
            chosen = [entry for entry, loaded in definitions.items() if loaded.name in names]
            self._read_into(definitions, problems, chosen, is_parsed=True)
        return tuple(definitions.values()), tuple(problems)

    def _read_into(
        self,
        definitions: dict[tuple[str, str, str], LoadedDefinition],
        problems: list[Problem],
        entries: Sequence[tuple[str, str, str]],
        *,
        is_parsed: bool,
    ) -> None:
        for entry in entries:
            try:
                definitions[entry] = self.read(*entry, is_parsed=is_parsed)
            except InvalidInput as error:
                definitions.pop(entry, None)
                problems += error.problems

    def read(self, mode: str, path: str, shown: str, *, is_parsed: bool) -> LoadedDefinition:
        """Raises InvalidInput with every problem of the file."""
        from endpoints_gitops.codecs.definition import read_definition

        content = self.blobs.at(self.commit, path) if mode in _FILES else None
        if content is None:
            problem = Problem(path=shown, message="not a regular file in that commit", code="definition.unreadable")
            raise InvalidInput((problem,))

        def read_beside(name: str) -> bytes:
            target = posixpath.normpath(posixpath.join(posixpath.dirname(path), name))
            is_below = not target.startswith("../") and (self.prefix == "." or target.startswith(f"{self.prefix}/"))
            beside = self.blobs.at(self.commit, target) if is_below else None
            return beside[1] if beside else _not_in_commit(name)

        return read_definition(shown, content[1], read_beside, is_parsed=is_parsed)


def _not_in_commit(name: str) -> NoReturn:
    raise FileNotFoundError(2, "not in that commit", name)
