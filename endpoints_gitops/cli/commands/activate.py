"""`activate NAME…` and `deactivate NAME…`: switch endpoints, or one version of one, on and off."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from endpoints_gitops.cli.arguments import version_number
from endpoints_gitops.cli.console import Console, Line, Style
from endpoints_gitops.cli.context import CommandContext
from endpoints_gitops.errors import ExitCode, UsageError, worst
from endpoints_gitops.model.outcome import Outcome, failures_of_all

if TYPE_CHECKING:
    from endpoints_gitops.model.endpoint import Endpoint
    from endpoints_gitops.operations.lifecycle import LifecycleResult


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the names, and the version."""
    parser.add_argument("names", nargs="+", metavar="NAME", help="the endpoints")
    parser.add_argument("--version", type=version_number, metavar="N", help="only this version; for one endpoint")


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Activate or deactivate, and print a line for each endpoint."""
    from endpoints_gitops.operations.lifecycle import present, set_active

    names, number, active = arguments.names, arguments.version, arguments.command == "activate"
    if number is not None and len(set(names)) > 1:
        raise UsageError("--version works with one endpoint", fix="name a single endpoint", code="usage.arguments")
    with CommandContext.of(arguments, console) as context:
        endpoints = present(context.client, names)
        context.announce()
        done = set_active(context.client, endpoints, active=active, version=number, progress=context.progress)
    if not active and number is None:
        console.say(*(f"note: {name} is no longer materialised" for name in _torn_down(endpoints, done)))
    return report(arguments.command, done, console, version=number)


def _torn_down(endpoints: Sequence[Endpoint], done: Sequence[LifecycleResult]) -> Iterator[str]:
    """Endpoints that lost their table because they were deactivated (docs/server.md#versions)."""
    for endpoint, one in zip(endpoints, done, strict=True):
        if endpoint.is_active and endpoint.materialization.is_on and not one.error:
            yield endpoint.name


def report(command: str, done: Sequence[LifecycleResult], console: Console, version: int | None = None) -> Outcome:
    """Print the result for each endpoint. If some succeeded and others failed, the command is partly applied."""
    at = "" if version is None else f"@{version}"
    console.show(Line(f"{result.name}{at} {result.state}", Style.GOOD) for result in done if not result.error)
    errors = [(result.name, result.error) for result in done if result.error]
    codes = [error.exit_code for _, error in errors]
    if errors and len(errors) < len(done):
        codes.append(ExitCode.PARTLY_APPLIED)
    return Outcome(
        command=command,
        exit_code=worst(*codes),
        summary={"done": len(done) - len(errors), "failed": len(errors)},
        items=tuple({"name": result.name, "version": version, "state": result.state} for result in done),
        errors=tuple(failures_of_all(errors)),
    )
