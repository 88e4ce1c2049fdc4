"""`check`: mistakes in definitions and lock, offline; with --live, also queries that the server refuses."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from endpoints_gitops.cli import findings
from endpoints_gitops.cli.console import Console, Line, Style
from endpoints_gitops.cli.context import CommandContext
from endpoints_gitops.errors import EndpointsError, UsageError, worst
from endpoints_gitops.model.finding import Finding, Severity
from endpoints_gitops.model.outcome import Outcome, failures_of

if TYPE_CHECKING:
    from endpoints_gitops.model.policy import Coverage
    from endpoints_gitops.operations.check.folder import Checked
    from endpoints_gitops.operations.check.live import LiveAnswers, Traffic


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the paths, and which findings fail."""
    parser.add_argument(
        "paths",
        nargs="*",
        metavar="PATH",
        help="a file or a folder of definitions, a .sql file that they use, the lock, or a SELECTOR; none means all of "
        "them and the lock",
    )
    parser.add_argument(
        "--changed-files",
        action="store_true",
        help="the paths are the files of a change, as a hook gets them: check what it does to the definitions, and "
        "skip all other files",
    )
    findings.configure(parser)
    parser.add_argument(
        "--no-cache", action="store_true", help="check every file again, and keep no results for the next run"
    )
    parser.add_argument(
        "--live",
        action="store_true",
        help="ask the server too: whether tables and fields are there (scope query:read), and for the last call of "
        "endpoints after their sunset",
    )


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Print every finding; exit code 1 for errors (see --fail-on)."""
    from endpoints_gitops.operations.check.folder import by_place

    with CommandContext.of(arguments, console) as context:
        is_change = arguments.changed_files
        is_alone = not (arguments.paths or is_change) and _defines_nothing(context)
        if is_alone:
            _refuse_nothing(context.folder, ())
        lock, words = ((), arguments.paths) if is_change else _lock(context, arguments.paths, is_alone=is_alone)
        is_meant = bool(words) or is_change or not (arguments.paths or is_alone)
        checked = _checked(context, words) if is_meant else _nothing()
        answers = _answers(context, checked) if arguments.live else None
        traffic = _traffic(context, checked) if arguments.live else None
        offline = [finding for finding in checked.findings if not (traffic and _is_answered(finding, traffic))]
        live = [*(answers.findings if answers else ()), *(traffic.findings if traffic else ())]
        coverage = _coverage(arguments, checked) if is_meant else None
        judged = context.judge.apply([*offline, *lock, *live], comments=checked.ignores, coverage=coverage)
        found = by_place(judged.all)
        fail_on = findings.fail_on(arguments, context.judge.policy)
    if is_alone:
        console.say("no definitions here; checking the lock against the manifest")
    for note in checked.notes:
        console.say(note)
    console.show(findings.lines(findings.shown(found, verbose=console.verbose)))
    console.show([Line(_counted(found, len(checked.files), verbose=console.verbose), Style.HEAD)])
    return _outcome(found, checked, answers, traffic, fail_on)


def _checked(context: CommandContext, words: Sequence[str]) -> Checked:
    from endpoints_gitops.operations.check.definition import CheckSettings
    from endpoints_gitops.operations.check.folder import check

    is_change = context.arguments.changed_files
    if not is_change and not context.folder.is_dir() and not any(Path(word).exists() for word in words):
        _refuse_nothing(context.folder, ())
    settings = CheckSettings(environment=context.arguments.env, conventions=context.judge.policy.conventions)
    checked = check(
        context.folder,
        words,
        settings,
        configuration=context.naming_configuration,
        cache=context.check_cache,
        today=context.today,
        policy=context.configuration.deprecation,
        changed_files=is_change,
    )
    if not is_change and not (checked.files or checked.findings):
        _refuse_nothing(context.folder, words)
    return checked


def _coverage(arguments: argparse.Namespace, checked: Checked) -> Coverage:
    """What this run would have found. With --env, ignores may be for another environment, so none of them is unused."""
    from endpoints_gitops.model.policy import LINTED, Coverage

    is_judged = arguments.env is None and checked.is_complete
    return Coverage(
        codes=LINTED if is_judged else frozenset(), is_whole=not (arguments.paths or arguments.changed_files)
    )


def _refuse_nothing(folder: Path, words: Sequence[str]) -> None:
    """Raise UsageError if nothing was checked although git tracks definitions here or a path names a folder."""
    from endpoints_gitops.workspace.commits import refuse_not_on_disk

    refuse_not_on_disk(folder)
    named = next((word for word in words if word and Path(word).expanduser().is_dir()), None)
    if named is not None:
        raise UsageError(f"there is no definition in {named}", code="usage.selector")


def _defines_nothing(context: CommandContext) -> bool:
    """Whether this is an app that uses endpoints without having their definitions: only its lock can be checked."""
    from endpoints_gitops.workspace.configuration import DEFAULT_DIR

    configuration = context.configuration
    settings = (configuration.common, *configuration.environments.values())
    is_said = (
        context.arguments.dir or "DIR" in configuration.overrides or any(environment.dir for environment in settings)
    )
    is_used = any(environment.uses for environment in settings)
    return is_used and not is_said and not (configuration.folder / DEFAULT_DIR).is_dir()


def _lock(context: CommandContext, paths: Sequence[str], *, is_alone: bool) -> tuple[Sequence[Finding], list[str]]:
    """What is wrong between manifest and lock, where there is a lock and nothing else is asked for; the other words.

    Raises InvalidInput for a lock that is damaged.
    """
    from endpoints_gitops.workspace.configuration import lock_path

    path = lock_path(context.configuration)
    words = [word for word in paths if Path(word).resolve() != path.resolve()]
    if (paths and len(words) == len(paths)) or not (path.is_file() or is_alone):
        return (), list(paths)
    from endpoints_gitops.workspace.manifest import read_lock_file

    if context.configuration.path is None:
        read_lock_file(path)
        return (), words
    from endpoints_gitops.cli.consumer import Consumer
    from endpoints_gitops.contract.pins import env_skew

    with Consumer(context.arguments, context.console) as consumer:
        skew = env_skew(consumer.lock) if consumer.lock and consumer.is_whole else ()
        return (*consumer.mismatches(), *skew), words


def _nothing() -> Checked:
    from endpoints_gitops.operations.check.folder import Checked

    return Checked(files=(), findings=())


def _answers(context: CommandContext, checked: Checked) -> LiveAnswers:
    from endpoints_gitops.operations.check.live import resolve

    context.announce()
    answers = resolve(context.client, checked.files)
    if answers.unasked:
        context.console.say(f"not checked on the server, because insights have no SQL: {', '.join(answers.unasked)}")
    return answers


def _traffic(context: CommandContext, checked: Checked) -> Traffic:
    from endpoints_gitops.operations.check.live import read_traffic

    return read_traffic(context.client, checked.announcements, context.now, context.configuration.deprecation)


def _is_answered(finding: Finding, traffic: Traffic) -> bool:
    """Whether the server said what the finding says is unknown."""
    return finding.code == "A111" and finding.endpoint in traffic.names


def _outcome(
    found: tuple[Finding, ...],
    checked: Checked,
    answers: LiveAnswers | None,
    traffic: Traffic | None,
    fail_on: Severity,
) -> Outcome:
    failed: tuple[EndpointsError, ...] = answers.failures if answers else ()
    if traffic is not None and traffic.failure is not None:
        failed += (traffic.failure,)
    asked = {"asked": answers.asked, "unasked": len(answers.unasked)} if answers else {}
    return Outcome(
        command="check",
        exit_code=worst(findings.exit_code(found, fail_on), *(error.exit_code for error in failed)),
        summary={"definitions": len(checked.files), **findings.summary(found), **asked},
        items=findings.items(found),
        errors=tuple(failure for error in failed for failure in failures_of(error)),
        findings=found,
        fail_on=fail_on,
    )


def _counted(found: tuple[Finding, ...], files: int, *, verbose: bool) -> str:
    where = f"{files} definition{'s' if files != 1 else ''}"
    return f"{findings.counted(found, verbose=verbose) or 'nothing found'} in {where}"
