"""The JSON report of a run, in the envelope that all commands of this project share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from endpoints_gitops.model.printable import printable_json
from endpoints_gitops.workspace.files import write_atomically
from pytest_endpoints_gitops.evidence import counts

if TYPE_CHECKING:
    from pytest_endpoints_gitops.canary_report import CanaryReport
    from pytest_endpoints_gitops.suite import Suite


def write(suite: Suite, canary: CanaryReport | None, exit_code: int) -> None:
    """Raises OSError where the file cannot be written."""
    value = {
        "schema_version": 1,
        "command": "pytest",
        "exit_code": exit_code,
        "ok": exit_code == 0,
        "summary": _summary(suite, canary),
        "items": [*_app_findings(suite), *(canary.findings if canary else ())],
        "calls": [
            {"test": nodeid, "outcome": record.outcome, **call.as_plain()}
            for nodeid, record in sorted(suite.records.items())
            for call in record.calls
        ],
        "errors": _errors(suite, canary),
    }
    content = printable_json(json.dumps(value, indent=2, ensure_ascii=False))
    write_atomically(Path(suite.settings.report.value), f"{content}\n".encode("utf-8", "backslashreplace"))


def _summary(suite: Suite, canary: CanaryReport | None) -> dict[str, Any]:
    calls = [call for record in suite.records.values() for call in record.calls]
    summary: dict[str, Any] = {
        "mode": suite.settings.mode.value,
        "tests": counts(suite),
        "calls": len(calls),
        "stubbed_calls": sum(call.is_stubbed for call in calls),
        "pins_called": len({(call.lock, call.environment, call.label) for call in calls if not call.is_stubbed}),
        "partial": suite.completeness.why_partial(),
    }
    if canary is not None:
        summary["canary"] = {
            "calls": canary.calls,
            "candidates": len(canary.candidates),
            "pending": canary.pending,
            **{severity: canary.count(severity) for severity in ("error", "warn", "info")},
        }
    return summary


def _app_findings(suite: Suite) -> list[dict[str, Any]]:
    """What the server of the plugin saw, each once, with the tests that did it."""
    findings: dict[str, dict[str, Any]] = {}
    for nodeid, record in sorted(suite.records.items()):
        for finding in record.findings:
            known = findings.setdefault(finding["fingerprint"], {**finding, "callers": []})
            known["callers"].append(nodeid)
    return list(findings.values())


def _errors(suite: Suite, canary: CanaryReport | None) -> list[dict[str, Any]]:
    """Failures of tests, and candidates that the canary could not compare."""
    failures = [
        {"code": failure.kind, "message": failure.verdict, "where": nodeid, "fix": failure.command_line}
        for nodeid, record in sorted(suite.records.items())
        for failure in record.failures
    ]
    unknown = [line for line in (canary.lines if canary else ()) if line.code in ("unknown", "refused")]
    return failures + [
        {"code": f"canary.{line.code}", "message": line.message, "where": line.tests[0], "fix": None}
        for line in unknown
    ]
