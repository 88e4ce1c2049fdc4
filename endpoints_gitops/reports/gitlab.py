"""GitLab code quality: a list of issues for `artifacts: reports: codequality`."""

from __future__ import annotations

from collections import Counter
from typing import Final

from endpoints_gitops.model.finding import Severity
from endpoints_gitops.model.json import Json, JsonObject
from endpoints_gitops.model.outcome import Outcome
from endpoints_gitops.model.printable import printable
from endpoints_gitops.reports import Invocation
from endpoints_gitops.reports.content import NO_FILE, Issue, issues_of
from endpoints_gitops.reports.json import document, parsed

_SEVERITIES: Final = {Severity.ERROR: "critical", Severity.WARN: "minor", Severity.INFO: "info"}
_FAILURE: Final = "blocker"
"""The severity of what could not be read or asked."""


def render(outcome: Outcome, invocation: Invocation) -> str:
    """The list. It is empty only for a good verdict without findings."""
    del invocation
    seen: Counter[str] = Counter()
    entries: list[Json] = []
    for issue in issues_of(outcome):
        seen[issue.fingerprint] += 1
        entries.append(_entry(issue, seen[issue.fingerprint]))
    return document(entries)


def is_report(text: str) -> bool:
    """Whether it is a list of such issues."""
    value = parsed(text)
    keys = {"check_name", "fingerprint", "description"}
    return isinstance(value, list) and all(isinstance(entry, dict) and keys <= entry.keys() for entry in value)


def _entry(issue: Issue, number: int) -> JsonObject:
    """`number` tells issues with the same fingerprint from each other, which GitLab would merge."""
    fix = f" (fix: {issue.fix})" if issue.fix else ""
    subject = f"{issue.subject}: " if issue.subject else ""
    return {
        "description": printable(f"{subject}{issue.message}{fix}"),
        "check_name": printable(issue.code),
        "fingerprint": issue.fingerprint if number == 1 else f"{issue.fingerprint}-{number}",
        "severity": _FAILURE if issue.is_failure else _SEVERITIES[issue.severity],
        "location": {
            "path": printable(issue.location.path) if issue.location else NO_FILE,
            "lines": {"begin": (issue.location and issue.location.line) or 1},
        },
    }
