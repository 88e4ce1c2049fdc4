"""`conformance`: check the known facts about the server on a real project, and write a report."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.cli.arguments import seconds
from endpoints_gitops.cli.console import Console, Line, Style
from endpoints_gitops.cli.context import CommandContext
from endpoints_gitops.errors import ExitCode, UsageError, worst
from endpoints_gitops.model.json import Json
from endpoints_gitops.model.outcome import ErrorEntry, Outcome, failures_of

if TYPE_CHECKING:
    from endpoints_gitops.conformance.report import ConformanceReport
    from endpoints_gitops.conformance.trial import FactResult, Trial
    from endpoints_gitops.model.fact import Fact

_REQUESTS_A_FACT: Final = 3
_LONGEST: Final = 300


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the facts and the path of the report."""
    parser.add_argument(
        "facts", nargs="*", metavar="FACT", help="globs over facts or headings of docs/server.md (default: all)"
    )
    parser.add_argument("-o", "--out", metavar="FILE", help="the report (default: conformance-DATE.json)")
    parser.add_argument(
        "--build-wait", metavar="SECONDS", type=seconds, default=300.0,
        help="wait this long for a table to be built (default: 300)",
    )  # fmt: skip
    parser.add_argument(
        "--remove-leftovers", action="store_true", help="try nothing; delete what runs that were killed left behind"
    )
    parser.epilog = (
        "Take a project that may be written to, not production. Everything that a run creates has conformance_XXXX_ in "
        "its name and is deleted again, also after Ctrl-C; nothing else is touched. The report holds no key, no names "
        "and no addresses of people. Exit codes: 0 all that was tried holds, 1 something differs, 5 something could "
        "not be deleted."
    )


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Ask before anything is created, check the facts, and write and print the report."""
    from endpoints_gitops.conformance.facts import all_facts, select
    from endpoints_gitops.conformance.server import ConformanceProject
    from endpoints_gitops.conformance.trial import Trial

    facts = [fact for fact in select(all_facts(), arguments.facts) if not fact.is_local]
    if not facts:
        message = f"no fact is called {' or '.join(arguments.facts)}"
        raise UsageError(message, fix=Advice(Command("conformance", "creating: *")), code="usage.arguments")
    _refuse_folder(arguments.out)
    with CommandContext.of(arguments, console) as context:
        trial = Trial(server=ConformanceProject(context.client), build_seconds=arguments.build_wait)
        if arguments.remove_leftovers:
            return _remove_leftovers(context, trial)
        _confirm(context, trial, facts)
        return _try(context, trial, facts)


def _refuse_folder(out: str | None) -> None:
    """Raise UsageError if the report cannot be written: before minutes of requests, not after them."""
    if out is not None and (Path(out).is_dir() or not Path(out).parent.is_dir()):
        message = f"the report cannot be written to {out}"
        raise UsageError(message, fix="name a file in a folder that is there", code="usage.arguments")


def _confirm(context: CommandContext, trial: Trial, facts: Sequence[Fact]) -> None:
    """Raise UsageError unless the user confirms, and any error of using the key in this project."""
    access = context.access
    context.client.check_access()
    question = (
        f"This creates and deletes endpoints and shared variables called {trial.token}… in project "
        f"{access.project_id} at {access.host}, with about {_REQUESTS_A_FACT * len(facts)} requests. Continue?"
    )
    if not context.console.confirm(question, yes=context.arguments.yes):
        raise UsageError("not confirmed; nothing was written", code="usage.unconfirmed")


def _try(context: CommandContext, trial: Trial, facts: Sequence[Fact]) -> Outcome:
    from endpoints_gitops.conformance.report import try_facts
    from endpoints_gitops.workspace.files import shown, write_atomically

    context.announce()
    report = try_facts(trial, facts, listener=_TrialProgress(context, len(facts)))
    context.progress.finished()
    context.console.show(_lines(report))
    path = Path(context.arguments.out or f"conformance-{report.date:%Y-%m-%dT%H%M%S}.json")
    document = json.dumps(report.to_json(), indent=2, ensure_ascii=False) + "\n"
    write_atomically(path, context.access.key.masked_in(document).encode("utf-8"))
    context.console.say(f"{report.requests} requests; the report is {shown(path)}")
    return _outcome(report)


def _outcome(report: ConformanceReport) -> Outcome:
    from endpoints_gitops.conformance.trial import TrialVerdict

    differing = report.count(TrialVerdict.DIFFERS)
    codes = [ExitCode.FINDINGS] if differing else []
    failures = list(failures_of(report.error)) if report.error else []
    codes += [report.error.exit_code] if report.error else []
    if report.left:
        codes.append(ExitCode.PARTLY_APPLIED)
        message = f"could not be deleted: {', '.join(report.left)}"
        fix = Advice(Command("conformance", "--remove-leftovers"))
        failures.append(ErrorEntry(code="conformance.left", message=message, fix=fix))
    if report.is_interrupted:
        codes.append(ExitCode.INTERRUPTED)
        failures.append(ErrorEntry(code="interrupted", message="interrupted; what was tried by then is in the report"))
    summary = {verdict.value.replace(" ", "_"): report.count(verdict) for verdict in TrialVerdict}
    return Outcome(
        command="conformance",
        exit_code=worst(*codes),
        summary=summary | {"requests": report.requests},
        items=report.facts_as_json(),
        errors=tuple(failures),
    )


def _lines(report: ConformanceReport) -> Iterator[Line]:
    """A line for each heading, then the facts that differ, with both answers."""
    from endpoints_gitops.conformance.report import without_people
    from endpoints_gitops.conformance.trial import TrialVerdict

    for heading, counts in report.counts_by_heading().items():
        numbers = ", ".join(f"{counts[verdict]} {verdict.value}" for verdict in TrialVerdict if counts[verdict])
        yield Line(f"{heading:16}{numbers}", Style.WARN if counts[TrialVerdict.DIFFERS] else Style.PLAIN)
    for result in report.results:
        if result.verdict is TrialVerdict.DIFFERS:
            yield Line("")
            yield Line(f"{result.fact.id} (docs/server.md#{result.fact.about})", Style.HEAD)
            yield Line(
                f"  {result.request['method']} {result.request['path']} {_short(result.request['body'])}".rstrip()
            )
            yield from (Line(f"  {difference}", Style.BAD) for difference in result.differences)
            yield Line(f"  expected  {_short(result.expected)}")
            yield Line(f"  received  {_short(without_people(result.received))}")
    yield from _untried(report)


def _untried(report: ConformanceReport) -> Iterator[Line]:
    """The facts that were not tried, grouped by reason."""
    by_reason: dict[str, list[str]] = {}
    for result in report.results:
        if result.reason is not None:
            by_reason.setdefault(result.reason, []).append(result.fact.id)
    for reason, names in by_reason.items():
        subject = names[0] if len(names) == 1 else f"{len(names)} facts"
        yield Line(f"not tried: {subject}: {reason}", Style.FAINT)


def _short(value: Json) -> str:
    if value is None:
        return ""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _remove_leftovers(context: CommandContext, trial: Trial) -> Outcome:
    """Delete what killed runs left behind, after asking."""
    names = trial.leftovers()
    if not names:
        context.console.say("nothing was left behind")
        return Outcome(command="conformance")
    context.console.show(names)
    access = context.access
    question = f"Delete these {len(names)} from project {access.project_id} at {access.host}?"
    if not context.console.confirm(question, yes=context.arguments.yes):
        raise UsageError("not confirmed; nothing was deleted", code="usage.unconfirmed")
    left = trial.remove_leftovers()
    context.console.say(f"deleted: {len(names) - len(left)}")
    failures = (
        (ErrorEntry(code="conformance.left", message=f"could not be deleted: {', '.join(left)}"),) if left else ()
    )
    code = ExitCode.PARTLY_APPLIED if left else ExitCode.DONE
    return Outcome(command="conformance", exit_code=code, summary={"left": len(left)}, errors=failures)


@dataclass(slots=True)
class _TrialProgress:
    """Reports the progress of a trial to the progress of the console."""

    context: CommandContext
    total: int
    is_started: bool = False

    def tried(self, result: FactResult) -> None:
        if not self.is_started:
            self.context.progress.started("trying facts", self.total)
            self.is_started = True
        self.context.progress.advanced(result.fact.id, result.verdict.value)

    def removing(self) -> None:
        self.context.console.say("deleting what was created")
