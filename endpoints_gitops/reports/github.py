"""GitHub annotations: workflow commands, which a job prints on stdout (`::error file=…,line=…::message`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from endpoints_gitops.advice import PROGRAM
from endpoints_gitops.model.finding import Severity
from endpoints_gitops.model.outcome import Outcome
from endpoints_gitops.model.printable import printable
from endpoints_gitops.reports import Invocation
from endpoints_gitops.reports.content import Issue, issues_of, report_of

_COMMANDS: Final = {Severity.ERROR: "error", Severity.WARN: "warning", Severity.INFO: "notice"}
_IN_MESSAGE: Final = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_IN_PROPERTY: Final = {**_IN_MESSAGE, ":": "%3A", ",": "%2C"}


def render(outcome: Outcome, invocation: Invocation) -> str:
    """The verdict as the first annotation, then every issue."""
    del invocation
    report = report_of(outcome)
    severity = Severity.INFO if report.verdict.is_good else Severity.ERROR
    verdict = workflow_command(severity, {"title": f"{PROGRAM} {outcome.command}"}, report.headline)
    return "".join(f"{line}\n" for line in (verdict, *map(_annotation, issues_of(outcome))))


def is_report(text: str) -> bool:
    """Whether every line is an annotation."""
    return all(line.startswith(tuple(f"::{command} " for command in _COMMANDS.values())) for line in text.splitlines())


def _annotation(issue: Issue) -> str:
    properties: dict[str, str] = {}
    if issue.location is not None:
        properties["file"] = issue.location.path
        properties |= {"line": str(issue.location.line)} if issue.location.line else {}
        properties |= {"col": str(issue.location.column)} if issue.location.column else {}
    properties["title"] = f"{issue.subject}: {issue.code}" if issue.subject else issue.code
    message = f"{issue.message}\nfix: {issue.fix}" if issue.fix else issue.message
    return workflow_command(issue.severity, properties, message)


def workflow_command(severity: Severity, properties: Mapping[str, str], message: str) -> str:
    """One annotation. No text breaks out of the line."""
    settings = ",".join(f"{name}={_escaped(value, _IN_PROPERTY)}" for name, value in properties.items())
    return f"::{_COMMANDS[severity]} {settings}::{_escaped(message, _IN_MESSAGE)}"


def _escaped(text: str, replacements: Mapping[str, str]) -> str:
    lines = printable(text.replace("\r\n", "\n"))
    return "".join(replacements.get(character, character) for character in lines)
