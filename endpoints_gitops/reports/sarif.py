"""SARIF 2.1.0, for GitHub code scanning and other viewers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

from endpoints_gitops import __version__
from endpoints_gitops.advice import PROGRAM
from endpoints_gitops.errors import ExitCode, Location
from endpoints_gitops.model.finding import Severity, Waiver
from endpoints_gitops.model.json import Json, JsonObject
from endpoints_gitops.model.outcome import Outcome
from endpoints_gitops.model.printable import printable
from endpoints_gitops.reports import Invocation
from endpoints_gitops.reports.content import NO_FILE, Issue, issues_of, report_of
from endpoints_gitops.reports.finding_text import waiver_text
from endpoints_gitops.reports.json import document, parsed

_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS: Final = {Severity.ERROR: "error", Severity.WARN: "warning", Severity.INFO: "note"}
_ROOT: Final = "%SRCROOT%"


def render(outcome: Outcome, invocation: Invocation) -> str:
    """A log with one run. What could not be read or asked is a notification, everything else a result."""
    issues = issues_of(outcome)
    results = [issue for issue in issues if not issue.is_failure]
    codes = list(dict.fromkeys(issue.code for issue in results))
    failures: list[Json] = [_notification(issue) for issue in issues if issue.is_failure]
    report = report_of(outcome)
    run: JsonObject = {
        "tool": {
            "driver": {
                "name": PROGRAM,
                "semanticVersion": __version__,
                "rules": [_rule(code, results) for code in codes],
            }
        },
        "automationDetails": {"id": _category(outcome, invocation)},
        "originalUriBaseIds": {_ROOT: {"description": {"text": "The folder that the checkout is in."}}},
        "invocations": [
            {
                "executionSuccessful": outcome.exit_code in (ExitCode.DONE, ExitCode.FINDINGS),
                "exitCode": int(outcome.exit_code),
                "exitCodeDescription": printable(report.headline),
                "toolExecutionNotifications": failures,
            }
        ],
        "columnKind": "unicodeCodePoints",
        "results": [_result(issue, codes) for issue in results],
        "properties": {"verdict": report.verdict.value},
    }
    return document({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]})


def is_report(text: str) -> bool:
    """Whether it is a log of this program."""
    value = parsed(text)
    runs = value.get("runs") if isinstance(value, dict) else None
    return isinstance(runs, list) and f'"name": "{PROGRAM}"' in text


def _category(outcome: Outcome, invocation: Invocation) -> str:
    """What keeps the results of two commands or environments apart where both are uploaded."""
    options = (word for option in invocation.options.items() for word in option)
    return printable("/".join((PROGRAM, outcome.command, *(word.strip("-") for word in options), "")))


def _rule(code: str, issues: Sequence[Issue]) -> JsonObject:
    from endpoints_gitops.contract.rules import RULES

    rule = RULES.get(code)
    if rule is None:  # of a plugin, or the reason for a verdict
        finding = next((issue.finding for issue in issues if issue.code == code), None)
        return {"id": printable(code), **({"name": printable(finding.slug)} if finding else {})}
    return {
        "id": rule.code,
        "name": rule.slug,
        "shortDescription": {"text": rule.summary},
        "fullDescription": {"text": rule.why},
        "help": {"text": f"{rule.summary} {rule.why}\n\nFix: {rule.fix}"},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
    }


def _result(issue: Issue, codes: Sequence[str]) -> JsonObject:
    finding = issue.finding
    about: JsonObject = {
        "subject": printable(issue.subject),
        **({"fix": printable(issue.fix)} if issue.fix else {}),
        **({"callers": [printable(caller) for caller in finding.callers]} if finding and finding.callers else {}),
        **({"also": [printable(locus) for locus in issue.also]} if issue.also else {}),
    }
    return {
        "ruleId": printable(issue.code),
        "ruleIndex": codes.index(issue.code),
        "level": _LEVELS[issue.severity],
        "message": {"text": _message(issue)},
        "locations": [_location(issue)],
        "partialFingerprints": {"endpointsGitops/v1": issue.fingerprint},
        **({"suppressions": [_suppression(finding.waiver)]} if finding and finding.waiver else {}),
        "properties": about,
    }


def _suppression(waiver: Waiver) -> JsonObject:
    return {"kind": "external", "status": "accepted", "justification": printable(waiver_text(waiver))}


def _notification(issue: Issue) -> JsonObject:
    return {
        "descriptor": {"id": printable(issue.code)},
        "level": "error",
        "message": {"text": _message(issue)},
        "locations": [_location(issue)],
    }


def _message(issue: Issue) -> str:
    subject = f"{issue.subject}: " if issue.subject else ""
    fix = f"\nFix: {issue.fix}" if issue.fix else ""
    text = printable(f"{subject}{issue.message}{fix}")
    if "](" in text:  # `[text](target)` would be a link
        return text.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")
    return text


def _location(issue: Issue) -> JsonObject:
    place = issue.location or Location(NO_FILE)
    region = {"startLine": place.line, **({"startColumn": place.column} if place.column else {})} if place.line else {}
    uri = quote(place.path, errors="replace")
    artifact = {"uri": f"file://{uri}"} if uri.startswith("/") else {"uri": uri, "uriBaseId": _ROOT}
    physical: JsonObject = {
        "artifactLocation": artifact,
        **({"region": region} if region else {}),
    }
    logical = {"logicalLocations": [{"fullyQualifiedName": printable(issue.subject)}]} if issue.subject else {}
    return {"physicalLocation": physical, **logical}
