"""Resolve WHAT in `breaking --against WHAT` and `diff --against WHAT`: the base that definitions are compared with.

    live            the endpoints of the server
    NAME@N          that version on the server
    lock            the pins in the lock beside the configuration
    a folder        the definitions in it
    a plan's file   the server when the plan was made, compared with the server after the plan
    a git ref       the definitions of its merge base with HEAD; `REF..HEAD`: of its tip; `REF:PATH`: of that folder
    default-branch  the git ref of the branch that changes are merged into, as `origin/main`; in a repository without a
                    commit, nothing

A name that is both a ref and a path is the ref; `./NAME` is the path.

Only the first two ask a server. A WHAT that cannot be read is G109 and exit code 4, never "no changes".
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from endpoints_gitops.advice import Advice, Command, OtherCommand
from endpoints_gitops.errors import InvalidInput, Problem, UsageError
from endpoints_gitops.model.definition import LoadedDefinition
from endpoints_gitops.model.endpoint import Endpoint, InsightVariable
from endpoints_gitops.model.json import Json
from endpoints_gitops.model.policy import Ignore
from endpoints_gitops.plan.diff import DroppedKey, EndpointDiff, Revision, ServerRevision, Snapshot, compare_revisions
from endpoints_gitops.plan.settings import Key, definition_settings, normalized_query
from endpoints_gitops.workspace.base import DEFAULT_BRANCH, Base, BaseUnavailable, DefinitionsLocation, base_of
from endpoints_gitops.workspace.commits import definitions_at, refuse_not_on_disk
from endpoints_gitops.workspace.definitions import read_all
from endpoints_gitops.workspace.files import read_regular_file, shown
from endpoints_gitops.workspace.git import (
    HistoryUnavailable,
    Repository,
    explain_missing,
    has_no_commit,
    repository,
    resolved,
)
from endpoints_gitops.workspace.history import history, names_ever_defined
from endpoints_gitops.workspace.selection import managed, parsed, select_names

if TYPE_CHECKING:
    from endpoints_gitops.api.client import Client
    from endpoints_gitops.contract.contract import Contract
    from endpoints_gitops.model.pin import Lock, Pin

_OTHER_BASE: Final = (
    "name a commit in which that file can be read: --against REF; or merge the repair of that file on its own first"
)
_VERSION: Final = re.compile(r"([A-Za-z][A-Za-z0-9_-]{0,127})@([1-9][0-9]{0,8})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """The local side: the definitions, and the environment that they are compared in.

    `client` and `lock` are called when WHAT needs them. `configuration` is as in `DefinitionsLocation`. `environments`
    are those whose pins count in `lock`; None for all. `selectors` are those of the command line.
    """

    definitions: tuple[LoadedDefinition, ...]
    folder: Path
    environment: str
    manage: tuple[str, ...]
    client: Callable[[], Client]
    lock: Callable[[], Lock | None]
    lock_path: Path
    configuration: Path | None = None
    environments: frozenset[str] | None = None
    selectors: tuple[str, ...] = ()

    def revision(
        self, name: str, environment: str | None = None, variables: Sequence[InsightVariable] = ()
    ) -> Revision | None:
        """The definition of that name as a revision; None where there is none."""
        loaded = next((definition for definition in self.definitions if definition.name == name), None)
        shared = {variable.code_name: variable for variable in variables}
        return Revision.local(loaded, environment or self.environment, shared) if loaded else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """WHAT, resolved, and compared with the local side. `unreadable` could not be read; `notes` are for the reader.

    `is_move`: callers go from one side to the other, so no pin protects. `endpoints` are the server's, where it was
    asked for all.
    """

    what: str
    diffs: tuple[EndpointDiff, ...]
    unreadable: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    is_move: bool = False
    endpoints: Mapping[str, Endpoint] | None = None

    @property
    def ignores(self) -> tuple[Ignore, ...]:
        """The ignore comments in the definitions of the local side."""
        local = (diff.local.loaded for diff in self.diffs if diff.local)
        return tuple(ignore for loaded in local if loaded is not None for ignore in loaded.ignores)

    @property
    def failures(self) -> tuple[BaseUnavailable, ...]:
        """An error for each file of WHAT that could not be read."""
        return tuple(map(not_compared, self.unreadable))


def not_compared(problem: Problem) -> BaseUnavailable:
    """The error for a file of WHAT that cannot be read. In a commit it stays as it is, so another base has to help."""
    return BaseUnavailable(
        f"not compared: {problem.message}",
        where=problem.where,
        fix=_OTHER_BASE if problem.is_committed else problem.fix,
    )


def resolve(what: str, here: Here) -> Against:
    """Resolve WHAT, and compare what the selectors match with it.

    Raises UsageError for an empty WHAT and for a selector that matches neither side, BaseUnavailable, ApiError, and
    InvalidInput for a damaged lock or plan.
    """
    resolver = _resolver(what, here)
    against = _narrowed(resolver(what, here), here)
    if resolver is _plan:  # its changes say how the two sides differ
        return against
    diffs = (
        compare_revisions(diff.name, diff.local, diff.remote, environment=diff.environment) for diff in against.diffs
    )
    return replace(against, diffs=tuple(diffs))


def dropped_keys(against: Against, folder: Path, environment: str) -> tuple[tuple[str, DroppedKey], ...]:
    """The keys that a definition managed until a commit and leaves alone now, each with the name of its endpoint.

    They break no caller, but their values stay on the server.
    """
    keys = {diff.name: {key: diff.remote_settings[key] for key in diff.unmanaged} for diff in against.diffs}
    names = [name for name, settings in keys.items() if settings]
    repo = repository(folder) if names else None
    if repo is None:
        return ()
    try:
        past = history(repo, folder, names, lambda loaded: definition_settings(loaded, environment))
    except HistoryUnavailable:  # a partial clone: the commit is unknown
        return ()
    return tuple(
        (name, DroppedKey(key=key, remote=value, commit=last.commit))
        for name in names
        for key, value in keys[name].items()
        if (last := next((state for state in past[name] if state.settings is not None and key in state.settings), None))
    )


def _resolver(what: str, here: Here) -> Callable[[str, Here], Against]:
    if not what.strip():
        fix = "--against takes live, lock, NAME@N, a folder, a plan, or a git ref"
        raise UsageError("--against is empty", fix=fix, code="usage.against")
    if what in _WORDS:
        return _WORDS[what]
    if _VERSION.fullmatch(what):
        return _version
    if _is_path(what) and _commit_at(what, here) is None:
        return _folder if Path(what).is_dir() else _plan
    return _plan if what.endswith(".json") else _commit


def _live(_: str, here: Here) -> Against:
    """The endpoints that are defined here; a push deletes nothing, so the others stay."""
    from endpoints_gitops.operations.lock.resolve import read_types

    client = here.client()
    names = {loaded.name for loaded in here.definitions}
    endpoints = tuple(endpoint for endpoint in client.list_endpoints() if endpoint.name in names)
    types = read_types(client, endpoints)
    variables = tuple((types.shared or {}).values())
    remote = {endpoint.name: _served(endpoint, types.contract(endpoint)) for endpoint in endpoints}
    diffs = (_diff(name, here, remote.get(name), variables=variables) for name in sorted(names))
    return Against(what="the server", diffs=tuple(diffs), endpoints={endpoint.name: endpoint for endpoint in endpoints})


def _version(what: str, here: Here) -> Against:
    from endpoints_gitops.api.errors import EndpointNotFound, VersionNotFound
    from endpoints_gitops.operations.lock.resolve import read_types

    match = _VERSION.fullmatch(what)
    assert match is not None, "the pattern chose this"
    name, number = match[1], int(match[2])
    if here.revision(name) is None:
        message = f"no definition here is called {name!r}, so nothing can be compared with {what}"
        raise BaseUnavailable(message, fix="name an endpoint that is defined here")
    client = here.client()
    try:
        endpoint = client.get_version(name, number)
    except (EndpointNotFound, VersionNotFound) as error:
        raise BaseUnavailable(error.message, fix=Advice(Command("versions", name))) from error
    types = read_types(client, (endpoint,))
    variables = tuple((types.shared or {}).values())
    diff = _diff(name, here, _served(endpoint, types.contract(endpoint)), variables=variables)
    return Against(what=what, diffs=(diff,), is_move=True)


def _lock(_: str, here: Here) -> Against:
    lock = here.lock()
    if lock is None:
        message = f"there is no lock to compare with: {shown(here.lock_path)} does not exist"
        raise BaseUnavailable(message, fix=Advice(Command("lock")))
    wanted = here.environments
    pins = [pin for pin in lock.pins if wanted is None or pin.environment in wanted]
    names = {loaded.name for loaded in here.definitions}
    former = _once_defined(here, {pin.name for pin in pins} - names)
    compared = [pin for pin in pins if pin.name in names | former]
    unknown = sorted({pin.name for pin in pins} - names - former)
    if pins and not compared:
        message = f"nothing that is pinned in {shown(here.lock_path)} is defined in {shown(here.folder)}"
        raise BaseUnavailable(message, fix="name the folder of their definitions with --dir")
    notes: tuple[str, ...] = (f"pinned and not defined here, so not compared: {', '.join(unknown)}",) if unknown else ()
    if unknown and ((repo := repository(here.folder)) is None or repo.is_shallow):
        notes += ("cannot tell whether they were ever defined here, as the history is not in this clone",)
    diffs = [_diff(pin.name, here, _pinned(pin), environment=pin.environment) for pin in compared]
    # a definition that replaces one that is gone has no pin, and shows whether that was renamed
    environments = {pin.environment for pin in compared if pin.name in former}
    pinned = {(pin.environment, pin.name) for pin in compared}
    others = ((environment, name) for environment in sorted(environments) for name in sorted(names))
    diffs += [
        _diff(name, here, None, environment=environment)
        for environment, name in others
        if (environment, name) not in pinned
    ]
    return Against(what=shown(here.lock_path), diffs=tuple(diffs), notes=notes, is_move=True)


def _once_defined(here: Here, names: Set[str]) -> frozenset[str]:
    """Those of the names that a definition here was renamed from, or that this folder defined in git's history."""
    if not names:
        return frozenset()
    renamed = {loaded.definition.renamed_from for loaded in here.definitions if loaded.definition.renamed_from}
    repo = repository(here.folder)
    defined = names_ever_defined(repo, here.folder) if repo is not None else frozenset()
    return frozenset(names & (renamed | defined))


