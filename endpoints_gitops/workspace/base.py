"""The commit to compare with, and its definitions folder.

    REF, REF...HEAD     the merge base of REF and HEAD: the changes of this branch, without those that REF got meanwhile
    REF..HEAD           the tip of REF
    …:PATH              the definitions in that folder of the commit

`default-branch` is the REF of the branch that changes are merged into: `origin/HEAD`, or what `default_branch` finds.

The commit is read with its own configuration, so that a definitions folder that was moved later is found.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from endpoints_gitops.advice import OtherCommand
from endpoints_gitops.errors import CouldNotFindOut, UsageError
from endpoints_gitops.model.printable import printable
from endpoints_gitops.workspace.git import (
    Blobs,
    Repository,
    content_at,
    default_branch,
    dirty,
    git,
    repository,
    resolved,
)

if TYPE_CHECKING:
    from endpoints_gitops.workspace.commits import NotOnDisk

DEFAULT_BRANCH: Final = "default-branch"


class BaseUnavailable(CouldNotFindOut):
    """The base of a comparison does not exist or cannot be read (rule G109)."""

    code = "G109"


@dataclass(frozen=True, slots=True, kw_only=True)
class DefinitionsLocation:
    """Where the definitions are now, and the environment that they are read for.

    `configuration` is the folder of the configuration that names the definitions folder; None where a command line or a
    variable names it.
    """

    folder: Path
    environment: str | None = None
    configuration: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A commit to compare with. `prefix` is its definitions folder, None where it has none.

    `ref` is the ref that was named, and `tip` its commit, whose merge base with HEAD `commit` may be. `what` names the
    commit in messages, and `label` in front of paths. `notes` are messages for the user.
    """

    repo: Repository
    commit: str
    prefix: str | None
    ref: str
    tip: str
    what: str
    label: str
    notes: tuple[str, ...] = ()

    def names(self) -> frozenset[str]:
        """The names of the definitions in the commit, including definitions with other mistakes.

        Raises BaseUnavailable for a file that was deleted since and whose name cannot be read.
        """
        names: set[str] = set()
        for path, content in self._contents(self._paths()):
            name = _defined_name(content)
            if name is not None:
                names.add(name)
            elif not os.path.lexists(self.repo.top / path):
                message = (
                    f"{printable(self.label)}:{printable(path)} was deleted, and the name it defines cannot be read"
                )
                raise BaseUnavailable(message, fix=str(OtherCommand("git", "show", f"{self.commit[:12]}:{path}")))
        return frozenset(names)

    def refuse_moved(self, names: Collection[str], spelled: str) -> None:
        """Raise BaseUnavailable if the commit defines one of these names in another folder.

        `spelled` is the text before the ref on the command line.
        """
        from endpoints_gitops.workspace.definitions import SUFFIXES

        top = self.repo.top
        changed = (path for path in dirty(self.repo, top, self.commit) if path.name.lower().endswith(SUFFIXES))
        gone = [path.relative_to(top).as_posix() for path in changed if not os.path.lexists(path)]
        for path, content in self._contents(sorted(gone)):
            if _defined_name(content) in names:
                folder = posixpath.dirname(path) or "."
                message = (
                    f"the definitions were in {printable(folder)} at {self.what}, which its configuration does not name"
                )
                raise BaseUnavailable(message, fix=f"{spelled}{self.commit[:12]}:{printable(folder)}")

    def _paths(self) -> Iterator[str]:
        from endpoints_gitops.workspace.commits import listed

        if self.prefix is not None:
            yield from (path for _, path in listed(self.repo, self.commit, self.prefix))

    def _contents(self, paths: Collection[str] | Iterator[str]) -> Iterator[tuple[str, bytes]]:
        with Blobs(self.repo) as blobs:
            for path in paths:
                blob = blobs.at(self.commit, path)
                if blob is not None:
                    yield path, blob[1]


def refuse_unknown_submodules(missing: NotOnDisk) -> None:
    """Raise BaseUnavailable where a submodule of the definitions folder is missing: what it defines is unknown."""
    if missing.submodules:
        message = f"the submodule {missing.submodules[0]} is not initialised, so what it defines is unknown"
        raise BaseUnavailable(message, fix=missing.advice)


def base_of(what: str, here: DefinitionsLocation, *, spelled: str) -> Base | None:
    """The base that a text names; None if there is no such commit, or no repository.

    `spelled` is the text before it on the command line. Raises BaseUnavailable if there is no merge base, or if the
    definitions folder of that commit is unknown.
    """
    repo = repository(here.folder)
    ref, path, is_tip = _parts(what)
    tip = repo and resolved(repo.top, ref)
    if repo is not None and not tip and ref == DEFAULT_BRANCH and (branch := default_branch(repo)) is not None:
        what, ref, tip = what.replace(ref, branch, 1), branch, resolved(repo.top, branch)
    if repo is None or not tip:
        return None
    commit, notes = (tip, ()) if is_tip else _merge_base(repo, tip, ref, spelled)
    is_ref = commit == tip
    named = f"{commit[:12]}, the merge base of {ref} and HEAD"
    base = Base(
        repo=repo,
        commit=commit,
        prefix=None,
        ref=ref,
        tip=tip,
        what=printable(what if is_ref else named),
        label=printable(ref if is_ref else commit[:12]),
        notes=notes,
    )
    return replace(base, prefix=_folder(base, here) if path is None else _named_folder(base, path))


