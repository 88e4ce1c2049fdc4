"""The findings of a plan, shown before the question: what it does to callers, and what is wrong in the definitions."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.cli import findings
from endpoints_gitops.cli.bases import known_callers
from endpoints_gitops.cli.console import Line, Style
from endpoints_gitops.cli.context import CommandContext
from endpoints_gitops.errors import ExitCode, InvalidInput, UsageError
from endpoints_gitops.model.finding import Finding, Severity
from endpoints_gitops.model.outcome import ErrorEntry
from endpoints_gitops.plan.changes import Plan

if TYPE_CHECKING:
    from endpoints_gitops.model.endpoint import Endpoint
    from endpoints_gitops.operations.callers import Callers
    from endpoints_gitops.operations.checkout import Checkout
    from endpoints_gitops.plan.diff import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A plan without what its findings stop, and these findings.

    `fail_on` is what `--fail-on` says; nothing stops where `is_enforced` is False.
    """

    plan: Plan
    for_callers: tuple[Finding, ...]
    in_definitions: tuple[Finding, ...]
    fail_on: Severity | None = None
    is_enforced: bool = True

    @property
    def findings(self) -> tuple[Finding, ...]:
        known = {one.fingerprint for one in self.for_callers}
        return (*self.for_callers, *(one for one in self.in_definitions if one.fingerprint not in known))

    @property
    def stopping(self) -> tuple[Finding, ...]:
        """The findings that stop their endpoint, or would if there were something to write."""
        from endpoints_gitops.operations.push.preview import stops

        return tuple(one for one in self.findings if self.is_enforced and stops(one, self.fail_on))

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode.FINDINGS if self.stopping else ExitCode.DONE

    @property
    def failures(self) -> tuple[ErrorEntry, ...]:
        """An entry of `errors` for each finding that counts, of an endpoint that the plan does not write anyway."""
        withheld = {one.name for one in self.plan.withheld}
        return tuple(
            ErrorEntry(code=one.code, message=f"{one.endpoint}: {one.message}", where=one.where, fix=one.fix)
            for one in self.stopping
            if one.endpoint not in withheld
        )

    def lines(self, *, verbose: bool) -> Iterator[Line]:
        """Both kinds with their counts, of the definitions only those that are written.

        What stops something is left out: the plan shows it with what is not written, and the errors name it.
        """
        written = {change.name for change in self.plan.changes}
        relevant = [one for one in self.in_definitions if one.endpoint in written]
        stopping = {one.fingerprint for one in self.stopping}
        for title, found in (("for callers", self.for_callers), ("in the definitions", relevant)):
            yield from lines([one for one in found if one.fingerprint not in stopping], title, verbose=verbose)


def judged(
    context: CommandContext,
    plan: Plan,
    snapshot: Snapshot,
    checkout: Checkout,
    *,
    names: Collection[str] = (),
) -> Judgement:
    """Find what the plan does, and take from it what must not be sent.

    `names` are the definitions to judge also where nothing is to be written: by themselves, and for tables that go.
    """
    from endpoints_gitops.contract.idling import all_idling
    from endpoints_gitops.operations.push.preview import checked, withhold

    said = getattr(context.arguments, "fail_on", None)
    fail_on = Severity(said) if said else None
    endpoints = snapshot.endpoints
    idle = all_idling((endpoints[name] for name in sorted(endpoints.keys() & set(names))), datetime.now(UTC))
    for_callers = (*of_plan(context, plan, snapshot, checkout), *idle)
    in_definitions = checked(plan, checkout.local, names)
    rest = withhold(plan, (*for_callers, *in_definitions), fail_on)
    return Judgement(plan=rest, for_callers=for_callers, in_definitions=in_definitions, fail_on=fail_on)


def of_plan(
    context: CommandContext,
    plan: Plan,
    snapshot: Snapshot,
    checkout: Checkout,
) -> tuple[Finding, ...]:
    """The findings, the pins of the lock beside the configuration considered."""
    if plan.is_empty:
        return ()
    from endpoints_gitops.operations.push.preview import consequences

    return consequences(plan, snapshot, checkout.local, _callers(context, snapshot.endpoints))


def lines(found: Sequence[Finding], title: str = "for callers", *, verbose: bool) -> Iterator[Line]:
    """How many there are of each severity, then each; infos only when everything is asked for."""
    if not found:
        return
    yield Line(f"{title}: {findings.counted(found, verbose=verbose)}", Style.HEAD)
    yield from findings.lines(findings.shown(found, verbose=verbose), indent="  ")


def _callers(context: CommandContext, endpoints: Mapping[str, Endpoint]) -> Callers:
    """Nobody, and that said, where the lock cannot be read: findings keep their full severity then."""
    from endpoints_gitops.operations.callers import Callers

    try:
        return known_callers(context, endpoints)
    except UsageError as error:
        count = len(error.problems) if isinstance(error, InvalidInput) else 1
        mistakes = f"{count} mistake{'s' if count != 1 else ''} in it"
        message = f"the lock cannot be read ({mistakes}), so no pin is considered"
        context.console.warn(Line(Advice(f"{message}; ", Command("lock", "--check"), " tells more"), Style.WARN))
        return Callers()
