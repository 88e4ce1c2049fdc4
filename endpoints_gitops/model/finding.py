"""Findings: differences and mistakes, as every command and report shows them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
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


class Scope(StrEnum):
    """Whether a pin protects."""

    VERSION = "V"
    """Happens only in a new version: a pin to an older one protects."""
    IN_PLACE = "I"
    """Happens to versions that exist, or to all of them: a pin to one of them does not protect."""
    NEITHER = "-"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One finding of one rule.

    `locus` is what it is about (`columns.mrr`, `variables.month`, `query.where`); `where` is the place in the file that
    causes it; `callers` are those that it hits.
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

    @cached_property
    def fingerprint(self) -> str:
        """The same for the same finding in every run: of what it is about, never of how it is worded."""
        return fingerprint([self.code, self.endpoint, self.locus, self.before, self.after])

    @property
    def location(self) -> Location:
        """`where` with its parts; an empty path where there is none."""
        return self.where if isinstance(self.where, Location) else Location.of(self.where or "")

    def as_json(self) -> JsonObject:
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
            "fix": self.fix,
            "fingerprint": self.fingerprint,
        }


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """By endpoint, code and place: the same findings in the same order in every run."""
    return tuple(sorted(findings, key=lambda one: (one.endpoint, one.code, one.locus, one.fingerprint)))
