"""`diff`: how definitions and server differ, and whose change each difference is."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from endpoints_gitops.cli import base_diff, bases, differences, findings, plans
from endpoints_gitops.cli.arguments import add_selectors
from endpoints_gitops.cli.console import Advice, Console, Line, Style
from endpoints_gitops.cli.context import Context
from endpoints_gitops.contract.idling import all_idling
from endpoints_gitops.errors import ExitCode
from endpoints_gitops.model.finding import Finding
from endpoints_gitops.model.json import Json, JsonObject
from endpoints_gitops.model.outcome import Outcome
from endpoints_gitops.operations.compare import Comparison, compare
from endpoints_gitops.plan.judging import Difference, Judged, Presence, Verdict
from endpoints_gitops.plan.meaning import Key
from endpoints_gitops.plan.variables import VariableAction

_STYLES = {
    Verdict.AHEAD: Style.PLAIN,
    Verdict.DRIFTED: Style.WARN,
    Verdict.CONFLICT: Style.BAD,
    Verdict.IDLED: Style.WARN,
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Which endpoints, and what they are compared with."""
    add_selectors(parser)
    parser.add_argument("--against", metavar="WHAT", default="live", help=f"{bases.WHAT} (default: live)")


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Print what differs and nothing else; exit code 1 when anything does. A table that the server switched off by
    itself is said, and is no difference."""
    if arguments.against != "live":
        return base_diff.outcome(arguments, console)
    with Context.of(arguments, console) as context:
        comparison = compare(context.workplace, context.definitions, arguments.selectors)
    differing = sorted((one for one in comparison.judged if _differs(one, comparison)), key=_order)
    strangers = [one for one in differing if one.presence is Presence.ONLY_THERE]
    orphans = comparison.orphans.active | comparison.orphans.protected
    shown = [one for one in differing if console.verbose or one not in strangers]
    console.show(line for one in shown for line in _lines(one, is_orphan=one.name in orphans))
    console.show(_variable_lines(comparison))
    idle = all_idling((one.endpoint for one in comparison.judged if one.loaded and one.endpoint), datetime.now(UTC))
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
            *(_item(one, idle) for one in differing),
            *(_item(one, idle) for one in comparison.judged if one not in differing and _is_idling(one, idle)),
            *map(plans.variable_item, comparison.variable_changes),
            *plans.dropped_items(comparison),
        ),
    )


def _differs(judged: Judged, comparison: Comparison) -> bool:
    """An old name that a definition was renamed from stays on the server for its callers, and what was pruned stays
    inactive: those are no difference.
    """
    kept = comparison.predecessors | comparison.orphans.pruned
    return bool(judged.differences) or (judged.presence is not Presence.BOTH and judged.name not in kept)


def _order(judged: Judged) -> int:
    """Changes first, then what only this side has, then what only the server has."""
    return (Presence.BOTH, Presence.ONLY_HERE, Presence.ONLY_THERE).index(judged.presence)


def _is_idled(judged: Judged) -> bool:
    """Whether all that differs is a table that the server switched off by itself."""
    return bool(judged.differences) and all(one.verdict is Verdict.IDLED for one in judged.differences)


def _is_idling(judged: Judged, idle: Sequence[Finding]) -> bool:
    return any(one.endpoint == judged.name for one in idle)


def _lines(judged: Judged, *, is_orphan: bool) -> Iterator[Line | str]:
    yield Line(_title(judged, is_orphan=is_orphan), Style.HEAD)
    for one in judged.differences:
        yield from _difference_lines(judged, one)


def _title(judged: Judged, *, is_orphan: bool) -> str:
    version = judged.endpoint.current_version if judged.endpoint else None
    if judged.presence is Presence.ONLY_THERE:
        next_step = "its file is gone" if is_orphan else "pull brings it"
        return f"{judged.name}: only there, version {version}; {next_step}"
    where = judged.loaded.where() if judged.loaded else ""
    if judged.presence is Presence.ONLY_HERE:
        reason = judged.reason or "push creates it"
        return f"{judged.name}: only here, {where}; {f'conflict: {reason}' if judged.gone else reason}"
    said = f": {judged.reason}" if judged.reason else ""
    word = "idled out" if _is_idled(judged) else "changed"
    return f"{judged.name}: {word}, version {version}, {where}{said}"


def _difference_lines(judged: Judged, one: Difference) -> Iterator[Line | str]:
    shown = [line if isinstance(line, Line) else Line(line) for line in differences.lines(**_sides(judged, one))]
    if one.key is not Key.QUERY:
        yield f"  {one.key}: {' '.join(line.text for line in shown)}"
    else:
        yield f"  {one.key}:"
        yield from (Line(f"    {line.text}", line.style) for line in shown)
    yield Line(f"    {one.verdict}: {one.reason}", _STYLES[one.verdict])
    if one.verdict is Verdict.IDLED:
        yield Advice(f"    fix: {one.fix}", Style.FAINT)


def _sides(judged: Judged, one: Difference) -> differences.Sides:
    assert judged.loaded is not None
    return {
        "key": one.key,
        "before": one.server,
        "after": one.file,
        "version": judged.endpoint.current_version if judged.endpoint else None,
        "place": differences.sql_place(judged.loaded.path, one.line),
    }


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
    cosmetic = [judged.name for judged in comparison.judged if judged.cosmetic]
    console.say(*plans.formatting_note(cosmetic, verbose=console.verbose))
    if comparison.predecessors:
        console.say(f"kept on the server for callers of an older name: {', '.join(sorted(comparison.predecessors))}")
    if comparison.orphans.pruned:
        console.say(f"{len(comparison.orphans.pruned)} inactive, and their file is gone: pull NAME brings one back")
    console.say(*plans.reminders(comparison))
    if comparison.outside:
        console.say(Line(f"{comparison.outside} outside of `manage`", Style.FAINT))


def _summary(comparison: Comparison, differing: Sequence[Judged]) -> dict[str, int]:
    presences = Counter(judged.presence for judged in differing if not _is_idled(judged))
    return {
        "changed": presences[Presence.BOTH],
        "only_here": presences[Presence.ONLY_HERE],
        "only_there": presences[Presence.ONLY_THERE],
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
    said = [f"{summary[key]} {word}" for key, word in words.items() if summary[key]]
    return f"{', '.join(said) or 'no differences'}; {summary['same']} the same"


def _item(judged: Judged, idle: Sequence[Finding]) -> JsonObject:
    found: list[Json] = [_difference_item(judged, one) for one in judged.differences]
    return {
        "name": judged.name,
        "kind": "endpoint",
        "state": _state(judged),
        "path": judged.loaded.path if judged.loaded else None,
        "version": judged.endpoint.current_version if judged.endpoint else None,
        "author": judged.author,
        "date": judged.date.isoformat() if judged.date else None,
        "gone": judged.gone,
        "reason": judged.reason or None,
        "differences": found,
        "findings": [one.as_json() for one in idle if one.endpoint == judged.name],
    }


def _state(judged: Judged) -> str:
    if judged.presence is not Presence.BOTH:
        return str(judged.presence)
    return "idled" if _is_idled(judged) else "changed" if judged.differences else "same"


def _difference_item(judged: Judged, one: Difference) -> JsonObject:
    sides: dict[str, Json] = {"file": one.file, "server": one.server}
    facts = differences.as_json(**_sides(judged, one))
    more = {key: facts[key] for key in ("diff", "changes") if key in facts}
    return {
        "key": one.key,
        **sides,
        **more,
        "verdict": one.verdict,
        "reason": one.reason,
        "line": one.line,
    }
