"""JUnit XML: one test case for each subject, for the tests tab of a CI system."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final
from xml.etree import ElementTree as ET

from endpoints_gitops.advice import PROGRAM
from endpoints_gitops.model.finding import Severity
from endpoints_gitops.model.outcome import Outcome
from endpoints_gitops.model.printable import one_line, printable
from endpoints_gitops.model.report import Subject, Verdict
from endpoints_gitops.reports import Invocation
from endpoints_gitops.reports.content import Issue, issues_of, report_of, subject_issues

_ILLEGAL: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot contain, even escaped."""
_ATTACHMENT: Final = re.compile(r"\[\[(?=ATTACHMENT)")
"""Jenkins and GitLab read `[[ATTACHMENT|path]]` in the output of a test as a file to show."""


def render(outcome: Outcome, invocation: Invocation) -> str:
    """A suite with a test case for each subject, and one for the whole command: a failure means blocked, an error
    unknown."""
    del invocation
    report = report_of(outcome)
    name = f"{PROGRAM}.{outcome.command}"
    cases = [_case(name, subject.name, subject.verdict, _texts(subject)) for subject in report.subjects]
    whole = [issue for issue in issues_of(outcome) if not issue.subject]
    explained = report.verdict.is_good or any(case.find("failure") is not None for case in cases)
    if whole or not explained or not cases:
        issues = whole or [Issue(code=str(report.verdict), severity=Severity.INFO, message=report.headline)]
        cases.append(_case(name, "verdict", report.verdict, [(issue.severity, _text(issue)) for issue in issues]))
    counts = {
        "tests": str(len(cases)),
        "failures": str(sum(case.find("failure") is not None for case in cases)),
        "errors": str(sum(case.find("error") is not None for case in cases)),
    }
    root = ET.Element("testsuites", {"name": PROGRAM, **counts})
    suite = ET.SubElement(root, "testsuite", {"name": name, **counts, "skipped": "0"})
    suite.extend(cases)
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def is_report(text: str) -> bool:
    """Whether its root is that of such a report of this program."""
    return f'<testsuites name="{PROGRAM}"' in text[:200]


def _case(suite: str, name: str, verdict: Verdict, texts: Iterable[tuple[Severity, str]]) -> ET.Element:
    texts = list(texts)
    case = ET.Element("testcase", {"classname": suite, "name": _legal(name), "time": "0"})
    errors = [text for severity, text in texts if severity is Severity.ERROR]
    others = [text for severity, text in texts if severity is not Severity.ERROR]
    if not verdict.is_good:
        message = (errors or others or [str(verdict)])[0].partition("\n")[0]
        kind = "error" if verdict is Verdict.UNKNOWN else "failure"
        element = ET.SubElement(case, kind, {"type": str(verdict), "message": _legal(message)})
        element.text = _legal("\n\n".join(errors))
    else:
        others = errors + others
    if others:
        ET.SubElement(case, "system-out").text = _legal("\n\n".join(others))
    return case


def _texts(subject: Subject) -> Iterator[tuple[Severity, str]]:
    about = [subject.change, *(f"{detail.label}: {detail.text}" for detail in subject.details)]
    yield from ((issue.severity, _text(issue)) for issue in subject_issues(subject))
    yield Severity.INFO, "\n".join(filter(None, about))


def _text(issue: Issue) -> str:
    place = f"{issue.location}: " if issue.location else ""
    callers = issue.finding.callers if issue.finding else ()
    hits = f"\n  hits {', '.join(callers)}" if callers else ""
    fix = f"\n  fix: {issue.fix}" if issue.fix else ""
    return f"{place}{issue.code} {issue.message}{hits}{fix}"


def _legal(text: str) -> str:
    text = "\n".join(map(one_line, printable(text).split("\n")))
    text = _ILLEGAL.sub(lambda match: f"\\u{{{ord(match[0]):x}}}", text)
    return _ATTACHMENT.sub("[ [", text)
