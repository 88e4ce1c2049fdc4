"""What a rule is, and the registry of all rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from endpoints_gitops.advice import about
from endpoints_gitops.hogql.locus import Locus
from endpoints_gitops.model.finding import Finding, Scope, Severity
from endpoints_gitops.model.json import Json
from endpoints_gitops.model.policy import RULESETS

if TYPE_CHECKING:
    from endpoints_gitops.contract.contract import FileKey
    from endpoints_gitops.contract.pair import ContractPair

_MAX_SEVERITY: Final = {"draft": Severity.INFO, "beta": Severity.WARN}

RULESET: Final = RULESETS[0]
"""The ruleset that introduced the first rules; each later rule carries its own date."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One violation of a rule.

    `key` is the key of the definition that causes it. `severity`, `scope` and `fix` replace those of the rule where
    they are set. `column` limits the violation to callers that read this column. `offset` is the character of the
    HogQL text that causes it, and `at` the locus to point at if that is not `locus`.
    """

    locus: str
    message: str
    before: Json = None
    after: Json = None
    key: FileKey = "query"
    severity: Severity | None = None
    scope: Scope | None = None
    column: str | None = None
    fix: str | None = None
    offset: int | None = None
    at: Locus | None = None


type Check = Callable[[ContractPair], Iterable[Hit]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of the catalog.

    `severity` applies to callers that read by name. `position` and `call` are the severities for the other ways of
    reading, or None where these make no difference; `typed` for callers that read rows into types, `direct` for those
    that call with `refresh: direct`, `paging` for those that fetch pages. `is_everywhere`: the change affects every
    version at once. `check` is None for rules that need more than two contracts. `is_fixed`: no configuration ignores
    it or lowers its severity. `is_configured`: it fires only for what a configuration or an ignore states, so that no
    pinned ruleset leaves it out.
    """

    code: str
    slug: str
    severity: Severity
    scope: Scope
    summary: str
    why: str
    fix: str
    example: tuple[str, str]
    position: Severity | None = None
    call: Severity | None = None
    typed: Severity | None = None
    direct: Severity | None = None
    paging: Severity | None = None
    is_exposure: bool = False
    is_undecidable: bool = False
    is_everywhere: bool = False
    is_fixed: bool = False
    is_configured: bool = False
    since: str = RULESET
    check: Check | None = None

    def capped(self, severity: Severity, stability: str | None) -> Severity:
        """`severity`, lowered for a draft or beta endpoint unless the rule is about exposed data."""
        return min(severity, self.ceiling(stability), key=lambda severity: severity.rank)

    def ceiling(self, stability: str | None) -> Severity:
        """The highest severity of a finding about an endpoint of this stability."""
        return Severity.ERROR if self.is_exposure else _MAX_SEVERITY.get(stability or "stable", Severity.ERROR)

    def finding(
        self,
        endpoint: str,
        message: str,
        *,
        locus: str = "",
        severity: Severity | None = None,
        version: int | None = None,
        where: str | None = None,
        before: Json = None,
        after: Json = None,
        callers: tuple[str, ...] = (),
        fix: str | None = None,
        stability: str | None = None,
    ) -> Finding:
        """A finding of this rule, with the rule's own severity and fix unless they are passed. The severity is the one
        before `stability` lowers it."""
        return Finding(
            code=self.code,
            slug=self.slug,
            severity=self.capped(severity or self.severity, stability),
            scope=self.scope,
            endpoint=endpoint,
            version=version,
            locus=locus,
            where=where,
            before=before,
            after=after,
            callers=callers,
            message=message,
            fix=fix or about(self.fix, endpoint, version),
            ceiling=self.ceiling(stability),
        )


RULES: Final[dict[str, Rule]] = {}
"""Every rule by its code. The modules of this package fill it: import it from `endpoints_gitops.contract.rules`."""


def rule_of(word: str) -> Rule | None:
    """The rule with this code or slug; None without one."""
    return RULES.get(word.upper()) or next((rule for rule in RULES.values() if rule.slug == word), None)


def declare(rule: Rule) -> Rule:
    """Add a rule to the registry. Its code must be unique, and its ruleset listed in `model.policy`."""
    assert rule.code not in RULES, f"two rules have the code {rule.code}"
    assert rule.since in RULESETS, f"there is no ruleset {rule.since}"
    RULES[rule.code] = rule
    return rule


def rule_check(rule: Rule) -> Callable[[Check], Check]:
    """Declare a rule whose check is the decorated function."""

    def decorate(check: Check) -> Check:
        declare(replace(rule, check=check))
        return check

    return decorate


def subject(locus: Locus) -> str:
    """A locus in words: `cte d/columns.n` is "column 'n' of cte d", and `where` is "WHERE"."""
    of = f" of {'/'.join(locus.path)}" if locus.path else ""
    if not locus.clause:
        *outer, last = locus.path or ("query",)
        return f"the {last}{f' of {"/".join(outer)}' if outer else ''}"
    if locus.clause == "columns" and locus.name:
        return f"column {locus.name!r}{of}"
    if locus.clause == "union" or (locus.clause == "join" and locus.name):
        return f"the {locus.clause}{f' {locus.name}' if locus.name else ''}{of}"
    return f"{locus.clause}{f' {locus.name}' if locus.name else ''}".upper() + of