def _parts(what: str) -> tuple[str, str | None, bool]:
    """The ref, the folder, and whether the tip is named. Text in braces (`HEAD@{…}`) is part of the ref."""
    outside = what.rpartition("}")[2]
    before, colon, path = outside.partition(":")
    ref = what[: len(what) - len(outside)] + before
    for dots, is_tip in (("...", False), ("..", True)):
        left, separator, right = ref.partition(dots)
        if separator and right in ("", "HEAD"):
            return left, path if colon else None, is_tip
    return ref, path if colon else None, False


def _merge_base(repo: Repository, tip: str, ref: str, spelled: str) -> tuple[str, tuple[str, ...]]:
    """The best common ancestor of a commit and HEAD, with a note if several are equally good.

    Raises BaseUnavailable if there is none, and in a shallow clone, which may lack a better one.
    """
    answer = git(repo.top, "rev-parse", f"{tip}...{repo.head}").decode("ascii").split()
    bases = [word[1:] for word in answer if word.startswith("^")]
    best = bases[0] if bases else None
    hidden = repo.is_shallow and (best is None or (best not in (tip, repo.head) and _is_shallow(repo, tip, best)))
    if hidden:
        message = f"this clone is shallow, so the merge base of {printable(ref)} and HEAD is unknown"
        raise BaseUnavailable(message, fix="git fetch --unshallow (in CI: fetch-depth: 0)")
    if best is None:
        message = f"{printable(ref)} and HEAD have no common ancestor"
        raise BaseUnavailable(message, fix=f"{spelled}{printable(ref)}..HEAD compares with the tip of {printable(ref)}")
    several = f"{len(bases)} merge bases of {printable(ref)} and HEAD are equally good; this compares with {best[:12]}"
    return best, (several,) if len(bases) > 1 else ()


def _is_shallow(repo: Repository, tip: str, base: str) -> bool:
    """Whether a commit between the base and the two sides has no parent in this clone."""
    return bool(git(repo.top, "rev-list", "--max-parents=0", "--max-count=1", tip, repo.head, "--not", base).strip())


def _named_folder(base: Base, path: str) -> str:
    prefix = posixpath.normpath(path or ".")
    if not _is_folder(base, prefix):
        raise BaseUnavailable(f"{base.what} is not a folder", fix=f"git ls-tree {base.commit[:12]} lists its folders")
    return prefix


def _folder(base: Base, here: DefinitionsLocation) -> str | None:
    """The definitions folder of the commit: the one that its own configuration names, else the current one."""
    start = here.configuration or here.folder
    now = [_inside(base.repo, here.folder.absolute()), _inside(base.repo, here.folder.resolve())]
    then = [_configured(base, start.resolve(), here.environment)]
    candidates = [*now, *then] if here.configuration is None else [*then, *now]
    return next((prefix for prefix in candidates if prefix is not None and _is_folder(base, prefix)), None)


def _configured(base: Base, start: Path, environment: str | None) -> str | None:
    """The folder that the configuration of the commit names, else the default one; None outside of the repository."""
    from endpoints_gitops.workspace.configuration import DEFAULT_DIR, read_table, table_in

    folders = [folder for folder in (start, *start.parents) if folder.is_relative_to(base.repo.top)]
    try:
        tables = (table_in(folder, lambda path: _text(base, path)) for folder in folders)
        table = next(filter(None, tables), None)
        configuration = read_table(table) if table else None
    except UsageError as error:
        problem = getattr(error, "problems", (error,))[0]
        message = f"the configuration of {base.what} cannot be read: {problem.message}"
        raise BaseUnavailable(message, where=f"{base.label}:{problem.where}") from error
    if configuration is None:
        return _inside(base.repo, start / DEFAULT_DIR)
    settings = configuration.environments.get(environment or "", configuration.common)
    folder_names = {
        environment_settings.dir for environment_settings in (settings, *configuration.environments.values())
    }
    if settings is configuration.common and len(folder_names) > 1:
        message = (
            f"the configuration of {base.what} has no environment {environment!r}, and its environments use different "
            "folders"
        )
        raise BaseUnavailable(message, fix="name the folder: REF:PATH")
    prefix = _inside(base.repo, configuration.folder / (settings.dir or DEFAULT_DIR))
    if prefix is None:
        raise BaseUnavailable(f"the definitions folder of {base.what}, {settings.dir}, is outside of the repository")
    return prefix


def _text(base: Base, path: Path) -> str | None:
    content = content_at(base.repo, base.commit, path)
    try:
        return None if content is None else content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError("not UTF-8", where=path.name) from error


def _inside(repo: Repository, path: Path) -> str | None:
    """A path as git names it, without following links; None outside of the work tree."""
    real = Path(os.path.normpath(path))
    return real.relative_to(repo.top).as_posix() if real.is_relative_to(repo.top) else None


def _is_folder(base: Base, prefix: str) -> bool:
    """Whether the commit has this folder. Raises BaseUnavailable if it is a link, a submodule or a file."""
    if prefix == ".":
        return True
    if prefix.startswith(("../", "/")):
        return False
    parts = prefix.split("/")
    for count in range(1, len(parts) + 1):
        path = "/".join(parts[:count])
        entry = git(base.repo.top, "ls-tree", "-z", "--full-tree", base.commit, "--", path)
        if not entry:
            return False
        kind = entry.split()[1]
        if kind != b"tree":
            is_link = entry.startswith(b"120000")
            what = "a link" if is_link else "a submodule" if kind == b"commit" else "a file"
            raise BaseUnavailable(
                f"{printable(path)} is {what} at {base.what}, not a folder", fix="name the folder: REF:PATH"
            )
    return True


def _defined_name(content: bytes) -> str | None:
    from endpoints_gitops.workspace.history import defined_name

    return defined_name(content)
