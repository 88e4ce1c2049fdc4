"""Review a branch: what it changes since the merge base, what that does on the server and to callers, and whether that
is safe.

Only the files that the branch changes are parsed. The server is asked once for its endpoints, and only where the branch
changes something that a push would write.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from endpoints_gitops.advice import Advice, OtherCommand
from endpoints_gitops.contract.announcements import announcement_findings
from endpoints_gitops.contract.compare import renames
from endpoints_gitops.contract.contract import Contract, settled
from endpoints_gitops.contract.lint import duplicates
from endpoints_gitops.errors import (
    EndpointsError,
    ExitCode,
    InvalidInput,
    Problem,
    UsageError,
    worst,
)
from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.model.finding import Finding, Severity, in_order
from endpoints_gitops.model.outcome import ErrorEntry, failures_of
from endpoints_gitops.model.policy import Applied, Conventions, Ignore
from endpoints_gitops.model.report import Detail, Report, Subject, TextDiff, Verdict
from endpoints_gitops.model.sunset import DEFAULT_POLICY, Announcement, DeprecationPolicy
from endpoints_gitops.operations.against import base_at
from endpoints_gitops.operations.callers import Callers, findings_of_diffs
from endpoints_gitops.operations.check.definition import CheckSettings, finding_of, findings_of
from endpoints_gitops.operations.text_diffs import contract_diff, query_diff, settings_diff
from endpoints_gitops.plan.changes import ChangeAction, EndpointChange, LeftAlone, Plan
from endpoints_gitops.plan.diff import Attribution, EndpointDiff, Presence, Revision, Snapshot, compare_revisions
from endpoints_gitops.plan.settings import Key, Settings, definition_settings, same
from endpoints_gitops.plan.variables import VariableChange, disagreements, needed
from endpoints_gitops.workspace.base import Base, BaseUnavailable, DefinitionsLocation
from endpoints_gitops.workspace.branch import BranchFiles, branch_files, definitions_at_tip, definitions_before
from endpoints_gitops.workspace.code_owners import CodeOwners
from endpoints_gitops.workspace.definitions import list_files, read_file
from endpoints_gitops.workspace.selection import managed, select_names

if TYPE_CHECKING:
    from endpoints_gitops.model.definition import LoadedDefinition
    from endpoints_gitops.operations.project import ProjectContext
    from endpoints_gitops.workspace.check_cache import CheckCache
    from endpoints_gitops.workspace.configuration import EnvironmentSettings

_RENAMED: Final = "A102"
_ACROSS_FILES: Final = ("G107", "G117")
"""The codes of lint findings that depend on other files."""
_OFFLINE: Final = Advice("pass --offline to judge files and lock alone")


class BranchEffect(StrEnum):
    """What a push of the branch does to an endpoint."""

    CREATED = "created"
    NEW_VERSION = "new_version"
    IN_PLACE = "in_place"
    NOTHING = "nothing"
    REMOVED = "removed"
    RENAMED = "renamed"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewScope:
    """What is reviewed: the branch from its merge base with the ref `against`, in an environment.

    `configuration` is as in `DefinitionsLocation`. `checked_environment` is the environment that `check` takes; None
    for all. `deprecation` and `conventions` are those of the configuration. Findings from `fail_on` on block.
    """

    against: str
    folder: Path
    environment: EnvironmentSettings
    configuration: Path | None = None
    selectors: tuple[str, ...] = ()
    checked_environment: str | None = None
    today: date
    deprecation: DeprecationPolicy = DEFAULT_POLICY
    conventions: Conventions = field(default_factory=Conventions)
    fail_on: Severity = Severity.ERROR
    cache: CheckCache | None = None

    @property
    def check_settings(self) -> CheckSettings:
        return CheckSettings(environment=self.checked_environment, conventions=self.conventions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewed:
    """The result of a review. `errors` are what could not be read or asked."""

    report: Report
    errors: tuple[EndpointsError, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """1 if something blocks; that of the errors where something is unknown."""
        is_blocked = any(subject.verdict is Verdict.BLOCKED for subject in self.report.subjects)
        return worst(ExitCode.FINDINGS if is_blocked else ExitCode.DONE, *(error.exit_code for error in self.errors))


type OpenProject = Callable[[], ProjectContext]
"""Opens the project of the environment. Raises CredentialsError or UsageError."""

type KnownCallers = Callable[[Mapping[str, Endpoint] | None], Callers]
"""The known callers. The endpoints are the server's, None where it was not asked."""

