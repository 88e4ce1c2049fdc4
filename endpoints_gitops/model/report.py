"""What a command judged, as data: `review` one subject for each endpoint, `gate` one for each pin.

Every report format is rendered from it, so that formats and exit code cannot disagree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from endpoints_gitops.errors import ExitCode
from endpoints_gitops.model.finding import Finding
from endpoints_gitops.model.json import Json, JsonObject

if TYPE_CHECKING:
    from endpoints_gitops.model.outcome import ErrorEntry


class Verdict(StrEnum):
    """The answer for one subject, and for all of them."""

    SAFE = "safe"
    """`review`: no finding fails."""
    RELEASED = "released"
    """`gate`: the pin may be released."""
    BLOCKED = "blocked"
    """A finding or a reason fails: exit code 1."""
    UNKNOWN = "unknown"
    """Something could not be read or asked: exit code 4."""

    @property
    def is_good(self) -> bool:
        return self in (Verdict.SAFE, Verdict.RELEASED)

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of a command with this verdict."""
        codes = {Verdict.BLOCKED: ExitCode.FINDINGS, Verdict.UNKNOWN: ExitCode.COULD_NOT_FIND_OUT}
        return codes.get(self, ExitCode.DONE)


@dataclass(frozen=True, slots=True)
class DiffPart:
    """A piece of a line of a diff. `is_changed`: these words differ from the other side."""

    text: str
    is_changed: bool = False


@dataclass(frozen=True, slots=True)
class TextDiffLine:
    """A line of a diff: `sign` is " ", "-", "+", or "@" for the place of a hunk."""

    sign: str
    parts: tuple[DiffPart, ...]

    @property
    def text(self) -> str:
        """The line without its sign and marks."""
        return "".join(part.text for part in self.parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDiff:
    """A difference to show: of the query, the contract, or a setting. `language` is `sql`, or empty for plain lines."""

    title: str
    lines: tuple[TextDiffLine, ...]
    language: str = ""


@dataclass(frozen=True, slots=True)
class Detail:
    """Something to know about a subject: "owner" is "@data", "pinned by" is "billing: version 3"."""

    label: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One endpoint or pin, judged.

    `change` says in a few words what happens to it (`new version 5`, `pin moves from 3 to 4`). `findings` are those of
    rules, `reasons` what else blocks it or leaves it unknown, each with a fix. `where` is the `path:line` of its
    definition or pin. `extra` has further keys of its JSON item.
    """

    name: str
    verdict: Verdict
    change: str
    findings: tuple[Finding, ...] = ()
    reasons: tuple[ErrorEntry, ...] = ()
    details: tuple[Detail, ...] = ()
    diffs: tuple[TextDiff, ...] = ()
    where: str | None = None
    extra: JsonObject = field(default_factory=dict)

    def as_json(self) -> JsonObject:
        """The item of the machine output."""
        return {
            "name": self.name,
            "verdict": self.verdict.value,
            "change": self.change,
            "where": None if self.where is None else str(self.where),
            "details": {detail.label: detail.text for detail in self.details},
            "diffs": [_diff_as_json(diff) for diff in self.diffs],
            "findings": [finding.as_json() for finding in self.findings],
            "reasons": [reason.as_json() for reason in self.reasons],
            **self.extra,
        }


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that a command judged. `answer` explains the verdict in one sentence, `details` concern the whole change."""

    title: str
    verdict: Verdict
    answer: str
    subjects: tuple[Subject, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    details: tuple[Detail, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def headline(self) -> str:
        """The verdict with its explanation: `Blocked: 1 of 3 endpoints blocked`."""
        return f"{self.verdict.capitalize()}: {self.answer}"

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings of all subjects, each once."""
        unique = {finding.fingerprint: finding for subject in self.subjects for finding in subject.findings}
        return tuple(unique.values())

    def as_json(self) -> JsonObject:
        """The verdict for the machine output, without the subjects, which are its items."""
        return {
            "title": self.title,
            "verdict": self.verdict.value,
            "headline": self.headline,
            "details": {detail.label: detail.text for detail in self.details},
            "notes": list(self.notes),
        }


def _diff_as_json(diff: TextDiff) -> JsonObject:
    lines: list[Json] = [f"{line.sign}{line.text}" for line in diff.lines]
    return {"title": diff.title, "language": diff.language, "lines": lines}