def _folder(what: str, here: Here) -> Against:
    try:
        definitions = _parsed_folder(Path(what), here)
    except InvalidInput as error:
        return Against(what=what, diffs=(), unreadable=error.problems)
    return _files(what, here, definitions)


def _parsed_folder(folder: Path, here: Here) -> tuple[LoadedDefinition, ...]:
    definitions = read_all(folder, is_parsed=not here.selectors)
    if not definitions:
        refuse_not_on_disk(folder)
        message = f"{shown(folder)} has no definitions to compare with"
        raise BaseUnavailable(message, fix="name the folder of the definitions")
    if not here.selectors:
        return definitions
    return parsed(definitions, _selected_files(here, definitions), folder)


def _is_path(what: str) -> bool:
    """Whether the path exists. False for a text that cannot be a path, for which Path raises."""
    return os.path.isdir(what) or os.path.isfile(what)  # noqa: PTH112, PTH113


def _commit_at(what: str, here: Here) -> str | None:
    """The commit that WHAT names. It wins over a path: a checkout must not redirect `main` to a folder called main."""
    repo = repository(here.folder)
    return resolved(repo.top, what) if repo else None


def _commit(what: str, here: Here) -> Against:
    location = DefinitionsLocation(folder=here.folder, environment=here.environment, configuration=here.configuration)
    base = base_of(what, location, spelled="--against ")
    if base is None and what == DEFAULT_BRANCH and has_no_commit(here.folder):
        return replace(_files(what, here, ()), notes=("this repository has no commit yet: everything is new",))
    if base is None:
        raise _no_commit(what, "commit, file or folder", here.folder)
    definitions: tuple[LoadedDefinition, ...] = ()
    problems: tuple[Problem, ...] = ()
    if base.prefix is not None:
        choose = partial(_selected_files, here) if here.selectors else None
        definitions, problems = definitions_at(base.repo, base.commit, base.prefix, base.label, choose=choose)
    if not definitions and not problems:
        base.refuse_moved({loaded.name for loaded in here.definitions}, "--against ")
    against = _files(base.what, here, definitions, problems)
    both = (f"{what} is a commit and a path here; this compares with the commit (./{what} is the path)",)
    notes = (*base.notes, *against.notes, *(both if _is_path(what) else ()))
    return replace(against, notes=notes, unreadable=problems)


