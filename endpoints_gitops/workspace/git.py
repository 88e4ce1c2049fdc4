"""What git knows of a folder, asked from git itself.

Nothing here writes: no lock is taken, no hook, pager, signature check or file monitor runs, whatever the user's git
configuration says, and variables that git sets for hooks do not lead to another repository.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from endpoints_gitops.errors import CouldNotFindOut, UsageError
from endpoints_gitops.model.printable import printable
from endpoints_gitops.workspace.files import shown

_SETTINGS: Final = {
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.quotePath": "false",
    "log.showSignature": "false",
    "color.ui": "false",
}
_OPTIONS: Final = (
    "--no-pager",
    "--literal-pathspecs",
    *(word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}")),
)
_SET_FOR_HOOKS: Final = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_PREFIX",
    "GIT_COMMON_DIR",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_EXTERNAL_DIFF",
    "GIT_LITERAL_PATHSPECS",
    "GIT_GLOB_PATHSPECS",
    "GIT_NOGLOB_PATHSPECS",
    "GIT_ICASE_PATHSPECS",
)


class GitFailed(CouldNotFindOut):
    """git is there and could not answer; what it said stands in the message."""

    code = "git.failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A work tree with at least one commit. `head` is the full id of HEAD's commit."""

    top: Path
    head: str
    is_shallow: bool

    def inside(self, path: Path) -> str:
        """The path as git names it; the last part of it may be a symbolic link."""
        real = path.parent.resolve() / path.name
        return real.relative_to(self.top).as_posix()


def repository(folder: Path) -> Repository | None:
    """The repository that a folder (there already or not) is in; None without git, work tree, or a first commit.

    Raises GitFailed for a repository that git refuses to read.
    """
    place = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.is_dir())
    try:
        answer = git(place, "rev-parse", "--show-toplevel", "--is-shallow-repository")
    except FileNotFoundError:
        return None
    except GitFailed as error:
        if "not a git repository (or any" in error.message or "must be run in a work tree" in error.message:
            return None
        raise
    top, shallow = os.fsdecode(answer).splitlines()[-2:]
    head = resolved(place, "HEAD")
    return Repository(top=Path(top).resolve(), head=head, is_shallow=shallow == "true") if head else None


def resolved(folder: Path, ref: str) -> str | None:
    """The full id of the commit that a ref means here, None where it means none."""
    words = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    answer = _run(folder, words)
    return answer.stdout.decode("ascii").strip() if answer.returncode == 0 else None


def dirty(found: Repository, folder: Path, commit: str | None = None) -> frozenset[Path]:
    """The files below a folder that are not as a commit (default: HEAD) has them: edited, new or deleted."""
    return _differing(found, commit or found.head, folder)


def content_at(found: Repository, ref: str, path: Path) -> bytes | None:
    """What a file held at a commit, None where it was not there. Raises UsageError for a ref that means no commit."""
    commit = resolved(found.top, ref)
    if commit is None:
        raise UsageError(f"there is no commit {printable(ref)!r}", code="git.no-commit")
    listed = git(found.top, "ls-tree", "-z", "--full-tree", commit, "--", found.inside(path))
    if not listed:
        return None
    return git(found.top, "cat-file", "blob", listed.split(b"\t")[0].split()[2].decode("ascii"))


def git(folder: Path, *words: str, given: bytes | None = None) -> bytes:
    """What a git command prints. Raises GitFailed with its complaint, and FileNotFoundError where there is no git."""
    answer = _run(folder, words, given)
    if answer.returncode != 0:
        said = printable(os.fsdecode(answer.stderr).strip()) or f"exit code {answer.returncode}"
        raise GitFailed(f"git {words[0]} failed: {said}", where=shown(folder))
    return answer.stdout


def environment() -> dict[str, str]:
    """The variables that git runs with."""
    kept = {name: value for name, value in os.environ.items() if name not in _SET_FOR_HOOKS}
    return kept | {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}


def command(folder: Path, *words: str) -> list[str]:
    """The argument list of a git command."""
    return ["git", "-C", str(folder), *_OPTIONS, *words]


def _run(folder: Path, words: tuple[str, ...], given: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command(folder, *words), input=given or b"", env=environment(), capture_output=True, check=False
    )


def _differing(found: Repository, commit: str, folder: Path) -> frozenset[Path]:
    pathspec = found.inside(folder.resolve())
    options = ("--name-only", "-z", "--no-renames", "--no-ext-diff", "--ignore-submodules=all")
    changed = git(found.top, "diff", *options, commit, "--", pathspec)
    untracked = git(found.top, "ls-files", "-z", "--others", "--full-name", "--", pathspec)
    return frozenset(found.top / name for answer in (changed, untracked) for name in _names(answer))


def _names(answer: bytes) -> Iterator[str]:
    return (os.fsdecode(name) for name in answer.split(b"\0") if name)
