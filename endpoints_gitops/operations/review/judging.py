"""The verdict on each endpoint that a branch changes: what a push does to it, and what speaks against that."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from endpoints_gitops.advice import Advice, OtherCommand
from endpoints_gitops.contract.contract import Contract, settled
from endpoints_gitops.errors import EndpointsError
from endpoints_gitops.model.finding import Finding, in_order
from endpoints_gitops.model.outcome import ErrorEntry, failures_of
from endpoints_gitops.model.policy import Ignore
from endpoints_gitops.model.report import Detail, Subject, TextDiff, Verdict
from endpoints_gitops.operations.against import not_compared
from endpoints_gitops.operations.callers import Callers, findings_of_diffs
from endpoints_gitops.operations.check.definition import finding_of
from endpoints_gitops.operations.review.changes import BranchChanges, may_write
from endpoints_gitops.operations.review.lint import BranchLint
from endpoints_gitops.operations.review.scope import ApplyPolicy, ReviewScope
from endpoints_gitops.operations.review.server import ReviewedServer
from endpoints_gitops.operations.text_diffs import contract_diff, file_diff, keys_of_files, query_diff, settings_diff
from endpoints_gitops.plan.changes import ChangeAction, EndpointChange, LeftAlone
from endpoints_gitops.plan.diff import Attribution, EndpointDiff, Presence, compare_revisions
from endpoints_gitops.plan.settings import Key, Settings, definition_settings, same
from endpoints_gitops.workspace.base import Base, BaseUnavailable
from endpoints_gitops.workspace.branch import definitions_at_tip
from endpoints_gitops.workspace.code_owners import CodeOwners

if TYPE_CHECKING:
    from endpoints_gitops.model.definition import Definition, LoadedDefinition

_RENAMED: Final = "A102"


class BranchEffect(StrEnum):
    """What a push of the branch does to an endpoint."""

    CREATED = "created"
    NEW_VERSION = "new_version"
    IN_PLACE = "in_place"
    NOTHING = "nothing"
    REMOVED = "removed"
    RENAMED = "renamed"
    INVALID = "invalid"


@dataclass(frozen=True, kw_only=True)
class JudgedBranch:
    """A branch with everything that is known of it."""

    scope: ReviewScope
    base: Base
    changes: BranchChanges
    lint: BranchLint
    server: ReviewedServer | None
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
        return tuple(not_compared(problem) for problems in unreadable for problem in problems)

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
        definitions = (*self.changes.local, *self.changes.repaired.values())
        return tuple(ignore for loaded in definitions for ignore in loaded.ignores)

    @cached_property
    def _findings(self) -> Mapping[str, tuple[Finding, ...]]:
        """The findings that the branch introduces, by the name of the endpoint that they are about."""
        new_names = {old: new for new, old in self.renamed.items()}
        by_path = self.changes.by_path
        applied = self.apply_policy((*self._for_callers, *self.lint.findings), self.ignores)
        grouped: dict[str, dict[str, Finding]] = {}
        for finding in applied.all:
            if self.lint.is_introduced(finding):
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
            verdict=self._verdict(findings, reasons, is_unknown=bool(self.errors) and may_write(diff)),
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
            change, effect = (
                f"cannot be compared: its definition in {self.base.what} is not valid",
                BranchEffect.INVALID,
            )
        else:
            change, effect = "an ignore or approval has no effect", BranchEffect.NOTHING
        reasons = tuple(failure for problem in problems for failure in failures_of(not_compared(problem)))
        first = next((finding.where for finding in findings if finding.where), None)
        repaired = self.changes.repaired.get(name)
        return Subject(
            name=name,
            verdict=self._verdict(findings, (), is_unknown=bool(problems)),
            change=change,
            findings=findings,
            reasons=reasons,
            where=repaired.where() if repaired else first,
            extra={"effect": effect.value, "version": None},
        )

    def _verdict(self, findings: Iterable[Finding], reasons: Sequence[ErrorEntry], *, is_unknown: bool) -> Verdict:
        if reasons or any(finding.fails(self.scope.fail_on) for finding in findings):
            return Verdict.BLOCKED
        return Verdict.UNKNOWN if is_unknown else Verdict.SAFE

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
        if (files := _files(diff)) is None:
            return "nothing on the server"
        if keys := keys_of_files(*files):
            return f"nothing on the server: only {', '.join(keys)} changed"
        before, after = (side.model_dump(exclude={"query", "query_file"}) for side in files)
        return f"nothing on the server{': formatting only' if before == after else ''}"

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
        if may_write(diff):
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


def _effect_of_change(change: EndpointChange | None) -> BranchEffect:
    if change is None:
        return BranchEffect.NOTHING
    if change.action is ChangeAction.CREATE:
        return BranchEffect.CREATED
    return BranchEffect.NEW_VERSION if change.cuts_a_version else BranchEffect.IN_PLACE


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
        file_diff(*files) if (files := _files(diff)) is not None else None,
    )
    yield from (text for text in shown if text is not None)


def _files(diff: EndpointDiff) -> tuple[Definition, Definition] | None:
    """The definitions before and after; None without one of them."""
    before = diff.remote.loaded if diff.remote else None
    return (before.definition, diff.loaded.definition) if before is not None and diff.loaded is not None else None


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
