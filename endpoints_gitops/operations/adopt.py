"""Say in a definition that it answers the version that the server has now.

`supersedes: N` counts while version N is current: the next push then writes the file's over just that, from every
clone, as the answer is committed and reviewed with the file. Afterwards it is spent: a push of a query makes version
N + 1, and of settings, which make none, what is written to the server after the commit of the answer is not answered by
it. A spent key may stay, and the next `adopt` replaces it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from endpoints_gitops.errors import Conflict, EndpointsError, UsageError
from endpoints_gitops.operations.file_edits import FileEdit, edit_of, write_edits
from endpoints_gitops.plan.judging import Judged


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """What became of one name: `version` is what its file supersedes now, None where nothing was to be adopted."""

    judged: Judged
    version: int | None = None
    error: EndpointsError | None = None

    @property
    def name(self) -> str:
        return self.judged.name


def adopt(judged: Iterable[Judged], folder: Path, *, version: int | None = None) -> tuple[Adopted, ...]:
    """Write the key into the definitions that differ from the server.

    `version` is the one that was reviewed: where another is current by now, nothing is written.
    """
    return tuple(_adopted(one, folder, version) for one in judged)


def _adopted(judged: Judged, folder: Path, version: int | None) -> Adopted:
    try:
        edit = _edit(judged, version)
        if edit is None:
            return Adopted(judged=judged)
        write_edits((edit,), folder)
    except EndpointsError as error:
        return Adopted(judged=judged, error=error)
    assert judged.endpoint is not None, "an edit supersedes what is there"
    return Adopted(judged=judged, version=judged.endpoint.current_version)


def _edit(judged: Judged, version: int | None) -> FileEdit | None:
    """None where file and server agree."""
    if judged.loaded is None:
        fix = f"endpoints-gitops pull {judged.name} makes a file of it"
        raise UsageError(f"no file defines {judged.name}", fix=fix, code="adopt.no_definition")
    if judged.endpoint is None:
        fix = f"endpoints-gitops push {judged.name} creates it"
        raise UsageError(f"the server has no {judged.name} that a file could answer", fix=fix, code="adopt.no_endpoint")
    current = judged.endpoint.current_version
    if version is not None and version != current:
        raise Conflict(
            f"version {current} of {judged.name} is current by now, not version {version}; nothing was adopted",
            where=judged.loaded.where(),
            fix=f"endpoints-gitops diff {judged.name} shows it",
            code="adopt.moved",
        )
    return edit_of(judged.loaded, {("supersedes",): current}) if judged.differences else None
