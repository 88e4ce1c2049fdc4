"""`outdated`: the pins that newer versions have overtaken, and what would break on the way there."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from endpoints_gitops.cli.console import Console, Line, Style
from endpoints_gitops.cli.consuming import Consumer, counts, finding_item
from endpoints_gitops.errors import ExitCode
from endpoints_gitops.model.finding import Severity
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
        unpinned = sum(finding.before is None for finding in consumer.disagreements())
    console.show(line for one in standings for line in _lines(one))
    findings = [one.finding for one in standings if one.finding is not None]
    console.say(f"{len(standings) - len(findings)} of {len(standings)} pins are at the newest version")
    if unpinned:
        console.say(Line(f"{unpinned} not pinned yet: endpoints-gitops lock", Style.WARN))
    is_wrong = any(finding.severity is Severity.ERROR for finding in findings)
    return Outcome(
        command="outdated",
        exit_code=ExitCode.FINDINGS if is_wrong else ExitCode.DONE,
        summary={"pins": len(standings), "behind": len(findings), **counts(findings)},
        items=tuple(
            {**finding_item(one.finding, one.pin.environment), "crossed": sorted({each.code for each in one.moves})}
            for one in standings
            if one.finding is not None
        ),
    )


def _lines(standing: Standing) -> Iterator[Line]:
    finding = standing.finding
    if finding is None:
        return
    crossed = ", ".join(sorted({one.code for one in standing.moves if one.severity is Severity.ERROR}))
    breaks = f"breaks: {crossed}" if crossed else "nothing breaks"
    to = f" → {standing.newest}" if standing.newest else ""
    said = f"{finding.code} {breaks}" if finding.code in ("P106", "P107") else f"{finding.code} {finding.message}"
    yield Line(f"{standing.pin.label}{to} ({standing.pin.environment})  {said}", _STYLES[finding.severity])
