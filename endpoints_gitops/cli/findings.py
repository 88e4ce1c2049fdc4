"""Findings on the screen and in JSON, and what `--fail-on` makes of them."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from endpoints_gitops.cli.console import Line, Style
from endpoints_gitops.errors import ExitCode
from endpoints_gitops.model.finding import Finding, Severity, finding_counts
from endpoints_gitops.model.json import JsonObject
from endpoints_gitops.reports import finding_text
from endpoints_gitops.reports.finding_text import finding_lines, is_shown

if TYPE_CHECKING:
    from datetime import date

    from endpoints_gitops.model.policy import Policy
    from endpoints_gitops.operations.callers import Callers

lines: Final = finding_lines
summary: Final = finding_counts


def configure(parser: argparse.ArgumentParser) -> None:
    """Add --fail-on."""
    parser.add_argument(
        "--fail-on",
        choices=[severity.value for severity in reversed(Severity)],
        help="exit with 1 for findings of this severity or above (default: fail_on of the configuration, else error)",
    )


def fail_on(arguments: argparse.Namespace, policy: Policy) -> Severity:
    """The severity from which findings fail: of the command line, else of the configuration, else error."""
    return Severity(arguments.fail_on) if arguments.fail_on else policy.fail_on or Severity.ERROR


def shown(findings: Iterable[Finding], *, verbose: bool) -> list[Finding]:
    """The findings to print: infos, and those that an ignore leaves out, only with --verbose."""
    return [finding for finding in findings if is_shown(finding, verbose=verbose)]


def caller_lines(callers: Callers, findings: Iterable[Finding], today: date) -> Iterator[Line]:
    """The known callers of each endpoint with a finding: which version they pin, what they read, when last seen.

    Of an endpoint that no consumer of the registry uses, there are none.
    """
    for name in dict.fromkeys(finding.endpoint for finding in findings):
        known = callers.of_endpoint(name)
        if all(caller.collected is None for _, caller in known):
            continue
        yield Line(f"callers of {name}:", Style.FAINT)
        for environment, caller in known:
            yield Line(f"  {caller.described(today)} ({environment})", Style.FAINT)


def counted(findings: Iterable[Finding], *, verbose: bool = True) -> str:
    """The numbers in words, and how to see those that are not shown; empty without findings."""
    findings = tuple(findings)
    numbers, text = summary(findings), finding_text.counted(findings)
    hidden = {"infos": "the infos", "ignored": "the ignored ones"}
    names = [name for key, name in hidden.items() if numbers[key] and not verbose]
    return f"{text} (--verbose shows {' and '.join(names)})" if names else text


def items(findings: Iterable[Finding]) -> tuple[JsonObject, ...]:
    return tuple(finding.as_json() for finding in findings)


def exit_code(findings: Iterable[Finding], fail_on: Severity) -> ExitCode:
    """1 if a finding that counts has this severity or a higher one."""
    return ExitCode.FINDINGS if any(finding.fails(fail_on) for finding in findings) else ExitCode.DONE
