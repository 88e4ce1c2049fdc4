"""The past definitions of a folder, by endpoint name, whatever their files were called.

The commits that touch a folder are ordered as HEAD's first-parent line received them. An order by date would be wrong:
a branch that was created before an edit and merged after it would seem to revert the edit. So the commits of a merged
branch come right before the merge, and all of them have its date.

Every blob of every step is read once, as bytes, to find its name (about 30 µs each). YAML is parsed only for the
requested names, and no HogQL is parsed.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NoReturn

from endpoints_gitops.errors import InvalidInput
from endpoints_gitops.model.definition import LoadedDefinition
from endpoints_gitops.model.json import Json, fingerprint
from endpoints_gitops.workspace.definitions import SUFFIXES
from endpoints_gitops.workspace.git import Blobs, Repository, git

_FILES = (b"100644", b"100755")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange:
    """A change of a file against the commit's first parent: the ids of its blobs before and after, None without a
    file."""

    path: str
    old: str | None
    new: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LandedCommit:
    """A commit. `landed_at` is its committer date, or that of the merge that brought it to HEAD's first-parent line."""

    commit: str
    landed_at: datetime
    on_line: bool
    changes: tuple[FileChange, ...]


@dataclass(frozen=True, slots=True)
class _Commit:
    id: str
    date: int
    parents: tuple[str, ...]


def walk(repo: Repository, folder: Path) -> tuple[LandedCommit, ...]:
    """The steps of a folder, oldest first. A merge on the first-parent line is a step if it brings one."""
    pathspec = repo.inside(folder.resolve())
    graph = {commit.id: commit for commit in _graph(repo)}
    words = ("rev-list", "--full-history", repo.head, "--", pathspec)
    touching = frozenset(git(repo.top, *words).decode("ascii").split())
    line = tuple(_line(graph, repo.head))
    merges = {commit.id for commit in line if len(commit.parents) > 1}
    changes = _changes(repo, (graph[commit] for commit in touching | merges), pathspec)
    return tuple(_steps(graph, line, changes, touching))


def _graph(repo: Repository) -> Iterator[_Commit]:
    """Every ancestor of HEAD, children before parents."""
    answer = git(repo.top, "rev-list", "--topo-order", "--parents", "--timestamp", repo.head, "--")
    for record in answer.decode("ascii").splitlines():
        date, commit, *parents = record.split()
        yield _Commit(commit, int(date), tuple(parents))


def _line(graph: Mapping[str, _Commit], head: str) -> Iterator[_Commit]:
    commit_id: str | None = head
    while commit_id is not None:
        yield graph[commit_id]
        commit_id = next(iter(graph[commit_id].parents), None)


def _changes(repo: Repository, commits: Iterable[_Commit], pathspec: str) -> dict[str, tuple[FileChange, ...]]:
    ids = "".join(f"{' '.join((commit.id, *commit.parents[:1]))}\n" for commit in commits).encode("ascii")
    options = ("--stdin", "-r", "--root", "--raw", "-z", "--no-renames", "--no-ext-diff", "--no-abbrev")
    answer = git(repo.top, "diff-tree", *options, "--", pathspec, stdin=ids)
    changes: dict[str, list[FileChange]] = {}
    commit, words = "", iter(answer.split(b"\0"))
    for word in words:
        if word.startswith(b":"):
            changes[commit].append(_change(word, os.fsdecode(next(words))))
        elif word:
            commit = word.decode("ascii").strip()
            changes[commit] = []
    return {changed: tuple(listed) for changed, listed in changes.items()}


def _change(word: bytes, path: str) -> FileChange:
    old_mode, new_mode, old, new, _ = word.removeprefix(b":").split()
    return FileChange(
        path=path,
        old=old.decode("ascii") if old_mode in _FILES else None,
        new=new.decode("ascii") if new_mode in _FILES else None,
    )