type ApplyPolicy = Callable[[Sequence[Finding], Sequence[Ignore]], Applied]
"""Judges findings by the policy of the configuration and the ignore comments of definitions."""


def review(
    scope: ReviewScope, open_project: OpenProject | None, known_callers: KnownCallers, apply_policy: ApplyPolicy
) -> Reviewed:
    """Review a branch. Without `open_project` (offline) no request is sent.

    What could not be asked makes the verdict unknown, and everything else is still judged. Raises BaseUnavailable for
    a base that cannot be read, UsageError for a selector that matches nothing and for a lock that cannot be read, and
    PluginFailed.
    """
    base = base_at(scope.against, _location(scope))
    changes = _changes(scope, branch_files(base, scope.folder))
    server: _ReviewedServer | None = None
    errors: tuple[EndpointsError, ...] = ()
    with ThreadPoolExecutor(1, thread_name_prefix="endpoints-gitops") as pool:
        try:
            project = open_project() if open_project is not None and changes.is_written else None
            answer = pool.submit(_read, project, changes) if project else None
        except EndpointsError as error:
            project, answer, errors = None, None, (_with_offline(error),)
        lint = _lint(scope, base, changes, apply_policy)  # meanwhile
    if project is not None and answer is not None:
        try:
            server = _server(project, changes, answer.result())
        except EndpointsError as error:
            errors = (_with_offline(error),)
    judged = _JudgedBranch(
        scope=scope,
        base=base,
        changes=changes,
        lint=lint,
        server=server,
        callers=known_callers(server.endpoints if server else None),
        apply_policy=apply_policy,
        errors=errors,
    )
    subjects = tuple(judged.subject(name) for name in judged.names)
    report = _report(judged, subjects, is_offline=open_project is None)
    return Reviewed(report=report, errors=(*judged.unreadable, *errors))


def _location(scope: ReviewScope) -> DefinitionsLocation:
    return DefinitionsLocation(
        folder=scope.folder, environment=scope.environment.name, configuration=scope.configuration
    )


@dataclass(frozen=True, kw_only=True)
class _BranchChanges:
    """The endpoints that a branch changes. `diffs` has both sides of each, without those that cannot be read.

    `outside` are the names that the configuration does not manage.
    """

    files: BranchFiles
    diffs: Mapping[str, EndpointDiff]
    outside: tuple[str, ...] = ()

    @property
    def is_written(self) -> bool:
        """Whether a push may write something for one of them."""
        return any(_may_write(diff) for diff in self.diffs.values())

    @cached_property
    def by_path(self) -> Mapping[str, str]:
        """The names by the paths of their files."""
        return {diff.loaded.path: name for name, diff in self.diffs.items() if diff.loaded}

    @property
    def local(self) -> tuple[LoadedDefinition, ...]:
        return tuple(diff.loaded for diff in self.diffs.values() if diff.loaded is not None)


def _may_write(diff: EndpointDiff) -> bool:
    if diff.local is None or diff.remote is None:
        return True
    after, before = diff.loaded, diff.remote.loaded
    declares_others = after is not None and before is not None and _variables(after) != _variables(before)
    return declares_others or any(difference.local is not None for difference in diff.differences)


def _variables(loaded: LoadedDefinition) -> object:
    return loaded.definition.variables or ()


def _changes(scope: ReviewScope, files: BranchFiles) -> _BranchChanges:
    environment = scope.environment.name
    gone = tuple(
        Endpoint(id="", name=name, query={}, tags=tuple(loaded.definition.in_environment(environment).tags or ()))
        for name, loaded in files.before.items()
        if name not in files.local
    )
    managed_names = managed(
        scope.environment.manage, definitions=files.local.values(), endpoints=gone, environment=environment
    )
    unread = files.broken.keys() | files.unreadable.keys()
    known = files.local.keys() | files.before.keys()
    outside = known - managed_names
    revisions = {
        name: (_revision(files.local.get(name), environment), _revision(files.before.get(name), environment))
        for name in files.names
        if name not in unread and name not in outside
    }
    selected = frozenset(files.names)
    if scope.selectors:
        selected = _with_renames(_selected(scope, gone, unread), revisions)
    names = [name for name in files.names if name in selected and name not in outside]
    kept = frozenset(names)
    return _BranchChanges(
        files=replace(
            files,
            broken={name: problems for name, problems in files.broken.items() if name in kept},
            unreadable={name: problems for name, problems in files.unreadable.items() if name in kept},
        ),
        diffs={
            name: compare_revisions(name, *revisions[name], environment=environment)
            for name in names
            if name in revisions
        },
        outside=tuple(sorted(outside)),
    )


