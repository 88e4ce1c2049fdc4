"""`explain CODE`: what an error code, an exit code or a word of this tool means, and what to do about it."""

from __future__ import annotations

import argparse
import difflib
import inspect
from collections.abc import Iterator

from endpoints_gitops.cli.console import Console
from endpoints_gitops.cli.explanations import FAMILIES, TOPICS
from endpoints_gitops.cli.registry import COMMANDS
from endpoints_gitops.errors import EndpointsError, ExitCode, UsageError
from endpoints_gitops.model.outcome import Outcome


def configure(parser: argparse.ArgumentParser) -> None:
    """What to explain."""
    parser.add_argument(
        "code", nargs="+", metavar="CODE", help="an error code, an exit code, or a word such as drifted"
    )


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Print the explanation; an unknown code is a usage error that names the nearest known one."""
    code = " ".join(arguments.code).lower()
    text = explanation(code)
    console.show([code, "", *text.splitlines()])
    return Outcome(command="explain", items=({"code": code, "text": text},))


def explanation(code: str) -> str:
    """What stands for this code, else for its family. Raises UsageError where nothing is known of it."""
    topics = TOPICS | dict(_error_classes())
    family = code.partition(".")[0]
    if code in topics:
        return topics[code]
    if family in FAMILIES:
        return FAMILIES[family]
    if family in COMMANDS:
        return f"`{family}` ({COMMANDS[family].summary}) could not do that; its message says why, and what to do."
    near = difflib.get_close_matches(code, [*topics, *FAMILIES], n=3)
    words = ", ".join(sorted(TOPICS.keys() | FAMILIES.keys()))
    fix = f"did you mean {', '.join(near)}?" if near else f"it explains every error code, and {words}"
    raise UsageError(f"nothing is known of {code!r}", fix=fix, code="usage.explain")


def _error_classes() -> Iterator[tuple[str, str]]:
    """Each error class explains itself: its docstring, what to do, and the exit code it ends in."""
    import endpoints_gitops.api.errors  # noqa: F401 - defines the API's classes of errors, found below

    pending: list[type[EndpointsError]] = [EndpointsError]
    while pending:
        error = pending.pop()
        pending += error.__subclasses__()
        exit_code = ExitCode(error.exit_code)
        remedy = getattr(error, "remedy", None)
        yield (
            error.code,
            f"{inspect.cleandoc(error.__doc__ or '')}\n"
            + (f"\nWhat to do: {remedy}.\n" if remedy else "")
            + f"\nEnds in exit code {int(exit_code)} ({exit_code.name.lower().replace('_', ' ')}).",
        )
