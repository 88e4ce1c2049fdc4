"""`generate`: typed clients of what the lock pins. `--check` compares them with the lock and writes nothing."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.cli import findings
from endpoints_gitops.cli.console import Console, Line, Style
from endpoints_gitops.cli.consumer import Consumer, items_of
from endpoints_gitops.errors import ExitCode, UsageError
from endpoints_gitops.model.finding import Severity
from endpoints_gitops.model.json import JsonObject
from endpoints_gitops.model.outcome import Outcome
from endpoints_gitops.model.target import NATIVE, NATIVE_LANGUAGES, STUB, GenerationTarget, default_out
from endpoints_gitops.operations.generate import (
    FileState,
    FileStatus,
    compare_targets,
    target_folder,
    write_files,
)
from endpoints_gitops.workspace.files import checkout, shown

_WRITTEN: Final = {
    FileState.MISSING: ("created", Style.ADDED),
    FileState.STALE: ("updated", Style.WARN),
    FileState.FOREIGN: ("replaced", Style.WARN),
    FileState.LEFT_OVER: ("removed", Style.REMOVED),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add what describes a target, and --check."""
    parser.add_argument(
        "--lang",
        metavar="LANG",
        help=f"{', '.join(NATIVE_LANGUAGES)}, or one of a generator; only the targets of this language",
    )
    way = parser.add_mutually_exclusive_group()
    way.add_argument(
        "--native", action="store_const", const=NATIVE, dest="generator", help="a client that needs no generator"
    )
    way.add_argument(
        "--stub", action="store_const", const=STUB, dest="generator", help="types for Endpoints.run (python)"
    )
    way.add_argument(
        "--generator",
        metavar="NAME",
        help="a client by this program: @hey-api/openapi-ts, openapi-generator, oapi-codegen",
    )
    parser.add_argument("--out", metavar="FOLDER", help="where to write (default: clients/LANG)")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is not up to date")
    parser.epilog = (
        "Without options: every target under `generate` in the configuration. --lang, --native, --stub and --generator "
        "choose among them; with --out, or where none fits, they describe a target of their own. Reads the lock, and "
        "for other generators the documents of `openapi pull`: no key is needed, and PostHog is not asked."
    )


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Write the files, or report which are not up to date (exit 1)."""
    with Consumer(arguments, console, needs_manifest=False) as consumer:
        _ = consumer.present_lock  # raises where it is missing or damaged
        if disagreement := _disagreement(consumer):
            return disagreement
        targets = _targets(consumer)
        _announce(consumer, targets)
        statuses = compare_targets(targets, consumer.configuration, consumer.present_lock, arguments.env)
        if arguments.check:
            return _check(console, statuses, _again(targets))
        _confirm(console, statuses, yes=arguments.yes)
        for target in targets:
            mine = [status for status in statuses if status.target is target]
            write_files(mine, _root(consumer, target), target_folder(target, consumer.configuration))
    return _written(console, statuses)


def _announce(consumer: Consumer, targets: Sequence[GenerationTarget]) -> None:
    """Print which other programs run: they can take a while, the first time for being fetched."""
    for target in targets:
        if not target.is_internal:
            version = f" {target.version}" if target.version else ""
            folder = shown(target_folder(target, consumer.configuration))
            consumer.console.say(Line(f"{target.generator}{version}: {folder}", Style.FAINT))


def _disagreement(consumer: Consumer) -> Outcome | None:
    """The outcome where lock and manifest disagree: a client of the lock would not be what the manifest says."""
    if consumer.configuration.path is None:
        return None
    mismatches = consumer.placed_mismatches()
    code = findings.exit_code((finding for _, finding in mismatches), Severity.ERROR)
    if code is ExitCode.DONE:
        return None
    consumer.console.show(findings.lines(finding for _, finding in mismatches))
    message = f"{shown(consumer.lock_path)} and the manifest disagree: nothing was generated"
    consumer.console.say(Line(message, Style.BAD), Advice("  fix: ", Command("lock")))
    summary = findings.summary([finding for _, finding in mismatches])
    return Outcome(command="generate", exit_code=code, summary=summary, items=items_of(mismatches))


def _targets(consumer: Consumer) -> tuple[GenerationTarget, ...]:
    """The targets of the configuration that the options choose, or the one that they describe."""
    arguments, configured = consumer.arguments, consumer.configuration.targets
    chosen = tuple(
        target
        for target in configured
        if arguments.lang in (None, target.lang) and arguments.generator in (None, target.generator)
    )
    is_described = arguments.lang is not None and arguments.generator is not None
    if arguments.out is None and chosen:
        return chosen
    if is_described:
        out = arguments.out or default_out(arguments.lang)
        return (GenerationTarget(lang=arguments.lang, generator=arguments.generator, out=out),)
    if arguments.lang or arguments.generator or arguments.out:
        message = "the options describe no target"
        lang = arguments.lang if arguments.lang in NATIVE_LANGUAGES else "python"
        fix = Advice(Command("generate", "--lang", lang, "--native"))
    else:
        message = "the configuration has no targets"
        table = "add [generate.NAME] to endpoints.toml ([tool.endpoints-gitops.generate.NAME] in pyproject.toml) with "
        keys = 'lang = "python", native = true and out; or run '
        fix = Advice(table, keys, Command("generate", "--lang", "python", "--native"))
    raise UsageError(message, where=_place(consumer), fix=fix, code="generate.targets")


def _place(consumer: Consumer) -> str | None:
    path = consumer.configuration.path
    return shown(path) if path else None


def _confirm(console: Console, statuses: Sequence[FileStatus], *, yes: bool) -> None:
    """Ask before files are replaced that were not generated. Raises UsageError if they must stay."""
    foreign = [shown(status.path) for status in statuses if status.state is FileState.FOREIGN]
    if not foreign:
        return
    question = f"{' and '.join(foreign)}: not generated by this program. Replace?"
    if not console.confirm(question, yes=yes):
        fix = "move the file, or choose another folder with `out`"
        raise UsageError(f"{' and '.join(foreign)} stays as it is", fix=fix, code="generate.foreign")


def _check(console: Console, statuses: Sequence[FileStatus], again: Command) -> Outcome:
    differing = [status for status in statuses if status.state is not FileState.CURRENT]
    for status in differing:
        console.show([Line(f"{status.state:13} {shown(status.path)}: {'; '.join(status.reasons)}", Style.BAD)])
    if differing:
        files = f"{len(statuses)} file{'' if len(statuses) == 1 else 's'}"
        console.say(f"not up to date: {len(differing)} of {files}", Advice("  fix: ", again))
    else:
        console.say(f"{_files(len(statuses))} up to date")
    code = ExitCode.FINDINGS if differing else ExitCode.DONE
    return Outcome(command="generate", exit_code=code, summary=_summary(statuses), items=tuple(map(_item, statuses)))


def _written(console: Console, statuses: Sequence[FileStatus]) -> Outcome:
    differing = [status for status in statuses if status.state is not FileState.CURRENT]
    for status in differing:
        word, style = _WRITTEN[status.state]
        reasons = f": {'; '.join(status.reasons)}" if status.state is FileState.STALE else ""
        console.show([Line(f"{word:8} {shown(status.path)}{reasons}", style)])
    rest = len(statuses) - len(differing)
    if rest:
        console.say(f"{_files(rest)} up to date already")
    return Outcome(command="generate", summary=_summary(statuses), items=tuple(map(_item, statuses)))


def _files(count: int) -> str:
    return f"{count} file is" if count == 1 else f"{count} files are"


def _summary(statuses: Sequence[FileStatus]) -> dict[str, int]:
    states = [status.state for status in statuses]
    return {"files": len(states)} | {
        str(state).replace(" ", "_"): states.count(state) for state in FileState if state in states
    }


def _item(status: FileStatus) -> JsonObject:
    """A file as JSON. `state` is how it was found, before anything was written."""
    return {
        "target": status.target.name,
        "lang": status.target.lang,
        "generator": status.target.generator,
        "path": shown(status.path),
        "state": str(status.state),
        "reasons": list(status.reasons),
        "pins": list(status.pins),
    }


def _again(targets: Sequence[GenerationTarget]) -> Command:
    """The command that writes these targets."""
    described = next((target for target in targets if target.name is None), None)
    if described is None:
        return Command("generate")
    words = (f"--{described.generator}",) if described.is_internal else ("--generator", described.generator)
    return Command("generate", "--lang", described.lang, *words, "--out", described.out)


def _root(consumer: Consumer, target: GenerationTarget) -> Path:
    """The folder outside of which nothing is written."""
    return checkout(consumer.configuration.folder) if target.name else Path(target.out).expanduser()