def _revision(loaded: LoadedDefinition | None, environment: str) -> Revision | None:
    return Revision.local(loaded, environment) if loaded is not None else None


def _selected(scope: ReviewScope, gone: Sequence[Endpoint], unread: Collection[str]) -> frozenset[str]:
    """The names that the selectors match; files that cannot be read may match any.

    Raises UsageError for a selector that matches nothing on either side.
    """
    definitions = []
    is_whole = True
    for path in list_files(scope.folder)[0] if scope.folder.is_dir() else ():
        try:
            definitions.append(read_file(path, scope.folder, is_parsed=False))
        except InvalidInput:
            is_whole = False
    try:
        names = select_names(
            scope.selectors,
            definitions=definitions,
            endpoints=gone,
            folder=scope.folder,
            environment=scope.environment.name,
            configuration=scope.configuration,
        )
    except UsageError as error:
        if is_whole or error.code != "usage.selector":
            raise
        names = frozenset()
    return names | frozenset(unread)


def _with_renames(
    selected: frozenset[str], revisions: Mapping[str, tuple[Revision | None, Revision | None]]
) -> frozenset[str]:
    """The selected names, with the other name of each endpoint that the branch renames: alone, the new one looks like
    an addition that breaks nothing.
    """
    new_names = renames(
        {name: before.contract for name, (local, before) in revisions.items() if before and not local},
        {name: local.contract for name, (local, before) in revisions.items() if local and not before},
    )
    return selected.union(*(pair for pair in new_names.items() if not selected.isdisjoint(pair)))


@dataclass(frozen=True, kw_only=True)
class _ReviewedServer:
    """What the server has, and what a push of the branch would do there.

    `requests` were needed to read it. `endpoints` are all of the project, `diffs` those of the branch.
    """

    project: ProjectContext
    endpoints: Mapping[str, Endpoint]
    diffs: Mapping[str, EndpointDiff]
    local: Mapping[str, Revision]
    plan: Plan
    requests: int
    warnings: tuple[str, ...] = ()

    @cached_property
    def changes(self) -> Mapping[str, EndpointChange]:
        return {change.name: change for change in self.plan.changes}

    def left_alone(self, name: str) -> tuple[LeftAlone, ...]:
        return tuple(left for left in self.plan.left_alone if left.name == name)


def _with_offline(error: EndpointsError) -> EndpointsError:
    """The error of a key, with --offline as a way out."""
    if error.exit_code is ExitCode.CREDENTIALS:
        error.fix = Advice(error.fix, "; or ", _OFFLINE) if error.fix else _OFFLINE
    return error


def _read(project: ProjectContext, changes: _BranchChanges) -> tuple[Snapshot, int]:
    """The server, and the number of requests for it: the list of endpoints, and the shared variables where a definition
    uses any. Raises ApiError.
    """
    client, before = project.client, project.client.requests_sent
    endpoints = {endpoint.name: endpoint for endpoint in client.list_endpoints()}
    has_variables = any(loaded.definition.variables for loaded in changes.local) or any(
        endpoints[name].query.get("variables") for name in changes.diffs.keys() & endpoints.keys()
    )
    snapshot = Snapshot(endpoints=endpoints, variables=client.list_variables() if has_variables else ())
    return snapshot, client.requests_sent - before