def _files(what: str, here: Here, definitions: Sequence[LoadedDefinition], problems: Sequence[Problem] = ()) -> Against:
    remote = {loaded.name: Revision.local(loaded, here.environment) for loaded in definitions}
    names = sorted({loaded.name for loaded in here.definitions} | remote.keys())
    notes = () if definitions or problems else (f"there are no definitions in {what}: everything is new",)
    return Against(what=what, diffs=tuple(_diff(name, here, remote.get(name)) for name in names), notes=notes)


def _plan(what: str, here: Here) -> Against:
    from endpoints_gitops.codecs.plan import read_plan
    from endpoints_gitops.operations.push.preview import diffs_of_plan

    try:
        content = read_regular_file(Path(what))
    except OSError as error:
        message = f"the plan {shown(Path(what))} cannot be read: {error.strerror or error}"
        raise BaseUnavailable(message, fix=Advice(Command("plan", "-o", what))) from error
    plan = read_plan(content, shown(Path(what)))
    local = {loaded.name: Revision.local(loaded, here.environment) for loaded in here.definitions}
    diffs = diffs_of_plan(plan, Snapshot(), local)
    note = f"compares environment {plan.environment} before and after {shown(Path(what))}, as of when that was made"
    return Against(what=what, diffs=diffs, notes=(note,))


