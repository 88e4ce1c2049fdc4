"""`diff --against WHAT`: the definitions here beside something else than the server as it is now."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from endpoints_gitops.cli import bases, differences, findings
from endpoints_gitops.cli.console import Console, Line, Style
from endpoints_gitops.cli.context import Context
from endpoints_gitops.errors import ExitCode, worst
from endpoints_gitops.model.finding import Finding
from endpoints_gitops.model.json import JsonObject
from endpoints_gitops.model.outcome import Outcome, failures_of
from endpoints_gitops.plan.meaning import Key, line_of

if TYPE_CHECKING:
    from endpoints_gitops.operations.pairs import Pair

_COSMETIC = "M108"


def outcome(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Print what differs, key by key, with the findings; exit code 1 when anything does."""
    from endpoints_gitops.operations.pairs import judge

    with Context.of(arguments, console) as context:
        against, callers = bases.resolved(context, arguments.against, arguments.selectors)
    found = judge(against.pairs, callers, is_move=against.is_move)
    by_name: dict[str, list[Finding]] = {}
    for one in found:
        by_name.setdefault(one.endpoint, []).append(one)
    differing = [pair for pair in against.pairs if _differs(pair, by_name.get(pair.name, []))]
    for pair in differing:
        console.show(_lines(pair, findings.shown(by_name.get(pair.name, []), verbose=console.verbose)))
    console.say(*against.notes)
    summary = {**_summary(differing), "same": len(against.pairs) - len(differing), **findings.summary(found)}
    infos = "" if console.verbose or not summary["infos"] else f"; {summary['infos']} infos (--verbose shows them)"
    console.show([Line(f"{_counted(summary, against.what)}{infos}", Style.HEAD)])
    return Outcome(
        command="diff",
        exit_code=worst(
            ExitCode.FINDINGS if differing else ExitCode.DONE, *(error.exit_code for error in against.failures)
        ),
        summary=summary,
        items=tuple(_item(pair, by_name.get(pair.name, [])) for pair in differing),
        errors=tuple(failure for error in against.failures for failure in failures_of(error)),
    )


def _differs(pair: Pair, found: list[Finding]) -> bool:
    return _state(pair) != "changed" or bool(pair.differences) or any(one.code != _COSMETIC for one in found)


def _state(pair: Pair) -> str:
    if pair.before is None:
        return "only_here"
    return "changed" if pair.after else "only_there"


def _lines(pair: Pair, found: list[Finding]) -> Iterator[Line | str]:
    yield Line(_title(pair), Style.HEAD)
    for key in pair.differences:
        shown = [line if isinstance(line, Line) else Line(line) for line in differences.lines(**_sides(pair, key))]
        if key is not Key.QUERY:
            yield f"  {key}: {' '.join(line.text for line in shown)}"
            continue
        yield f"  {key}:"
        yield from (Line(f"    {line.text}", line.style) for line in shown)
    yield from findings.lines(found, indent="  ")


def _title(pair: Pair) -> str:
    if pair.before is None:
        assert pair.after is not None, "a pair has a side"
        return f"{pair.name}: only here, {pair.after.label}"
    if pair.after is None:
        return f"{pair.name}: only there, {pair.before.label}"
    return f"{pair.name}: changed, {pair.before.label} -> {pair.after.label}"


def _sides(pair: Pair, key: Key) -> differences.Sides:
    assert pair.before is not None
    assert pair.after is not None
    loaded = pair.after.loaded
    place = differences.Place(path=pair.after.label, other=pair.before.label)
    if loaded is not None:
        line = line_of(key, loaded, pair.environment)
        written = differences.sql_place(loaded.path, line)
        place = differences.Place(path=written.path, line=written.line, other=pair.before.label)
    return {
        "key": key,
        "before": pair.before.meaning.get(key),
        "after": pair.after.meaning.get(key),
        "version": pair.before.version,
        "place": place,
    }


def _summary(differing: list[Pair]) -> dict[str, int]:
    states = Counter(map(_state, differing))
    return {state: states[state] for state in ("changed", "only_here", "only_there")}


def _counted(summary: dict[str, int], what: str) -> str:
    words = {"changed": "changed", "only_here": "only here", "only_there": "only there"}
    said = [f"{summary[key]} {word}" for key, word in words.items() if summary[key]]
    return f"{', '.join(said) or 'no differences'}, {summary['same']} the same as {what}"


def _item(pair: Pair, found: list[Finding]) -> JsonObject:
    return {
        "name": pair.name,
        "kind": "endpoint",
        "environment": pair.environment,
        "state": _state(pair),
        "path": pair.after.loaded.path if pair.after and pair.after.loaded else None,
        "version": pair.before.version if pair.before else None,
        "differences": [{"key": key, **differences.as_json(**_sides(pair, key))} for key in pair.differences],
        "findings": [one.as_json() for one in found],
    }
