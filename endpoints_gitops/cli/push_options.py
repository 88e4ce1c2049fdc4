"""What `plan` and `push` take alike: which endpoints, and what is done only when it is asked for."""

from __future__ import annotations

import argparse

from endpoints_gitops.cli.arguments import add_selectors
from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.finding import Severity
from endpoints_gitops.model.name import is_endpoint_name
from endpoints_gitops.plan.planning import Overwrite, PlanOptions


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_selectors(parser)
    parser.add_argument(
        "--prune",
        action="store_true",
        help="deactivate endpoints whose file was deleted",
    )
    parser.add_argument(
        "--overwrite",
        action="append",
        metavar="NAME@VERSION,…",
        help="write over drift and conflicts: of all that is selected, or of these while that version is current",
    )
    parser.add_argument("--fail-on-drift", action="store_true", help="exit with 6 if only the server changed something")
    parser.add_argument(
        "--fail-on",
        choices=[severity.value for severity in reversed(Severity)],
        help="do not write an endpoint with a finding of this severity, about callers too, and exit with 1 "
        "(without it: only what is wrong with the definition itself)",
    )
    parser.add_argument("--allow-cosmetic", action="store_true", help="send queries that differ in formatting only")
    parser.add_argument(
        "--shared-variables", action="store_true", help="change shared variables too, for every endpoint that uses them"
    )


def plan_options(arguments: argparse.Namespace) -> PlanOptions:
    """What the command line allows. Raises UsageError for an --overwrite that names no version."""
    return PlanOptions(
        overwrite=_overwrite(arguments.overwrite or []),
        prune=arguments.prune,
        allow_cosmetic=arguments.allow_cosmetic,
        shared_variables=arguments.shared_variables,
    )


def _overwrite(said: list[str]) -> Overwrite:
    """Bare means everything; several mean all of what they name."""
    named = [part.strip() for text in said for part in text.split(",") if part.strip()]
    return Overwrite(everything="" in said, versions=dict(map(_named_version, named)))


def _named_version(text: str) -> tuple[str, int]:
    name, at, number = text.rpartition("@")
    if not (at and is_endpoint_name(name) and number.isascii() and number.isdigit() and len(number) < 10):
        raise UsageError(
            f"--overwrite takes NAME@VERSION, not {text!r}",
            fix="name the version to overwrite, as in --overwrite=revenue@3; diff shows it",
            code="usage.overwrite",
        )
    return name, int(number)
