"""`delete NAME…`: delete endpoints for good. Asks for each name again; --yes is the answer of a script."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from endpoints_gitops.cli.commands.activate import told
from endpoints_gitops.cli.console import Console, Line, Style
from endpoints_gitops.cli.context import CommandContext
from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.outcome import Outcome

if TYPE_CHECKING:
    from endpoints_gitops.model.endpoint import Endpoint


def configure(parser: argparse.ArgumentParser) -> None:
    """Which endpoints."""
    parser.add_argument("names", nargs="+", metavar="NAME", help="the endpoints; names only, no globs")


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Delete them after all have been confirmed, and say so, one line each."""
    from endpoints_gitops.operations.lifecycle import delete, present

    with CommandContext.of(arguments, console) as context:
        endpoints = present(context.client, arguments.names)
        context.announce()
        if not arguments.yes:
            _confirm(endpoints, console)
        done = delete(context.client, endpoints, progress=context.progress)
    return told("delete", done, console)


def _confirm(endpoints: Sequence[Endpoint], console: Console) -> None:
    """Raises UsageError unless every name was typed once more."""
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
