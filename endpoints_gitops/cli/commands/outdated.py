"""`outdated`: the pins that newer versions have overtaken, and what would break on the way there."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from endpoints_gitops.cli import findings
from endpoints_gitops.cli.console import Console, Line, Style
from endpoints_gitops.cli.consuming import Consumer, pins
from endpoints_gitops.model.finding import Finding, Severity
from endpoints_gitops.model.json import JsonObject
from endpoints_gitops.model.outcome import Outcome

if TYPE_CHECKING:
    from endpoints_gitops.operations.outdated import Standing

_STYLES = {Severity.ERROR: Style.BAD, Severity.WARN: Style.WARN, Severity.INFO: Style.PLAIN}


def configure(parser: argparse.ArgumentParser) -> None:
    """Nothing of its own."""


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Print a line for each pin that is behind. That a pin is behind is no mistake: exit 0."""
    from endpoints_gitops.operations.outdated import outdated

    with Consumer(arguments, console) as consumer:
        lock = consumer.present_lock
        standings = [one for side in consumer.sides() for one in outdated(side, lock)]
        consumer.say_unpinned()
    found = [(one, one.finding) for one in standings if one.finding is not None]
    behind = [finding for _, finding in found]
    console.show(_line(one, finding) for one, finding in found)
    console.say(f"{len(standings) - len(behind)} of {pins(len(standings))} at the newest version")
    console.say(*_ways(found))
    return Outcome(
        command="outdated",
        exit_code=findings.exit_code(behind, Severity.ERROR),
        summary={"pins": len(standings), "behind": len(behind), **findings.summary(behind)},
        items=tuple(_item(one, finding) for one, finding in found),
    )


def _ways(found: Sequence[tuple[Standing, Finding]]) -> Iterator[str]:
    """The commands that move what nothing breaks for; a version that the manifest states moves where it is named."""
    easy = [one for one, finding in found if finding.code == "P106"]
    if any(one.use.version is None for one in easy):
        yield "to move where nothing breaks: endpoints-gitops upgrade --compatible-only"
    if exact := sorted({one.pin.name for one in easy if one.use.version is not None}):
        yield f"to move those whose version the manifest states: endpoints-gitops upgrade {' '.join(exact)}"


def _item(standing: Standing, finding: Finding) -> JsonObject:
    """With the findings of the move to the newest version."""
    moves = [one.as_json() for one in standing.moves]
    return {**finding.as_json(), "environment": standing.pin.environment, "moves": moves}


def _line(standing: Standing, finding: Finding) -> Line:
    crossed = sorted({one.code for one in standing.moves if one.severity is Severity.ERROR})
    breaks = f"breaks: {', '.join(crossed)}" if crossed else "nothing breaks"
    to = f" → {standing.newest}" if standing.newest else ""
    said = breaks if finding.code in ("P106", "P107") else finding.message
    text = f"{standing.pin.label}{to} ({standing.pin.environment})  {finding.code} {said}"
    return Line(text, _STYLES[finding.severity])
