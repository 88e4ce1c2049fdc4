"""`gate --against REF`: whether this commit may be released. `gate --plan FILE`: whether a plan would hurt a caller."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.cli.console import Console
from endpoints_gitops.cli.consumer import Consumer, Placed, pins
from endpoints_gitops.errors import EndpointsError, UsageError, worst
from endpoints_gitops.model.finding import Severity
from endpoints_gitops.model.outcome import Outcome, failures_of
from endpoints_gitops.model.pin import Lock
from endpoints_gitops.model.report import Detail, Report, Subject, Verdict
from endpoints_gitops.workspace.files import read_regular_file, shown

if TYPE_CHECKING:
    from endpoints_gitops.model.finding import Finding
    from endpoints_gitops.operations.gate.base import ReleaseBase
    from endpoints_gitops.operations.gate.pins import PinChange, PinKey, ServerAnswers
    from endpoints_gitops.plan.changes import Plan


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the released commit, the plan, and where the evidence is."""
    parser.add_argument("--against", metavar="REF", help="the commit that was released last: a tag, a branch, an id")
    parser.add_argument("--plan", metavar="FILE", help="judge a plan that `plan -o FILE` saved, for its callers")
    parser.add_argument(
        "--evidence",
        metavar="FILE",
        action="append",
        default=[],
        help="what `pytest --endpoints-evidence=FILE` wrote; repeatable "
        "(default: endpoints-evidence.json beside the configuration)",
    )
    parser.add_argument("--offline", action="store_true", help="ask no server whether it still has what is pinned")
    parser.add_argument("--allow-unknown", action="store_true", help="treat undecidable changes (C112, M107) as safe")


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Judge each changed pin and endpoint; exit code 1 if one is blocked, 4 if one is unknown."""
    _refuse_without_effect(arguments)
    parts = []
    if arguments.against is not None:
        parts.append(_judge_pins(arguments, console))
    if arguments.plan is not None:
        parts.append(_judge_plan(arguments, console))
    report = _merged([part.report for part in parts])
    errors = [error for part in parts for error in part.errors]
    return Outcome(
        command="gate",
        exit_code=worst(report.verdict.exit_code, *(error.exit_code for error in errors)),
        errors=tuple(entry for error in errors for entry in failures_of(error)),
        report=report,
    )


_ANSWERS: Final = {
    Verdict.RELEASED: "this commit may be released",
    Verdict.BLOCKED: "this commit may not be released",
    Verdict.UNKNOWN: "cannot tell whether this commit may be released",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    report: Report
    errors: Sequence[EndpointsError] = ()


def _refuse_without_effect(arguments: argparse.Namespace) -> None:
    """Raise UsageError for neither base nor plan, and for options that only a base uses."""
    if arguments.against is None and arguments.plan is None:
        fix = Advice(Command("gate", "--against", "v1.4.0"), " or ", Command("gate", "--plan", "plan.json"))
        raise UsageError("gate needs --against REF or --plan FILE", fix=fix, code="usage.arguments")
    unused = ["--evidence"] if arguments.evidence else []
    unused += ["--offline"] if arguments.offline else []
    if arguments.against is None and unused:
        message = f"{' and '.join(unused)} has no effect without --against: a plan is judged from its file alone"
        raise UsageError(message, fix=f"leave out {' and '.join(unused)}, or add --against REF", code="usage.arguments")


def _judge_pins(arguments: argparse.Namespace, console: Console) -> _Judged:
    from endpoints_gitops.operations.gate.base import release_base
    from endpoints_gitops.operations.gate.evidence import DEFAULT_NAME, EvidenceFiles, read_files
    from endpoints_gitops.operations.gate.pins import PinJudge, ask_server, pin_changes, places_in_lock

    with Consumer(arguments, console) as consumer:
        configuration, path = consumer.configuration, consumer.lock_path
        lock, default = consumer.lock or Lock(), configuration.folder / DEFAULT_NAME
        files = read_files(arguments.evidence, default)
        base = release_base(arguments.against, path)
        environments = None if consumer.is_whole else {settings.name for settings in consumer.environments}
        changes = pin_changes(base.lock or Lock(), lock, environments)
        mismatches, again = _by_pin(consumer.placed_mismatches()), _again(arguments)
        server = (
            None
            if arguments.offline
            else ask_server(consumer.sides(), changes, without_server=Command(*again.words, "--offline"))
        )
        paths = [Path(name) for name in arguments.evidence] or [default]
        judge = PinJudge(
            evidence=EvidenceFiles(
                repo=base.repo,
                tree=base.tree,
                folder=configuration.folder,
                files=files,
                wanted=shown(paths[0]),
                paths=configuration.evidence_paths,
                where=shown(configuration.path) if configuration.path else None,
            ),
            uses={(name, use.name): use for name, uses in consumer.uses.items() for use in uses},
            mismatches=mismatches,
            deprecated=_by_pin(consumer.deprecated()),
            apply_policy=consumer.judged,
            fail_on=consumer.judge.policy.fail_on or Severity.ERROR,
            server=server,
            lines=places_in_lock(read_regular_file(path).decode(), shown(path)) if consumer.lock else {},
            again=again,
            allow_unknown=arguments.allow_unknown,
            names_environments=len({change.pin.environment for change in changes} | {key[0] for key in mismatches}) > 1,
        )
        subjects = (*_work_tree(base, paths), *judge.subjects(changes))
    return _Judged(
        report=_report(base, changes, subjects, len(lock.pins), server), errors=server.errors if server else ()
    )


def _again(arguments: argparse.Namespace) -> Command:
    """This command line, to be repeated with one more option."""
    evidence = [word for name in arguments.evidence for word in ("--evidence", name)]
    options = [option for option in ("offline", "allow_unknown") if getattr(arguments, option)]
    plan = ("--plan", arguments.plan) if arguments.plan is not None else ()
    flags = (f"--{option.replace('_', '-')}" for option in options)
    return Command("gate", "--against", arguments.against, *plan, *evidence, *flags)


def _by_pin(placed: Iterable[Placed]) -> dict[PinKey, list[Finding]]:
    found: dict[PinKey, list[Finding]] = {}
    for environment, finding in placed:
        found.setdefault((environment or "", finding.endpoint), []).append(finding)
    return found


def _work_tree(base: ReleaseBase, evidence: Sequence[Path]) -> tuple[Subject, ...]:
    """A subject for a work tree that is not what a release of HEAD would contain; else none."""
    reasons = base.not_released(evidence)
    if not reasons:
        return ()
    return (Subject(name="work tree", verdict=Verdict.BLOCKED, change="is not HEAD", reasons=reasons),)


def _report(
    base: ReleaseBase,
    changes: Sequence[PinChange],
    subjects: Sequence[Subject],
    total: int,
    server: ServerAnswers | None,
) -> Report:
    verdict = _verdict(subjects)
    unasked = "" if server is not None or not changes else "; the server was not asked (--offline)"
    changed = f"{pins(len(changes))} changed since {base.what}" if changes else f"no pin changed since {base.what}"
    notes = []
    if base.lock is None:
        notes.append(f"{base.what} has no {shown(base.lock_path)}: every pin counts as added")
    if base.commit == base.repo.head:
        notes.append(f"{base.what} is HEAD itself: compare with the commit that was released last")
    return Report(
        title="gate",
        verdict=verdict,
        answer=f"{_ANSWERS[verdict]}; {changed}{unasked}",
        subjects=tuple(subjects),
        counts={**_counted(subjects), "unchanged": total - sum(change.after is not None for change in changes)},
        details=(Detail("last release", base.what), Detail("commit", base.repo.head[:12])),
        notes=tuple(notes),
    )


def _judge_plan(arguments: argparse.Namespace, console: Console) -> _Judged:
    from endpoints_gitops.cli.against import known_callers
    from endpoints_gitops.cli.context import CommandContext
    from endpoints_gitops.cli.plans import read_saved_plan
    from endpoints_gitops.operations.gate.plan import (
        plan_consequences,
        plan_notes,
        plan_subjects,
        refuse_other_environment,
    )
    from endpoints_gitops.plan.diff import Revision

    path = Path(arguments.plan)
    with CommandContext.of(arguments, console) as context:
        plan = read_saved_plan(path)
        refuse_other_environment(plan, context.environment)
        definitions = context.existing_definitions
        local = {loaded.name: Revision.local(loaded, context.environment.name) for loaded in definitions}
        callers, judge = known_callers(context), context.judge
        found = plan_consequences(
            plan,
            local,
            callers,
            today=context.today,
            deprecation=context.configuration.deprecation,
            allow_unknown=arguments.allow_unknown,
        )
        comments = tuple(ignore for loaded in definitions for ignore in loaded.ignores)
        judged = judge.apply(found, comments=comments).judged
        subjects = plan_subjects(plan, judged, callers, judge.policy.fail_on or Severity.ERROR)
    return _Judged(report=_plan_report(plan, path, subjects, plan_notes(plan)))


def _plan_report(plan: Plan, path: Path, subjects: tuple[Subject, ...], notes: tuple[str, ...]) -> Report:
    verdict = _verdict(subjects)
    effect = "can hurt a caller" if verdict is Verdict.BLOCKED else "hurts no known caller"
    answer = f"applying {shown(path)} {effect}" if subjects else f"{shown(path)} changes nothing"
    return Report(
        title="gate",
        verdict=verdict,
        answer=answer,
        subjects=subjects,
        counts=_counted(subjects),
        details=(Detail("plan", f"{shown(path)}, for {plan.environment}"),),
        notes=notes,
    )


def _counted(subjects: Sequence[Subject]) -> dict[str, int]:
    verdicts = [subject.verdict for subject in subjects]
    return {verdict.value: verdicts.count(verdict) for verdict in _ANSWERS}


def _verdict(subjects: Sequence[Subject]) -> Verdict:
    """Unknown outweighs blocked, as exit code 4 outweighs 1."""
    verdicts = {subject.verdict for subject in subjects}
    return next((verdict for verdict in (Verdict.UNKNOWN, Verdict.BLOCKED) if verdict in verdicts), Verdict.RELEASED)


def _merged(reports: Sequence[Report]) -> Report:
    first, *others = reports
    for report in others:
        counts = {
            key: first.counts.get(key, 0) + report.counts.get(key, 0) for key in {**first.counts, **report.counts}
        }
        subjects = (*first.subjects, *report.subjects)
        first = replace(
            first,
            verdict=_verdict(subjects),
            answer=f"{first.answer}; {report.answer}",
            subjects=subjects,
            counts=counts,
            details=(*first.details, *report.details),
            notes=(*first.notes, *report.notes),
        )
    return first
