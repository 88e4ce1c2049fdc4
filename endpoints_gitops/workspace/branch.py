"""The definitions that a branch changes: on disk and at its merge base. No other file is parsed.

Files on disk count as they are, committed or not. Git lists what differs from the merge base; a changed `.sql` file
counts as the definitions that may name it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Final

from endpoints_gitops.errors import InvalidInput, Problem
from endpoints_gitops.model.definition import LoadedDefinition
from endpoints_gitops.workspace.base import Base, refuse_unknown_submodules
from endpoints_gitops.workspace.commits import (
    definitions_at,
    definitions_in,
    listed,
    no_names,
    not_on_disk,
    refuse_not_on_disk,
)
from endpoints_gitops.workspace.definitions import SUFFIXES, list_files, read_file
from endpoints_gitops.workspace.files import read_regular_file, shown
from endpoints_gitops.workspace.git import Blobs, dirty, git
from endpoints_gitops.workspace.history import defined_name

_QUERY_FILE: Final = b"query_file"


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchFiles:
    """The definitions in the files that a branch changes, by name: `local` on disk, `before` at the merge base.

    `checked` are the local files that can be read. `broken` has the problems of local files that cannot be read, and
    `unreadable` those of files of the merge base. The paths of `before` are those of the same files on disk.
    """

    local: Mapping[str, LoadedDefinition] = field(default_factory=dict)
    before: Mapping[str, LoadedDefinition] = field(default_factory=dict)
    checked: tuple[Path, ...] = ()
    broken: Mapping[str, tuple[Problem, ...]] = field(default_factory=dict)
    unreadable: Mapping[str, tuple[Problem, ...]] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all endpoints whose files differ, in order."""
        return tuple(sorted({*self.local, *self.before, *self.broken, *self.unreadable}))


def branch_files(base: Base, folder: Path) -> BranchFiles:
    """The files of a definitions folder that differ from a base, on both sides.

    Raises UsageError for a folder that does not exist on either side or whose definitions are not on disk, and
    BaseUnavailable for a folder of the base that its configuration does not name, or with an unknown submodule.
    """
    return _Branch(base=base, folder=folder).files()


def definitions_at_tip(base: Base, names: Collection[str]) -> Mapping[str, LoadedDefinition]:
    """Those of the names that the tip of the ref defines otherwise than the merge base, without parsed HogQL.

    A file that cannot be read is left out.
    """
    if base.tip == base.commit or base.prefix is None:
        return {}
    words = ("-r", "-z", "--name-only", "--no-renames", "--no-commit-id")
    answer = git(base.repo.top, "diff-tree", *words, base.commit, base.tip, "--", base.prefix)
    changed = {name.decode("utf-8", "surrogateescape") for name in answer.split(b"\0") if name}
    beside = {PurePosixPath(name).name.encode() for name in changed if not name.lower().endswith(SUFFIXES)}
    files = {path: mode for mode, path in listed(base.repo, base.tip, base.prefix)}
    with Blobs(base.repo) as blobs:
        contents = {path: blob[1] for path in files if (blob := blobs.at(base.tip, path))} if beside else {}
    meant = {
        path: (mode, path)
        for path, mode in files.items()
        if path in changed or _mentions(contents.get(path, b""), beside)
    }
    definitions, _ = definitions_in(base.repo, base.tip, base.prefix, meant, is_parsed=False)
    return {loaded.name: loaded for loaded in definitions.values() if loaded.name in names}


def definitions_before(base: Base, folder: Path) -> tuple[LoadedDefinition, ...]:
    """All definitions of a base that can be read, without parsed HogQL and with their paths on disk."""
    if base.prefix is None:
        return ()
    definitions, _ = definitions_at(base.repo, base.commit, base.prefix, base.label, choose=no_names)
    return tuple(
        replace(loaded, path=shown(folder / _below(loaded.path.removeprefix(f"{base.label}:"), base.prefix)))
        for loaded in definitions
    )


