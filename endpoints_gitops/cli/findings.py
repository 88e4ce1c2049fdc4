"""Findings on the screen and in JSON, and what `--fail-on` makes of them."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Final

from endpoints_gitops.errors import ExitCode
from endpoints_gitops.model.finding import Finding, Severity
from endpoints_gitops.model.json import JsonObject
from endpoints_gitops.reports.text import finding_lines

lines: Final = finding_lines
_COUNTED: Final = {Severity.ERROR: "error", Severity.WARN: "warning", Severity.INFO: "info"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add --fail-on."""
    parser.add_argument(
        "--fail-on",
        choices=[severity.value for severity in reversed(Severity)],
        default=Severity.ERROR.value,
        help="exit with 1 for findings of this severity or above (default: error)",
    )


def shown(findings: Iterable[Finding], *, verbose: bool) -> list[Finding]:
    """The findings to print: infos only with --verbose."""
    return [finding for finding in findings if verbose or finding.severity is not Severity.INFO]


def summary(findings: Iterable[Finding]) -> dict[str, int]:
    """The number of findings of each severity."""
    severities = [finding.severity for finding in findings]
    return {f"{word}s": severities.count(severity) for severity, word in _COUNTED.items()}


def counted(findings: Iterable[Finding], *, verbose: bool = True) -> str:
    """The numbers in words, and how to see infos that are not shown; empty without findings."""
    severities = [finding.severity for finding in findings]
    counts = ((severities.count(severity), word) for severity, word in _COUNTED.items())
    text = ", ".join(f"{count} {word}{'s' if count != 1 else ''}" for count, word in counts if count)
    is_hidden = not verbose and Severity.INFO in severities
    return f"{text} (--verbose shows the infos)" if is_hidden else text


def items(findings: Iterable[Finding]) -> tuple[JsonObject, ...]:
    return tuple(finding.as_json() for finding in findings)


def exit_code(findings: Iterable[Finding], fail_on: str) -> ExitCode:
    """1 if a finding has this severity or a higher one."""
    least = Severity(fail_on).rank
    return ExitCode.FINDINGS if any(finding.severity.rank >= least for finding in findings) else ExitCode.DONE
