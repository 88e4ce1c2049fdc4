"""Markdown: one comment on a pull request, which fits the limits of GitHub and GitLab.

Text from files and servers is written so that it stays text: words of letters and simple punctuation as they are,
everything else in code spans, where neither Markdown, HTML, mentions nor references have an effect. In a comment that
would be too long, diffs share the room that is left, those of safe subjects last; then safe subjects, warnings, diffs
and fixes go, in this order, so that each blocked subject says why for as long as a line for each fits. Whatever is left
out is counted where it is missing.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Final
from urllib.parse import quote

from endpoints_gitops.advice import PROGRAM, Advice, Command, OtherCommand
from endpoints_gitops.model.finding import Finding, Severity
from endpoints_gitops.model.outcome import ErrorEntry, Outcome
from endpoints_gitops.model.policy import approval_of
from endpoints_gitops.model.printable import one_line, printable
from endpoints_gitops.model.report import Detail, Report, Subject, TextDiff, Verdict
from endpoints_gitops.reports import Invocation
from endpoints_gitops.reports.content import (
    counts_of,
    errors_of,
    folded,
    folded_text,
    listed,
    may_be_approved,
    report_of,
    shared_reasons,
)
from endpoints_gitops.reports.finding_text import waiver_text
from endpoints_gitops.reports.text import marked_text

LIMIT: Final = 65_000
"""Characters of a comment. GitHub takes 65,536 (of comments even that many of four bytes), GitLab 1,000,000."""

_ALL: Final = 1_000_000_000
_OPEN_LINES: Final = 40
"""A diff with more lines is folded."""
_FEW: Final = 10
"""Details and codes that are shown however short the lists are."""
_MARKER: Final = f"<!-- {PROGRAM} "
_SIGNS: Final = {Verdict.SAFE: "✅", Verdict.RELEASED: "✅", Verdict.BLOCKED: "❌", Verdict.UNKNOWN: "❓"}
_SEVERITIES: Final = {Severity.ERROR: "❌", Severity.WARN: "⚠️", Severity.INFO: "ℹ️"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Detailing:
    """How much of everything but diffs a comment shows: characters of each text, findings from a severity on (None: no
    findings), entries of each list, subjects, names of those that are left out, whether safe subjects are more than a
    line, whether there are diffs, and whether findings have their place, callers and fix (`hints`)."""

    text: int = 4_000
    least: Severity | None = Severity.INFO
    entries: int = _ALL
    subjects: int = _ALL
    names: int = 0
    safe_bodies: bool = True
    diffs: bool = True
    hints: bool = True


_ERRORS: Final = Detailing(safe_bodies=False, text=300, least=Severity.ERROR)
_MESSAGES: Final = replace(_ERRORS, text=200, diffs=False, hints=False)
_DETAILINGS: Final = (
    Detailing(),
    Detailing(safe_bodies=False),
    Detailing(safe_bodies=False, text=1_000),
    replace(_ERRORS, least=Severity.WARN),
    _ERRORS,
    replace(_ERRORS, diffs=False),
    *(replace(_MESSAGES, entries=entries) for entries in (100, 20, 5, 1)),
    *(replace(_MESSAGES, entries=1, subjects=subjects, names=names) for subjects, names in ((200, 500), (100, 200))),
    replace(_MESSAGES, least=None, entries=20, subjects=100, names=100),
    replace(_MESSAGES, least=None, entries=5, subjects=10, text=80),
)
"""What comments show, the most first; the first that fits is taken. An error's message is worth more than a diff."""