def _server(project: ProjectContext, changes: _BranchChanges, answer: tuple[Snapshot, int]) -> _ReviewedServer:
    """Compares with the server. Requests the versions of those endpoints alone whose difference nothing else explains.

    Raises ApiError.
    """
    from endpoints_gitops.operations.checkout import Checkout
    from endpoints_gitops.operations.compare import attribute_all
    from endpoints_gitops.plan.planning import make_plan

    snapshot, requests = answer
    endpoints = snapshot.endpoints
    checkout = Checkout.of(project, changes.local, snapshot)
    environment = project.environment.name
    names = [name for name, diff in changes.diffs.items() if diff.local is not None or name in endpoints]
    diffs = [
        compare_revisions(name, checkout.local.get(name), snapshot.revision(name), environment=environment)
        for name in names
    ]
    bases = {name: diff.remote_settings for name, diff in changes.diffs.items()}
    attributed = attribute_all(project, diffs, checkout.record, bases=bases)
    plan = make_plan(
        attributed,
        _variable_changes(changes, snapshot),
        host=project.host,
        project_id=project.project_id,
        environment=environment,
    )
    return _ReviewedServer(
        project=project,
        endpoints=endpoints,
        diffs={diff.name: diff for diff in attributed},
        local=checkout.local,
        plan=plan,
        requests=requests,
        warnings=(checkout.record.warning,) if checkout.record.warning else (),
    )


def _variable_changes(changes: _BranchChanges, snapshot: Snapshot) -> tuple[VariableChange, ...]:
    try:
        return needed(changes.local, snapshot.variables, tuple(snapshot.endpoints.values()))
    except InvalidInput:  # definitions disagree on a variable, which is an error of the lint (G117)
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lint:
    """The findings of `check` in the changed files, and those that the merge base has, by fingerprint."""

    findings: tuple[Finding, ...] = ()
    before: Mapping[str, Finding] = field(default_factory=dict)


def _lint(scope: ReviewScope, base: Base, changes: _BranchChanges, apply_policy: ApplyPolicy) -> _Lint:
    """Findings of the merge base that depend on several files cost more, so they are computed only where the changed
    files have such findings.
    """
    found = _lint_now(scope, changes)
    definitions = changes.files.before.values()
    before = [finding for loaded in definitions for finding in findings_of(loaded, scope.check_settings)]
    announced = [Announcement.of(loaded, scope.checked_environment) for loaded in definitions]
    if notices := [announcement for announcement in announced if announcement is not None]:
        names = base.names() if any(item.notice.replaced_by for item in notices) else frozenset[str]()
        for announcement in notices:
            before += announcement_findings(announcement, scope.today, scope.deprecation, names)
    if any(finding.code in _ACROSS_FILES for finding in found):
        all_before = definitions_before(base, scope.folder)
        before += [*duplicates(all_before), *map(finding_of, disagreements(all_before))]
    ignores = tuple(ignore for loaded in definitions for ignore in loaded.ignores)
    judged = apply_policy(before, ignores).judged
    return _Lint(findings=found, before={finding.fingerprint: finding for finding in judged})


