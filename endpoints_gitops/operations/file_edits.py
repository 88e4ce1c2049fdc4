"""Edits of files, computed first and written later: each file whole, and only if it is unchanged since."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.errors import EndpointsError, ExitCode, InvalidInput, UsageError
from endpoints_gitops.model.definition import LoadedDefinition
from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.plan.diff import ServerRevision
from endpoints_gitops.plan.settings import definition_settings, same
from endpoints_gitops.workspace.definitions import path_for
from endpoints_gitops.workspace.files import read_regular_file, shown, write_atomically
from endpoints_gitops.workspace.git import dirty, repository

if TYPE_CHECKING:
    from endpoints_gitops.operations.project import ProjectContext

_MOST_COPIES: Final = 100

type NodePath = tuple[str | int, ...]
type Changes = dict[NodePath, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEdit:
    """The content of a file before and after; `before` is None for a new file."""

    path: Path
    before: bytes | None
    after: bytes


class Unprovable(EndpointsError):
    """The new text of a definition would not mean what the server has. The file was not written."""

    code = "pull.unprovable"
    exit_code = ExitCode.USAGE


def create(
    remote: ServerRevision,
    values: Mapping[str, Any],
    folder: Path,
    definitions: Iterable[LoadedDefinition],
    environment: str,
) -> FileEdit:
    """The new file for an endpoint that no file defines.

    Raises UsageError where no file can have its name, Unprovable where no definition can state what the server has.
    """
    from endpoints_gitops.codecs.definition import read_definition
    from endpoints_gitops.codecs.rewriting import new_file
    from endpoints_gitops.codecs.schema import SCHEMA_FILE, SCHEMA_URL

    endpoint = remote.endpoint
    path = path_for(endpoint.name, folder, definitions)
    content = new_file(values, schema=SCHEMA_FILE if (path.parent / SCHEMA_FILE).is_file() else SCHEMA_URL)
    try:
        loaded = read_definition(shown(path), content, nothing_beside)
    except InvalidInput as error:
        raise _not_expressible(endpoint, "; ".join(problem.message for problem in error.problems)) from error
    stated, server = definition_settings(loaded, environment), remote.settings
    wrong = [key for key in stated if key in server and not same(key, stated[key], server[key])]
    if wrong:
        raise _not_expressible(endpoint, f"{', '.join(wrong)} would mean something else")
    return FileEdit(path=path, before=None, after=content)


def _not_expressible(endpoint: Endpoint, reason: str) -> Unprovable:
    return Unprovable(
        f"no definition can state what {endpoint.name} is on the server: {reason}",
        fix=Advice(Command("get", endpoint.name), " shows it; leave it out with `manage` in the configuration"),
    )


def edit_of(loaded: LoadedDefinition, changes: Changes) -> FileEdit:
    """The edit that changes these nodes of a definition's file. Raises UsageError where the file is gone."""
    from endpoints_gitops.codecs.rewriting import rewrite

    path = Path(loaded.path)
    before = content_of(path)
    if before is None:
        raise UsageError("the file is gone", where=shown(path), fix="run the command again", code="files.changed")
    return FileEdit(path=path, before=before, after=rewrite(before, changes, path=loaded.path) if changes else before)


def write_edits(edits: Iterable[FileEdit], folder: Path) -> None:
    """Write each file whole. Raises UsageError for a file that changed since the edit was computed."""
    for edit in edits:
        if content_of(edit.path) != edit.before:
            raise UsageError(
                f"{shown(edit.path)} changed while this command ran; nothing was written to it",
                fix="run the command again",
                code="files.changed",
            )
        if edit.after != edit.before:
            write_atomically(edit.path, edit.after, folder=folder)


def keep_uncommitted(edits: Iterable[FileEdit], project: ProjectContext) -> tuple[Path, ...]:
    """Copy the files with uncommitted changes to the state folder before they are rewritten, and return the copies."""
    replaced = [edit for edit in edits if edit.before is not None]
    if not replaced:
        return ()
    repo = repository(project.folder)
    uncommitted = dirty(repo, project.folder) if repo else None
    folder, timestamp = project.state / "replaced", datetime.now(UTC)
    copies: list[Path] = []
    for edit in replaced:
        path = edit.path.parent.resolve() / edit.path.name
        if edit.before is not None and (uncommitted is None or not uncommitted.isdisjoint((path, path.resolve()))):
            copies.append(folder / f"{timestamp:%Y%m%dT%H%M%S.%f}-{edit.path.name}")
            write_atomically(copies[-1], edit.before)
    for old in sorted(folder.glob("*"))[:-_MOST_COPIES] if copies else ():
        old.unlink(missing_ok=True)
    return tuple(copies)


def content_of(path: Path) -> bytes | None:
    """The bytes of a file; None where it does not exist. Raises UsageError for one that cannot be read."""
    try:
        return read_regular_file(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror or error}", where=shown(path)) from error


def nothing_beside(name: str) -> bytes:
    raise FileNotFoundError(2, "a new definition has its query inside", name)
