"""A rule as a value, and the registry of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from endpoints_gitops.advice import about
from endpoints_gitops.hogql.locus import Locus
from endpoints_gitops.model.finding import Finding, Scope, Severity
from endpoints_gitops.model.json import Json

if TYPE_CHECKING:
    from endpoints_gitops.contract.contract import FileKey
    from endpoints_gitops.contract.pair import ContractPair

_GRAVEST: Final = {"draft": Severity.INFO, "beta": Severity.WARN}

RULESET: Final = "2026-11"
"""The ruleset that brought the rules so far; a rule that comes later carries its own date."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """What a rule found.

    `key` is the key of the definition that causes it. `severity` and `scope` are set where the rule's own do not count.
    `column` is the one that callers have to read to be hit. `fix` replaces the rule's. `offset` is the character of the
    HogQL that it is about, and `at` the locus to point at where that is not `locus`.
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


type Judge = Callable[[ContractPair], Iterable[Hit]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of the catalogue.

    `severity` counts for callers that read by name. `position` and `call` are its severity for the other ways of
    reading, None where that makes no difference; `typed` for callers that read rows into types, `direct` for those
    that ask with `refresh: direct`; `paging` for those that ask page by page. `is_everywhere`: it happens to every
    version at once. `judge` is None for rules that need more than two contracts.
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
    since: str = RULESET
    judge: Judge | None = None

    def capped(self, severity: Severity, stability: str | None) -> Severity:
        """Drafts promise nothing and betas little; what exposes data is as grave in them."""
        cap = None if self.is_exposure else _GRAVEST.get(stability or "stable")
        return severity if cap is None else min(severity, cap, key=lambda one: one.rank)

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
    ) -> Finding:
        """A finding of this rule, for those who judge by themselves."""
        return Finding(
            code=self.code,
            slug=self.slug,
            severity=severity or self.severity,
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
        )


RULES: Final[dict[str, Rule]] = {}
"""Every rule by its code. Filled by the modules of this package: import it from `endpoints_gitops.contract.rules`."""


def declare(rule: Rule) -> Rule:
    """Put a rule into the registry; two of one code are a mistake of this program."""
    assert rule.code not in RULES, f"two rules have the code {rule.code}"
    RULES[rule.code] = rule
    return rule


def judged_by(rule: Rule) -> Callable[[Judge], Judge]:
    """Declare a rule with the function below as its judgement."""

    def decorate(judge: Judge) -> Judge:
        declare(replace(rule, judge=judge))
        return judge

    return decorate


def subject(locus: Locus) -> str:
    """A part of a query, for people: `cte d/columns.n` is the column 'n' of cte d, and `where` is WHERE."""
    of = f" of {'/'.join(locus.path)}" if locus.path else ""
    if not locus.clause:
        *outer, last = locus.path or ("query",)
        return f"the {last}{f' of {"/".join(outer)}' if outer else ''}"
    if locus.clause == "columns" and locus.name:
        return f"column {locus.name!r}{of}"
    if locus.clause == "union" or (locus.clause == "join" and locus.name):
        return f"the {locus.clause}{f' {locus.name}' if locus.name else ''}{of}"
    return f"{locus.clause}{f' {locus.name}' if locus.name else ''}".upper() + of
