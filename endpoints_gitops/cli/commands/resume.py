"""`resume`: finish a push that was interrupted or failed, without doing anything twice."""

from __future__ import annotations

import argparse

from endpoints_gitops.cli import plans, pushes
from endpoints_gitops.cli.console import Console
from endpoints_gitops.cli.context import CommandContext
from endpoints_gitops.cli.pushes import confirm, definitions_if_any
from endpoints_gitops.model.outcome import Outcome
from endpoints_gitops.operations.push.execute import left_to_do, resume


def configure(parser: argparse.ArgumentParser) -> None:
    """Add nothing: the journal has what is left."""
    del parser


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Show what is left, have it confirmed, and do it."""
    with CommandContext.of(arguments, console) as context:
        left = left_to_do(context.project)
        if left is not None:
            context.announce()
            console.say("left to do by the earlier push:", *plans.lines(left))
            confirm(context, left)
        result = resume(context.project, definitions_if_any(context))
    if result is None:
        console.show(["nothing to resume: no push of this checkout left anything to do"])
        return Outcome(command="resume")
    console.show(pushes.lines(result))
    return pushes.outcome("resume", result)
