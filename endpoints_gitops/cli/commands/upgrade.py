"""`upgrade [NAME[@N]…]`: move pins to newer or other versions; shows and refuses moves that break the app."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.cli import findings
from endpoints_gitops.cli.console import Console, Line, Style
from endpoints_gitops.cli.consumer import Consumer, pins
from endpoints_gitops.errors import Conflict, ExitCode, UsageError
from endpoints_gitops.model.finding import Finding, Severity
from endpoints_gitops.model.json import JsonObject
from endpoints_gitops.model.name import is_endpoint_name
from endpoints_gitops.model.outcome import Outcome
from endpoints_gitops.operations.lock.mismatches import deprecated_pins
from endpoints_gitops.workspace.files import shown

if TYPE_CHECKING:
    from endpoints_gitops.model.pin import Lock
    from endpoints_gitops.operations.lock.resolve import EnvironmentUses
    from endpoints_gitops.operations.lock.upgrade import Move

type Targets = Mapping[str, int | None]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the targets, and which moves are allowed."""
    parser.add_argument(
        "targets", nargs="*", metavar="NAME[@N]", help="an endpoint, or a version of it (default: all, to the newest)"
    )
    breaking = parser.add_mutually_exclusive_group()
    breaking.add_argument("--compatible-only", action="store_true", help="move only as far as nothing breaks")
    breaking.add_argument(
        "--allow-breaking",
        metavar="REASON",
        type=_reason,
        help="move although something breaks; the lock records the reason",
    )
    parser.add_argument("--allow-unknown", action="store_true", help="treat undecidable changes (C112, M107) as safe")


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Show what each move changes, ask for confirmation at a terminal, and write the lock."""
    from endpoints_gitops.operations.lock.upgrade import MoveResult, UpgradeOptions, plan_moves, upgraded

    targets = _targets(arguments.targets)
    allowed = UpgradeOptions(
        compatible_only=arguments.compatible_only, reason=arguments.allow_breaking, unknown=arguments.allow_unknown
    )
    with Consumer(arguments, console) as consumer:
        lock, sides = consumer.present_lock, consumer.sides()
        _check(targets, sides, consumer)
        each = [(side, {name: targets[name] for name in targets if _uses(side, name)}) for side in sides]
        moves = [
            move for side, wanted in each if wanted or not targets for move in plan_moves(side, lock, wanted, allowed)
        ]
        console.show(line for move in moves for line in _lines(move))
        consumer.say_unpinned()
        if any(move.result is MoveResult.MOVES for move in moves):
            _write(consumer, moves)
        else:
            console.say(f"{shown(consumer.lock_path)} is unchanged")
        deprecated = _deprecated(consumer, moves, upgraded(lock, moves))
        console.show(findings.lines(deprecated.values()))
    return _outcome(moves, deprecated)


def _deprecated(consumer: Consumer, moves: Sequence[Move], lock: Lock) -> Mapping[tuple[str, str], Finding]:
    """The findings for pins of these moves that are deprecated afterwards, by environment and name."""
    names = {(move.before.environment, move.before.name) for move in moves}
    environments = [side.environment for side in consumer.sides()]
    found = deprecated_pins(lock, environments, consumer.today, consumer.configuration.deprecation)
    return {
        (environment, finding.endpoint): judged
        for environment, finding in found
        if (environment, finding.endpoint) in names
        for judged in consumer.judged([finding])
    }


def _reason(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("the reason is empty; say why, for the readers of the lock")
    return text.strip()


def _targets(words: Sequence[str]) -> Targets:
    targets: dict[str, int | None] = {}
    for word in words:
        name, at, number = word.partition("@")
        is_number = number.isascii() and number.isdigit() and len(number) < 10 and int(number) > 0
        if not is_endpoint_name(name) or (at and not is_number):
            raise UsageError(
                f"{word!r} is not NAME or NAME@VERSION", fix=Advice(Command("upgrade", "revenue_by_plan@3"))
            )
        if name in targets:
            raise UsageError(f"{name} is named twice", fix=f"name it once, as {name} or {name}@VERSION")
        targets[name] = int(number) if at else None
    return targets


def _uses(side: EnvironmentUses, name: str) -> bool:
    return any(use.name == name for use in side.uses)


def _check(targets: Targets, sides: Sequence[EnvironmentUses], consumer: Consumer) -> None:
    """Raise UsageError for a name that is not used or not pinned, and for a version that is ambiguous."""
    for name, number in targets.items():
        using = [side for side in sides if _uses(side, name)]
        if not using:
            raise _unused(name, sides)
        pinned = [side for side in using if consumer.present_lock.pin(name, side.environment)]
        if not pinned:
            raise UsageError(f"{name} is used but not pinned yet", fix=Advice(Command("lock")), code="lock.unpinned")
        if number is not None and len(using) > 1:
            names = ", ".join(side.environment for side in using)
            message = f"{name}@{number} is ambiguous: {names} use it, and version numbers differ by project"
            fix = Advice(Command("upgrade", f"{name}@{number}", "--env", using[0].environment))
            raise UsageError(message, fix=fix, code="configuration.environment")


def _unused(name: str, sides: Sequence[EnvironmentUses]) -> UsageError:
    from endpoints_gitops.model.suggestions import did_you_mean

    names = sorted({use.name for side in sides for use in side.uses})
    message = f"the manifest does not use {name}{did_you_mean(name, names)}"
    fix = f"the manifest names {', '.join(names)}" if names else Advice("name it under `uses`, then ", Command("lock"))
    return UsageError(message, fix=fix, code="usage.endpoint")


def _write(consumer: Consumer, moves: Sequence[Move]) -> None:
    """Write manifest and lock, the manifest first: if the lock cannot be written, `lock --check` names the upgrade."""
    from endpoints_gitops.operations.lock.upgrade import MoveResult, upgraded
    from endpoints_gitops.workspace.manifest import move_use, read_lock_file, write_lock_file

    console, lock = consumer.console, consumer.present_lock
    moving = [move for move in moves if move.result is MoveResult.MOVES]
    if console.interactive and not console.confirm(f"Move {pins(len(moving))}?", yes=consumer.arguments.yes):
        raise UsageError("not confirmed; nothing was written", code="usage.unconfirmed")
    if read_lock_file(consumer.lock_path) != lock:
        message = f"{shown(consumer.lock_path)} was changed by another command; nothing was written"
        raise Conflict(message, fix="run the same command again", code="lock.moved")
    for move in moving:
        if move.rewrites_manifest and move.after is not None:
            move_use(consumer.configuration, move.before.environment, move.before.name, move.after.version)
    write_lock_file(consumer.lock_path, upgraded(lock, moves))
    refused = sum(move.result is MoveResult.REFUSED for move in moves)
    others = f", {refused} refused" if refused else ""
    console.say(f"{shown(consumer.lock_path)} written: {pins(len(moving))} moved{others}")


def _lines(move: Move) -> Iterator[Line]:
    from endpoints_gitops.operations.lock.upgrade import MoveResult

    pin = move.before
    place = f"({pin.environment})"
    if move.result is MoveResult.CURRENT:
        newest = "; there is no newer version" if move.newest == pin.version else ""
        yield Line(f"{pin.label} {place}: as locked{newest}", Style.FAINT)
        yield from findings.lines(move.findings, indent="  ")
    elif move.result is MoveResult.EXACT:
        fix = Advice(Command("upgrade", pin.name, "--env", pin.environment))
        text = f"{pin.label} {place}: stays, because the manifest names this version; {move.newest} is available: "
        yield Line(Advice(text, fix), Style.FAINT)
        yield from findings.lines(move.findings, indent="  ")
    elif move.result is MoveResult.CHANGED:
        breaks = ", and it breaks this app" if move.is_breaking else ""
        yield Line(f"{pin.label} {place}: changed in place{breaks}", Style.HEAD)
        yield from findings.lines(move.findings, indent="  ")
        if move.after is not None:
            yield Line(Advice("  to lock it as it is now: ", _insisting(move)))
    else:
        title = f"{_title(move)} {place}: {_said(move)}" if move.newest else f"{pin.label} {place}: gone"
        yield Line(title, Style.HEAD)
        yield from findings.lines(move.findings, indent="  ")
        if move.in_place:
            yield Line(f"  {pin.label} itself changed in place:", Style.WARN)
            yield from findings.lines(move.in_place, indent="    ")
        if move.result is MoveResult.REFUSED and move.after is not None:
            yield Line(Advice("  to move it anyway: ", _insisting(move)))


def _title(move: Move) -> str:
    pin, to = move.before, move.after.version if move.after else None
    if to == pin.version or (to is None and move.newest == pin.version):
        return pin.label
    return f"{pin.label} → {to or move.newest}"


def _said(move: Move) -> str:
    if move.after is not None and move.after.version == move.before.version:
        return f"changed in place; {_judged(move)}"
    return _judged(move)


def _judged(move: Move) -> str:
    from endpoints_gitops.operations.lock.upgrade import MoveResult

    if move.result is MoveResult.HELD:
        return "not moved: no newer version is compatible"
    if move.result is MoveResult.REFUSED:
        undecided = "refused: cannot tell whether it breaks this app"
        return undecided if move.is_undecided else "refused: it breaks this app"
    verdict = "breaks this app (allowed)" if move.is_breaking else "nothing breaks"
    return f"{verdict}; the manifest is rewritten too" if move.rewrites_manifest else verdict


def _insisting(move: Move) -> Advice:
    assert move.after is not None, "only a move that leads somewhere can be insisted on"
    target = f"{move.before.name}@{move.after.version}"
    option: tuple[str, ...] = ()
    if move.is_breaking:
        option = ("--allow-unknown",) if move.is_undecided else ("--allow-breaking", "the reason")
    return Advice(Command("upgrade", target, "--env", move.before.environment, *option))


def _outcome(moves: Sequence[Move], deprecated: Mapping[tuple[str, str], Finding]) -> Outcome:
    results = [_word(move) for move in moves]
    return Outcome(
        command="upgrade",
        exit_code=ExitCode.FINDINGS
        if any(map(_is_refused, moves))
        else findings.exit_code(deprecated.values(), Severity.ERROR),
        summary={"pins": len(moves)} | {word: results.count(word) for word in sorted({*results})},
        items=tuple(_item(move, deprecated.get((move.before.environment, move.before.name))) for move in moves),
    )


def _is_refused(move: Move) -> bool:
    """Whether the move was refused, or the pinned version changed in place so that the app breaks."""
    from endpoints_gitops.operations.lock.upgrade import MoveResult

    if move.result is MoveResult.REFUSED or (move.result is MoveResult.CHANGED and move.is_breaking):
        return True
    return findings.exit_code(move.in_place, Severity.ERROR) is ExitCode.FINDINGS


def _item(move: Move, deprecated: Finding | None) -> JsonObject:
    return {
        "environment": move.before.environment,
        "name": move.before.name,
        "from": move.before.version,
        "to": move.after.version if move.after else None,
        "newest": move.newest,
        "result": _word(move),
        "breaking": move.is_breaking,
        "allowed": list(move.after.allowed) if move.after else [],
        "findings": [finding.as_json() for finding in move.findings],
        "in_place": [finding.as_json() for finding in move.in_place],
        "deprecated": None if deprecated is None else deprecated.as_json(),
    }


def _word(move: Move) -> str:
    from endpoints_gitops.operations.lock.upgrade import MoveResult

    return "moved" if move.result is MoveResult.MOVES else str(move.result)