@dataclass(frozen=True, kw_only=True)
class _JudgedBranch:
    """A branch with everything that is known of it."""

    scope: ReviewScope
    base: Base
    changes: _BranchChanges
    lint: _Lint
    server: _ReviewedServer | None
    callers: Callers
    apply_policy: ApplyPolicy
    errors: tuple[EndpointsError, ...] = ()

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the subjects, in order; an endpoint that was renamed has its new name."""
        files = self.changes.files
        names = {*self.changes.diffs, *files.broken, *files.unreadable, *self._findings}
        return tuple(sorted(names - set(self.renamed.values())))

    @cached_property
    def unreadable(self) -> tuple[BaseUnavailable, ...]:
        """An error for each mistake in files of the merge base."""
        unreadable = self.changes.files.unreadable.values()
        return tuple(_not_compared(problem) for problems in unreadable for problem in problems)

    @cached_property
    def renamed(self) -> Mapping[str, str]:
        """The old names of renamed endpoints, by the new one."""
        renames = (finding for finding in self._for_callers if finding.code == _RENAMED)
        return {str(finding.after): str(finding.before) for finding in renames}

    @cached_property
    def _for_callers(self) -> tuple[Finding, ...]:
        diffs = self.changes.diffs.values()
        return findings_of_diffs(diffs, self.callers, today=self.scope.today, policy=self.scope.deprecation)

    @property
    def ignores(self) -> tuple[Ignore, ...]:
        """The ignore comments in the changed definitions."""
        return tuple(ignore for loaded in self.changes.local for ignore in loaded.ignores)

    @cached_property
    def _findings(self) -> Mapping[str, tuple[Finding, ...]]:
        """The findings that the branch introduces, by the name of the endpoint that they are about."""
        new_names = {old: new for new, old in self.renamed.items()}
        by_path = self.changes.by_path
        applied = self.apply_policy((*self._for_callers, *self.lint.findings), self.ignores)
        grouped: dict[str, dict[str, Finding]] = {}
        for finding in applied.all:
            before = self.lint.before.get(finding.fingerprint)
            if before is None or (finding.counts and not before.counts):
                name = finding.endpoint or by_path.get(finding.location.path, finding.location.path)
                grouped.setdefault(new_names.get(name, name), {}).setdefault(finding.fingerprint, finding)
        for name, problems in self.changes.files.broken.items():
            grouped.setdefault(name, {}).update((finding.fingerprint, finding) for finding in map(finding_of, problems))
        return {name: in_order(findings.values()) for name, findings in grouped.items()}

    @cached_property
    def _tip(self) -> Mapping[str, Settings]:
        """The settings at the tip of the ref, where they differ from the merge base."""
        if self.server is None or not self.server.plan.left_alone:
            return {}
        names = {left.name for left in self.server.plan.left_alone}
        environment = self.scope.environment.name
        files = definitions_at_tip(self.base, names)
        return {name: definition_settings(loaded, environment) for name, loaded in files.items()}

    @cached_property
    def _code_owners(self) -> CodeOwners:
        return CodeOwners.in_checkout(self.base.repo.top)

    def subject(self, name: str) -> Subject:
        """The subject of one endpoint."""
        findings = self._findings.get(name, ())
        diff = self._diff(name)
        if diff is None:
            return self._unread(name, findings)
        reasons = tuple(self._reasons(name))
        effect = self._effect(name, diff)
        change = self.server.changes.get(name) if self.server else None
        return Subject(
            name=name,
            verdict=self._verdict(findings, reasons, is_unknown=bool(self.errors) and _may_write(diff)),
            change=self._change(name, diff, effect, change),
            findings=findings,
            reasons=reasons or tuple(self._unasked(diff)),
            details=tuple(self._details(name, diff)),
            diffs=tuple(_text_diffs(diff)),
            where=diff.loaded.where() if diff.loaded else None,
            extra={"effect": effect.value, "version": change.expected_version if change else None},
        )

    def _diff(self, name: str) -> EndpointDiff | None:
        """Both sides of an endpoint; of a renamed one, the old name's side before."""
        diff, old = self.changes.diffs.get(name), self.renamed.get(name)
        if diff is None or old is None:
            return diff
        before = self.changes.diffs[old].remote
        return compare_revisions(name, diff.local, before, environment=diff.environment)

    def _unread(self, name: str, findings: tuple[Finding, ...]) -> Subject:
        """The subject of an endpoint whose file cannot be read, here or at the merge base; or of a file with ignores or
        approvals that have no effect."""
        problems = self.changes.files.unreadable.get(name, ())
        if name in self.changes.files.broken:
            change, effect = "its definition is not valid", BranchEffect.INVALID
        elif problems:
            change, effect = "cannot be compared with the merge base", BranchEffect.INVALID
        else:
            change, effect = "an ignore or approval has no effect", BranchEffect.NOTHING
        reasons = tuple(failure for problem in problems for failure in failures_of(_not_compared(problem)))
        first = next((finding.where for finding in findings if finding.where), None)
        return Subject(
            name=name,
            verdict=self._verdict(findings, (), is_unknown=bool(problems)),
            change=change,
            findings=findings,
            reasons=reasons,
            where=first,
            extra={"effect": effect.value, "version": None},
        )

    def _verdict(self, findings: Iterable[Finding], reasons: Sequence[ErrorEntry], *, is_unknown: bool) -> Verdict:
        if reasons or any(self._fails(finding) for finding in findings):
            return Verdict.BLOCKED
        return Verdict.UNKNOWN if is_unknown else Verdict.SAFE

    def _fails(self, finding: Finding) -> bool:
        return finding.counts and finding.severity.rank >= self.scope.fail_on.rank

    def _effect(self, name: str, diff: EndpointDiff) -> BranchEffect:
        if name in self.renamed:
            return BranchEffect.RENAMED
        if diff.local is None:
            return BranchEffect.REMOVED
        if self.server is not None:
            return _effect_of_change(self.server.changes.get(name))
        if diff.remote is None:
            return BranchEffect.CREATED
        written = {difference.key for difference in diff.differences if difference.local is not None}
        if Key.QUERY in written:
            return BranchEffect.NEW_VERSION
        return BranchEffect.IN_PLACE if written else BranchEffect.NOTHING

    def _change(self, name: str, diff: EndpointDiff, effect: BranchEffect, change: EndpointChange | None) -> str:
        version = f" {change.expected_version}" if change else ""
        match effect:
            case BranchEffect.RENAMED:
                return f"renamed from {self.renamed[name]}: created{' at version 1' if change else ''}"
            case BranchEffect.REMOVED:
                is_there = self.server is None or name in self.server.endpoints
                stays = "the endpoint stays until push --prune deactivates it"
                return f"file removed: {stays if is_there else 'the server has no such endpoint'}"
            case BranchEffect.CREATED:
                return f"created at version{version}" if change else "created"
            case BranchEffect.NEW_VERSION:
                return f"new version{version}"
            case BranchEffect.IN_PLACE:
                return f"changed in place{f' (version{version})' if change else ''}"
            case _:
                return self._nothing(name, diff)

    def _nothing(self, name: str, diff: EndpointDiff) -> str:
        if self.server is not None and self.server.left_alone(name):
            return "nothing is written: the server changed too"
        if self.server is not None and (diff.remote is None or diff.differences):
            return "nothing to write: the server has this already"
        is_same = diff.loaded is not None and diff.remote is not None and diff.remote.loaded is not None
        if is_same and diff.loaded and diff.remote and diff.remote.loaded:
            kept = {"query", "query_file"}
            after = diff.loaded.definition.model_dump(exclude=kept)
            if after == diff.remote.loaded.definition.model_dump(exclude=kept):
                return "nothing on the server: formatting only"
        return "nothing on the server"

    def _reasons(self, name: str) -> Iterator[ErrorEntry]:
        """Why a push would not write the endpoint: conflicts, each with its fix."""
        for left in self.server.left_alone(name) if self.server else ():
            if left.attribution is not Attribution.CONFLICT:
                continue
            diff = self.changes.diffs.get(name)
            where = diff.loaded.where() if diff and diff.loaded else None
            if self._is_at_tip(left):
                ref = self.base.ref
                message = f"{ref} already has the server's {left.key}: merge {ref}"
                fix: str = Advice(OtherCommand("git", "merge", ref))
            else:
                message = f"{left.key}: {left.explanation}" if left.key else left.explanation
                fix = left.fix
            yield ErrorEntry(code="conflict", message=message, where=where, fix=fix or None)

    def _is_at_tip(self, left: LeftAlone) -> bool:
        """Whether the ref has the value that the server has, which this branch has not merged."""
        tip = self._tip.get(left.name, {})
        remote = self.server.diffs[left.name].remote_settings if self.server else {}
        return left.key is not None and left.key in tip and same(left.key, tip[left.key], remote.get(left.key))

    def _unasked(self, diff: EndpointDiff) -> Iterator[ErrorEntry]:
        """Why it is unknown what a push does to the endpoint."""
        if _may_write(diff):
            yield from (entry for error in self.errors for entry in failures_of(error))

    def _details(self, name: str, diff: EndpointDiff) -> Iterator[Detail]:
        loaded = diff.loaded or (diff.remote.loaded if diff.remote else None)
        after, before = _contracts(diff)
        if loaded is not None:
            yield from _owners(loaded, self._code_owners, self.base)
        yield from _users(
            self.callers, self.scope.environment.name, {name, self.renamed.get(name, name)}, self.scope.today
        )
        if required := _becomes_required(before, after):
            yield Detail("becomes required", ", ".join(required))
        if after is not None:
            yield Detail("can be materialized", "yes" if after.refusal is None else f"no: {after.refusal}")
        if loaded is not None and loaded.definition.deprecation is not None:
            notice = loaded.definition.deprecation.notice
            instead = f"; use {notice.replaced_by}" if notice.replaced_by else ""
            yield Detail("deprecated", f"since {notice.since}, {notice.when(self.scope.today)}{instead}")
        dropped = [difference.key for difference in diff.differences if diff.local and difference.local is None]
        if dropped and diff.remote is not None:
            yield Detail("no longer managed", f"{', '.join(dropped)}: the server keeps its value")
        on_server = self.server.diffs.get(name) if self.server else None
        if on_server is not None and on_server.presence is Presence.BOTH and on_server.note:
            yield Detail("on the server", on_server.note)
        for left in self.server.left_alone(name) if self.server else ():
            if left.attribution is not Attribution.CONFLICT:
                merged = f"; {self.base.ref} has it: merge {self.base.ref}" if self._is_at_tip(left) else ""
                yield Detail(str(left.attribution), f"{left.key}: {left.explanation}{merged}")


