"""`outdated`: the pins that newer versions have overtaken, and what would break on the way there."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from endpoints_gitops.cli import findings
from endpoints_gitops.cli.console import Console, Line, Style
from endpoints_gitops.cli.consuming import Consumer, items_of, pins
from endpoints_gitops.model.finding import Severity
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
        used = sum(map(len, consumer.uses.values()))
    console.show(line for one in standings for line in _lines(one))
    behind = [one.finding for one in standings if one.finding is not None]
    found = [(one.pin.environment, one.finding) for one in standings if one.finding is not None]
    console.say(f"{len(standings) - len(behind)} of {pins(len(standings))} at the newest version")
    if used > len(standings):
        console.say(Line(f"{used - len(standings)} not pinned yet: endpoints-gitops lock", Style.WARN))
    return Outcome(
        command="outdated",
        exit_code=findings.exit_code(behind, Severity.ERROR),
        summary={"pins": len(standings), "behind": len(behind), **findings.summary(behind)},
        items=tuple(map(_item, (one for one in standings if one.finding is not None), items_of(found))),
    )


def _item(standing: Standing, item: JsonObject) -> JsonObject:
    """With the findings of the move to the newest version."""
    return {**item, "moves": [finding.as_json() for finding in standing.moves]}


def _lines(standing: Standing) -> Iterator[Line]:
    finding = standing.finding
    if finding is None:
        return
    crossed = ", ".join(sorted({one.code for one in standing.moves if one.severity is Severity.ERROR}))
    breaks = f"breaks: {crossed}" if crossed else "nothing breaks"
    to = f" → {standing.newest}" if standing.newest else ""
    said = f"{finding.code} {breaks}" if finding.code in ("P106", "P107") else f"{finding.code} {finding.message}"
    yield Line(f"{standing.pin.label}{to} ({standing.pin.environment})  {said}", _STYLES[finding.severity])