@dataclass(frozen=True, kw_only=True)
class _Branch:
    base: Base
    folder: Path

    def files(self) -> BranchFiles:
        if not self.disk:
            refuse_not_on_disk(self.folder)
        definitions = {path for path in self._changed if _is_definition(path)}
        unlisted = self.disk.keys() - self.committed.keys() - definitions  # git lists no pipes and devices
        definitions |= {path for path in unlisted if not self.disk[path].is_file()}
        beside = {PurePosixPath(path).name.encode() for path in self._changed - definitions}
        definitions |= set(self._naming(beside, definitions)) if beside else set()
        before, unreadable = self._before(definitions)
        local, broken = self._local(definitions)
        absent = definitions - local.keys() - broken.keys()
        local |= self._not_on_disk(absent) if absent else {}
        if not self.committed:
            self.base.refuse_moved({loaded.name for loaded in local.values()}, "--against ")
        same = {path for path in before.keys() & local.keys() - self._changed if _is_same(before[path], local[path])}
        return BranchFiles(
            local={loaded.name: loaded for path, loaded in local.items() if path not in same},
            before={loaded.name: loaded for path, loaded in before.items() if path not in same},
            checked=tuple(self.disk[path] for path in sorted(local.keys() & self.disk.keys() - same)),
            broken={self._name(path, before): problems for path, problems in broken.items()},
            unreadable={self._name(path, local): problems for path, problems in unreadable.items()},
        )

    @cached_property
    def prefix(self) -> str:
        """The definitions folder as git names it."""
        return self.base.repo.inside(self.folder.resolve())

    @cached_property
    def disk(self) -> Mapping[str, Path]:
        """The files of definitions on disk, by their path below the folder."""
        if not self.folder.is_dir() and self.base.prefix is not None:
            return {}
        paths, _ = list_files(self.folder)
        by_folder: dict[str, list[Path]] = {}
        for path in paths:
            by_folder.setdefault(os.path.dirname(path), []).append(path)  # noqa: PTH120 - much faster with texts
        real = self.folder.resolve()
        files: dict[str, Path] = {}
        for name, inside in by_folder.items():
            folder = Path(name).resolve()
            below = folder.relative_to(real) if folder.is_relative_to(real) else Path(name).relative_to(self.folder)
            prefix = "" if below == Path() else f"{below.as_posix()}/"
            files |= {f"{prefix}{path.name}": path for path in inside}
        return files

    @cached_property
    def committed(self) -> Mapping[str, tuple[str, str]]:
        """The files of definitions in the base, by their path below its folder: mode, and path in the commit."""
        base = self.base
        if base.prefix is None:
            return {}
        entries = listed(base.repo, base.commit, base.prefix)
        return {_below(path, base.prefix): (mode, path) for mode, path in entries}

    @cached_property
    def _changed(self) -> frozenset[str]:
        """The files below the folder that differ, definitions or not. Of a moved folder, all definitions that do."""
        if self.base.prefix in (None, self.prefix):
            top = self.base.repo.top
            names = (path.relative_to(top).as_posix() for path in dirty(self.base.repo, self.folder, self.base.commit))
            return frozenset(_below(name, self.prefix) for name in names)
        return frozenset(self._moved())

    def _moved(self) -> Iterator[str]:
        with Blobs(self.base.repo) as blobs:
            for path in {*self.disk, *self.committed}:
                blob = blobs.at(self.base.commit, self.committed[path][1]) if path in self.committed else None
                content = _content(self.disk[path]) if path in self.disk else None
                if blob is None or content is None or content != blob[1] or _QUERY_FILE in content:
                    yield path

    def _naming(self, beside: Collection[bytes], known: Collection[str]) -> Iterator[str]:
        """The unchanged definitions that may name one of these files as their `query_file`."""
        for path, file in self.disk.items():
            if path not in known and _mentions(_content(file) or b"", beside):
                yield path

    def _local(self, paths: Collection[str]) -> tuple[dict[str, LoadedDefinition], dict[str, tuple[Problem, ...]]]:
        definitions: dict[str, LoadedDefinition] = {}
        broken: dict[str, tuple[Problem, ...]] = {}
        for path in sorted(paths):
            if path in self.disk:
                try:
                    definitions[path] = read_file(self.disk[path], self.folder)
                except InvalidInput as error:
                    broken[path] = error.problems
        unlisted = list_files(self.folder)[1] if self.folder.is_dir() else []
        broken |= {_below(problem.path, shown(self.folder)): (problem,) for problem in unlisted}
        return definitions, broken

    def _before(self, paths: Collection[str]) -> tuple[dict[str, LoadedDefinition], dict[str, tuple[Problem, ...]]]:
        base = self.base
        names = {path: self.committed[path] for path in sorted(paths) if path in self.committed}
        files = {name: (mode, shown(self.folder / path)) for path, (mode, name) in names.items()}
        definitions, problems = definitions_in(base.repo, base.commit, base.prefix or "", files)
        return (
            {path: definitions[name] for path, (_, name) in names.items() if name in definitions},
            {path: self._of_base(problems[name]) for path, (_, name) in names.items() if name in problems},
        )

    def _of_base(self, problems: Iterable[Problem]) -> tuple[Problem, ...]:
        """The problems with the commit in front of their paths."""
        label = self.base.label
        return tuple(replace(problem, path=f"{label}:{problem.path}", is_committed=True) for problem in problems)

    def _not_on_disk(self, paths: Collection[str]) -> dict[str, LoadedDefinition]:
        """The definitions of absent files that git's index has outside of a sparse checkout: these are not deleted."""
        missing = not_on_disk(
            self.folder, choose=lambda all_: [one.name for one in all_ if _below(one.path, self.prefix) in paths]
        )
        refuse_unknown_submodules(missing)
        below = {_below(loaded.path, self.prefix): loaded for loaded in missing.definitions}
        return {path: loaded for path, loaded in below.items() if path in paths}

    def _name(self, path: str, other_side: Mapping[str, LoadedDefinition]) -> str:
        """The name of a file that cannot be read: that of its other side, else by its text, else its path."""
        if path in other_side:
            return other_side[path].name
        content = _content(self.disk[path]) if path in self.disk else None
        return (defined_name(content) if content is not None else None) or shown(self.folder / path)


def _is_same(before: LoadedDefinition, local: LoadedDefinition) -> bool:
    return before.definition == local.definition and before.sql == local.sql


def _is_definition(path: str) -> bool:
    return path.lower().endswith(SUFFIXES) and not any(part.startswith(".") for part in path.split("/"))


def _below(path: str, prefix: str) -> str:
    return path if prefix == "." else path.removeprefix(f"{prefix}/")


def _mentions(content: bytes, names: Collection[bytes]) -> bool:
    """Whether a definition may name one of these files; with an escape in it, it may spell any name."""
    return _QUERY_FILE in content and (b"\\" in content or any(name in content for name in names))


def _content(path: Path) -> bytes | None:
    try:
        return read_regular_file(path)
    except OSError:
        return None
