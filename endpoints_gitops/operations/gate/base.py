"""What was released, and what is to be released: the lock at REF, and the lock of HEAD."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.errors import InvalidInput, Location
from endpoints_gitops.model.outcome import ErrorEntry
from endpoints_gitops.model.pin import Lock
from endpoints_gitops.model.printable import printable
from endpoints_gitops.workspace.base import BaseUnavailable
from endpoints_gitops.workspace.files import shown
from endpoints_gitops.workspace.git import (
    Blobs,
    Repository,
    explain_missing,
    repository,
    resolved,
    tracked_changes,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseBase:
    """The released commit, which REF names, and HEAD.

    `lock` is None where the released commit has no lock. `is_committed`: HEAD has a lock, or there is none here either.
    """

    repo: Repository
    ref: str
    commit: str
    tree: str
    lock: Lock | None
    lock_path: Path
    is_committed: bool

    @property
    def what(self) -> str:
        """The commit for messages."""
        return (
            printable(self.ref) if self.commit.startswith(self.ref) else f"{printable(self.ref)} ({self.commit[:12]})"
        )

    def not_released(self, besides: Iterable[Path]) -> tuple[ErrorEntry, ...]:
        """The reasons why what is judged here is not what a release of HEAD contains.

        `besides` are files that may differ: the evidence, which a run of the suite writes.
        """
        reasons = []
        if not self.is_committed:
            fix = f"git add {shown(self.lock_path)} && git commit"
            message = f"{shown(self.lock_path)} is not committed, so the release would not contain it"
            reasons.append(
                ErrorEntry(code="gate.uncommitted", message=message, where=Location(shown(self.lock_path)), fix=fix)
            )
        output = {path.resolve() for path in besides}
        changed = sorted(shown(path) for path in tracked_changes(self.repo, self.repo.top) - output)
        if changed:
            more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
            message = f"tracked files differ from HEAD ({changed[0]}{more}): what is judged is not what is released"
            fix = "commit the changes, or git stash"
            reasons.append(ErrorEntry(code="gate.uncommitted", message=message, where=Location(changed[0]), fix=fix))
        return tuple(reasons)


def release_base(ref: str, lock_path: Path) -> ReleaseBase:
    """Read the lock at the commit that REF names: its tip, because that is what was released.

    Raises BaseUnavailable without such a commit, HistoryUnavailable without a repository, InvalidInput for a lock that
    is corrupt there, and GitFailed.
    """
    repo = repository(lock_path.parent)
    if repo is None:
        raise explain_missing(lock_path.parent)
    commit = resolved(repo.top, ref) if ref.strip() else None
    if commit is None:
        message = f"there is no commit {printable(ref)!r} here, so what was released is unknown"
        raise BaseUnavailable(message, fix=_cure(ref, repo))
    path = repo.inside(lock_path)
    with Blobs(repo) as blobs:
        released, here = blobs.at(commit, path), blobs.at(repo.head, path)
        tree = blobs.tree_of(repo.head)
    return ReleaseBase(
        repo=repo,
        ref=ref,
        commit=commit,
        tree=tree,
        lock=_read(released[1], f"{printable(ref)}:{path}") if released else None,
        lock_path=lock_path,
        is_committed=here is not None or not lock_path.exists(),
    )


def _read(content: bytes, label: str) -> Lock:
    """Raises InvalidInput, whose fix is not to restore the file: it is part of a commit."""
    from endpoints_gitops.codecs.lock import read_lock

    try:
        lock = read_lock(content, label)
        if lock.old_hashes:
            from endpoints_gitops.contract.pins import verify_old

            verify_old(lock, label)
    except InvalidInput as error:
        fix = Advice(Command("gate", "--against", "REF"), " with the last release whose lock is whole")
        raise InvalidInput(
            tuple(replace(problem, fix=fix, is_committed=True) for problem in error.problems),
            message=f"{label} has mistakes",
        ) from error
    return lock


def _cure(ref: str, repo: Repository) -> str:
    if not ref.strip():
        return "name the released commit: a tag, a branch or a commit id"
    shallow = " (in CI: fetch-depth: 0)" if repo.is_shallow else ""
    return f"git fetch --tags{' --unshallow' if repo.is_shallow else ''} origin{shallow}, or name a commit that is here"