def _not_compared(problem: Problem) -> BaseUnavailable:
    return BaseUnavailable(f"not compared: {problem.message}", where=problem.where, fix=problem.fix)


def _effect_of_change(change: EndpointChange | None) -> BranchEffect:
    if change is None:
        return BranchEffect.NOTHING
    if change.action is ChangeAction.CREATE:
        return BranchEffect.CREATED
    return BranchEffect.NEW_VERSION if change.cuts_a_version else BranchEffect.IN_PLACE


def _lint_now(scope: ReviewScope, changes: _BranchChanges) -> tuple[Finding, ...]:
    from endpoints_gitops.operations.check.folder import check

    words = [str(path) for path in changes.files.checked]
    if not words:
        return ()
    checked = check(
        scope.folder,
        words,
        scope.check_settings,
        configuration=scope.configuration,
        cache=scope.cache,
        today=scope.today,
        policy=scope.deprecation,
    )
    return tuple(
        finding
        for finding in checked.findings
        if finding.endpoint in changes.diffs or finding.location.path in changes.by_path
    )


def _contracts(diff: EndpointDiff) -> tuple[Contract | None, Contract | None]:
    """The contracts after and before, each with what its file leaves open taken from the side before."""
    before = settled(diff.remote.contract, diff.remote.contract) if diff.remote else None
    after = diff.local.contract if diff.local else None
    if after is not None:
        after = settled(after, before or after)
    return after, before


