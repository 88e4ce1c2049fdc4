"""`delete NAME…`: delete endpoints permanently. Asks for each name again, unless --yes is given."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from endpoints_gitops.cli.commands.activate import report
from endpoints_gitops.cli.console import Console, Line, Style
from endpoints_gitops.cli.context import CommandContext
from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.outcome import Outcome

if TYPE_CHECKING:
    from endpoints_gitops.model.endpoint import Endpoint


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the endpoints."""
    parser.add_argument("names", nargs="+", metavar="NAME", help="the endpoints; names only, no globs")


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Have every name confirmed, delete the endpoints, and print a line for each."""
    from endpoints_gitops.operations.lifecycle import delete, present

    with CommandContext.of(arguments, console) as context:
        endpoints = present(context.client, arguments.names)
        context.announce()
        if not arguments.yes:
            _confirm(endpoints, console)
        done = delete(context.client, endpoints, progress=context.progress)
    return report("delete", done, console)


def _confirm(endpoints: Sequence[Endpoint], console: Console) -> None:
    """Raise UsageError unless the user types every name again."""
    if not console.interactive:
        raise UsageError(
            "deleting cannot be undone and needs a confirmation; stdin is not a terminal",
            fix="add --yes, or run it in a terminal; `deactivate` can be undone",
            code="usage.unconfirmed",
        )
    for endpoint in endpoints:
        versions = f"{endpoint.current_version} version{'s' if endpoint.current_version > 1 else ''}"
        console.warn(Line(f"{endpoint.name} and its {versions} will be deleted for good.", Style.WARN))
        if console.ask_for("Type the name to delete it:") != endpoint.name:
            raise UsageError("the name does not match; nothing was deleted", code="usage.unconfirmed")
