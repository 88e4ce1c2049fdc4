"""Text: the lines of a report on the screen, and the same lines without colors in a file."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

from endpoints_gitops.advice import PROGRAM, Advice
from endpoints_gitops.model.line import Line, Style
from endpoints_gitops.model.outcome import ErrorEntry, Outcome
from endpoints_gitops.model.printable import one_line
from endpoints_gitops.model.report import Report, Subject, TextDiff, TextDiffLine, Verdict
from endpoints_gitops.reports import Invocation
from endpoints_gitops.reports.content import counts_of, errors_of, may_be_approved, report_of
from endpoints_gitops.reports.finding_text import finding_lines, is_shown

_VERDICTS: Final = {
    Verdict.SAFE: Style.GOOD,
    Verdict.RELEASED: Style.GOOD,
    Verdict.BLOCKED: Style.BAD,
    Verdict.UNKNOWN: Style.WARN,
}
_SIGNS: Final = {"+": Style.ADDED, "-": Style.REMOVED, "@": Style.FAINT}
_MARKS: Final = {"-": ("[-", "-]"), "+": ("{+", "+}")}


def render(outcome: Outcome, invocation: Invocation) -> str:
    """The lines of the report and of the errors, under a line that names the command."""
    del invocation
    title = f"{PROGRAM} {outcome.command}: exit code {int(outcome.exit_code)}"
    errors = (line for error in errors_of(outcome) for line in _error_lines(error, indent=""))
    lines = (Line(title), *report_lines(report_of(outcome), verbose=True), *errors)
    return "".join(f"{one_line(line.text)}\n" for line in lines)


def is_report(text: str) -> bool:
    """Whether the first line names a command of this program and its exit code."""
    first, _, _ = text.partition("\n")
    return first.startswith(f"{PROGRAM} ") and ": exit code " in first


def report_lines(report: Report, *, verbose: bool, in_color: bool = False) -> Iterator[Line]:
    """The verdict, the counts, and each subject. Changed words of a diff are marked in color, or else by `[-…-]` and
    `{+…+}`. Without `verbose`, infos are left out."""
    yield Line(report.headline, _VERDICTS[report.verdict])
    if counts := counts_of(report):
        yield Line(counts, Style.HEAD)
    yield from (Line(f"{detail.label}: {detail.text}") for detail in report.details)
    yield from (Line(f"note: {note}", Style.FAINT) for note in report.notes)
    was_long = True
    for subject in report.subjects:
        lines = list(_subject_lines(subject, verbose=verbose, in_color=in_color))
        if was_long or len(lines) > 1:  # subjects of one line, such as unchanged ones, are a list
            yield Line("")
        yield from lines
        was_long = len(lines) > 1


def marked_text(line: TextDiffLine) -> str:
    """The text of a line of a diff with its changed words between `[-` and `-]`, or `{+` and `+}`."""
    before, after = _MARKS.get(line.sign, ("", ""))
    if not _has_marks(line):
        return line.text
    return "".join(f"{before}{part.text}{after}" if part.is_changed else part.text for part in line.parts)


def _subject_lines(subject: Subject, *, verbose: bool, in_color: bool) -> Iterator[Line]:
    where = f"  ({subject.where})" if subject.where else ""
    change = f": {subject.change}" if subject.change else ""
    yield Line(f"{subject.name}{change} [{subject.verdict}]{where}", _VERDICTS[subject.verdict])
    yield from (Line(f"  {detail.label}: {detail.text}") for detail in subject.details)
    for diff in subject.diffs:
        yield from _diff_lines(diff, in_color=in_color)
    shown = [finding for finding in subject.findings if is_shown(finding, verbose=verbose)]
    yield from finding_lines(shown, indent="  ", fails=partial(may_be_approved, subject=subject))
    for reason in subject.reasons:
        yield from _error_lines(reason, indent="  ")


def _diff_lines(diff: TextDiff, *, in_color: bool) -> Iterator[Line]:
    yield Line(f"  {diff.title}:")
    for line in diff.lines:
        sign, style = line.sign, _SIGNS.get(line.sign, Style.PLAIN)
        if not in_color:
            yield Line(f"    {sign}{marked_text(line)}", style)
            continue
        yield Line(f"    {sign}{line.text}", style, tuple(_ranges(line, start=4 + len(sign))))


def _ranges(line: TextDiffLine, *, start: int) -> Iterator[tuple[int, int]]:
    if not _has_marks(line):
        return
    for part in line.parts:
        end = start + len(part.text)
        if part.is_changed:
            yield start, end
        start = end


def _has_marks(line: TextDiffLine) -> bool:
    """Whether changed words are marked: not where most of the line changed, because marking all of it says nothing."""
    letters = {True: 0, False: 0}
    for part in line.parts:
        letters[part.is_changed] += sum(map(str.isalnum, part.text))
    is_marked = any(part.is_changed for part in line.parts)
    return line.sign in _MARKS and is_marked and letters[False] * 5 >= letters[True]


def _error_lines(error: ErrorEntry, *, indent: str) -> Iterator[Line]:
    where = f"{error.where}: " if error.where else ""
    yield Line(f"{indent}{where}{error.message} [{error.code}]", Style.BAD)
    if error.fix:
        yield Line(Advice(f"{indent}  fix: ", error.fix), Style.FAINT)
