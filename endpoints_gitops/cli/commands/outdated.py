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
        statuses = [status for side in consumer.sides() for status in outdated(side, lock)]
        consumer.say_unpinned()
        deprecated = consumer.deprecated()
    found = [(status, status.finding) for status in statuses if status.finding is not None]
    behind = [finding for _, finding in found]
    changed = [status for status in statuses if status.in_place]
    in_place = [finding for status in changed for finding in status.in_place]
    console.show(_line(status, finding) for status, finding in found)
    for status in changed:
        console.show([Line(f"{status.pin.label} ({status.pin.environment})  changed in place", Style.HEAD)])
        console.show(findings.lines(status.in_place, indent="  "))
    console.show(findings.lines(finding for _, finding in deprecated))
    judged = [*behind, *in_place, *(finding for _, finding in deprecated)]
    console.say(f"{len(statuses) - len(behind)} of {pins(len(statuses))} at the newest version")
    console.say(*_ways(found))
    if changed:
        labels = sorted({status.pin.label for status in changed})
        console.say(Advice("to lock what changed in place as it is now: ", Command("upgrade", *labels)))
    return Outcome(
        command="outdated",
        exit_code=findings.exit_code(judged, Severity.ERROR),
        summary={
            "pins": len(statuses),
            "behind": len(behind),
            "in_place": len(changed),
            "deprecated": len(deprecated),
            **findings.summary(judged),
        },
        items=(
            *(_item(status, finding) for status, finding in found),
            *items_of((status.pin.environment, finding) for status in changed for finding in status.in_place),
            *items_of(deprecated),
        ),
    )


def _ways(found: Sequence[tuple[PinStatus, Finding]]) -> Iterator[str]:
    """The commands that move pins without breaking anything; a version in the manifest moves only by name."""
    easy = [status for status, finding in found if finding.code == "P106"]
    if any(status.use.version is None for status in easy):
        yield Advice("to move where nothing breaks: ", Command("upgrade", "--compatible-only"))
    if exact := sorted({status.pin.name for status in easy if status.use.version is not None}):
        yield Advice("to move those whose version the manifest states: ", Command("upgrade", *exact))


def _item(status: PinStatus, finding: Finding) -> JsonObject:
    """A pin as JSON, with the findings of moving it to the newest version."""
    moves = [finding.as_json() for finding in status.moves]
    return {**finding.as_json(), "environment": status.pin.environment, "moves": moves}


def _line(status: PinStatus, finding: Finding) -> Line:
    crossed = sorted(
        {finding.code for finding in status.moves if finding.counts and finding.severity is Severity.ERROR}
    )
    breaks = f"breaks: {', '.join(crossed)}" if crossed else "nothing breaks"
    to = f" → {status.newest}" if status.newest else ""
    verdict = breaks if finding.code in ("P106", "P107") else finding.message
    text = f"{status.pin.label}{to} ({status.pin.environment})  {finding.code} {verdict}"
    return Line(text, _STYLES[finding.severity])
