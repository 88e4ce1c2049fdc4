"""The commits behind HEAD that touch a folder, in the order in which the line of HEAD came to know them.

History is no line, and laid into one by date it says things that never were: a branch that was cut before an edit and
merged after it would seem to take the edit back. So the first parents of HEAD are the line; the commits that a merge
brings stand right before that merge, and all of them landed when it was made.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from endpoints_gitops.workspace.git import Repository, git

_FILES = (b"100644", b"100755")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A file of a commit against the commit's first parent; the ids of blobs, None where there is no such file."""

    path: str
    old: str | None
    new: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A commit. `landed_at` is when the line of HEAD had it: its own committer date, or that of the merge."""

    commit: str
    landed_at: datetime
    on_line: bool
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class _Commit:
    id: str
    date: int
    parents: tuple[str, ...]


def walk(found: Repository, folder: Path) -> tuple[Step, ...]:
    """The steps of a folder, oldest first. A merge on the line is a step whenever it brings one."""
    pathspec = found.inside(folder.resolve())
    graph = {commit.id: commit for commit in _graph(found)}
    words = ("rev-list", "--full-history", found.head, "--", pathspec)
    touching = frozenset(git(found.top, *words).decode("ascii").split())
    line = tuple(_line(graph, found.head))
    merges = {commit.id for commit in line if len(commit.parents) > 1}
    changes = _changes(found, (graph[one] for one in touching | merges), pathspec)
    return tuple(_steps(graph, line, changes, touching))


def _graph(found: Repository) -> Iterator[_Commit]:
    """Every commit behind HEAD, none before its children."""
    answer = git(found.top, "rev-list", "--topo-order", "--parents", "--timestamp", found.head, "--")
    for record in answer.decode("ascii").splitlines():
        date, commit, *parents = record.split()
        yield _Commit(commit, int(date), tuple(parents))


def _line(graph: Mapping[str, _Commit], head: str) -> Iterator[_Commit]:
    at: str | None = head
    while at is not None:
        yield graph[at]
        at = next(iter(graph[at].parents), None)


def _changes(found: Repository, commits: Iterable[_Commit], pathspec: str) -> dict[str, tuple[Change, ...]]:
    given = "".join(f"{' '.join((commit.id, *commit.parents[:1]))}\n" for commit in commits).encode("ascii")
    options = ("--stdin", "-r", "--root", "--raw", "-z", "--no-renames", "--no-ext-diff", "--no-abbrev")
    answer = git(found.top, "diff-tree", *options, "--", pathspec, given=given)
    changes: dict[str, list[Change]] = {}
    commit, words = "", iter(answer.split(b"\0"))
    for word in words:
        if word.startswith(b":"):
            changes[commit].append(_change(word, os.fsdecode(next(words))))
        elif word:
            commit = word.decode("ascii").strip()
            changes[commit] = []
    return {one: tuple(listed) for one, listed in changes.items()}


def _change(word: bytes, path: str) -> Change:
    old_mode, new_mode, old, new, _ = word.removeprefix(b":").split()
    return Change(
        path=path,
        old=old.decode("ascii") if old_mode in _FILES else None,
        new=new.decode("ascii") if new_mode in _FILES else None,
    )


def _steps(
    graph: Mapping[str, _Commit],
    line: tuple[_Commit, ...],
    changes: Mapping[str, tuple[Change, ...]],
    touching: frozenset[str],
) -> Iterator[Step]:
    order = {commit: index for index, commit in enumerate(graph)}
    claimed = {commit.id for commit in line}
    for at in reversed(line):
        landed_at = datetime.fromtimestamp(at.date, tz=UTC)
        brought = _brought(graph, at, claimed) & touching
        for one in sorted(brought, key=order.__getitem__, reverse=True):
            yield Step(commit=one, landed_at=landed_at, on_line=False, changes=changes.get(one, ()))
        if brought or at.id in changes:
            yield Step(commit=at.id, landed_at=landed_at, on_line=True, changes=changes.get(at.id, ()))


def _brought(graph: Mapping[str, _Commit], merge: _Commit, claimed: set[str]) -> set[str]:
    """What a merge brought that no earlier one did; it is claimed from then on."""
    brought: set[str] = set()
    waiting = list(merge.parents[1:])
    while waiting:
        one = waiting.pop()
        if one not in claimed:
            claimed.add(one)
            brought.add(one)
            waiting += graph[one].parents
    return brought
