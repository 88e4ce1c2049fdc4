"""Outcomes of commands, as data for every report format: what each verdict looks like, with any text in any field."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Final

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.errors import ExitCode, Location
from endpoints_gitops.model.finding import Finding, Scope, Severity, Waiver, WaiverKind
from endpoints_gitops.model.outcome import ErrorEntry, Outcome
from endpoints_gitops.model.report import (
    Detail,
    DiffPart,
    Report,
    Subject,
    TextDiff,
    TextDiffLine,
    Verdict,
)

PLAIN: Final = "revenue"

HOSTILE: Final = {
    "backticks": "a ` b `` c ``` d ````",
    "a fence": "```\n</details>\n~~~\n",
    "the end of a comment": "--> <!-- x",
    "details": "</details></summary>",
    "cdata": "]]><![CDATA[",
    "an old workflow command": "::set-output name=x::y",
    "a workflow command on a line": "x\n::error file=a::b",
    "a command of Azure": "##vso[task.complete]x",
    "escapes": "\x1b[31mred\x1b[0m \x1b]8;;https://example.com\x07link",
    "line breaks": "a\r\nb\n\nc\rd\u2028e\x0bf",
    "mentions": "@team @org/team #123 GH-12 org/repo#5 !7 %3 ~label $4 &5 a5c3785ed8d6a35868bc169f07e40e889087fd2e",
    "links": "[x](https://example.com) ![x](y) https://example.com www.example.com a@example.com <https://e.com>",
    "references": "[x]\n\n[x]: https://example.com 'y'\n\n[^1]: z",
    "emphasis": "*a* _b_ **c** ~~d~~ __e__",
    "blocks": "# heading\n> quote\n- item\n1. item\n---\n| a | b |\n|---|---|",
    "a list item": "- x",
    "a number": "1. x",
    "a task": "[ ] x",
    "html": "<script>alert(1)</script><img src=x onerror=y>&lt;&amp;&#60;",
    "percent": "%0A%0D%25 100%",
    "a surrogate": "\udc80 \ud83d",
    "zero": "\0",
    "no characters": "\ufffe\uffff",
    "bidirectional": "\u202egnol\u202c",
    "an attachment": "[[ATTACHMENT|/etc/passwd]]",
    "quotes": "'\"\\`",
    "nothing": "",
    "spaces": "  ",
    "a quick action": "/close\n/merge",
    "math": "$$x$$ $`y`$",
    "long": "word " * 3_000,
    "one long word": "x" * 9_000,
}
"""Texts that mean something in one format or another."""


def finding(text: str = PLAIN, severity: Severity = Severity.ERROR, code: str = "C101", **more: object) -> Finding:
    """A finding with this text in every field."""
    fields = {
        "code": code,
        "slug": text,
        "severity": severity,
        "scope": Scope.VERSION,
        "endpoint": text,
        "locus": text,
        "where": Location(text, 7, 3),
        "before": text,
        "after": [text],
        "callers": (text, text),
        "message": text,
        "fix": Advice(text, Command("check", text), text),
    }
    return Finding(**fields | more)  # type: ignore[arg-type]


def error(text: str = PLAIN) -> ErrorEntry:
    """An error with this text in every field."""
    return ErrorEntry(code=text, message=text, where=text, fix=text)


def diff(text: str = PLAIN, lines: int = 1) -> TextDiff:
    """A diff with this text in every kind of line."""
    group = (
        TextDiffLine("@", (DiffPart(text),)),
        TextDiffLine(" ", (DiffPart(text),)),
        TextDiffLine("-", (DiffPart(text), DiffPart(text, is_changed=True), DiffPart(text))),
        TextDiffLine("+", (DiffPart(text, is_changed=True), DiffPart(text))),
    )
    return TextDiff(title=text, lines=group * lines, language="sql")


def subject(text: str = PLAIN, verdict: Verdict = Verdict.SAFE, *findings: Finding, lines: int = 1) -> Subject:
    """A subject with this text in every field."""
    return Subject(
        name=text,
        verdict=verdict,
        change=text,
        findings=findings,
        reasons=(error(text),) if verdict is Verdict.UNKNOWN else (),
        details=(Detail(text, text),),
        diffs=(diff(text, lines),),
        where=text,
        extra={text: text},
    )


def judged(verdict: Verdict, *subjects: Subject, text: str = PLAIN) -> Outcome:
    """The outcome of `review` with these subjects."""
    report = Report(
        title=text,
        verdict=verdict,
        answer=text,
        subjects=subjects,
        counts={"blocked": 1, text: 2},
        details=(Detail(text, text),),
        notes=(text,),
    )
    return Outcome(command="review", exit_code=verdict.exit_code, report=report)


def outcomes(text: str = PLAIN) -> dict[str, Outcome]:
    """Every kind of outcome, with this text in every field."""
    breaking, warning = finding(text), finding(text, Severity.WARN, "M102")
    waiver = Waiver(kind=WaiverKind.APPROVED, reason=text, by=text, until=date(2026, 12, 31), where=Location(text, 7))
    waived = finding(text, code="C103", waiver=waiver)
    safe = subject(text, Verdict.SAFE, warning, waived)
    blocked = subject(text, Verdict.BLOCKED, breaking, warning)
    unknown = subject(text, Verdict.UNKNOWN, finding(text, Severity.INFO, "C110"))
    return {
        "review: clean": judged(Verdict.SAFE, safe, text=text),
        "review: nothing changed": judged(Verdict.SAFE, text=text),
        "review: blocked": judged(Verdict.BLOCKED, safe, blocked, unknown, text=text),
        "review: blocked without a finding": judged(Verdict.BLOCKED, subject(text, Verdict.BLOCKED), text=text),
        "review: unknown": judged(Verdict.UNKNOWN, unknown, safe, text=text),
        "review: the same unknown for all": judged(Verdict.UNKNOWN, unknown, replace(unknown, name="b"), text=text),
        "gate: released": judged(Verdict.RELEASED, subject(text, Verdict.RELEASED, warning), text=text),
        "check: clean": Outcome(command="check", summary={"definitions": 3}),
        "check: a warning": Outcome(command="check", findings=(warning,), items=(warning.as_json(),)),
        "check: approved": Outcome(command="check", findings=(waived,)),
        "check: blocked": Outcome(command="check", exit_code=ExitCode.FINDINGS, findings=(breaking, warning)),
        "check: blocked by a warning": Outcome(
            command="check", exit_code=ExitCode.FINDINGS, findings=(warning,), fail_on=Severity.WARN
        ),
        "breaking: a finding and an error": Outcome(
            command="breaking",
            exit_code=ExitCode.COULD_NOT_FIND_OUT,
            findings=(breaking,),
            errors=(error(text), error(text)),
        ),
        **{
            f"failed with {code}": Outcome(command="review", exit_code=ExitCode(code), errors=(error(text),))
            for code in (2, 3, 4, 130)
        },
        "failed without a reason": Outcome(command="gate", exit_code=ExitCode.COULD_NOT_FIND_OUT),
    }
