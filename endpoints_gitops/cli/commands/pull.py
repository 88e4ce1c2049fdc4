"""`pull`: bring server changes into the definitions."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

from endpoints_gitops.cli import plans
from endpoints_gitops.cli.arguments import add_selectors
from endpoints_gitops.cli.console import Console, Line, Style
from endpoints_gitops.cli.context import CommandContext
from endpoints_gitops.model.json import Json, JsonObject
from endpoints_gitops.model.outcome import Outcome, failures_of
from endpoints_gitops.operations.compare import compare
from endpoints_gitops.operations.pull.decide import Prefer, PullState, PullStrategy
from endpoints_gitops.operations.pull.execute import PulledEndpoint, PullResult, pull

_STYLES = {
    PullState.CREATED: Style.GOOD,
    PullState.UPDATED: Style.GOOD,
    PullState.CONFLICT: Style.BAD,
    PullState.FAILED: Style.BAD,
    PullState.UNDECIDED: Style.WARN,
    PullState.GONE: Style.WARN,
}
_COUNTED = {
    PullState.UNCHANGED: "as the server has them",
    PullState.AHEAD: "ahead of the server: left as they are",
    PullState.ONLY_LOCAL: "only here: push creates them",
    PullState.PRUNED: "inactive, and their file is gone: pull NAME brings one back",
    PullState.DELETED: "deleted here: pull NAME brings one back",
    PullState.PREDECESSOR: "kept on the server for callers of an older name: no file for them",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the selectors, and which side wins when both changed."""
    add_selectors(parser)
    parser.add_argument("--dry-run", action="store_true", help="show what would be written, without writing it")
    side = parser.add_mutually_exclusive_group()
    side.add_argument("--theirs", action="store_true", help="where both changed, take the server's version")
    side.add_argument("--mine", action="store_true", help="where both changed, keep the file's version")


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Print a line for each file that changes and each endpoint that needs attention; count the others."""
    with CommandContext.of(arguments, console) as context:
        definitions = context.existing_definitions
        context.announce()
        comparison = compare(context.project, definitions, arguments.selectors)
        result = pull(
            context.project,
            comparison,
            definitions,
            _strategy(arguments),
            ask=lambda names: _asked(names, arguments, console),
            dry=arguments.dry_run,
        )
    for warning in result.warnings:
        console.warn(Line(warning, Style.WARN))
    console.show(_lines(result))
    console.say(*plans.reminders(comparison))
    if result.cosmetic:
        console.say(f"differs in formatting only, which is no difference: {', '.join(result.cosmetic)}")
    return _outcome(result)


def _strategy(arguments: argparse.Namespace) -> PullStrategy:
    prefer = Prefer.REMOTE if arguments.theirs else Prefer.LOCAL if arguments.mine else None
    return PullStrategy(prefer=prefer, guess_remote=arguments.yes and prefer is None)


def _asked(names: Sequence[str], arguments: argparse.Namespace, console: Console) -> bool:
    """Ask which side to take where the attribution is unknown; without a terminal, these endpoints stay as they are."""
    if arguments.dry_run or not console.interactive:
        return False
    question = f"Cannot tell whether the file or the server changed {', '.join(names)}. Take the server's?"
    return console.confirm(question, yes=False)


def _lines(result: PullResult) -> Iterator[Line | str]:
    for pulled in result.pulled:
        if pulled.state in _STYLES or pulled.state is PullState.KEPT:
            yield Line(_line(pulled, dry=result.dry), _STYLES.get(pulled.state, Style.PLAIN))
        for copy in pulled.copies:
            yield Line(f"  the file had an edit that no commit has; a copy is in {copy}", Style.WARN)
    for state, text in _COUNTED.items():
        count = sum(pulled.state is state for pulled in result.pulled)
        if count:
            yield f"{count} {text}"
    if result.outside:
        yield Line(f"{result.outside} outside of `manage`", Style.FAINT)
    if not result.pulled:
        yield "there are no files and no endpoints"


def _line(pulled: PulledEndpoint, *, dry: bool) -> str:
    what = (
        f"would be {pulled.state}"
        if dry and pulled.state in {PullState.CREATED, PullState.UPDATED}
        else pulled.state.value
    )
    if pulled.state is PullState.GONE:
        return f"{pulled.decision.name}: deleted on the server; its file stays: {pulled.path}"
    text = f"{pulled.decision.name}: {what}"
    keys = ", ".join(_taken(pulled))
    return f"{text}{f' ({keys})' if keys else ''}{f': {pulled.path}' if pulled.path else ''}"


def _taken(pulled: PulledEndpoint) -> list[str]:
    keys: list[str] = sorted(pulled.decision.taken)
    return [*keys, *(["variables"] if pulled.decision.takes_variables else [])]


def _outcome(result: PullResult) -> Outcome:
    return Outcome(
        command="pull",
        exit_code=result.exit_code,
        summary={**result.summary, "outside": result.outside},
        items=tuple(map(_item, result.pulled)),
        errors=tuple(failure for pulled in result.pulled if pulled.error for failure in failures_of(pulled.error)),
    )


def _item(pulled: PulledEndpoint) -> JsonObject:
    decision = pulled.decision
    against: list[Json] = [
        {
            "key": difference.key,
            "file": difference.local,
            "server": difference.remote,
            "reason": difference.reason,
            "known": difference.is_known,
        }
        for difference in decision.undecided
    ]
    endpoint = decision.diff.endpoint
    return {
        "name": decision.name,
        "state": pulled.state,
        "path": pulled.path,
        "version": endpoint.current_version if endpoint else None,
        "taken": list(_taken(pulled)),
        "kept": sorted(decision.kept),
        "ahead": list(decision.ahead),
        "conflicts": against,
        "copies": [str(copy) for copy in pulled.copies],
        "error": str(pulled.error) if pulled.error else None,
    }