def _steps(
    graph: Mapping[str, _Commit],
    line: tuple[_Commit, ...],
    changes: Mapping[str, tuple[FileChange, ...]],
    touching: frozenset[str],
) -> Iterator[LandedCommit]:
    order = {commit: index for index, commit in enumerate(graph)}
    claimed = {commit.id for commit in line}
    for commit in reversed(line):
        landed_at = datetime.fromtimestamp(commit.date, tz=UTC)
        merged = _brought(graph, commit, claimed) & touching
        for commit_id in sorted(merged, key=order.__getitem__, reverse=True):
            yield LandedCommit(commit=commit_id, landed_at=landed_at, on_line=False, changes=changes.get(commit_id, ()))
        if merged or commit.id in changes:
            yield LandedCommit(commit=commit.id, landed_at=landed_at, on_line=True, changes=changes.get(commit.id, ()))


def _brought(graph: Mapping[str, _Commit], merge: _Commit, claimed: set[str]) -> set[str]:
    """The commits that this merge is the first to bring, which are added to `claimed`."""
    merged: set[str] = set()
    waiting = list(merge.parents[1:])
    while waiting:
        commit_id = waiting.pop()
        if commit_id not in claimed:
            claimed.add(commit_id)
            merged.add(commit_id)
            waiting += graph[commit_id].parents
    return merged


