"""Plans as lines and as JSON: what a push writes, what it skips and why, and the findings of a plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.cli import differences, findings
from endpoints_gitops.cli.against import known_callers
from endpoints_gitops.cli.console import Line, Style
from endpoints_gitops.cli.context import CommandContext
from endpoints_gitops.errors import ExitCode, UsageError
from endpoints_gitops.model.finding import Finding, Severity
from endpoints_gitops.model.freshness import schedule_word
from endpoints_gitops.model.json import Json, JsonObject
from endpoints_gitops.model.outcome import ErrorEntry
from endpoints_gitops.model.sunset import Announcement
from endpoints_gitops.operations.compare import Comparison
from endpoints_gitops.plan.changes import ChangeAction, EndpointChange, KeyChange, LeftAlone, Plan, Withheld
from endpoints_gitops.plan.diff import Attribution
from endpoints_gitops.plan.settings import Key, variables_of
from endpoints_gitops.plan.variables import VariableAction, VariableChange

if TYPE_CHECKING:
    from endpoints_gitops.operations.callers import Callers
    from endpoints_gitops.operations.checkout import Checkout
    from endpoints_gitops.plan.diff import Snapshot

_MOST_LISTED = 10
_SIGNS = {ChangeAction.CREATE: "+", ChangeAction.UPDATE: "~", ChangeAction.DEACTIVATE: "!"}
_STYLES = {ChangeAction.CREATE: Style.GOOD, ChangeAction.UPDATE: Style.HEAD, ChangeAction.DEACTIVATE: Style.WARN}
_LEFT_STYLES = {
    Attribution.CONFLICT: Style.BAD,
    Attribution.DRIFTED: Style.WARN,
    Attribution.AHEAD: Style.PLAIN,
    Attribution.IDLED: Style.WARN,
}


def lines(plan: Plan, *, conflicts: bool = True) -> Iterator[Line | str]:
    """The changes, each key with before and after; then what is not pushed, with the fix.

    `conflicts` is False if conflicts and withheld endpoints are printed as errors later.
    """
    for variable in plan.variables:
        yield from _variable_lines(variable)
    for change in plan.changes:
        yield from _change_lines(change)
    for left in plan.left_alone if conflicts else (*plan.drifted, *plan.idled):
        yield from _left_lines(left)
    for withheld in plan.withheld if conflicts else ():
        yield Line(f"= {withheld.name} is not sent: {withheld.code} {withheld.reason}", Style.BAD)
        if withheld.fix:
            yield Line(Advice("    fix: ", withheld.fix), Style.FAINT)
    yield Line(counted(plan), Style.HEAD)


def notes(plan: Plan, *, verbose: bool) -> Iterator[str]:
    """Notes: formatting-only changes, and what the plan has to say."""
    yield from formatting_note(plan.cosmetic, verbose=verbose)
    yield from plan.notes


def formatting_note(names: Sequence[str], *, verbose: bool) -> Iterator[str]:
    """How many queries differ only in formatting; their names with `verbose`."""
    if names:
        which = f": {', '.join(names)}" if verbose else " (--verbose names them)"
        count = f"{len(names)} quer{'ies differ' if len(names) != 1 else 'y differs'}"
        yield f"{count} in formatting only, which push does not send without --allow-cosmetic{which}"


def reminders(comparison: Comparison) -> Iterator[str]:
    """What a push never touches, each with the command that does."""
    for diff in comparison.diffs:
        for dropped in diff.dropped:
            yield f"{diff.name}: {dropped.message}"
    found = comparison.orphans
    active = found.active - comparison.prunable
    if active:
        fix = Advice(Command("push", "--prune"), " deactivates what no file defines, once the deletion is committed")
        yield Advice(f"{_endpoints(active)} active and defined by no file any more: {_listed(active)}; ", fix)
    if found.protected:
        fix = Advice(Command("deactivate", "NAME"), ", or take them out of `protect`")
        names = _listed(found.protected)
        yield Advice(f"{_endpoints(found.protected)} protected and defined by no file any more: {names}; ", fix)
    if comparison.outside_definitions:
        names = _listed(comparison.outside_definitions)
        count = len(comparison.outside_definitions)
        yield (
            f"{count} definition{'s are' if count != 1 else ' is'} outside of `manage` and never pushed: {names}; "
            "change `manage` in the configuration"
        )


def reminder_counts(comparison: Comparison) -> dict[str, int]:
    """The numbers of reminders, for the summary in JSON."""
    found = comparison.orphans
    return {
        "dropped_keys": sum(len(diff.dropped) for diff in comparison.diffs),
        "orphans": len(found.active - comparison.prunable),
        "protected_orphans": len(found.protected),
        "pruned": len(found.pruned),
        "outside_definitions": len(comparison.outside_definitions),
    }


def dropped_items(comparison: Comparison) -> tuple[JsonObject, ...]:
    """One object for each key that a file no longer manages."""
    return tuple(
        {
            "kind": "dropped_key",
            "name": diff.name,
            "key": dropped.key,
            "server": dropped.remote,
            "commit": dropped.commit,
            "message": dropped.message,
        }
        for diff in comparison.diffs
        for dropped in diff.dropped
    )


def _endpoints(names: Collection[str]) -> str:
    return f"{len(names)} endpoints are" if len(names) != 1 else "1 endpoint is"


def _listed(names: Collection[str]) -> str:
    shown = sorted(names)
    more = f" and {len(shown) - _MOST_LISTED} more" if len(shown) > _MOST_LISTED else ""
    return ", ".join(shown[:_MOST_LISTED]) + more


def counted(plan: Plan) -> str:
    """The numbers of a plan in one line."""
    actions = Counter(change.action for change in plan.changes)
    words = [f"{actions[action]} to {action}" for action in ChangeAction if actions[action]]
    if plan.variables:
        words.insert(0, f"{len(plan.variables)} shared variable{'s' if len(plan.variables) > 1 else ''} to write")
    for attribution, one, several in (
        (Attribution.DRIFTED, "drifted", "drifted"),
        (Attribution.IDLED, "idled out", "idled out"),
        (Attribution.CONFLICT, "conflict", "conflicts"),
    ):
        count = len({left.name for left in plan.left_alone if left.attribution is attribution})
        words += [f"{count} {one if count == 1 else several}, not pushed"] if count else []
    if count := len({withheld.name for withheld in plan.withheld}):
        words.append(f"{count} not pushed because of findings")
    return "; ".join(words) or "nothing to do"


def _left_lines(left: LeftAlone) -> Iterator[Line | str]:
    """One difference that is not pushed, with the reason and the fix."""
    what = f"{left.name}: {left.key}" if left.key else left.name
    yield Line(f"= {what} is not pushed, {left.attribution}: {left.explanation}", _LEFT_STYLES[left.attribution])
    if left.fix:
        yield Line(Advice("    ", left.fix), Style.FAINT)


_BY_TIME = frozenset(("A110", "A111", "S115"))
"""The findings that come with time, without a change."""


def items(plan: Plan, findings: Sequence[Finding] = ()) -> tuple[JsonObject, ...]:
    """One object for each shared variable and each endpoint that is written or skipped.

    `findings` are those of the plan, for callers, about tables that the server is about to switch off, and about a
    sunset that has passed.
    """
    changes = {change.name: change for change in plan.changes}
    skipped = [left.name for left in plan.left_alone] + [withheld.name for withheld in plan.withheld]
    by_time = (finding.endpoint for finding in findings if finding.code in _BY_TIME)
    names = dict.fromkeys([*changes, *skipped, *by_time])
    endpoints = (_item(name, changes.get(name), plan, findings) for name in names)
    return (*(variable_item(variable, findings) for variable in plan.variables), *endpoints)


def summary(plan: Plan) -> dict[str, int]:
    """The numbers of a plan by what happens; each skipped endpoint counts once."""
    actions = Counter(change.action for change in plan.changes)
    return {
        "create": actions[ChangeAction.CREATE],
        "update": actions[ChangeAction.UPDATE],
        "deactivate": actions[ChangeAction.DEACTIVATE],
        "variables": len(plan.variables),
        "drifted": len({left.name for left in plan.drifted}),
        "conflicts": len({left.name for left in plan.conflicts}),
        "idled": len({left.name for left in plan.idled}),
        "withheld": len({withheld.name for withheld in plan.withheld}),
        "cosmetic": len(plan.cosmetic),
    }


def failures(plan: Plan, *, fail_on_drift: bool = False) -> tuple[ErrorEntry, ...]:
    """An entry of `errors` for each difference that the exit code is about."""
    reported = plan.conflicts + (plan.drifted if fail_on_drift else ())
    left_alone = (
        ErrorEntry(
            code=str(left.attribution),
            message=f"{left.name}{f': {left.key}' if left.key else ''}: {left.explanation}",
            fix=left.fix or None,
        )
        for left in reported
    )
    of_findings = (
        ErrorEntry(
            code=withheld.code,
            message=f"{withheld.name} is not sent: {withheld.reason}",
            where=withheld.where,
            fix=withheld.fix,
        )
        for withheld in plan.withheld
    )
    return (*left_alone, *of_findings)


def warnings(plan: Plan, *, fail_on_drift: bool = False) -> tuple[ErrorEntry, ...]:
    """One entry of `errors` for each reason why a push of this plan would not exit with 0; the plan shows the details.

    `failures` are the same for a push, difference by difference.
    """
    reasons = ((Attribution.CONFLICT, "conflict", True), (Attribution.DRIFTED, "drifted", fail_on_drift))
    found: list[ErrorEntry] = []
    for attribution, text, counts in reasons:
        names = sorted({left.name for left in plan.left_alone if left.attribution is attribution})
        if names and counts:
            message = f"{', '.join(names)}: {text}; a push skips this, and exits with {ExitCode.CONFLICT:d}"
            found.append(ErrorEntry(code=str(attribution), message=message))
    if names := sorted({withheld.name for withheld in plan.withheld}):
        codes = ", ".join(sorted({withheld.code for withheld in plan.withheld}))
        message = f"{', '.join(names)}: not sent because of {codes}; a push exits with {ExitCode.FINDINGS:d}"
        found.append(ErrorEntry(code="withheld", message=message))
    return tuple(found)


def variable_item(change: VariableChange, findings: Sequence[Finding] = ()) -> JsonObject:
    """A shared variable as JSON, with the findings for every endpoint that uses it."""
    locus = f"variables.{change.code_name}"
    return {
        "name": change.code_name,
        "kind": "variable",
        "action": change.action,
        "type": change.type,
        "label": change.label,
        "default": change.default,
        "values": list(change.values) if change.values is not None else None,
        "multi": change.multi,
        "before": change.before,
        "used_by": list(change.used_by),
        "where": change.where or None,
        "findings": [finding.as_json() for finding in findings if finding.code == "V109" and finding.locus == locus],
    }


def key_items(change: EndpointChange) -> list[Json]:
    """The keys of a change as JSON."""
    place = _place(change)
    version = change.precondition.version
    return [
        {"key": each.key, **differences.as_json(each.key, each.before, each.after, version=version, place=place)}
        for each in change.keys
    ]


def left_item(left: LeftAlone) -> JsonObject:
    """A difference that is not pushed, as JSON."""
    return {
        "key": left.key,
        "verdict": left.attribution,
        "reason": left.reason,
        "version": left.version,
        "author": left.author,
        "date": left.date,
        "fix": left.fix or None,
    }


def _withheld_item(withheld: Withheld) -> JsonObject:
    return {"code": withheld.code, "reason": withheld.reason, "where": withheld.where, "fix": withheld.fix}


def shared_settings(change: VariableChange) -> Iterator[str]:
    """The settings of an existing shared variable that change, before and after."""
    after: dict[str, Json] = {
        "type": change.type,
        "label": change.label,
        "values": list(change.values) if change.values is not None else None,
        "multi": change.multi,
    }
    for key, value in (change.before or {}).items():
        yield f"{key}: {differences.as_text(value)} -> {differences.as_text(after.get(key))}"


def _variable_lines(change: VariableChange) -> Iterator[Line | str]:
    users = ", ".join(change.used_by)
    if change.action is VariableAction.CREATE:
        yield Line(f"+ create shared variable {change.code_name} ({change.type}), for {users}", Style.GOOD)
        values = list(change.values) if change.values is not None else None
        stated = {"default": change.default, "label": change.label, "values": values, "multi": change.multi}
        for key, value in stated.items():
            if value is not None:
                yield Line(f"    {key}: {differences.as_text(value)}", Style.ADDED)
        return
    yield Line(f"! CHANGE the shared variable {change.code_name}, for every endpoint that uses it: {users}", Style.WARN)
    for text in shared_settings(change):
        yield f"    {text}"


def _change_lines(change: EndpointChange) -> Iterator[Line | str]:
    where = f"  {change.path}:{change.line}" if change.path and change.line else f"  {change.path or ''}".rstrip()
    yield Line(f"{_SIGNS[change.action]} {_what(change)}{where}", _STYLES[change.action])
    is_loud = change.action is ChangeAction.DEACTIVATE or any(each.overwrites for each in change.keys)
    yield from (Line(f"    {note}", Style.WARN if is_loud else Style.FAINT) for note in change.notes)
    for each in change.keys:
        if change.action is ChangeAction.CREATE:
            yield from _created_lines(each)
            continue
        yield from differences.key_lines(
            each.key, each.before, each.after, version=change.precondition.version, place=_place(change), indent="    "
        )


def _what(change: EndpointChange) -> str:
    if change.action is ChangeAction.CREATE:
        return f"create {change.name}"
    if change.action is ChangeAction.DEACTIVATE:
        return f"DEACTIVATE {change.name}: no file defines it any more"
    in_place = "" if change.sends_query else ", in place"
    return f"update {change.name} (version {change.precondition.version}{in_place})"


def _created_lines(key_change: KeyChange) -> Iterator[Line | str]:
    """A key of a new endpoint, with its new value."""
    if key_change.key is not Key.QUERY:
        word = (
            schedule_word(key_change.after)
            if key_change.key is Key.FRESHNESS and isinstance(key_change.after, int)
            else None
        )
        yield Line(
            f"    {key_change.key}: {differences.as_text(key_change.after)}{f' ({word})' if word else ''}", Style.ADDED
        )
        return
    yield f"    {key_change.key}:"
    yield from (Line(f"      +{text}", Style.ADDED) for text in differences.query_text(key_change.after).splitlines())
    for name, entry in variables_of(key_change.after).items():
        yield Line(f"      variables.{name}: {differences.as_text(entry['value'])}", Style.ADDED)


def _place(change: EndpointChange) -> differences.Place:
    return differences.sql_place(change.path, change.line) if change.path else differences.Place(path=change.name)


def _item(name: str, change: EndpointChange | None, plan: Plan, findings: Sequence[Finding]) -> JsonObject:
    left = [left for left in plan.left_alone if left.name == name]
    return {
        "name": name,
        "kind": "endpoint",
        "action": change.action if change else None,
        "state": change.action if change else _state(name, plan),
        "path": change.path if change else None,
        "line": change.line if change else None,
        "version": change.precondition.version if change else next((left.version for left in left), None),
        "keys": key_items(change) if change else [],
        "notes": list(change.notes) if change else [],
        "left_alone": [left_item(left) for left in left],
        "withheld": [_withheld_item(withheld) for withheld in plan.withheld if withheld.name == name],
        "findings": [finding.as_json() for finding in findings if finding.endpoint == name],
    }


def _state(name: str, plan: Plan) -> str:
    if any(withheld.name == name for withheld in plan.withheld):
        return "withheld"
    attributions = {left.attribution for left in plan.left_alone if left.name == name}
    return next(
        (str(one) for one in (Attribution.CONFLICT, Attribution.DRIFTED, Attribution.IDLED) if one in attributions),
        "same",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedPlan:
    """A plan without what its findings withhold, and these findings.

    `fail_on` is what `--fail-on` says; nothing stops where `is_enforced` is False. `callers` are the known ones, which
    are shown with the findings, and `today` is the day for which they are.
    """

    plan: Plan
    for_callers: tuple[Finding, ...]
    in_definitions: tuple[Finding, ...]
    fail_on: Severity | None = None
    is_enforced: bool = True
    callers: Callers | None = None
    today: date = date.max

    @property
    def findings(self) -> tuple[Finding, ...]:
        known = {finding.fingerprint for finding in self.for_callers}
        return (*self.for_callers, *(finding for finding in self.in_definitions if finding.fingerprint not in known))

    @property
    def stopping(self) -> tuple[Finding, ...]:
        """The findings that withhold their endpoint, or would if it had a change."""
        from endpoints_gitops.operations.push.preview import stops

        return tuple(finding for finding in self.findings if self.is_enforced and stops(finding, self.fail_on))

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode.FINDINGS if self.stopping else ExitCode.DONE

    @property
    def failures(self) -> tuple[ErrorEntry, ...]:
        """An entry of `errors` for each stopping finding whose endpoint has nothing to write."""
        names = {withheld.name for withheld in self.plan.withheld}
        return tuple(
            ErrorEntry(
                code=finding.code,
                message=f"{finding.endpoint}: {finding.message}",
                where=finding.where,
                fix=finding.fix,
            )
            for finding in self.stopping
            if finding.endpoint not in names
        )

    def lines(self, *, verbose: bool) -> Iterator[Line]:
        """The findings for callers with whom they are for, and those of the definitions that are written.

        Stopping findings are not included: the plan and the errors have them.
        """
        written = {change.name for change in self.plan.changes}
        relevant = [finding for finding in self.in_definitions if finding.endpoint in written]
        stopping = {finding.fingerprint for finding in self.stopping}
        for title, found in (("for callers", self.for_callers), ("in the definitions", relevant)):
            yield from finding_lines(
                [finding for finding in found if finding.fingerprint not in stopping], title, verbose=verbose
            )
            if found is self.for_callers and self.callers is not None:
                shown = findings.shown(found, verbose=verbose)
                yield from findings.caller_lines(self.callers, shown, self.today)


def read_saved_plan(path: Path) -> Plan:
    """The plan in a file. Raises UsageError for a file that cannot be read, InvalidInput for a corrupt one."""
    from endpoints_gitops.codecs.plan import read_plan
    from endpoints_gitops.workspace.files import read_regular_file, shown

    try:
        content = read_regular_file(path)
    except OSError as error:
        message = f"the plan {shown(path)} cannot be read: {error.strerror or error}"
        raise UsageError(message, fix=Advice(Command("plan", "-o", shown(path))), code="plan.unreadable") from error
    return read_plan(content, shown(path))


def check_plan(
    context: CommandContext,
    plan: Plan,
    snapshot: Snapshot,
    checkout: Checkout,
    *,
    names: Collection[str] = (),
) -> CheckedPlan:
    """Find the consequences of a plan, and withhold what must not be sent.

    `names` are the definitions to judge also where nothing is to be written: by themselves, for tables that go, and for
    a sunset that has passed. Raises InvalidInput for a damaged lock, as it is unknown whom the plan affects then.
    """
    from endpoints_gitops.contract.idling import all_idling
    from endpoints_gitops.operations.push.preview import checked, withhold

    severity = getattr(context.arguments, "fail_on", None)
    fail_on = Severity(severity) if severity else None
    endpoints = snapshot.endpoints
    idle = all_idling((endpoints[name] for name in sorted(endpoints.keys() & set(names))), datetime.now(UTC))
    callers = known_callers(context, endpoints)  # also for an empty plan: a damaged file is an error
    for_callers = (
        *plan_findings(context, plan, snapshot, checkout, callers),
        *_judged(context, [*idle, *_traffic(context, snapshot, checkout, names)], checkout),
    )
    mistakes = checked(plan, checkout.local, names, context.judge.policy.conventions)
    in_definitions = _judged(context, mistakes, checkout)
    rest = withhold(plan, (*for_callers, *in_definitions), fail_on)
    return CheckedPlan(
        plan=rest,
        for_callers=for_callers,
        in_definitions=in_definitions,
        fail_on=fail_on,
        callers=callers,
        today=context.today,
    )


def plan_findings(
    context: CommandContext,
    plan: Plan,
    snapshot: Snapshot,
    checkout: Checkout,
    callers: Callers,
) -> tuple[Finding, ...]:
    """The findings of a plan for callers, of whom these are known."""
    if plan.is_empty:
        return ()
    from endpoints_gitops.operations.push.preview import consequences

    today, policy = context.today, context.configuration.deprecation
    findings = consequences(plan, snapshot, checkout.local, callers, today=today, policy=policy)
    return _judged(context, findings, checkout)


def _judged(context: CommandContext, findings: Iterable[Finding], checkout: Checkout) -> tuple[Finding, ...]:
    """The findings as the policy judges them. Mistakes of the policy itself are for `check`: they stop no push."""
    definitions = (revision.loaded for revision in checkout.local.values() if revision.loaded)
    comments = tuple(ignore for loaded in definitions for ignore in loaded.ignores)
    return context.judge.apply(findings, comments=comments).judged


def _traffic(
    context: CommandContext, snapshot: Snapshot, checkout: Checkout, names: Collection[str]
) -> Iterator[Finding]:
    """The findings for endpoints whose sunset has passed, by their last calls (A110, A111). No request is made."""
    endpoints = snapshot.endpoints
    for name in sorted(endpoints.keys() & set(names)):
        loaded = checkout.local[name].loaded
        announcement = Announcement.of(loaded, context.environment.name) if loaded else None
        if announcement is not None:
            from endpoints_gitops.contract.announcements import traffic_finding

            finding = traffic_finding(announcement, endpoints[name], context.now, context.configuration.deprecation)
            if finding is not None:
                yield finding


def finding_lines(found: Sequence[Finding], title: str = "for callers", *, verbose: bool) -> Iterator[Line]:
    """The numbers by severity, then each finding; infos only with `verbose`."""
    if not found:
        return
    yield Line(f"{title}: {findings.counted(found, verbose=verbose)}", Style.HEAD)
    yield from findings.lines(findings.shown(found, verbose=verbose), indent="  ")
