"""Arguments that several commands take, and the types of their values."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from endpoints_gitops.errors import UsageError

if TYPE_CHECKING:
    from datetime import datetime

    from endpoints_gitops.plan.planning import Overwrite, PlanOptions


def _whole_number(text: str, least: int, what: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) >= least):
        raise argparse.ArgumentTypeError(f"{text!r} is not a {what}; expected a whole number of at least {least}")
    return int(text)


def _numbered(what: str, least: int) -> Callable[[str], int]:
    return lambda text: _whole_number(text, least, what)


version_number = _numbered("version", 1)
row_count = _numbered("number of rows", 1)
event_count = _numbered("number of events", 1)
day_count = _numbered("number of days", 1)
row_offset = _numbered("offset", 0)


def add_selectors(parser: argparse.ArgumentParser) -> None:
    """Add the selectors: endpoints by name, tag, path or change."""
    parser.add_argument(
        "selectors",
        nargs="*",
        metavar="SELECTOR",
        help="a name, a glob, tag:TAG, a path, or changed:REF; none means all",
    )


def clock_time(text: str) -> datetime:
    """The time at which the clock of queries stands still."""
    from endpoints_gitops.local import clock

    try:
        return clock.clock_time(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def seconds(text: str) -> float:
    """A number of seconds to wait: finite, and above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return number


def add_plan_options(parser: argparse.ArgumentParser) -> None:
    """Add what `plan` and `push` take alike: which endpoints, and what is done only on request."""
    from endpoints_gitops.model.finding import Severity

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
    """The plan options of a command line. Raises UsageError for an --overwrite that names no version."""
    from endpoints_gitops.plan.planning import PlanOptions

    return PlanOptions(
        overwrite=_overwrite(arguments.overwrite or []),
        prune=arguments.prune,
        allow_cosmetic=arguments.allow_cosmetic,
        shared_variables=arguments.shared_variables,
    )


def _overwrite(values: list[str]) -> Overwrite:
    """An --overwrite without a value means everything; several add up."""
    from endpoints_gitops.plan.planning import Overwrite

    named = [part.strip() for text in values for part in text.split(",") if part.strip()]
    return Overwrite(everything="" in values, versions=dict(map(_named_version, named)))


def _named_version(text: str) -> tuple[str, int]:
    from endpoints_gitops.model.name import is_endpoint_name

    name, at, number = text.rpartition("@")
    if not (at and is_endpoint_name(name) and number.isascii() and number.isdigit() and len(number) < 10):
        raise UsageError(
            f"--overwrite takes NAME@VERSION, not {text!r}",
            fix="name the version to overwrite, as in --overwrite=revenue@3; diff shows it",
            code="usage.overwrite",
        )
    return name, int(number)
