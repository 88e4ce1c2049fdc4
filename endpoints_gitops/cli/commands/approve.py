"""`approve FINGERPRINT… --reason TEXT`: approve findings in the configuration, so that they no longer fail."""

from __future__ import annotations

import argparse
from datetime import date

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.cli.console import Console, Line, Style
from endpoints_gitops.cli.context import CommandContext
from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.json import JsonObject
from endpoints_gitops.model.outcome import Outcome
from endpoints_gitops.model.policy import Approval, iso_date
from endpoints_gitops.workspace.policy import fingerprint_mistake


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the fingerprints, the reason, and who approves until when."""
    parser.add_argument(
        "fingerprints",
        nargs="+",
        metavar="FINGERPRINT",
        type=_fingerprint,
        help="the fingerprint of a finding, as `breaking` shows it",
    )
    parser.add_argument("--reason", required=True, metavar="TEXT", type=_text, help="why the change is acceptable")
    parser.add_argument("--by", metavar="NAME", type=_text, help="who approves (default: user.name of git)")
    parser.add_argument("--until", metavar="DATE", type=_date, help="the last day on which the approval counts")


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Write the approvals, and print where. What is approved already stays as it is. Makes no request."""
    from endpoints_gitops.operations.approve import Decision, approve, author_of

    with CommandContext.of(arguments, console) as context:
        path, judge = context.configuration.path, context.judge
        if path is None:
            message = "there is no configuration that could hold the approval"
            raise UsageError(message, fix=Advice(Command("init")), code="configuration.missing")
        if arguments.until is not None and arguments.until < judge.today:
            raise UsageError(f"--until {arguments.until} has passed", code="usage.arguments")
        by = arguments.by or author_of(path.parent)
        if by is None:
            raise UsageError("git does not say who approves", fix="add --by NAME", code="usage.arguments")
        present = {word: judge.approval_of(word) for word in dict.fromkeys(arguments.fingerprints)}
        missing = [word for word, approval in present.items() if approval is None]
        decision = Decision(reason=arguments.reason, by=by, until=arguments.until)
        added = approve(path, missing, decision) if missing else ()
    for approval in added:
        console.show([Line(f"{approval.where}: {approval.fingerprint} approved by {approval.by}", Style.GOOD)])
    already = [approval for approval in present.values() if approval is not None]
    for approval in already:
        console.show([Line(f"{approval.where}: {approval.fingerprint} is already approved by {approval.by}")])
    return Outcome(
        command="approve",
        summary={"added": len(added), "already": len(already)},
        items=(
            *(_item(approval, "added") for approval in added),
            *(_item(approval, "already") for approval in already),
        ),
    )


def _item(approval: Approval, state: str) -> JsonObject:
    return {
        "fingerprint": approval.fingerprint,
        "state": state,
        "reason": approval.reason,
        "by": approval.by,
        "until": approval.until.isoformat() if approval.until else None,
        "where": str(approval.where),
    }


def _fingerprint(text: str) -> str:
    if mistake := fingerprint_mistake(text.lower()):
        raise argparse.ArgumentTypeError(mistake)
    return text.lower()


def _text(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty; later readers need it")
    return text.strip()


def _date(text: str) -> date:
    if (value := iso_date(text)) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date such as 2027-01-31")
    return value