def _becomes_required(before: Contract | None, after: Contract | None) -> list[str]:
    was = {variable.name for variable in before.variables if variable.required} if before else set[str]()
    now = [variable.name for variable in after.variables if variable.required] if after and before else []
    return [name for name in now if name not in was]


def _text_diffs(diff: EndpointDiff) -> Iterator[TextDiff]:
    before, after = diff.remote_settings, diff.local_settings
    contracts = _contracts(diff)
    shown = (
        query_diff(before.get(Key.QUERY), after.get(Key.QUERY)),
        contract_diff(contracts[1], contracts[0]),
        settings_diff(before, after, diff.keys if diff.local and diff.remote else Key),
    )
    yield from (text for text in shown if text is not None)


def _owners(loaded: LoadedDefinition, code_owners: CodeOwners, base: Base) -> Iterator[Detail]:
    if loaded.definition.owner:
        yield Detail("owner", loaded.definition.owner)
    path = Path(loaded.path).resolve()
    if path.is_relative_to(base.repo.top) and (owners := code_owners.owners(base.repo.inside(path))):
        yield Detail("code owners", ", ".join(owners))


def _users(callers: Callers, environment: str, names: Collection[str], today: date) -> Iterator[Detail]:
    known = [caller for name in sorted(names) for caller in callers.of(environment, name)]
    pinned = [caller.described(today) for caller in known if caller.version is not None]
    unpinned = [
        f"{caller.name} ({', '.join(facts)})" if (facts := caller.facts(today)) else caller.name
        for caller in known
        if caller.version is None
    ]
    if pinned:
        yield Detail("pinned by", "; ".join(pinned))
    if unpinned:
        yield Detail("used without a pin by", "; ".join(unpinned))


def _report(judged: _JudgedBranch, subjects: tuple[Subject, ...], *, is_offline: bool) -> Report:
    verdicts = Counter(subject.verdict for subject in subjects)
    is_unknown = bool(judged.errors or judged.unreadable) or verdicts[Verdict.UNKNOWN] > 0
    verdict = Verdict.UNKNOWN if is_unknown else Verdict.BLOCKED if verdicts[Verdict.BLOCKED] else Verdict.SAFE
    counts = _counts(subjects)
    server = judged.server
    outside = len(judged.changes.outside)
    return Report(
        title=f"Review against {judged.scope.against}",
        verdict=verdict,
        headline=_headline(judged, verdict, counts, is_offline=is_offline),
        subjects=subjects,
        counts=counts,
        details=tuple(_report_details(judged)),
        notes=(
            *judged.base.notes,
            *((f"{outside} changed outside of `manage`",) if outside else ()),
            *(server.plan.notes if server else ()),
            *(server.warnings if server else ()),
        ),
    )


