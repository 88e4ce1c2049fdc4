"""`outdated`: the pins that have newer versions, and what would break by moving to them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.cli import findings
from endpoints_gitops.cli.console import Console, Line, Style
from endpoints_gitops.cli.consumer import Consumer, items_of, pins
from endpoints_gitops.model.finding import Finding, Severity
from endpoints_gitops.model.json import JsonObject
from endpoints_gitops.model.outcome import Outcome

if TYPE_CHECKING:
    from endpoints_gitops.operations.lock.upgrade import PinStatus

_STYLES = {Severity.ERROR: Style.BAD, Severity.WARN: Style.WARN, Severity.INFO: Style.PLAIN}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add nothing."""


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Print a line for each pin that is behind (which is no error: exit 0), and what changed in place."""
    from endpoints_gitops.operations.lock.upgrade import outdated

    with Consumer(arguments, console) as consumer:
        lock = consumer.present_lock
        standings = [one for side in consumer.sides() for one in outdated(side, lock)]
        consumer.say_unpinned()
    found = [(one, one.finding) for one in standings if one.finding is not None]
    behind = [finding for _, finding in found]
    changed = [one for one in standings if one.in_place]
    in_place = [finding for one in changed for finding in one.in_place]
    console.show(_line(one, finding) for one, finding in found)
    for one in changed:
        console.show([Line(f"{one.pin.label} ({one.pin.environment})  changed in place", Style.HEAD)])
        console.show(findings.lines(one.in_place, indent="  "))
    console.say(f"{len(standings) - len(behind)} of {pins(len(standings))} at the newest version")
    console.say(*_ways(found))
    if changed:
        labels = sorted({one.pin.label for one in changed})
        console.say(Advice("to lock what changed in place as it is now: ", Command("upgrade", *labels)))
    return Outcome(
        command="outdated",
        exit_code=findings.exit_code([*behind, *in_place], Severity.ERROR),
        summary={
            "pins": len(standings),
            "behind": len(behind),
            "in_place": len(changed),
            **findings.summary([*behind, *in_place]),
        },
        items=(
            *(_item(one, finding) for one, finding in found),
            *items_of((one.pin.environment, finding) for one in changed for finding in one.in_place),
        ),
    )


def _ways(found: Sequence[tuple[PinStatus, Finding]]) -> Iterator[str]:
    """The commands that move pins without breaking anything; a version in the manifest moves only by name."""
    easy = [one for one, finding in found if finding.code == "P106"]
    if any(one.use.version is None for one in easy):
        yield Advice("to move where nothing breaks: ", Command("upgrade", "--compatible-only"))
    if exact := sorted({one.pin.name for one in easy if one.use.version is not None}):
        yield Advice("to move those whose version the manifest states: ", Command("upgrade", *exact))


def _item(standing: PinStatus, finding: Finding) -> JsonObject:
    """A pin as JSON, with the findings of moving it to the newest version."""
    moves = [one.as_json() for one in standing.moves]
    return {**finding.as_json(), "environment": standing.pin.environment, "moves": moves}


def _line(standing: PinStatus, finding: Finding) -> Line:
    crossed = sorted({one.code for one in standing.moves if one.severity is Severity.ERROR})
    breaks = f"breaks: {', '.join(crossed)}" if crossed else "nothing breaks"
    to = f" → {standing.newest}" if standing.newest else ""
    said = breaks if finding.code in ("P106", "P107") else finding.message
    text = f"{standing.pin.label}{to} ({standing.pin.environment})  {finding.code} {said}"
    return Line(text, _STYLES[finding.severity])