_NAME: Final = re.compile(
    rb"""^(?:\xef\xbb\xbf)?(?:name|"name"|'name')[ \t]*:[ \t]+(["']?)([A-Za-z0-9_-]+)\1[ \t]*(?:#.*)?\r?$""",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PastState[K: str]:
    """The state of a definition from one commit on.

    `settings` and `definition` are None if no file defined the name any more, or if `readable` is False because the
    file could not be loaded. `committed_at` is when HEAD's first-parent line received the commit: its date, or that of
    the merge that brought it. `definition` is the file in the commit; `settings` are those on the first-parent line.
    `path` is as git names it.
    """

    commit: str
    committed_at: datetime
    path: str
    definition: LoadedDefinition | None
    settings: Mapping[K, Json] | None
    readable: bool = True


def history[K: str](
    repo: Repository, folder: Path, names: Collection[str], settings_of: Callable[[LoadedDefinition], Mapping[K, Json]]
) -> dict[str, tuple[PastState[K], ...]]:
    """The states of each name's definition in HEAD's history, newest first; empty for a name that no commit defines.

    There is one state for each commit that touched a file of the definition, so consecutive states can be equal.

    A commit of a merged branch contributes only values that the history did not have before: an old value that the
    branch still had does not revert a newer one.
    """
    if not names:
        return {}
    steps, prefix = walk(repo, folder), repo.inside(folder.resolve())
    with Blobs(repo) as blobs:
        defined = _names(blobs, steps, prefix, frozenset(names))
        past = _PastDefinitions(prefix=prefix, blobs=blobs, names=defined)
        relevant = _Relevant.of(steps, defined, prefix)
        return {
            name: _Follow(past=past, name=name, settings_of=settings_of).all(relevant.steps(name))
            for name in sorted(names)
        }


def names_ever_defined(repo: Repository, folder: Path) -> frozenset[str]:
    """Every name that a definition in this folder had in any commit of HEAD's history."""
    prefix = repo.inside(folder.resolve())
    with Blobs(repo) as blobs:
        return frozenset(_names(blobs, walk(repo, folder), prefix, None).values())


def _names(blobs: Blobs, steps: Iterable[LandedCommit], prefix: str, wanted: frozenset[str] | None) -> dict[str, str]:
    """The wanted names that files define, by blob."""
    ids = {
        blob: None
        for step in steps
        for change in step.changes
        if _is_definition(change.path, prefix)
        for blob in (change.old, change.new)
        if blob
    }
    named = ((blob, defined_name(content, wanted)) for blob, content in blobs.contents(list(ids)))
    return {blob: name for blob, name in named if name is not None and (wanted is None or name in wanted)}


def defined_name(content: bytes, wanted: frozenset[str] | None = None) -> str | None:
    """The name that a file defines. YAML is parsed only if no line has the name but a wanted name occurs."""
    from endpoints_gitops.codecs.definition import read_definition

    match = _NAME.search(content)
    if match:
        return match[2].decode("ascii")
    if wanted is not None and not any(name.encode() in content for name in wanted):
        return None
    try:
        return read_definition("", content, _no_file, is_parsed=False).name
    except InvalidInput:
        return None


def _no_file(name: str) -> NoReturn:
    raise FileNotFoundError(2, "not read here", name)


def _is_definition(path: str, prefix: str) -> bool:
    below = path.removeprefix(f"{prefix}/")
    return below.lower().endswith(SUFFIXES) and not any(part.startswith(".") for part in below.split("/"))


def _is_below(path: str, prefix: str) -> bool:
    return not path.startswith("../") and (prefix == "." or path.startswith(f"{prefix}/"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Relevant:
    """The steps and changes of each name, so that 1,000 names do not scan every change each."""

    all_steps: tuple[LandedCommit, ...]
    by_name: Mapping[str, Mapping[int, list[FileChange]]]
    beside: Mapping[int, list[FileChange]]
    closing: Sequence[int]

    @classmethod
    def of(cls, steps: tuple[LandedCommit, ...], names: Mapping[str, str], prefix: str) -> _Relevant:
        by_name: dict[str, dict[int, list[FileChange]]] = {}
        beside: dict[int, list[FileChange]] = {}
        by_path: dict[str, set[str]] = {}
        for number, step in enumerate(steps):
            for change in step.changes:
                if not _is_definition(change.path, prefix):
                    beside.setdefault(number, []).append(change)
                    continue
                had = by_path.setdefault(change.path, set())
                had.update(names[blob] for blob in (change.old, change.new) if blob is not None and blob in names)
                for name in had:
                    by_name.setdefault(name, {}).setdefault(number, []).append(change)
        return cls(all_steps=steps, by_name=by_name, beside=beside, closing=_closing(steps))

    def steps(self, name: str) -> Iterator[LandedCommit]:
        """The steps of a name, each with the merge that brought it."""
        own = self.by_name.get(name, {})
        numbers = {*own, *self.beside}
        for number in sorted(numbers | {self.closing[number] for number in numbers}):
            step = self.all_steps[number]
            yield replace(step, changes=(*own.get(number, ()), *self.beside.get(number, ())))


def _closing(steps: Sequence[LandedCommit]) -> list[int]:
    """For each step the index of its step on the first-parent line: its own, or that of the merge."""
    closing: list[int] = []
    number = 0
    for step in reversed(steps):
        number = len(steps) - 1 - len(closing) if step.on_line else number
        closing.append(number)
    return closing[::-1]


class _UnreadableFile:
    """A file that defined the name and cannot be loaded."""


type _State = LoadedDefinition | _UnreadableFile | None
type _Source = tuple[str, str]
"""A path and its blob."""


@dataclass(slots=True, kw_only=True)
class _PastDefinitions:
    """Loads past definitions. Each file is read once; one with a `query_file` once for each commit that touched it.

    No HogQL is parsed here.
    """

    prefix: str
    blobs: Blobs
    names: Mapping[str, str]
    _alone: dict[str, _State] = field(default_factory=dict)

    def load(self, commit: str, source: _Source, besides: set[str]) -> _State:
        """The definition of a file at a commit; the paths of its `query_file` are added to `besides`."""
        path, blob = source
        if blob in self._alone:
            return self._alone[blob]
        used: list[str] = []

        def read_beside(name: str) -> bytes:
            used.append(posixpath.normpath(posixpath.join(posixpath.dirname(path), name)))
            blob_content = self.blobs.at(commit, used[-1]) if _is_below(used[-1], self.prefix) else None
            return blob_content[1] if blob_content else _no_file(name)

        state = self._parsed(f"{commit[:12]}:{path}", blob, read_beside)
        besides.update(used)
        if not used:
            self._alone[blob] = state
        return state

    def is_broken(self, blob: str) -> bool:
        """Whether a file defines no name, so that its endpoint is unknown."""
        return blob not in self.names and defined_name(self.content(blob)) is None

    def content(self, blob: str) -> bytes:
        return next(self.blobs.contents([blob]))[1]

    def _parsed(self, shown: str, blob: str, read_beside: Callable[[str], bytes]) -> _State:
        from endpoints_gitops.codecs.definition import read_definition

        try:
            return read_definition(shown, self.content(blob), read_beside, is_parsed=False)
        except InvalidInput:
            return _UnreadableFile()


@dataclass(slots=True, kw_only=True)
class _Follow[K: str]:
    """Follows one name through the steps. `files` are the files that define it on the first-parent line, usually
    one."""

    past: _PastDefinitions
    name: str
    settings_of: Callable[[LoadedDefinition], Mapping[K, Json]]
    files: dict[str, str] = field(default_factory=dict)
    paths: dict[str, None] = field(default_factory=dict)
    besides: set[str] = field(default_factory=set)
    settings: Mapping[K, Json] | None = None
    seen: set[tuple[str, str]] = field(default_factory=set)
    states: list[PastState[K]] = field(default_factory=list)
    is_off_line: bool = False

    def all(self, steps: Iterable[LandedCommit]) -> tuple[PastState[K], ...]:
        for step in steps:
            if step.on_line:
                self._on_line(step)
            else:
                self._brought(step)
        return tuple(reversed(self.states))

    def _on_line(self, step: LandedCommit) -> None:
        touched = [change for change in step.changes if self._follow(change)]
        if not (touched or self.is_off_line):
            return
        source = next(reversed(self.files.items()), None)
        state = self.past.load(step.commit, source, self.besides) if source else None
        settings = self.settings_of(state) if isinstance(state, LoadedDefinition) else None
        path = source[0] if source else next(reversed(self.paths), "")
        self._add(step, path, settings, readable=not isinstance(state, _UnreadableFile), state=state)
        self.is_off_line = False

    def _follow(self, change: FileChange) -> bool:
        """Update the files of the name; return whether the change concerns it."""
        before = self.files.pop(change.path, None)
        if change.new is not None and (self._is_followed(change.new) or (before and self.past.is_broken(change.new))):
            self.files[change.path] = change.new
            self.paths[change.path] = None
            return True
        return before is not None or (change.path in self.besides and bool(self.files))

    def _brought(self, step: LandedCommit) -> None:
        """Add the values of a merged commit that the history did not have before."""
        source = self._source_after(step)
        after = self.past.load(step.commit, source, self.besides) if source else None
        if source is None or not isinstance(after, LoadedDefinition):
            return
        now = self.settings_of(after)
        new = {key: value for key, value in now.items() if (key, fingerprint(value)) not in self.seen}
        if new:
            self._add(step, source[0], now if self.settings is None else {**self.settings, **new}, state=after)
            self.is_off_line = True

    def _source_after(self, step: LandedCommit) -> _Source | None:
        for change in step.changes:
            if change.new is not None and self._is_followed(change.new):
                self.paths[change.path] = None
                return change.path, change.new
        if all(change.path not in self.besides for change in step.changes):
            return None
        return self._source_at(step.commit)

    def _source_at(self, commit: str) -> _Source | None:
        for path in reversed(self.paths):
            blob = self.past.blobs.at(commit, path)
            if blob and self._is_followed(blob[0]):
                return path, blob[0]
        return None

    def _is_followed(self, blob: str) -> bool:
        return self.past.names.get(blob) == self.name

    def _add(
        self, step: LandedCommit, path: str, settings: Mapping[K, Json] | None, *, state: _State, readable: bool = True
    ) -> None:
        self.settings = settings
        self.seen.update((key, fingerprint(value)) for key, value in (settings or {}).items())
        self.states.append(
            PastState(
                commit=step.commit,
                committed_at=step.landed_at,
                path=path,
                definition=state if isinstance(state, LoadedDefinition) else None,
                settings=settings,
                readable=readable,
            )
        )
