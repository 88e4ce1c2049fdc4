"""`explain CODE`: what an error code, an exit code or a word of this tool means, and what to do about it."""

from __future__ import annotations

import argparse
import difflib
import inspect
from collections.abc import Iterator

from endpoints_gitops.cli.console import Console
from endpoints_gitops.cli.explanations import TOPICS
from endpoints_gitops.errors import EndpointsError, ExitCode, UsageError
from endpoints_gitops.model.outcome import Outcome


def configure(parser: argparse.ArgumentParser) -> None:
    """What to explain."""
    parser.add_argument("code", metavar="CODE", help="an error code, an exit code, or a word such as drifted")


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Print the explanation; an unknown code is a usage error that names the nearest known one."""
    topics = TOPICS | dict(_error_classes())
    code = arguments.code.lower()
    if code not in topics:
        near = difflib.get_close_matches(code, topics, n=3)
        fix = f"did you mean {', '.join(near)}?" if near else f"known are {', '.join(sorted(topics))}"
        raise UsageError(f"nothing is known of {arguments.code!r}", fix=fix, code="usage.explain")
    console.show([f"{code}", "", *topics[code].splitlines()])
    return Outcome(command="explain", items=({"code": code, "text": topics[code]},))


def _error_classes() -> Iterator[tuple[str, str]]:
    """Each error class explains itself: its docstring, and the exit code it ends in."""
    import endpoints_gitops.api.errors  # noqa: F401 - defines the API's classes of errors, found below

    pending: list[type[EndpointsError]] = [EndpointsError]
    while pending:
        error = pending.pop()
        pending += error.__subclasses__()
        exit_code = ExitCode(error.exit_code)
        text = inspect.cleandoc(error.__doc__ or "")
        yield error.code, f"{text}\n\nEnds in exit code {int(exit_code)} ({exit_code.name.lower().replace('_', ' ')})."
