"""`explain CODE`: what an error code, exit code, HTTP status, rule or term means, and what to do about it."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Iterator
from importlib import import_module

from endpoints_gitops.cli.console import Console
from endpoints_gitops.cli.explanations import FAMILIES, TOPICS, rules, statuses
from endpoints_gitops.cli.registry import COMMANDS
from endpoints_gitops.errors import EndpointsError, ExitCode, UsageError
from endpoints_gitops.model.outcome import Outcome
from endpoints_gitops.model.suggestions import closest

_DEFINE_ERRORS = (
    "endpoints_gitops.api.errors",
    "endpoints_gitops.codecs.recording",
    "endpoints_gitops.codecs.rewriting",
    "endpoints_gitops.consumer.errors",
    "endpoints_gitops.operations.file_edits",
    "endpoints_gitops.workspace.git",
    "endpoints_gitops.workspace.plugins",
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the code."""
    parser.add_argument(
        "code",
        nargs="+",
        metavar="CODE",
        help="an error code, an exit code, an HTTP status, a rule, or a word such as drifted",
    )


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Print the explanation. Raises UsageError for an unknown code, with the closest known one."""
    code = " ".join(arguments.code).lower()
    text = explanation(code)
    console.show([code, "", *text.splitlines()])
    return Outcome(command="explain", items=({"code": code, "text": text},))


def explanation(code: str) -> str:
    """All that stands for this code, else for its family. Raises UsageError where nothing is known of it.

    A word can be both a topic and a code: then the topic, which has the ways out, comes first.
    """
    catalog = rules()
    errors = {code: text for code, text in _error_classes() if code not in catalog}  # an error that is a rule's finding
    places = (TOPICS, errors, catalog, statuses())
    texts = [place[code] for place in places if code in place]
    family = code.partition(".")[0]
    if not texts and family in FAMILIES:
        texts = [FAMILIES[family]]
    elif not texts and family in COMMANDS:
        texts = [f"`{family}` ({COMMANDS[family].summary}) could not do that; its message says why, and what to do."]
    if texts:
        return "\n\n".join(texts)
    raise _unknown(code, [*(known for place in places for known in place), *FAMILIES])


def _unknown(code: str, known: list[str]) -> UsageError:
    near = closest(code, known, completes=False)
    words = ", ".join(sorted(TOPICS.keys() | FAMILIES.keys()))
    fix = f"did you mean {near}?" if near else f"it explains every error code, every rule, and {words}"
    return UsageError(f"unknown code {code!r}", fix=fix, code="usage.explain")


def _error_classes() -> Iterator[tuple[str, str]]:
    """The code of each error class with its docstring, remedy and exit code."""
    for module in _DEFINE_ERRORS:
        import_module(module)

    pending: list[type[EndpointsError]] = [EndpointsError]
    while pending:
        error = pending.pop()
        pending += error.__subclasses__()
        exit_code = ExitCode(error.exit_code)
        remedy = getattr(error, "remedy", None)
        yield (
            error.code.lower(),
            f"{inspect.cleandoc(error.__doc__ or '')}\n"
            + (f"\nWhat to do: {remedy}.\n" if remedy else "")
            + f"\nEnds in exit code {int(exit_code)} ({exit_code.name.lower().replace('_', ' ')}).",
        )