def _counts(subjects: Sequence[Subject]) -> dict[str, int]:
    effects = Counter(str(subject.extra["effect"]) for subject in subjects)
    verdicts = Counter(subject.verdict for subject in subjects)
    findings = [finding for subject in subjects for finding in subject.findings]
    severities = Counter(finding.severity for finding in findings if finding.counts)
    return {
        "changed": len(subjects),
        **{effect.value: effects[effect.value] for effect in BranchEffect},
        **{verdict.value: verdicts[verdict] for verdict in (Verdict.SAFE, Verdict.BLOCKED, Verdict.UNKNOWN)},
        "conflicts": sum(reason.code == "conflict" for subject in subjects for reason in subject.reasons),
        "errors": severities[Severity.ERROR],
        "warnings": severities[Severity.WARN],
        "infos": severities[Severity.INFO],
        "ignored": sum(not finding.counts and not finding.is_approved for finding in findings),
        "approved": sum(finding.is_approved for finding in findings),
    }


def _headline(judged: _JudgedBranch, verdict: Verdict, counts: Mapping[str, int], *, is_offline: bool) -> str:
    changed = counts["changed"]
    how = " (offline: files and lock only)" if is_offline else ""
    if not changed:
        return f"{verdict.capitalize()}: this branch changes no endpoint{how}."
    endpoints = f"{changed} endpoint{'s' if changed != 1 else ''}"
    blocked = f"{counts['blocked']} of {endpoints} blocked"
    if verdict is Verdict.BLOCKED:
        return f"Blocked: {blocked}{how}."
    if verdict is Verdict.UNKNOWN:
        also = f"; {blocked}" if counts["blocked"] else f": {endpoints} changed"
        cause = "the server could not be asked" if judged.errors else "the merge base cannot be read"
        return f"Unknown, because {cause}{also}{how}."
    return f"Safe: {endpoints} changed{how}."


def _report_details(judged: _JudgedBranch) -> Iterator[Detail]:
    yield Detail("compared with", judged.base.what)
    server = judged.server
    if server is None:
        yield Detail("environment", judged.scope.environment.name)
        return
    project = server.project
    yield Detail("environment", f"{project.environment.name}: {project.host}, project {project.project_id}")
    plan = _without_withheld(judged, server)
    yield from _costs(server, plan)
    from endpoints_gitops.codecs.plan import to_json

    yield Detail("plan digest", str(to_json(plan)["digest"]))


def _without_withheld(judged: _JudgedBranch, server: _ReviewedServer) -> Plan:
    """The plan as `plan NAME…` shows it, without what its findings stop."""
    from endpoints_gitops.operations.push.preview import checked, consequences, stops, withhold

    scope, plan, local = judged.scope, server.plan, server.local
    findings: list[Finding] = []
    if any(revision.contract.refusal is not None for revision in local.values()):  # S109 needs one
        snapshot = Snapshot(endpoints=server.endpoints)
        findings += consequences(plan, snapshot, local, judged.callers, today=scope.today, policy=scope.deprecation)
    if any(stops(finding) for finding in judged.lint.findings):
        findings += checked(plan, local, local.keys(), scope.conventions)
    return withhold(plan, judged.apply_policy(findings, judged.ignores).judged)


def _costs(server: _ReviewedServer, plan: Plan) -> Iterator[Detail]:
    """The requests of a push, and the budget that they are taken from."""
    from endpoints_gitops.api.rate_limiter import DIRECT
    from endpoints_gitops.operations.push.apply import requests_of

    writes = requests_of(plan)
    versions = sum(change.cuts_a_version for change in plan.changes)
    total = server.requests + writes
    lists = f"; {versions} more from a fresh clone, to list versions" if versions else ""
    yield Detail("requests of a push", f"{total} ({server.requests} to read, {writes} to write){lists}")
    minutes = -(-(total + versions) // DIRECT.minute)
    longer = f"; this takes {minutes} minutes" if minutes > 1 else ""
    yield Detail("budget of a key", f"{DIRECT.minute} requests a minute, {DIRECT.hour:,} an hour{longer}")
