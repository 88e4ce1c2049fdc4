"""A comment fits the limit of GitHub, and counts what it leaves out."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from endpoints_gitops.advice import Command
from endpoints_gitops.errors import ExitCode
from endpoints_gitops.model.finding import Severity
from endpoints_gitops.model.outcome import Outcome
from endpoints_gitops.model.report import Verdict
from endpoints_gitops.reports import Invocation
from endpoints_gitops.reports.markdown import LIMIT, render
from tests.reports.outcomes import HOSTILE, error, finding, judged, subject
from tests.reports.shapes import SHAPES

INVOCATION = Invocation(options={"--env": "prod"}, again=Command("review", "--against", "main"))
REST = "`endpoints-gitops review --against main` shows all"


def _subjects(count, verdict, findings, *, lines=1, severity=Severity.ERROR, text=""):
    found = [finding(f"f{index}{text}", severity, f"C{index % 150}") for index in range(findings)]
    return [subject(f"e{index}{text}", verdict, *found, lines=lines) for index in range(count)]


LARGE = {
    "one long diff": (judged(Verdict.BLOCKED, *_subjects(1, Verdict.BLOCKED, 1, lines=3_000)), 60_000),
    "many long diffs": (judged(Verdict.BLOCKED, *_subjects(40, Verdict.BLOCKED, 1, lines=900)), 55_000),
    "a long diff of a safe subject": (
        judged(
            Verdict.BLOCKED, *_subjects(1, Verdict.SAFE, 0, lines=9_000), *_subjects(9, Verdict.BLOCKED, 2, lines=9)
        ),
        60_000,
    ),
    "many safe subjects": (judged(Verdict.SAFE, *_subjects(2_000, Verdict.SAFE, 1, severity=Severity.INFO)), 10_000),
    "many blocked subjects": (judged(Verdict.BLOCKED, *_subjects(5_000, Verdict.BLOCKED, 4)), 10_000),
    "many findings": (judged(Verdict.BLOCKED, *_subjects(1, Verdict.BLOCKED, 20_000)), 2_000),
    "many errors": (
        Outcome(command="review", exit_code=ExitCode.USAGE, errors=tuple(error(f"{i}") for i in range(9_000))),
        2_000,
    ),
    "a long text everywhere": (judged(Verdict.BLOCKED, *_subjects(9, Verdict.BLOCKED, 9, text="y " * 9_000)), 10_000),
}


@pytest.mark.parametrize(("outcome", "least"), LARGE.values(), ids=LARGE)
def test_a_large_comment_fits_and_says_what_is_left_out(outcome, least):
    started = time.perf_counter()
    comment = render(outcome, INVOCATION)
    assert time.perf_counter() - started < 10
    assert least < len(comment) <= LIMIT
    assert comment.count("left out") >= 1 or "characters)" in comment
    assert comment.count("left out") <= comment.count(REST)
    SHAPES["markdown"](comment)


def test_findings_are_kept_before_diffs():
    blocked = _subjects(20, Verdict.BLOCKED, 10, lines=2_000)
    comment = render(judged(Verdict.BLOCKED, *blocked), INVOCATION)
    assert comment.count("- ❌ **C") == 200
    shown = [block.count("\n") - 1 for block in re.findall(r"```diff(.*?)```", comment, re.DOTALL)]
    lost = [int(count.replace(",", "")) for count in re.findall(r"([\d,]+) of 8,000 lines left out", comment)]
    assert [count + left_out for count, left_out in zip(shown, lost, strict=True)] == [8_000] * 20


@pytest.mark.parametrize(("count", "findings"), [(60, 20), (150, 3), (300, 1), (300, 2)])
def test_errors_of_many_subjects_are_kept_before_everything_else(count, findings):
    """Each blocked subject says why, as long as one line for each fits."""
    comment = render(judged(Verdict.BLOCKED, *_subjects(count, Verdict.BLOCKED, findings, lines=9)), INVOCATION)
    reasons = [block.count("- ❌ **C") for block in comment.split("\n#### ")[1:]]
    assert len(reasons) == count
    assert min(reasons) >= 1
    left_out = re.findall(r"\n- ([\d,]+) more\b", comment.partition("All findings by code:")[0])
    assert sum(reasons) + sum(map(int, left_out)) == count * findings


@pytest.mark.parametrize(("count", "shown", "named"), [(1_400, 200, 500), (600, 100, 200)])
def test_subjects_that_are_left_out_are_named(count, shown, named):
    text = "x" * 40 if count == 600 else ""
    comment = render(judged(Verdict.BLOCKED, *_subjects(count, Verdict.BLOCKED, 3, text=text)), INVOCATION)
    left_out = count - shown
    assert f"{left_out:,} more ({left_out:,} blocked) left out: " in comment
    names = [number for number in range(count) if f"`e{number}{text}`" in comment]
    assert names == list(range(shown + named))
    assert f"`e{names[-1]}{text}` and {left_out - named:,} more\n" in comment


def test_a_small_diff_is_whole_beside_a_large_one():
    large, small = _subjects(2, Verdict.BLOCKED, 0, lines=20_000)[:1], _subjects(1, Verdict.BLOCKED, 0, lines=3)
    comment = render(judged(Verdict.BLOCKED, *large, *small), INVOCATION)
    assert comment.count("left out") == 1
    assert comment.count("```diff") == 2


def test_codes_are_counted_where_findings_are_left_out():
    outcome = judged(Verdict.BLOCKED, *_subjects(3_000, Verdict.BLOCKED, 3))
    comment = render(outcome, INVOCATION)
    assert "All findings by code:" in comment
    assert all(f"- **C{code}**: 3,000" in comment for code in range(3))


@given(
    text=st.sampled_from(list(HOSTILE.values())),
    counts=st.tuples(*[st.sampled_from([0, 1, 7, 120])] * 3),
    findings=st.sampled_from([0, 1, 30]),
    lines=st.sampled_from([0, 1, 300]),
)
@settings(max_examples=40, deadline=None)
def test_every_comment_fits(text, counts, findings, lines):
    verdicts = (Verdict.BLOCKED, Verdict.UNKNOWN, Verdict.SAFE)
    subjects = [
        subject
        for count, verdict in zip(counts, verdicts, strict=True)
        for subject in _subjects(count, verdict, findings, lines=lines, text=text)
    ]
    comment = render(judged(Verdict.BLOCKED, *subjects, text=text), INVOCATION)
    assert len(comment) <= LIMIT
    SHAPES["markdown"](comment)
