"""Adopt the server's current version: write into a definition that it supersedes that version.

`supersedes: N` counts while version N is current: the next push overwrites just that version, from every clone, as the
key is committed and reviewed with the file. A push of a query makes version N + 1, so the key no longer counts. A push
of settings makes no version: there the key counts only for what was written to the server before its commit. A key that
no longer counts may stay, and the next `adopt` replaces it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.errors import Conflict, EndpointsError, UsageError
from endpoints_gitops.operations.file_edits import FileEdit, edit_of, write_edits
from endpoints_gitops.plan.diff import EndpointDiff


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """The result of one name. `version` is what its file supersedes now, None where file and server agree."""

    diff: EndpointDiff
    version: int | None = None
    error: EndpointsError | None = None

    @property
    def name(self) -> str:
        return self.diff.name


def adopt(diffs: Iterable[EndpointDiff], folder: Path, *, version: int | None = None) -> tuple[Adopted, ...]:
    """Write `supersedes` into the definitions that differ from the server, and return a result for each.

    `version` is the one that was reviewed: where another is current now, the result is an error and nothing is written.
    """
    return tuple(_adopted(diff, folder, version) for diff in diffs)


def _adopted(diff: EndpointDiff, folder: Path, version: int | None) -> Adopted:
    try:
        edit = _edit(diff, version)
        if edit is None:
            return Adopted(diff=diff)
        write_edits((edit,), folder)
    except EndpointsError as error:
        return Adopted(diff=diff, error=error)
    assert diff.endpoint is not None, "an edit supersedes what is there"
    return Adopted(diff=diff, version=diff.endpoint.current_version)


def _edit(diff: EndpointDiff, version: int | None) -> FileEdit | None:
    """The edit of the file; None where file and server agree."""
    if diff.loaded is None:
        fix = Advice(Command("pull", diff.name), " makes a file of it")
        raise UsageError(f"no file defines {diff.name}", fix=fix, code="adopt.no_definition")
    if diff.endpoint is None:
        fix = Advice(Command("push", diff.name), " creates it")
        raise UsageError(f"the server has no {diff.name} that a file could answer", fix=fix, code="adopt.no_endpoint")
    current = diff.endpoint.current_version
    if version is not None and version != current:
        raise Conflict(
            f"version {current} of {diff.name} is current by now, not version {version}; nothing was adopted",
            where=diff.loaded.where(),
            fix=Advice(Command("diff", diff.name), " shows it"),
            code="adopt.moved",
        )
    return edit_of(diff.loaded, {("supersedes",): current}) if diff.differences else None
