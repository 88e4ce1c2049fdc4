"""Markdown: one comment on a pull request, which fits the limits of GitHub and GitLab.

Text from files and servers is written so that it stays text: words of letters and simple punctuation as they are,
everything else in code spans, where neither Markdown, HTML, mentions nor references have an effect. Where a comment
would be too long, diffs are shortened first, then safe subjects, then findings by severity; each says what is left
out.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from endpoints_gitops.advice import PROGRAM, Advice, Command, OtherCommand
from endpoints_gitops.model.finding import Finding, Severity
from endpoints_gitops.model.outcome import ErrorEntry, Outcome
from endpoints_gitops.model.printable import one_line, printable
from endpoints_gitops.model.report import Subject, TextDiff, Verdict
from endpoints_gitops.reports import Invocation
from endpoints_gitops.reports.content import (
    approval_of,
    counts_of,
    errors_of,
    may_be_approved,
    report_of,
    waiver_text,
)
from endpoints_gitops.reports.text import headline, marked_text

LIMIT: Final = 65_000
"""Characters of a comment. GitHub takes 65,536 (of comments even that many of four bytes), GitLab 1,000,000."""

_ALL: Final = 1_000_000_000
_MARKER: Final = f"<!-- {PROGRAM} "
_SIGNS: Final = {Verdict.SAFE: "✅", Verdict.RELEASED: "✅", Verdict.BLOCKED: "❌", Verdict.UNKNOWN: "❓"}
_SEVERITIES: Final = {Severity.ERROR: "❌", Severity.WARN: "⚠️", Severity.INFO: "ℹ️"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Detailing:
    """How much a comment shows: lines of each diff, characters of each text, findings from a severity on, subjects."""

    diff: int = _ALL
    safe_diff: int = _ALL
    text: int = 4_000
    least: Severity | None = Severity.INFO
    safe_bodies: bool = True
    subjects: int = _ALL


_DETAILINGS: Final = (
    Detailing(),
    Detailing(safe_diff=40),
    Detailing(diff=200, safe_diff=10),
    Detailing(diff=60, safe_diff=0),
    Detailing(diff=20, safe_diff=0, safe_bodies=False),
    Detailing(diff=6, safe_diff=0, safe_bodies=False, text=1_000),
    Detailing(diff=0, safe_diff=0, safe_bodies=False, text=1_000),
    Detailing(diff=0, safe_diff=0, safe_bodies=False, text=300, least=Severity.WARN),
    Detailing(diff=0, safe_diff=0, safe_bodies=False, text=300, least=Severity.ERROR),
    Detailing(diff=0, safe_diff=0, safe_bodies=False, text=200, least=Severity.ERROR, subjects=100),
    Detailing(diff=0, safe_diff=0, safe_bodies=False, text=200, least=None, subjects=100),
    Detailing(diff=0, safe_diff=0, safe_bodies=False, text=80, least=None, subjects=20),
)


def render(outcome: Outcome, invocation: Invocation, *, limit: int = LIMIT) -> str:
    """The comment, with at most `limit` characters: the first line is `marker`."""
    document = ""
    for detailing in _DETAILINGS:
        document = _Comment(outcome, invocation, detailing).text()
        if len(document) <= limit:
            break
    return document


def marker(command: str, invocation: Invocation) -> str:
    """The hidden line by which the next run of the same command, for the same environment, finds its comment."""
    words = (command, *(f"{option.strip('-')}={value}" for option, value in invocation.options.items()))
    escaped = (quote(word, safe="-./@:=", errors="replace").replace("--", "-%2D") for word in words)
    return f"{_MARKER}{' '.join(escaped)} -->"


def is_report(text: str) -> bool:
    """Whether it begins with the marker."""
    return text.startswith(_MARKER)


class _Comment:
    """A comment that shows as much as `detailing` says."""

    def __init__(self, outcome: Outcome, invocation: Invocation, detailing: Detailing) -> None:
        self.outcome = outcome
        self.invocation = invocation
        self.detailing = detailing
        self.report = report_of(outcome)

    def text(self) -> str:
        blocks = [marker(self.outcome.command, self.invocation), *self._head()]
        open_subjects = [
            subject
            for verdict in (Verdict.BLOCKED, Verdict.UNKNOWN)
            for subject in self.report.subjects
            if subject.verdict is verdict
        ]
        safe = [subject for subject in self.report.subjects if subject.verdict.is_good]
        for subject in open_subjects[: self.detailing.subjects]:
            blocks += self._subject(subject)
        blocks += self._left_out(open_subjects[self.detailing.subjects :])
        blocks += self._safe(safe)
        blocks += self._counts_per_code()
        return "\n\n".join(block for block in blocks if block) + "\n"

    def _head(self) -> Iterator[str]:
        report = self.report
        yield f"### {_SIGNS[report.verdict]} {self._prose(_capitalized(headline(report)))}"
        if counts := counts_of(report):
            yield f"**{self._prose(counts)}**"
        yield "\n".join(f"- {self._prose(detail.label)}: {self._prose(detail.text)}" for detail in report.details)
        yield "\n".join(f"- {self._prose(note)}" for note in report.notes)
        errors = errors_of(self.outcome)
        lost = len(errors) - self.detailing.subjects
        more = [f"- {lost:,} more errors left out: {self._where_the_rest_is()}"] if lost > 0 else []
        yield "\n".join([*map(self._error, errors[: self.detailing.subjects]), *more])

    def _subject(self, subject: Subject) -> Iterator[str]:
        """A subject that is not safe."""
        change = f": {self._prose(subject.change)}" if subject.change else ""
        yield f"#### {_SIGNS[subject.verdict]} {self._code(subject.name)}{change}"
        yield from self._body(subject, self.detailing.diff)

    def _safe(self, subjects: Sequence[Subject]) -> Iterator[str]:
        """The subjects without a problem, folded: those with nothing to show in one list."""
        shown = subjects[: self.detailing.subjects]
        whole = [subject for subject in shown if self.detailing.safe_bodies and _has_body(subject)]
        for subject in whole:
            change = f": {_words(subject.change, _html_code, self.detailing.text)}" if subject.change else ""
            summary = f"{_SIGNS[subject.verdict]} {_html_code(_cut(subject.name, self.detailing.text))}{change}"
            yield f"<details>\n<summary>{summary}</summary>"
            yield from self._body(subject, self.detailing.safe_diff)
            yield "</details>"
        short = [subject for subject in shown if subject not in whole]
        if short:
            count = f"{len(short)} more" if whole else f"{len(short)}"
            yield f"<details>\n<summary>{_SIGNS[Verdict.SAFE]} {count} without a problem</summary>"
            yield "\n".join(self._line(subject) for subject in short)
            yield "</details>"
        yield from self._left_out(subjects[self.detailing.subjects :])

    def _line(self, subject: Subject) -> str:
        change = f": {self._prose(subject.change)}" if subject.change else ""
        lost = "" if self.detailing.safe_bodies or not _has_body(subject) else f" ({self._where_the_rest_is()})"
        return f"- {self._code(subject.name)}{change}{lost}"

    def _body(self, subject: Subject, most_lines: int) -> Iterator[str]:
        about = [f"- {self._prose(detail.label)}: {self._prose(detail.text)}" for detail in subject.details]
        where = [f"- {self._code(subject.where)}"] if subject.where else []
        yield "\n".join(where + about)
        reasons = [self._error(reason) for reason in subject.reasons]
        least = self.detailing.least
        findings = [
            finding for finding in subject.findings if least is not None and finding.severity.rank >= least.rank
        ]
        lost = len(subject.findings) - len(findings)
        lines = [*reasons, *(self._finding(finding, subject) for finding in findings)]
        if lost:
            lines.append(f"- {lost} more finding{'s' if lost > 1 else ''} left out: {self._where_the_rest_is()}")
        yield "\n".join(lines)
        for diff in subject.diffs:
            yield from self._diff(diff, most_lines)

    def _finding(self, finding: Finding, subject: Subject) -> str:
        place = f" {self._code(finding.where)}" if finding.where else ""
        hits = f"<br>hits {self._prose(', '.join(finding.callers))}" if finding.callers else ""
        fix = f"<br>fix: {self._prose(finding.fix)}" if finding.fix and finding.severity is not Severity.INFO else ""
        sign = _SEVERITIES[finding.severity if finding.counts else Severity.INFO]
        if finding.waiver is not None:
            fix = f"<br>{self._prose(waiver_text(finding.waiver))}"
        elif may_be_approved(finding, subject):
            fix += f"<br>or approve it: {self._code(str(approval_of(finding)))}"
        return f"- {sign} **{self._prose(finding.code)}** {self._prose(finding.message)}{place}{hits}{fix}"

    def _error(self, error: ErrorEntry) -> str:
        place = f" {self._code(error.where)}" if error.where else ""
        fix = f"<br>fix: {self._prose(error.fix)}" if error.fix else ""
        return f"- {_SEVERITIES[Severity.ERROR]} {self._prose(error.message)} ({self._code(error.code)}){place}{fix}"

    def _diff(self, diff: TextDiff, most_lines: int) -> Iterator[str]:
        shown = [f"{line.sign}{marked_text(line)}" for line in diff.lines[:most_lines]]
        lost = len(diff.lines) - len(shown)
        title = f"{_capitalized(self._prose(diff.title))}:"
        if lost:
            title = f"{title} {lost:,} of {len(diff.lines):,} lines left out; {self._where_the_rest_is()}"
        yield title
        if shown:
            yield _fence(map(one_line, shown), "diff")

    def _left_out(self, subjects: Sequence[Subject]) -> Iterator[str]:
        if subjects:
            verdicts = Counter(subject.verdict.value for subject in subjects)
            counts = ", ".join(f"{count:,} {verdict}" for verdict, count in verdicts.items())
            yield f"{len(subjects):,} more ({counts}) left out: {self._where_the_rest_is()}"

    def _counts_per_code(self) -> Iterator[str]:
        """Where findings are left out: how many there are of each code."""
        if self.detailing.least is Severity.INFO and self.detailing.subjects == _ALL:
            return
        codes = Counter(finding.code for subject in self.report.subjects for finding in subject.findings)
        shown = codes.most_common(200)
        lines = [f"- **{self._prose(code)}**: {count:,}" for code, count in shown]
        if len(codes) > len(shown):
            lines.append(f"- {len(codes) - len(shown):,} more codes: {self._where_the_rest_is()}")
        yield "Not all findings fit into this comment. There are:"
        yield "\n".join(lines)

    def _where_the_rest_is(self) -> str:
        again = self.invocation.again or Command(self.outcome.command)
        return f"{self._code(str(again))} shows all"

    def _prose(self, text: str) -> str:
        return _words(text, _code_span, self.detailing.text).strip()

    def _code(self, text: str) -> str:
        return _code_span(_cut(text, self.detailing.text))


def _has_body(subject: Subject) -> bool:
    return bool(subject.diffs or subject.findings or subject.reasons or subject.details)


_PLAIN: Final = re.compile(r"[^\W_]+(?:[-'’.,][^\W_]+)*%?|[-–—…→]")
"""A word that Markdown, HTML and the platforms leave alone."""
_REFERENCE: Final = re.compile(r"\b(?:[0-9a-f]{7,}|[a-z]+-\d+|www\.)", re.IGNORECASE)
"""In a word that platforms make a link of: a commit, an issue (`GH-12`), an address."""
_EDGES: Final = re.compile(r"""(["'“(]*)(.*?)([)"'”.,;:?!]*)""", re.DOTALL)
_LIST_ITEM: Final = re.compile(r"[-+*]|\d+[.)]")


def _words(text: str, code: Callable[[str], str], most: int) -> str:
    """The text as prose in one line: plain words as they are, all others and the commands of an Advice as code."""
    if isinstance(text, Advice) and len(text) <= most and len(text.parts) > 1:
        parts = [
            code(str(part)) if isinstance(part, Command | OtherCommand) else _words(str(Advice(part)), code, most)
            for part in text.parts
        ]
        return "".join(
            f" {part}" if index and f"{parts[index - 1][-1:]}{part[:1]}" == "``" else part
            for index, part in enumerate(parts)
        )
    pieces: list[str] = []
    run: list[str] = []
    for word in _cut(printable(text), most).split():
        if not _is_plain(word, is_first=not (pieces or run)):
            run.append(word)
            continue
        if run:
            pieces.append(_coded(run, code))
            run = []
        pieces.append(word)
    if run:
        pieces.append(_coded(run, code))
    before, after = (" " if end.isspace() else "" for end in (text[:1], text[-1:]))
    return f"{before}{' '.join(pieces)}{after}"


def _is_plain(word: str, *, is_first: bool) -> bool:
    match = _EDGES.fullmatch(word)
    assert match is not None, "the pattern matches every text"
    core = match[2]
    if is_first and _LIST_ITEM.fullmatch(word):
        return False
    return not core or (_PLAIN.fullmatch(core) is not None and _REFERENCE.search(core) is None)


def _coded(words: Sequence[str], code: Callable[[str], str]) -> str:
    """Words that are not plain as one piece of code, with the punctuation around them outside."""
    match = _EDGES.fullmatch(" ".join(words))
    assert match is not None, "the pattern matches every text"
    return f"{match[1]}{code(match[2])}{match[3]}"


def _code_span(text: str) -> str:
    if not text.strip():
        return "(empty)"
    text = one_line(text)
    fence = "`" * (_longest_run(text) + 1)
    pad = " " if text[:1] in ("`", " ") or text[-1:] in ("`", " ") else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def _html_code(text: str) -> str:
    return f"<code>{html.escape(one_line(text))}</code>"


def _fence(lines: Iterable[str], language: str) -> str:
    text = "\n".join(lines)
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]