def render(outcome: Outcome, invocation: Invocation, *, limit: int = LIMIT) -> str:
    """The comment, with at most `limit` characters. Its first line is `marker`."""
    report = report_of(outcome)
    open_diffs = [diff for subject in _open(report) for diff in subject.diffs]
    for_open_diffs = min(sum(map(_size, open_diffs)), limit // 4)
    comment = ""
    for detailing in _DETAILINGS:
        reserved = for_open_diffs if detailing.safe_bodies else 0
        try:
            comment = _Comment(outcome, report, invocation, detailing, {}, limit - reserved).text()
        except _CommentTooLong:
            continue
        if not detailing.diffs:
            return comment
        safe_diffs = [diff for subject in _safe(report) for diff in subject.diffs] if detailing.safe_bodies else []
        lines = _lines_that_fit(open_diffs, safe_diffs, limit - len(comment))
        with suppress(_CommentTooLong):  # one diff, of two subjects
            return _Comment(outcome, report, invocation, detailing, lines, limit).text()
        return comment
    return comment


def marker(command: str, invocation: Invocation) -> str:
    """The hidden line by which the next run of the same command, for the same environment, finds its comment."""
    words = (command, *(f"{option.strip('-')}={value}" for option, value in invocation.options.items()))
    escaped = (quote(word, safe="-./@:=", errors="replace").replace("--", "-%2D") for word in words)
    return f"{_MARKER}{' '.join(escaped)} -->"


def is_report(text: str) -> bool:
    """Whether it begins with the marker."""
    return text.startswith(_MARKER)


class _CommentTooLong(Exception):
    """The comment would have more characters than it may have."""


class _Comment:
    """A comment that shows as much as `detailing` says, and the first `diff_lines` of each diff, by its identity."""

    def __init__(
        self,
        outcome: Outcome,
        report: Report,
        invocation: Invocation,
        detailing: Detailing,
        diff_lines: Mapping[int, int],
        limit: int,
    ) -> None:
        self.outcome = outcome
        self.report = report
        self.shared = shared_reasons(report)
        self.detailing = detailing
        self.diff_lines = diff_lines
        self.limit = limit
        self.size = 0
        self.marker = marker(outcome.command, invocation)
        self.where_the_rest_is = f"{_code_span(str(invocation.again or Command(outcome.command)))} shows all"

    def text(self) -> str:
        """The Markdown. Raises _CommentTooLong."""
        opened, safe = _open(self.report), _safe(self.report)
        most = self.detailing.subjects
        blocks = [self.marker, *self._head()]
        blocks += chain.from_iterable(map(self._subject, opened[:most]))
        blocks += self._left_out(opened[most:])
        blocks += self._folded(safe[:most])
        blocks += self._left_out(safe[most:])
        blocks += self._counts_per_code()
        text = "\n\n".join(block for block in blocks if block) + "\n"
        if len(text) > self.limit and self.detailing is not _DETAILINGS[-1]:
            raise _CommentTooLong
        return text

    def _head(self) -> Iterator[str]:
        report = self.report
        yield f"### {_SIGNS[report.verdict]} {self._prose(report.headline)}"
        if counts := self._prose(counts_of(report)):
            yield f"**{counts}**"
        yield self._about(report.details)
        yield _joined(
            self._list(errors_of(self.outcome), self._error),
            self._list(tuple(self.shared), self._shared_reason),
            self._list(report.notes, lambda note: f"- {self._prose(note)}"),
        )
        if not self.detailing.diffs:
            yield f"Diffs, and what is counted as “more”, are left out: {self.where_the_rest_is}"

    def _subject(self, subject: Subject) -> Iterator[str]:
        """A subject that is not safe."""
        yield f"#### {_SIGNS[subject.verdict]} {self._code(subject.name)}{self._change(subject)}"
        yield from self._body(subject)

    def _folded(self, subjects: Sequence[Subject]) -> Iterator[str]:
        """The subjects without a problem: each with something to show, then the others in one list."""
        whole = [subject for subject in subjects if self.detailing.safe_bodies and _has_body(subject)]
        for subject in whole:
            name = self._counted(_html_code(_cut(printable(subject.name), self.detailing.text)))
            change = f": {self._prose(subject.change, _html_code)}" if subject.change else ""
            yield f"<details>\n<summary>{_SIGNS[subject.verdict]} {name}{change}</summary>"
            yield from self._body(subject)
            yield "</details>"
        short = [subject for subject in subjects if subject not in whole] if whole else subjects
        if short:
            count = f"{len(short):,}{' more' if whole else ''}"
            sign = _SIGNS[short[0].verdict]
            yield f"<details>\n<summary>{sign} {count} without a problem</summary>"
            yield "\n".join(f"- {self._code(subject.name)}{self._change(subject)}" for subject in short)
            if any(map(_has_body, short)):
                yield f"Their details are left out: {self.where_the_rest_is}"
            yield "</details>"

    def _body(self, subject: Subject) -> Iterator[str]:
        where = (Detail("file", subject.where),) if subject.where else ()
        yield self._about((*where, *subject.details))
        least = self.detailing.least
        findings = sorted(subject.findings, key=lambda finding: -_severity(finding).rank)
        shown = [finding for finding in findings if least and _severity(finding).rank >= least.rank]
        lost = len(subject.findings) - len(shown)
        yield _joined(
            self._list(subject.reasons, self._reason),
            self._list(folded(shown), partial(self._finding, subject), more=lost, what="findings"),
        )
        for diff in subject.diffs if self.detailing.diffs else ():
            yield from self._diff(diff)

    def _diff(self, diff: TextDiff) -> Iterator[str]:
        lines = [_diff_line(diff, index) for index in range(self.diff_lines.get(id(diff), 0))]
        lost = len(diff.lines) - len(lines)
        title = f"{self._prose(diff.title[:1].upper() + diff.title[1:])}:"
        yield f"{title} {lost:,} of {len(diff.lines):,} lines left out: {self.where_the_rest_is}" if lost else title
        if len(lines) > _OPEN_LINES:
            yield f"<details>\n<summary>{len(lines):,} lines</summary>"
        if lines:
            yield fenced("\n".join(lines), "diff")
        if len(lines) > _OPEN_LINES:
            yield "</details>"

    def _list[Entry](
        self,
        entries: Sequence[Entry],
        item: Callable[[Entry], str],
        *,
        more: int = 0,
        what: str = "entries",
        least: int = 0,
    ) -> str:
        """The entries as a list, of which `least` are always shown; its last item says how many `more` there are, which
        are left out."""
        shown = entries[: max(self.detailing.entries, least)]
        lost = len(entries) - len(shown) + more
        rest = f" {what} left out: {self.where_the_rest_is}" if self.detailing.diffs else ""
        left_out = [self._counted(f"- {lost:,} more{rest}")] if lost else []
        return "\n".join((*map(item, shown), *left_out))

    def _about(self, details: Sequence[Detail]) -> str:
        """The details in one paragraph."""
        shown = details[: max(self.detailing.entries, _FEW)]
        texts = [f"{self._prose(detail.label)}: {self._prose(detail.text)}" for detail in shown]
        if len(details) > len(shown):
            texts.append(f"{len(details) - len(shown):,} more left out: {self.where_the_rest_is}")
        return " · ".join(texts)

    def _finding(self, subject: Subject, entry: tuple[Finding, Sequence[str]]) -> str:
        finding, also = entry
        sign, message = _SEVERITIES[_severity(finding)], self._prose(folded_text(finding, also))
        text = f"- {sign} **{self._prose(finding.code)}** {message}"
        if not self.detailing.hints:
            return text
        place = f" {self._code(finding.where)}" if finding.where else ""
        hits = f"<br>hits {self._prose(', '.join(finding.callers))}" if finding.callers else ""
        fix = f"<br>fix: {self._prose(finding.fix)}" if finding.fix and finding.severity is not Severity.INFO else ""
        if finding.waiver is not None:
            fix = f"<br>{self._prose(waiver_text(finding.waiver))}"
        elif may_be_approved(finding, subject):
            fix += f"<br>or approve it: {self._code(str(approval_of(finding)))}"
        return f"{text}{place}{hits}{fix}"

    def _error(self, error: ErrorEntry) -> str:
        place = f" {self._code(error.where)}" if error.where else ""
        fix = f"<br>fix: {self._prose(error.fix)}" if error.fix else ""
        return f"- {_SEVERITIES[Severity.ERROR]} {self._prose(error.message)} ({self._code(error.code)}){place}{fix}"

    def _shared_reason(self, reason: ErrorEntry) -> str:
        return f"{self._error(reason)}<br>for {self._prose(listed(self.shared[reason]))}"

    def _reason(self, reason: ErrorEntry) -> str:
        """The reason for the verdict on a subject; its fix is above where it is that of several."""
        if reason in self.shared:
            return f"- {_SEVERITIES[Severity.ERROR]} {self._prose(reason.message)}"
        return self._error(reason)

    def _left_out(self, subjects: Sequence[Subject]) -> Iterator[str]:
        if subjects:
            verdicts = Counter(subject.verdict.value for subject in subjects)
            counts = ", ".join(f"{count:,} {verdict}" for verdict, count in verdicts.items())
            yield f"{len(subjects):,} more ({counts}) left out: {self.where_the_rest_is}"
        if named := subjects[: self.detailing.names]:
            more = f" and {len(subjects) - len(named):,} more" if len(subjects) > len(named) else ""
            yield "<details>\n<summary>their names</summary>"
            yield ", ".join(self._code(subject.name) for subject in named) + more
            yield "</details>"

    def _counts_per_code(self) -> Iterator[str]:
        """Where findings are left out: how many there are of each code."""
        if self.detailing.least is Severity.INFO and self.detailing.safe_bodies:
            return
        codes = Counter(finding.code for subject in self.report.subjects for finding in subject.findings)
        if codes:
            yield "All findings by code:"
            yield self._list(
                codes.most_common(),
                lambda code: f"- **{self._prose(code[0])}**: {code[1]:,}",
                what="codes",
                least=_FEW,
            )

    def _change(self, subject: Subject) -> str:
        return f": {self._prose(subject.change)}" if subject.change else ""

    def _prose(self, text: str, code: Callable[[str], str] | None = None) -> str:
        return self._counted(_words(text, code or _code_span, self.detailing.text).strip())

    def _code(self, text: str) -> str:
        return self._counted(_code_span(_cut(printable(text), self.detailing.text)))

    def _counted(self, text: str) -> str:
        """The text. Raises _CommentTooLong at once, so that a huge comment is not rendered whole."""
        self.size += len(text)
        if self.size > self.limit and self.detailing is not _DETAILINGS[-1]:
            raise _CommentTooLong
        return text


def _open(report: Report) -> list[Subject]:
    """The subjects that are not safe: the blocked ones first."""
    opened = [subject for subject in report.subjects if not subject.verdict.is_good]
    return sorted(opened, key=lambda subject: subject.verdict is not Verdict.BLOCKED)


def _safe(report: Report) -> list[Subject]:
    return [subject for subject in report.subjects if subject.verdict.is_good]


_FENCE_ROOM: Final = 110
"""Characters kept for the fence of a diff and what folds it."""


def _lines_that_fit(first: Iterable[TextDiff], then: Iterable[TextDiff], room: int) -> Mapping[int, int]:
    """The number of lines of each diff, by its identity, that fit into so many characters.

    Small diffs are whole, and large ones share what is left.
    """
    lines: dict[int, int] = {}
    for diffs in (first, then):
        waiting = sorted(diffs, key=_size)
        while waiting:
            share = room // len(waiting)
            diff = waiting.pop(0)
            used, count = _FENCE_ROOM, 0
            while count < len(diff.lines) and used + (size := len(_diff_line(diff, count)) + 1) <= share:
                used, count = used + size, count + 1
            lines[id(diff)] = count
            room -= used if count else 0
    return lines


def _size(diff: TextDiff) -> int:
    """The characters of a diff, about."""
    return _FENCE_ROOM + sum(sum(len(part.text) + 4 for part in line.parts) for line in diff.lines)


def _diff_line(diff: TextDiff, index: int) -> str:
    line = diff.lines[index]
    return one_line(f"{line.sign}{marked_text(line)}")


def _severity(finding: Finding) -> Severity:
    return finding.severity if finding.counts else Severity.INFO


def _has_body(subject: Subject) -> bool:
    return bool(subject.diffs or subject.findings or subject.reasons or subject.details)


_PLAIN: Final = re.compile(r"[^\W_]+(?:[-'’.,][^\W_]+)*%?|[-–—…→]")
"""A word that Markdown, HTML and the platforms leave alone."""
_REFERENCE: Final = re.compile(r"\b(?:[0-9a-f]{7,}|[a-z]+-\d+|www\.)", re.IGNORECASE)
"""In a word that platforms make a link of: a commit, an issue (`GH-12`), an address."""
_EDGES: Final = re.compile(r"""(["'“(]*)(.*?)([)"'”.,;:?!]*)""", re.DOTALL)
_TOKEN: Final = re.compile(r"`[^`\s][^`]*`[.,;:?!)]*(?!\S)|\S+")
"""A word, or what a message has between backticks."""
_QUOTED: Final = re.compile(r"(?:'([^'\s]+)'|`([^`]+)`)([.,;:?!)]*)")
"""A name in quotes or backticks, and the punctuation after it."""
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
    for word in _TOKEN.findall(_cut(printable(text), most)):
        is_quoted = _QUOTED.fullmatch(word) is not None
        if _is_open(run) or not (is_quoted or _is_plain(word, is_first=not (pieces or run))):
            run.append(word)
            continue
        if run:
            pieces.append(_coded(run, code))
            run = []
        pieces.append(_coded([word], code) if is_quoted else word)
    if run:
        pieces.append(_coded(run, code))
    before, after = (" " if end.isspace() else "" for end in (text[:1], text[-1:]))
    return f"{before}{' '.join(pieces)}{after}"


def _is_open(words: Sequence[str]) -> bool:
    """Whether a parenthesis is open: `round(x, 2)` is one piece of code."""
    return sum(word.count("(") - word.count(")") for word in words) > 0


def _is_plain(word: str, *, is_first: bool) -> bool:
    match = _EDGES.fullmatch(word)
    assert match is not None, "the pattern matches every text"
    core = match[2]
    if is_first and _LIST_ITEM.fullmatch(word):
        return False
    return not core or (_PLAIN.fullmatch(core) is not None and _REFERENCE.search(core) is None)


def _coded(words: Sequence[str], code: Callable[[str], str]) -> str:
    """Words that are not plain as one piece of code, without quotes, the punctuation around them outside."""
    text = " ".join(words)
    if quoted := _QUOTED.fullmatch(text):
        return f"{code(quoted[1] or quoted[2])}{quoted[3]}"
    match = _EDGES.fullmatch(text)
    assert match is not None, "the pattern matches every text"
    before, core, after = match.groups()
    closing = max(0, min(core.count("(") - core.count(")"), len(after) - len(after.lstrip(")"))))
    return f"{before}{code(core + after[:closing])}{after[closing:]}"


def _code_span(text: str) -> str:
    if not text.strip():
        return "(empty)"
    text = one_line(text)
    fence = "`" * (_longest_run(text) + 1)
    pad = " " if text[:1] in ("`", " ") or text[-1:] in ("`", " ") else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def _html_code(text: str) -> str:
    return f"<code>{html.escape(one_line(text))}</code>"


def fenced(text: str, language: str) -> str:
    """A block of code, which nothing in the text can end."""
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"


def _joined(*lists: str) -> str:
    """Lists as one, because Markdown would put the items of adjacent ones far apart."""
    return "\n".join(filter(None, lists))
