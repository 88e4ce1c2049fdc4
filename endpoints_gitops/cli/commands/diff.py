"""`diff`: the differences between definitions and server, each with its attribution."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from endpoints_gitops.advice import Advice
from endpoints_gitops.cli import differences, findings, plans
from endpoints_gitops.cli.against import WHAT, resolved
from endpoints_gitops.cli.arguments import add_selectors
from endpoints_gitops.cli.console import Console, Line, Style
from endpoints_gitops.cli.context import CommandContext
from endpoints_gitops.contract.idling import all_idling
from endpoints_gitops.errors import ExitCode, worst
from endpoints_gitops.model.finding import Finding
from endpoints_gitops.model.json import Json, JsonObject
from endpoints_gitops.model.outcome import Outcome, failures_of
from endpoints_gitops.operations.compare import Comparison, compare
from endpoints_gitops.plan.diff import Attribution, EndpointDiff, KeyDiff, Presence
from endpoints_gitops.plan.variables import VariableAction

_COSMETIC = "M108"
_STYLES = {
    Attribution.AHEAD: Style.PLAIN,
    Attribution.DRIFTED: Style.WARN,
    Attribution.CONFLICT: Style.BAD,
    Attribution.IDLED: Style.WARN,
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the selectors and the base."""
    add_selectors(parser)
    parser.add_argument("--against", metavar="WHAT", default="live", help=f"{WHAT} (default: live)")


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Print what differs and nothing else; exit code 1 when anything does. A table that the server switched off by
    itself is said, and is no difference."""
    if arguments.against != "live":
        return _against(arguments, console)
    with CommandContext.of(arguments, console) as context:
        comparison = compare(context.project, context.definitions, arguments.selectors)
    differing = sorted((diff for diff in comparison.diffs if _differs(diff, comparison)), key=_order)
    strangers = [diff for diff in differing if diff.presence is Presence.ONLY_REMOTE]
    orphans = comparison.orphans.active | comparison.orphans.protected
    shown = [diff for diff in differing if console.verbose or diff not in strangers]
    console.show(line for diff in shown for line in _lines(diff, is_orphan=diff.name in orphans))
    console.show(_variable_lines(comparison))
    idle = all_idling((diff.endpoint for diff in comparison.diffs if diff.loaded and diff.endpoint), datetime.now(UTC))
    console.show(findings.lines(idle))
    _say_notes(console, comparison)
    summary = _summary(comparison, differing)
    if strangers and not console.verbose:
        console.show([Line(f"{len(strangers)} only on the server: pull brings them, --verbose lists them")])
    console.show([Line(_counted(summary), Style.HEAD)])
    changed = bool(comparison.variable_changes) or not all(map(_is_idled, differing))
    return Outcome(
        command="diff",
        exit_code=ExitCode.FINDINGS if changed else ExitCode.DONE,
        summary=summary,
        items=(
            *(_item(diff, idle) for diff in differing),
            *(_item(diff, idle) for diff in comparison.diffs if diff not in differing and _is_idling(diff, idle)),
            *map(plans.variable_item, comparison.variable_changes),
            *plans.dropped_items(comparison),
        ),
    )


def _differs(diff: EndpointDiff, comparison: Comparison) -> bool:
    """An old name that a definition was renamed from stays on the server for its callers, and what was pruned stays
    inactive: those are no difference.
    """
    kept = comparison.predecessors | comparison.orphans.pruned
    return bool(diff.differences) or (diff.presence is not Presence.BOTH and diff.name not in kept)


def _order(diff: EndpointDiff) -> int:
    """Sort key: changed endpoints first, then those only in the files, then those only on the server."""
    return (Presence.BOTH, Presence.ONLY_LOCAL, Presence.ONLY_REMOTE).index(diff.presence)


def _is_idled(diff: EndpointDiff) -> bool:
    """Whether the only difference is a table that the server switched off because nothing used it."""
    return bool(diff.differences) and all(
        difference.attribution is Attribution.IDLED for difference in diff.differences
    )


def _is_idling(diff: EndpointDiff, idle: Sequence[Finding]) -> bool:
    return any(finding.endpoint == diff.name for finding in idle)


def _lines(diff: EndpointDiff, *, is_orphan: bool) -> Iterator[Line | str]:
    yield Line(_title(diff, is_orphan=is_orphan), Style.HEAD)
    for difference in diff.differences:
        yield from _difference_lines(diff, difference)


def _title(diff: EndpointDiff, *, is_orphan: bool) -> str:
    version = diff.endpoint.current_version if diff.endpoint else None
    if diff.presence is Presence.ONLY_REMOTE:
        next_step = "its file is gone" if is_orphan else "pull brings it"
        return f"{diff.name}: only there, version {version}; {next_step}"
    where = diff.loaded.where() if diff.loaded else ""
    if diff.presence is Presence.ONLY_LOCAL:
        reason = diff.note or "push creates it"
        return f"{diff.name}: only here, {where}; {f'conflict: {reason}' if diff.is_missing else reason}"
    note = f": {diff.note}" if diff.note else ""
    word = "idled out" if _is_idled(diff) else "changed"
    return f"{diff.name}: {word}, version {version}, {where}{note}"


def _difference_lines(diff: EndpointDiff, difference: KeyDiff) -> Iterator[Line | str]:
    yield from differences.diff_lines(diff, difference)
    if difference.attribution is not None:
        yield Line(f"    {difference.attribution}: {diff.explanation(difference)}", _STYLES[difference.attribution])
    if difference.attribution is Attribution.IDLED:
        yield Line(Advice("    fix: ", difference.fix), Style.FAINT)


def _variable_lines(comparison: Comparison) -> Iterator[Line | str]:
    for change in comparison.variable_changes:
        users = ", ".join(change.used_by)
        if change.action is VariableAction.CREATE:
            yield Line(f"shared variable {change.code_name} ({change.type}): only here, for {users}", Style.HEAD)
            continue
        yield Line(f"shared variable {change.code_name}: changed, used by {users}", Style.HEAD)
        for text in plans.shared_settings(change):
            yield f"  {text}"


def _say_notes(console: Console, comparison: Comparison) -> None:
    for warning in comparison.warnings:
        console.warn(Line(warning, Style.WARN))
    cosmetic = [diff.name for diff in comparison.diffs if diff.is_cosmetic]
    console.say(*plans.formatting_note(cosmetic, verbose=console.verbose))
    if comparison.predecessors:
        console.say(f"kept on the server for callers of an older name: {', '.join(sorted(comparison.predecessors))}")
    if comparison.orphans.pruned:
        console.say(f"{len(comparison.orphans.pruned)} inactive, and their file is gone: pull NAME brings one back")
    console.say(*plans.reminders(comparison))
    if comparison.outside:
        console.say(Line(f"{comparison.outside} outside of `manage`", Style.FAINT))


def _summary(comparison: Comparison, differing: Sequence[EndpointDiff]) -> dict[str, int]:
    presences = Counter(diff.presence for diff in differing if not _is_idled(diff))
    return {
        "changed": presences[Presence.BOTH],
        "only_here": presences[Presence.ONLY_LOCAL],
        "only_there": presences[Presence.ONLY_REMOTE],
        "idled": sum(map(_is_idled, differing)),
        "variables": len(comparison.variable_changes),
        "same": comparison.unchanged,
        "outside": comparison.outside,
        **plans.reminder_counts(comparison),
    }


def _counted(summary: dict[str, int]) -> str:
    words = {
        "changed": "changed",
        "only_here": "only here",
        "only_there": "only there",
        "idled": "idled out",
        "variables": "shared variables",
    }
    counts = [f"{summary[key]} {word}" for key, word in words.items() if summary[key]]
    return f"{', '.join(counts) or 'no differences'}; {summary['same']} the same"


def _item(diff: EndpointDiff, idle: Sequence[Finding]) -> JsonObject:
    found: list[Json] = [_difference_item(diff, difference) for difference in diff.differences]
    return {
        "name": diff.name,
        "kind": "endpoint",
        "state": _state(diff),
        "path": diff.loaded.path if diff.loaded else None,
        "version": diff.endpoint.current_version if diff.endpoint else None,
        "author": diff.author,
        "date": diff.date.isoformat() if diff.date else None,
        "gone": diff.is_missing,
        "reason": diff.note or None,
        "differences": found,
        "findings": [finding.as_json() for finding in idle if finding.endpoint == diff.name],
    }


def _state(diff: EndpointDiff) -> str:
    if diff.presence is not Presence.BOTH:
        return str(diff.presence)
    return "idled" if _is_idled(diff) else "changed" if diff.differences else "same"


def _difference_item(diff: EndpointDiff, difference: KeyDiff) -> JsonObject:
    facts = differences.diff_item(diff, difference)
    return {
        "key": difference.key,
        "file": difference.local,
        "server": difference.remote,
        **{key: facts[key] for key in ("diff", "changes") if key in facts},
        "verdict": difference.attribution,
        "reason": difference.reason,
        "line": difference.line,
    }


def _against(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Print the differences key by key, with the findings; exit code 1 if there are any."""
    from endpoints_gitops.operations.callers import findings_of_diffs

    with CommandContext.of(arguments, console) as context:
        against, callers = resolved(context, arguments.against, arguments.selectors)
        changes = findings_of_diffs(
            against.diffs,
            callers,
            is_move=against.is_move,
            today=context.today,
            policy=context.configuration.deprecation,
        )
        found = context.judge.apply(changes, comments=against.ignores).judged
    by_name: dict[str, list[Finding]] = {}
    for finding in found:
        by_name.setdefault(finding.endpoint, []).append(finding)
    differing = [diff for diff in against.diffs if _base_differs(diff, by_name.get(diff.name, []))]
    for diff in differing:
        shown = findings.shown(by_name.get(diff.name, []), verbose=console.verbose)
        console.show(_base_lines(diff, shown))
        console.show(findings.caller_lines(callers, shown, context.today))
    console.say(*against.notes)
    summary = {**_base_summary(differing), "same": len(against.diffs) - len(differing), **findings.summary(found)}
    infos = "" if console.verbose or not summary["infos"] else f"; {summary['infos']} infos (--verbose shows them)"
    console.show([Line(f"{_base_counted(summary, against.what)}{infos}", Style.HEAD)])
    return Outcome(
        command="diff",
        exit_code=worst(
            ExitCode.FINDINGS if differing else ExitCode.DONE, *(error.exit_code for error in against.failures)
        ),
        summary=summary,
        items=tuple(_base_item(diff, by_name.get(diff.name, [])) for diff in differing),
        errors=tuple(failure for error in against.failures for failure in failures_of(error)),
    )


