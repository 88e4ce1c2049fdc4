"""`lock`: pin what the manifest names. `--check` compares the two offline, `--verify` asks the server as well."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from endpoints_gitops.cli.console import Console, Line, Style
from endpoints_gitops.cli.consuming import Consumer, counts, finding_item, finding_lines
from endpoints_gitops.errors import ExitCode, worst
from endpoints_gitops.model.finding import Finding, Severity
from endpoints_gitops.model.json import JsonObject
from endpoints_gitops.model.outcome import Failure, Outcome, failures_of
from endpoints_gitops.model.pin import Lock
from endpoints_gitops.workspace.files import shown

if TYPE_CHECKING:
    from endpoints_gitops.operations.lock import Entry, Resolved
    from endpoints_gitops.operations.verify import Judged

_STYLES = {"added": Style.ADDED, "dropped": Style.REMOVED, "changed": Style.WARN}


def configure(parser: argparse.ArgumentParser) -> None:
    """Whether to write, to compare, or to ask."""
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--check", action="store_true", help="write nothing: do manifest and lock agree? offline, no key")
    how.add_argument("--verify", action="store_true", help="write nothing: does the server still have what is locked?")


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Write the lock, or say what is wrong with it."""
    with Consumer(arguments, console) as consumer:
        if arguments.check:
            return _check(consumer)
        return _verify(consumer) if arguments.verify else _lock(consumer)


def _check(consumer: Consumer) -> Outcome:
    found = consumer.disagreements()
    _say_agreement(consumer, found)
    return Outcome(
        command="lock",
        exit_code=ExitCode.FINDINGS if found else ExitCode.DONE,
        summary={"pins": len((consumer.lock or Lock()).pins), **counts(found)},
        items=tuple(finding_item(one) for one in found),
    )


def _say_agreement(consumer: Consumer, found: tuple[Finding, ...]) -> None:
    consumer.console.show(finding_lines(found))
    path = shown(consumer.lock_path)
    if found:
        state = "is not there" if consumer.lock is None else "and the manifest disagree"
        consumer.console.say(Line(f"{path} {state}", Style.BAD))
    elif consumer.lock is None:
        consumer.console.say("nothing is used here, and nothing is locked: name endpoints under `uses`")
    else:
        consumer.console.say(f"{path} and the manifest agree: {_pins(len(consumer.lock.pins))}")


def _verify(consumer: Consumer) -> Outcome:
    from endpoints_gitops.contract.pins import env_skew
    from endpoints_gitops.operations.verify import verify

    lock = consumer.lock or Lock()
    offline = consumer.disagreements()
    _say_agreement(consumer, offline)
    judged = [one for side in consumer.sides() for one in verify(side, lock)]
    skew = env_skew(lock) if consumer.is_whole else ()
    console = consumer.console
    for one in judged:
        console.show(_judged_lines(one))
    console.show(finding_lines(skew))
    findings = (*offline, *(finding for one in judged for finding in one.findings), *skew)
    is_wrong = any(finding.severity is Severity.ERROR for finding in findings)
    asked = sum(one.error is None for one in judged)
    console.say(f"{_pins(asked)} looked up on the server, {_pins(len(judged) - asked)} not")
    return Outcome(
        command="lock",
        exit_code=worst(
            *([ExitCode.FINDINGS] if is_wrong else []), *(one.error.exit_code for one in judged if one.error)
        ),
        summary={"pins": len(lock.pins), "asked": asked, **counts(findings)},
        items=(
            *(finding_item(one) for one in (*offline, *skew)),
            *(finding_item(finding, one.environment) for one in judged for finding in one.findings),
        ),
        errors=_errors(judged),
    )


def _judged_lines(judged: Judged) -> Iterator[Line]:
    place = f"{judged.pin.label} ({judged.environment})"
    if judged.error is not None:
        yield Line(f"{place}: could not be asked for", Style.WARN)
    elif judged.findings:
        yield Line(place, Style.HEAD)
        yield from finding_lines(judged.findings, indent="  ")
    else:
        yield Line(f"{place}: as locked", Style.GOOD)


def _errors(judged: list[Judged]) -> tuple[Failure, ...]:
    """What failed alike for several is said once."""
    failures = (failure for one in judged if one.error for failure in failures_of(one.error))
    return tuple({(failure.code, failure.message): failure for failure in failures}.values())


def _lock(consumer: Consumer) -> Outcome:
    from endpoints_gitops.operations.lock import resolve
    from endpoints_gitops.workspace.manifest import write_lock_file

    console = consumer.console
    if consumer.lock is None and not any(consumer.uses.values()):
        console.say("nothing is used here, so there is nothing to lock: name endpoints under `uses`")
        return Outcome(command="lock", summary={"pins": 0})
    resolved = resolve(consumer.sides(), consumer.lock or Lock(), is_whole=consumer.is_whole)
    if resolved.moves or resolved.failures:
        console.show(finding_lines(resolved.moves))
        return _refused(resolved)
    console.show(_entry_lines(resolved))
    is_written = write_lock_file(consumer.lock_path, resolved.lock)
    pins = _pins(len(resolved.lock.pins))
    said = f"written: {pins}" if is_written else f"is as it was: {pins}"
    console.say(f"{shown(consumer.lock_path)} {said}")
    return _done(resolved)


def _refused(resolved: Resolved) -> Outcome:
    return Outcome(
        command="lock",
        exit_code=ExitCode.FINDINGS,
        summary=counts(resolved.moves),
        items=tuple(finding_item(move) for move in resolved.moves),
        errors=resolved.failures,
    )


def _done(resolved: Resolved) -> Outcome:
    actions = [str(entry.action) for entry in resolved.entries]
    return Outcome(
        command="lock",
        summary={"pins": len(resolved.lock.pins)} | {word: actions.count(word) for word in sorted({*actions})},
        items=tuple(map(_item, resolved.entries)),
    )


def _entry_lines(resolved: Resolved) -> Iterator[Line]:
    for entry in resolved.entries:
        if entry.action in _STYLES:
            note = f"  {entry.note}" if entry.note else ""
            text = f"{entry.action:8} {entry.pin.label} ({entry.pin.environment}){note}"
            yield Line(text, _STYLES[entry.action])


def _item(entry: Entry) -> JsonObject:
    pin = entry.pin
    return {
        "environment": pin.environment,
        "name": pin.name,
        "version": pin.version,
        "endpoint_id": pin.endpoint_id,
        "action": str(entry.action),
        "note": entry.note,
    }


def _pins(count: int) -> str:
    return f"{count} pin{'' if count == 1 else 's'}"