_WORDS: Final[dict[str, Callable[[str, Here], Against]]] = {"live": _live, "lock": _lock}


def _narrowed(against: Against, here: Here) -> Against:
    """The diffs that are selected and managed. Raises UsageError for a selector that matches neither side."""
    others = [_fileless(diff.name, diff.remote.loaded if diff.remote else None, here) for diff in against.diffs]
    names, managed_names = _selected(here, others)
    if here.selectors:
        removed = {diff.name: diff.remote for diff in against.diffs if diff.remote and not diff.local}
        added = {diff.name: diff.local for diff in against.diffs if diff.local and not diff.remote}
        names = with_renames(names, removed, added)
    outside = sorted({diff.name for diff in against.diffs} - managed_names)
    notes = (*against.notes, f"{len(outside)} outside of `manage`") if outside else against.notes
    return replace(against, diffs=tuple(diff for diff in against.diffs if diff.name in names), notes=notes)


def with_renames(
    selected: frozenset[str], removed: Mapping[str, Revision], added: Mapping[str, Revision]
) -> frozenset[str]:
    """The selected names, with the other name of each renamed endpoint: alone, the new one looks like an addition.

    `removed` and `added` are the endpoints that only the side before and only the side after has.
    """
    if selected.isdisjoint(removed.keys() | added.keys()):
        return selected
    from endpoints_gitops.contract.compare import renames

    new_names = renames(
        {name: revision.contract for name, revision in removed.items()},
        {name: revision.contract for name, revision in added.items()},
    )
    return selected.union(*(pair for pair in new_names.items() if not selected.isdisjoint(pair)))


def _selected_files(here: Here, definitions: Sequence[LoadedDefinition]) -> frozenset[str]:
    """The names of the definitions on the other side that the selectors mean."""
    return _selected(here, [_fileless(loaded.name, loaded, here) for loaded in definitions])[0]


