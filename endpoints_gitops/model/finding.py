"""Findings: differences and mistakes, as every command and report shows them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import cached_property
from typing import Final

from endpoints_gitops.errors import Location
from endpoints_gitops.model.json import Json, JsonObject, fingerprint


class Severity(StrEnum):
    """*error*: a caller that followed the old contract can stop working, or can see data that it should not.
    *warn*: it cannot be decided, or the meaning may have shifted. *info*: safe, or for the record.
    """

    INFO = "info"
    WARN = "warn"
    ERROR = "error"

    @property
    def rank(self) -> int:
        return _RANKS[self]

    def lowered(self) -> Severity:
        """One step down; info stays."""
        return {Severity.ERROR: Severity.WARN, Severity.WARN: Severity.INFO}.get(self, self)


_RANKS: Final = {Severity.INFO: 0, Severity.WARN: 1, Severity.ERROR: 2}
_COUNTED: Final = {Severity.ERROR: "errors", Severity.WARN: "warnings", Severity.INFO: "infos"}


class Scope(StrEnum):
    """Whether a pin protects."""

    VERSION = "V"
    """Happens only in a new version: a pin to an older one protects."""
    IN_PLACE = "I"
    """Happens to versions that exist, or to all of them: a pin to one of them does not protect."""
    NEITHER = "-"


class WaiverKind(StrEnum):
    """Why a finding does not count."""

    IGNORED = "ignored"
    """By an ignore of the configuration, or of a comment in the definition."""
    OFF = "off"
    """The configuration switches its rule off."""
    RULESET = "ruleset"
    """Its rule is newer than the ruleset that the configuration pins."""
    APPROVED = "approved"
    """By its fingerprint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """A decision that a finding does not count: who decided it and why, until when, and where that is written."""

    kind: WaiverKind
    reason: str = ""
    by: str = ""
    until: date | None = None
    where: Location | None = None

    def as_json(self) -> JsonObject:
        return {
            "kind": self.kind.value,
            "reason": self.reason,
            "by": self.by,
            "until": None if self.until is None else self.until.isoformat(),
            "where": None if self.where is None else str(self.where),
        }


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One finding of one rule.

    `locus` is what it is about (`columns.mrr`, `variables.month`, `query.where`); `where` is the place in the file that
    causes it; `callers` are those that it hits. `ceiling` is the highest severity that the endpoint's stability allows.
    A finding with a `waiver` does not count: see `contract.policy`.
    """

    code: str
    slug: str
    severity: Severity
    scope: Scope
    endpoint: str
    version: int | None = None
    locus: str = ""
    where: str | None = None
    before: Json = None
    after: Json = None
    callers: tuple[str, ...] = ()
    message: str
    fix: str | None = None
    ceiling: Severity = Severity.ERROR
    waiver: Waiver | None = None

    @property
    def counts(self) -> bool:
        """Whether nothing waives it."""
        return self.waiver is None

    @property
    def is_approved(self) -> bool:
        return self.waiver is not None and self.waiver.kind is WaiverKind.APPROVED

    def fails(self, fail_on: Severity) -> bool:
        """Whether it counts, and has this severity or a higher one."""
        return self.counts and self.severity.rank >= fail_on.rank

    @cached_property
    def fingerprint(self) -> str:
        """The same for the same finding in every run: of what it is about, never of how it is worded."""
        return fingerprint([self.code, self.endpoint, self.locus, self.before, self.after])

    @property
    def location(self) -> Location:
        """`where` with its parts; an empty path where there is none."""
        return self.where if isinstance(self.where, Location) else Location.of(self.where or "")

    def as_json(self) -> JsonObject:
        waiver = None if self.waiver is None else self.waiver.as_json()
        return {
            "code": self.code,
            "slug": self.slug,
            "severity": self.severity.value,
            "scope": self.scope.value,
            "endpoint": self.endpoint,
            "version": self.version,
            "locus": str(self.locus),
            "where": None if self.where is None else str(self.where),
            "before": self.before,
            "after": self.after,
            "callers": list(self.callers),
            "message": self.message,
            "fix": self.fix and str(self.fix),  # without the parts of an Advice
            "fingerprint": self.fingerprint,
            "ignored": None if self.is_approved else waiver,
            "approved": waiver if self.is_approved else None,
        }


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """By endpoint, code and place: the same findings in the same order in every run."""
    return tuple(sorted(findings, key=lambda one: (one.endpoint, one.code, one.locus, one.fingerprint)))


def finding_counts(findings: Iterable[Finding]) -> dict[str, int]:
    """The number of findings of each severity that count, and of those that are ignored and approved."""
    findings = tuple(findings)
    severities = [finding.severity for finding in findings if finding.counts]
    return {
        **{word: severities.count(severity) for severity, word in _COUNTED.items()},
        "ignored": sum(not finding.counts and not finding.is_approved for finding in findings),
        "approved": sum(finding.is_approved for finding in findings),
    }