def _base_differs(diff: EndpointDiff, found: list[Finding]) -> bool:
    return (
        _base_state(diff) != "changed" or bool(diff.differences) or any(finding.code != _COSMETIC for finding in found)
    )


def _base_state(diff: EndpointDiff) -> str:
    if diff.remote is None:
        return "only_here"
    return "changed" if diff.local else "only_there"


def _base_lines(diff: EndpointDiff, found: list[Finding]) -> Iterator[Line | str]:
    yield Line(_base_title(diff), Style.HEAD)
    for difference in diff.differences:
        yield from differences.diff_lines(diff, difference)
    yield from findings.lines(found, indent="  ")


def _base_title(diff: EndpointDiff) -> str:
    if diff.remote is None:
        assert diff.local is not None, "a pair has a side"
        return f"{diff.name}: only here, {diff.local.label}"
    if diff.local is None:
        return f"{diff.name}: only there, {diff.remote.label}"
    return f"{diff.name}: changed, {diff.remote.label} -> {diff.local.label}"


def _base_summary(differing: list[EndpointDiff]) -> dict[str, int]:
    states = Counter(map(_base_state, differing))
    return {state: states[state] for state in ("changed", "only_here", "only_there")}


def _base_counted(summary: dict[str, int], what: str) -> str:
    words = {"changed": "changed", "only_here": "only here", "only_there": "only there"}
    counts = [f"{summary[key]} {word}" for key, word in words.items() if summary[key]]
    return f"{', '.join(counts) or 'no differences'}, {summary['same']} the same as {what}"


def _base_item(diff: EndpointDiff, found: list[Finding]) -> JsonObject:
    return {
        "name": diff.name,
        "kind": "endpoint",
        "environment": diff.environment,
        "state": _base_state(diff),
        "path": diff.local.loaded.path if diff.local and diff.local.loaded else None,
        "version": diff.remote.version if diff.remote else None,
        "differences": [
            {"key": difference.key, **differences.diff_item(diff, difference)} for difference in diff.differences
        ],
        "findings": [finding.as_json() for finding in found],
    }