def _selected(here: Here, others: Sequence[Endpoint]) -> tuple[frozenset[str], frozenset[str]]:
    """The names that are selected and managed, and all managed names. `others` are the endpoints of the other side.

    An endpoint that no file defines here is selected by its name and, where the other side has a file, by its tags.
    """
    defined = {loaded.name for loaded in here.definitions}
    gone = [endpoint for endpoint in others if endpoint.name not in defined]
    managed_names = managed(here.manage, definitions=here.definitions, endpoints=gone, environment=here.environment)
    names = select_names(
        here.selectors,
        definitions=here.definitions,
        endpoints=gone,
        folder=here.folder,
        environment=here.environment,
        configuration=here.configuration,
    )
    return names & managed_names, managed_names


def _fileless(name: str, loaded: LoadedDefinition | None, here: Here) -> Endpoint:
    tags = loaded.definition.in_environment(here.environment).tags if loaded else None
    return Endpoint(id="", name=name, query={}, tags=tuple(tags or ()))


def _diff(
    name: str,
    here: Here,
    before: Revision | None,
    *,
    environment: str | None = None,
    variables: Sequence[InsightVariable] = (),
) -> EndpointDiff:
    """Both sides of a name, not compared yet: comparing parses queries, and only selected ones are to be parsed."""
    environment = environment or here.environment
    after = here.revision(name, environment, variables)
    return EndpointDiff(name=name, environment=environment, local=after, remote=before)


def _served(endpoint: Endpoint, contract: Contract) -> Revision:
    return replace(ServerRevision.of(endpoint), build_contract=lambda: contract)


def _pinned(pin: Pin) -> Revision:
    from endpoints_gitops.contract.build import from_pin

    stated: dict[Key, Json] = {
        Key.QUERY: normalized_query(pin.query),
        Key.MATERIALIZATION: pin.materialized,
        Key.FRESHNESS: pin.freshness_seconds,
        Key.OPTIONAL_BREAKDOWNS: list(pin.optional_breakdown_properties),
        Key.BUCKET_OVERRIDES: dict(pin.bucket_overrides or {}) if pin.materialized else None,
    }
    settings = {key: value for key, value in stated.items() if value is not None}
    return Revision(
        label=f"lock, {pin.label}", settings=settings, version=pin.version, build_contract=partial(from_pin, pin)
    )


def base_at(what: str, location: DefinitionsLocation) -> Base:
    """The base that a ref names. Raises BaseUnavailable, and UsageError for an empty text."""
    if not what.strip():
        raise UsageError("--against is empty", fix="--against takes a git ref", code="usage.against")
    base = base_of(what, location, spelled="--against ")
    if base is None:
        raise _no_commit(what, "commit", location.folder)
    return base


def _no_commit(what: str, wanted: str, folder: Path) -> BaseUnavailable:
    repo = repository(folder)
    if repo is None:
        cause = explain_missing(folder)
        message = f"there is no {wanted} {what!r} here: {cause.message}"
        return BaseUnavailable(message, fix=cause.fix)
    in_ci = " (in CI: fetch-depth: 0)" if repo.is_shallow else ""
    return BaseUnavailable(f"there is no {wanted} {what!r} here", fix=f"{_fetch(what, repo)}{in_ci}")


def _fetch(what: str, repo: Repository) -> str:
    if what == DEFAULT_BRANCH:
        return "git remote set-head origin --auto, or name a branch with --against"
    remotes = tuple(_remotes(repo))
    remote, slash, branch = what.partition("/")
    if slash and remote in ("origin", *remotes) and not branch.startswith("-"):
        return str(OtherCommand("git", "fetch", remote, branch))
    if re.search(r"(^|/)-|[~^]", what) or not remotes:
        return "git fetch --unshallow" if repo.is_shallow else "git log --oneline shows the commits that are here"
    return f"{OtherCommand('git', 'fetch', remotes[0], what)}, and --against FETCH_HEAD"


def _remotes(repo: Repository) -> Iterator[str]:
    from endpoints_gitops.workspace.git import git

    lines: Iterable[str] = git(repo.top, "remote").decode("utf-8", "replace").splitlines()
    return iter(sorted(lines, key=lambda name: (name != "origin", name)))
