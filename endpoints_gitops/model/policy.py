"""What a team decided about findings: severities, ignores, approvals, required keys and naming."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Literal

from endpoints_gitops.advice import Command
from endpoints_gitops.errors import Location
from endpoints_gitops.model.finding import Finding, Severity
from endpoints_gitops.model.json import fingerprint

SHORTEST_FINGERPRINT: Final = 16
"""Hexadecimal digits of a fingerprint that are enough to name a finding."""

LINTED: Final = frozenset(
    (
        *("A108", "A115"),
        *("C111", "C112", "C113"),
        *("G105", "G110", "G111", "G112", "G113", "G114", "G115", "G116", "G121", "G122", "G123"),
        *("S109", "S112", "S113", "S114", "S116", "S117"),
        *("V111", "V115"),
    )
)
"""The rules that `check` judges for every definition by itself, and that can be ignored."""

_QUERY_KEYS: Final = frozenset(("query", "query_file", "query_definition"))
_SERVING_KEYS: Final = frozenset(
    ("active", "bucket_overrides", "data_freshness", "environments", "materialization", "optional_breakdown_properties")
)

LOCATED: Final = MappingProxyType(
    {
        "A": frozenset(("name", "active", "deprecation", "environments", "tags")),
        "C": _QUERY_KEYS | {"columns", "environments", "materialization"},
        "G": frozenset(("name",)),
        "M": _QUERY_KEYS,
        "S": _QUERY_KEYS | _SERVING_KEYS,
        "V": _QUERY_KEYS | {"variables"},
    }
)
"""The keys of a definition at which findings are, by the first letter of their rule."""

type RequiredKey = Literal["columns", "data_freshness", "description", "examples", "owner", "stability", "tags"]


RULESETS: Final = ("2026-11", "2026-12")
"""Every ruleset, in order. A configuration pins one with `ruleset`: later rules are then not judged."""

CONVENTIONS: Final = {
    "snake_case": r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*",
    "kebab-case": r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*",
    "camelCase": r"[a-z][a-zA-Z0-9]*",
    "PascalCase": r"[A-Z][a-zA-Z0-9]*",
}
"""The naming conventions that have a name, as regular expressions."""


class RuleSwitch(StrEnum):
    """A severity of a rule in the configuration that no finding has."""

    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSetting:
    """What the configuration states for one rule. `owner` answers for a lowered exposure rule."""

    severity: Severity | RuleSwitch
    reason: str = ""
    owner: str = ""
    where: Location | None = None


@dataclass(frozen=True, slots=True)
class LineRange:
    """The lines of a file from `first` to `last`, which count from 1."""

    path: str
    first: int
    last: int

    def __contains__(self, place: Location) -> bool:
        return place.path == self.path and self.first <= place.line <= self.last


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignore:
    """An ignore of the configuration, or of a comment in a definition.

    `rule` is a code. `endpoint` is a name or a glob; `locus` None means any. `where` is the place of the ignore.
    `covered` are the lines that a comment applies to; None for an ignore of the configuration. `is_misplaced`: no
    finding of the rule is ever on these lines. `mistake` says why a comment cannot be read; such an ignore has no
    effect.
    """

    where: Location
    rule: str = ""
    endpoint: str = "*"
    locus: str | None = None
    reason: str = ""
    owner: str = ""
    until: date | None = None
    covered: tuple[LineRange, ...] | None = None
    is_misplaced: bool = False
    mistake: str | None = None

    @property
    def lacking(self) -> tuple[str, ...]:
        """The keys without which an ignore has no effect, as far as it lacks them."""
        return tuple(key for key in ("reason", "owner", "until") if not getattr(self, key))


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """An approval of one finding, by its fingerprint or the first digits of it."""

    fingerprint: str
    where: Location
    reason: str = ""
    by: str = ""
    until: date | None = None

    @property
    def lacking(self) -> tuple[str, ...]:
        """The keys without which an approval has no effect, as far as it lacks them."""
        return tuple(key for key in ("reason", "by") if not getattr(self, key))


@dataclass(frozen=True, slots=True, kw_only=True)
class Conventions:
    """What every definition has to follow: keys that it must have, and naming conventions.

    A convention is a word of `CONVENTIONS`, or a regular expression that matches the whole name.
    """

    require: tuple[RequiredKey, ...] = ()
    endpoints: str | None = None
    columns: str | None = None
    variables: str | None = None

    @property
    def digest(self) -> str:
        """Text that is equal for equal conventions; empty without any."""
        if self == Conventions():
            return ""
        return fingerprint([[*self.require], self.endpoints, self.columns, self.variables])


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The policy of a configuration. `rules` has the settings of rules by code, `ruleset` pins the rules."""

    rules: Mapping[str, RuleSetting] = field(default_factory=lambda: MappingProxyType({}))
    fail_on: Severity | None = None
    ruleset: str | None = None
    ignores: tuple[Ignore, ...] = ()
    approvals: tuple[Approval, ...] = ()
    conventions: Conventions = Conventions()

    @property
    def changes_findings(self) -> bool:
        """Whether it can change a finding, or has something to report itself."""
        return bool(self.rules or self.ruleset or self.ignores or self.approvals)


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What a run would have found, so that an ignore without a match is unused.

    `codes` are the rules that it judged. `is_whole`: it judged every definition; otherwise only those with the comments
    that it read.
    """

    codes: frozenset[str]
    is_whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """Findings after a policy: those that were `judged`, in their order, and those about the policy itself."""

    judged: tuple[Finding, ...]
    about_policy: tuple[Finding, ...] = ()

    @property
    def all(self) -> tuple[Finding, ...]:
        return (*self.judged, *self.about_policy)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings that count."""
        return tuple(finding for finding in self.all if finding.waiver is None)

    @property
    def ignored(self) -> tuple[Finding, ...]:
        """The findings that an ignore, a switched-off rule or the pinned ruleset leaves out."""
        return tuple(finding for finding in self.all if finding.waiver and not finding.is_approved)

    @property
    def approved(self) -> tuple[Finding, ...]:
        """The findings that an approval covers."""
        return tuple(finding for finding in self.all if finding.is_approved)


def iso_date(text: str) -> date | None:
    """The date of a text such as 2027-01-31; None for any other text."""
    try:
        return date.fromisoformat(text) if len(text) == len("2027-01-31") else None
    except ValueError:
        return None


def convention_mistake(text: str) -> str | None:
    """The mistake in a naming convention: an unknown word, or an invalid regular expression. None without one."""
    if text in CONVENTIONS:
        return None
    if re.fullmatch(r"[\w -]*", text):
        from endpoints_gitops.model.suggestions import did_you_mean

        names = ", ".join(CONVENTIONS)
        near = did_you_mean(text, CONVENTIONS)
        return f"there is no convention {text!r}{near}; use one of {names}, or a regular expression"
    try:
        re.compile(text)
    except re.error as error:
        return f"not a regular expression: {error}"
    return None


def approval_of(finding: Finding) -> Command:
    """The command that approves a finding; the reader writes the reason."""
    return Command("approve", finding.fingerprint[:SHORTEST_FINGERPRINT], "--reason", "…")
