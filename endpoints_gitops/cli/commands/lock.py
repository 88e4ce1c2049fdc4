"""`lock`: pin what the manifest uses. `--check` compares them offline, `--verify` also reads the server."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from endpoints_gitops.cli import findings
from endpoints_gitops.cli.console import Console, Line, Style
from endpoints_gitops.cli.consumer import Consumer, Placed, items_of, pins
from endpoints_gitops.errors import EndpointsError, ExitCode, worst
from endpoints_gitops.model.finding import Severity
from endpoints_gitops.model.json import JsonObject
from endpoints_gitops.model.outcome import ErrorEntry, Outcome, failures_of
from endpoints_gitops.model.pin import Lock
from endpoints_gitops.workspace.files import shown

if TYPE_CHECKING:
    from endpoints_gitops.operations.lock.resolve import PinEntry, ResolvedLock, VerifiedPin

_STYLES = {"added": Style.ADDED, "dropped": Style.REMOVED, "changed": Style.WARN}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add --check and --verify."""
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--check",
        action="store_true",
        help="check offline that manifest and lock agree; write nothing",
    )
    how.add_argument(
        "--verify", action="store_true", help="check that the server still has what is locked; write nothing"
    )


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Write the lock, or report what is wrong with it."""
    with Consumer(arguments, console) as consumer:
        if arguments.check:
            return _check(consumer)
        return _verify(consumer) if arguments.verify else _lock(consumer)


def _check(consumer: Consumer) -> Outcome:
    found = consumer.placed_mismatches()
    _say_agreement(consumer, found)
    found += _show_deprecated(consumer)
    summary = {"pins": len((consumer.lock or Lock()).pins), **_counts(found)}
    return Outcome(command="lock", exit_code=_code(found), summary=summary, items=items_of(found))


def _show_deprecated(consumer: Consumer) -> tuple[Placed, ...]:
    """Show and return the findings for deprecated pins."""
    deprecated = consumer.deprecated()
    consumer.console.show(findings.lines(finding for _, finding in deprecated))
    return deprecated


def _code(found: Sequence[Placed]) -> ExitCode:
    return findings.exit_code((finding for _, finding in found), Severity.ERROR)


def _counts(found: Sequence[Placed]) -> dict[str, int]:
    return findings.summary([finding for _, finding in found])


def _say_agreement(consumer: Consumer, found: Sequence[Placed]) -> None:
    consumer.console.show(findings.lines(finding for _, finding in found))
    path = shown(consumer.lock_path)
    if found:
        state = "does not exist" if consumer.lock is None else "and the manifest disagree"
        consumer.console.say(Line(f"{path} {state}", Style.BAD))
    elif consumer.lock is None:
        consumer.console.say("the manifest uses no endpoints and the lock has no pins; name endpoints under `uses`")
    else:
        consumer.console.say(f"{path} and the manifest agree: {pins(len(consumer.lock.pins))}")


def _verify(consumer: Consumer) -> Outcome:
    from endpoints_gitops.contract.pins import env_skew
    from endpoints_gitops.operations.lock.resolve import verify

    lock, console = consumer.lock or Lock(), consumer.console
    found: list[Placed] = list(consumer.placed_mismatches())
    _say_agreement(consumer, found)
    found += _show_deprecated(consumer)
    verified_pins = [verified for side in consumer.sides() for verified in verify(side, lock)]
    skew = consumer.judged(env_skew(lock) if consumer.is_whole else ())
    console.show(line for verified in verified_pins for line in _verified_lines(verified))
    console.show(findings.lines(skew))
    found += [(verified.environment, finding) for verified in verified_pins for finding in verified.findings]
    found += [(None, finding) for finding in skew]
    errors = [verified.error for verified in verified_pins if verified.error]
    asked = len(verified_pins) - len(errors)
    console.say(f"{pins(asked)} looked up on the server" + (f", {len(errors)} failed" if errors else ""))
    return Outcome(
        command="lock",
        exit_code=worst(_code(found), *(error.exit_code for error in errors)),
        summary={"pins": len(lock.pins), "asked": asked, **_counts(found)},
        items=items_of(found),
        errors=_once(errors),
    )


def _verified_lines(verified: VerifiedPin) -> Iterator[Line]:
    place = f"{verified.pin.label} ({verified.environment})"
    if verified.error is not None:
        yield Line(f"{place}: could not be looked up", Style.WARN)
    elif verified.findings:
        yield Line(place, Style.HEAD)
        yield from findings.lines(verified.findings, indent="  ")
    else:
        yield Line(f"{place}: as locked", Style.GOOD)


def _once(errors: Sequence[EndpointsError]) -> tuple[ErrorEntry, ...]:
    """The entries of several errors; equal ones once."""
    failures = (failure for error in errors for failure in failures_of(error))
    return tuple({(failure.code, failure.message): failure for failure in failures}.values())


def _lock(consumer: Consumer) -> Outcome:
    from endpoints_gitops.operations.lock.resolve import resolve
    from endpoints_gitops.workspace.manifest import write_lock_file

    console = consumer.console
    if consumer.lock is None and not any(consumer.uses.values()):
        console.say("the manifest uses no endpoints, so there is nothing to lock; name them under `uses`")
        return Outcome(command="lock", summary={"pins": 0})
    resolved = resolve(consumer.sides(), consumer.lock or Lock(), is_whole=consumer.is_whole)
    if resolved.moves or resolved.failures:
        console.show(findings.lines(move for _, move in resolved.moves))
        return _refused(resolved)
    console.show(_entry_lines(resolved))
    is_written = write_lock_file(consumer.lock_path, resolved.lock)
    state = "written" if is_written else "is unchanged"
    console.say(f"{shown(consumer.lock_path)} {state}: {pins(len(resolved.lock.pins))}")
    return _done(resolved)


def _refused(resolved: ResolvedLock) -> Outcome:
    return Outcome(
        command="lock",
        exit_code=ExitCode.FINDINGS,
        summary=_counts(resolved.moves),
        items=items_of(resolved.moves),
        errors=resolved.failures,
    )


def _done(resolved: ResolvedLock) -> Outcome:
    actions = [str(entry.action) for entry in resolved.entries]
    return Outcome(
        command="lock",
        summary={"pins": len(resolved.lock.pins)} | {word: actions.count(word) for word in sorted({*actions})},
        items=tuple(map(_item, resolved.entries)),
    )


def _entry_lines(resolved: ResolvedLock) -> Iterator[Line]:
    for entry in resolved.entries:
        if entry.action in _STYLES:
            note = f"  {entry.note}" if entry.note else ""
            text = f"{entry.action:8} {entry.pin.label} ({entry.pin.environment}){note}"
            yield Line(text, _STYLES[entry.action])


def _item(entry: PinEntry) -> JsonObject:
    pin = entry.pin
    return {
        "environment": pin.environment,
        "name": pin.name,
        "version": pin.version,
        "endpoint_id": pin.endpoint_id,
        "action": str(entry.action),
        "note": entry.note,
    }
