"""The JSON report of a run, in the envelope that all commands of this project share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from endpoints_gitops.model.printable import printable_json
from endpoints_gitops.workspace.files import write_atomically
from pytest_endpoints_gitops.evidence import counts

if TYPE_CHECKING:
    from pytest_endpoints_gitops.canary_report import Report
    from pytest_endpoints_gitops.session import Session


def write(session: Session, canary: Report | None, exit_code: int) -> None:
    """Raises OSError where the file cannot be written."""
    value = {
        "schema_version": 1,
        "command": "pytest",
        "exit_code": exit_code,
        "ok": exit_code == 0,
        "summary": _summary(session, canary),
        "items": [*_of_the_app(session), *(canary.findings if canary else ())],
        "calls": [
            {"test": nodeid, "outcome": facts.outcome, **call.as_plain()}
            for nodeid, facts in sorted(session.facts.items())
            for call in facts.calls
        ],
        "errors": _errors(session, canary),
    }
    content = printable_json(json.dumps(value, indent=2, ensure_ascii=False))
    write_atomically(Path(session.settings.report.value), f"{content}\n".encode("utf-8", "backslashreplace"))


def _summary(session: Session, canary: Report | None) -> dict[str, Any]:
    calls = [call for facts in session.facts.values() for call in facts.calls]
    said: dict[str, Any] = {
        "mode": session.settings.mode.value,
        "tests": counts(session),
        "calls": len(calls),
        "pins_called": len({(call.environment, call.label) for call in calls}),
        "partial": session.run.why_partial(),
    }
    if canary is not None:
        said["canary"] = {
            "calls": canary.calls,
            "candidates": len(canary.candidates),
            "pending": canary.pending,
            **{severity: canary.count(severity) for severity in ("error", "warn", "info")},
        }
    return said


def _of_the_app(session: Session) -> list[dict[str, Any]]:
    """What the server of the plugin saw, each once, with the tests that did it."""
    found: dict[str, dict[str, Any]] = {}
    for nodeid, facts in sorted(session.facts.items()):
        for finding in facts.findings:
            known = found.setdefault(finding["fingerprint"], {**finding, "callers": []})
            known["callers"].append(nodeid)
    return list(found.values())


def _errors(session: Session, canary: Report | None) -> list[dict[str, Any]]:
    """Failures of tests, and what the canary could not find out."""
    found = [
        {"code": one["kind"], "message": one["verdict"], "where": nodeid, "fix": one["command"]}
        for nodeid, facts in sorted(session.facts.items())
        for one in facts.failures
    ]
    unknown = [line for line in (canary.lines if canary else ()) if line.code in ("unknown", "refused")]
    told = [
        {"code": f"canary.{line.code}", "message": line.said, "where": line.tests[0], "fix": None} for line in unknown
    ]
    return [*found, *told]
