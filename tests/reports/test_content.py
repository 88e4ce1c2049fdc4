"""What formats have in common: the verdict, the texts that are shown, the marks of changed words."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.cli.console import Console
from endpoints_gitops.errors import ExitCode, Location
from endpoints_gitops.model.finding import Finding, Severity, Waiver, WaiverKind
from endpoints_gitops.model.outcome import Outcome
from endpoints_gitops.model.report import DiffPart, Report, Subject, TextDiffLine, Verdict
from endpoints_gitops.model.secret import Secret
from endpoints_gitops.reports import FORMATS, Invocation, render
from endpoints_gitops.reports.content import errors_of, issues_of, report_of
from endpoints_gitops.reports.markdown import marker
from endpoints_gitops.reports.shown import with_texts
from endpoints_gitops.reports.text import marked_text, report_lines
from tests.reports.outcomes import diff, error, finding, judged, outcomes, subject

KEY = "phx_secret_0123456789abcdef"


def test_the_exit_code_decides_the_verdict():
    report = Report(title="review", verdict=Verdict.SAFE, answer="nothing changed")
    verdicts = {
        code: report_of(Outcome(command="review", exit_code=ExitCode(code), report=report)).verdict
        for code in (0, 1, 2, 3, 4, 130)
    }
    assert verdicts == {0: "safe", 1: "blocked", 2: "unknown", 3: "unknown", 4: "unknown", 130: "unknown"}


@pytest.mark.parametrize("name", ["text", "markdown", "github", "junit", "sarif"])
def test_a_verdict_that_the_command_took_back_says_so_first(name):
    """A report that cannot be written makes a safe change fail: no format begins with `Safe`."""
    outcome = replace(judged(Verdict.SAFE, subject("revenue", Verdict.SAFE)), exit_code=ExitCode.USAGE)
    report = report_of(outcome)
    assert report.answer.startswith("review could not finish (exit code 2); it judged: ")
    assert "review could not finish (exit code 2)" in render(name, outcome)
    assert f"unknown: {outcome.report.headline}".casefold() not in render(name, outcome).casefold()


def test_an_error_that_is_the_reason_for_a_verdict_is_reported_once():
    reason = error("the server did not answer")
    unknown = subject("revenue", Verdict.UNKNOWN)
    outcome = judged(Verdict.UNKNOWN, unknown)
    doubled = Outcome(
        command="review",
        exit_code=ExitCode.COULD_NOT_FIND_OUT,
        report=outcome.report,
        errors=(*unknown.reasons, reason),
    )
    assert errors_of(doubled) == (reason,)


def test_a_reason_of_several_subjects_is_explained_once():
    unknown = [replace(subject("a", Verdict.UNKNOWN), name=f"e{number}", where=None) for number in range(8)]
    outcome = judged(Verdict.UNKNOWN, *unknown)
    (issue,) = issues_of(outcome)
    assert (issue.message, issue.subject, issue.is_failure) == ("a: a (e0, e1, e2, e3, e4 and 3 more)", "", True)
    comment = render("markdown", outcome)
    assert comment.count("fix: a<br>for e0, e1, e2, e3, e4 and 3 more") == comment.count("fix:") == 1
    assert comment.count("\n- ❌ a\n") == 8
    assert render("junit", outcome).count("<error ") == 9, "one for each, and one for the verdict"


def test_an_approved_or_safe_finding_is_no_error():
    outcome = judged(Verdict.SAFE, subject("revenue", Verdict.SAFE, finding(severity=Severity.ERROR)))
    assert [issue.severity for issue in issues_of(outcome)] == [Severity.WARN]


def test_infos_of_one_rule_about_one_endpoint_are_one_entry():
    """A new endpoint has one C112 for each column of unknown type; code scanning accepts 25,000 results."""

    def columns(endpoint: str, severity: Severity, **more: object) -> list[Finding]:
        return [
            finding(endpoint, severity, "C112", locus=f"columns.c{number}", message=f"c{number} is unknown", **more)
            for number in range(8)
        ]

    waiver = Waiver(kind=WaiverKind.IGNORED)
    findings = (
        *columns("revenue", Severity.INFO),
        *columns("signups", Severity.INFO),
        *columns("revenue", Severity.WARN),
        *columns("revenue", Severity.INFO, waiver=waiver),
    )
    outcome = judged(Verdict.SAFE, replace(subject("revenue", Verdict.SAFE), findings=findings))
    issues = issues_of(outcome)
    text = "c0 is unknown (and 7 more: columns.c1, columns.c2, columns.c3, columns.c4, columns.c5 and 2 more)"
    assert [issue.message for issue in issues if issue.also] == [text, text]
    assert len(issues) == 18, "warnings and what is ignored stay apart"
    results = json.loads(render("sarif", outcome))["runs"][0]["results"]
    also = [result["properties"]["also"] for result in results if "also" in result["properties"]]
    assert also == [[f"columns.c{number}" for number in range(1, 8)]] * 2
    assert render("markdown", outcome).count("and 7 more: ") == 2


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("kind", outcomes())
def test_no_key_is_in_a_report(name, kind):
    console = Console(stdout=io.StringIO(), stderr=io.StringIO(), environment={}, secrets={Secret(KEY)})
    outcome = outcomes(f"a {KEY} b")[kind]
    shown = with_texts(outcome, console.shown, str)
    report = render(name, shown, Invocation())
    assert "0123456789abcdef" not in report
    plain = {issue.fingerprint for issue in issues_of(outcome) if issue.finding}
    assert {issue.fingerprint for issue in issues_of(shown) if issue.finding} == plain


def test_commands_in_advice_get_the_options_of_the_command_line():
    outcome = Outcome(command="check", findings=(finding(fix=Advice("see ", Command("diff", "revenue"))),))
    console = Console(stdout=io.StringIO(), stderr=io.StringIO(), environment={}, repeated={"--env": "prod"})
    shown = with_texts(outcome, console.shown, lambda path: f"app/{path}")
    assert shown.findings[0].fix == "see endpoints-gitops diff revenue --env prod"
    assert shown.findings[0].where == Location("app/revenue", 7, 3)


MARKS = {
    "a word": ((DiffPart("count of "), DiffPart("users", is_changed=True)), "count of [-users-]"),
    "the whole line": ((DiffPart("count", is_changed=True),), "count"),
    "most of the line": (
        (DiffPart("n"), DiffPart(" of all the users", is_changed=True), DiffPart("()")),
        "n of all the users()",
    ),
    "nothing": ((DiffPart("count"),), "count"),
}


@pytest.mark.parametrize(("parts", "text"), MARKS.values(), ids=MARKS)
def test_changed_words_are_marked(parts, text):
    assert marked_text(TextDiffLine("-", parts)) == text
    assert marked_text(TextDiffLine(" ", parts)) == "".join(part.text for part in parts)


def test_changed_words_stand_out_in_color():
    report = report_of(judged(Verdict.BLOCKED, subject("revenue", Verdict.BLOCKED)))
    lines = [line for line in report_lines(report, verbose=True, in_color=True) if line.marked]
    assert [line.text[start:end] for line in lines for start, end in line.marked] == ["revenue", "revenue"]
    stream = io.StringIO()
    console = Console(stdout=stream, stderr=io.StringIO(), environment={"FORCE_COLOR": "1"})
    console.show(lines[:1])
    assert "\x1b[7;31mrevenue\x1b[0m" in stream.getvalue()
    assert "[-" not in stream.getvalue()


def test_a_line_with_escaped_characters_has_no_marks():
    report = report_of(judged(Verdict.BLOCKED, subject("a\x1bb", Verdict.BLOCKED)))
    lines = [line for line in report_lines(report, verbose=True, in_color=True) if line.marked]
    stream = io.StringIO()
    Console(stdout=stream, stderr=io.StringIO(), environment={"FORCE_COLOR": "1"}).show(lines)
    assert "\x1b[7" not in stream.getvalue()
    assert "a\\u{1b}b" in stream.getvalue()


PROSE = {
    "a name in quotes": ("column 'mrr' was removed", "column `mrr` was removed"),
    "a call": ("it was round(sum(x), 2); now not", "it was `round(sum(x), 2)`; now not"),
    "a command": (Advice("run ", Command("diff", "a"), "."), "run `endpoints-gitops diff a`."),
    "backticks": (
        "announce it with `deprecation: {since}`, then wait",
        "announce it with `deprecation: {since}`, then wait",
    ),
    "a mention": ("ask @team (or #3)", "ask `@team` (or `#3`)"),
    "plain words": ("don't panic: 3 of 4, 50% (so far).", "don't panic: 3 of 4, 50% (so far)."),
    "a date": ("until 2026-12-31", "until 2026-12-31"),
    "an issue": ("see ABC-12", "see `ABC-12`"),
    "a commit": ("merge base 3f2a1b9c0", "merge base `3f2a1b9c0`"),
}


@pytest.mark.parametrize(("text", "markdown"), PROSE.values(), ids=PROSE)
def test_prose_is_readable(text, markdown):
    outcome = Outcome(command="check", findings=(finding(message=text),))
    assert f"**C101** {markdown} `revenue:7:3`" in render("markdown", outcome)


def test_a_marker_is_one_comment_whatever_the_options_are():
    invocation = Invocation(options={"--env": "--> x\n", "--dir": "a--b"})
    line = marker("review", invocation)
    assert line == "<!-- endpoints-gitops review env=-%2D%3E%20x%0A dir=a-%2Db -->"


def test_a_long_diff_is_folded():
    one, many = (
        render("markdown", judged(Verdict.BLOCKED, subject("a", Verdict.BLOCKED, lines=lines))) for lines in (10, 11)
    )
    assert "<summary>" not in one
    assert "<summary>44 lines</summary>" in many
    assert len(diff(lines=11).lines) == 44


def test_subjects_of_one_line_are_a_list():
    long = replace(subject("long", Verdict.BLOCKED), where=None)
    short = [Subject(name=name, verdict=Verdict.SAFE, change="unchanged") for name in ("a", "b")]
    lines = [line.text for line in report_lines(report_of(judged(Verdict.BLOCKED, *short, long, *short)), verbose=True)]
    listed = ["", "a: unchanged [safe]", "b: unchanged [safe]", ""]
    assert lines[4:8] == listed
    assert lines[-3:] == listed[:3]


@pytest.mark.parametrize(
    ("path", "artifact"),
    [
        ("endpoints/a b.yaml", {"uri": "endpoints/a%20b.yaml", "uriBaseId": "%SRCROOT%"}),
        ("/elsewhere/a.yaml", {"uri": "file:///elsewhere/a.yaml"}),
    ],
)
def test_sarif_says_what_a_path_is_relative_to(path, artifact):
    outcome = Outcome(command="check", findings=(finding(where=Location(path, 3)),))
    (result,) = json.loads(render("sarif", outcome))["runs"][0]["results"]
    physical = result["locations"][0]["physicalLocation"]
    assert physical == {"artifactLocation": artifact, "region": {"startLine": 3}}
