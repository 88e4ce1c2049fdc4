"""The number of rows that callers can get, and whether they can page."""

from __future__ import annotations

from collections.abc import Iterator

from endpoints_gitops.contract.contract import HOGQL, Contract
from endpoints_gitops.contract.pair import ContractPair
from endpoints_gitops.contract.rules.rule import Hit, Rule, rule_check
from endpoints_gitops.hogql.locus import Locus
from endpoints_gitops.model.finding import Scope, Severity


@rule_check(
    Rule(
        code="V112",
        slug="limit-lowered",
        severity=Severity.ERROR,
        scope=Scope.VERSION,
        summary="The LIMIT of the query was added or lowered.",
        why="It also limits paging: no caller can get the rows after it.",
        fix="keep the LIMIT, or raise it",
        example=("LIMIT 1000", "LIMIT 100"),
        call=Severity.INFO,
    )
)
def limit_lowered(pair: ContractPair) -> Iterator[Hit]:
    before, after = _limits(pair)
    if before != after and isinstance(after, int) and (not isinstance(before, int) or after < before):
        yield Hit(
            locus=Locus("limit").in_findings(),
            message=f"LIMIT changed: {after}; it was {_shown(before)}",
            before=before,
            after=after,
        )


@rule_check(
    Rule(
        code="V113",
        slug="limit-removed-or-raised",
        severity=Severity.WARN,
        scope=Scope.VERSION,
        summary="The LIMIT of the query was raised or removed.",
        why="Answers can be larger, so they cost more and clients need more memory.",
        fix="confirm that callers can handle more rows",
        example=("LIMIT 100", "LIMIT 10000"),
        call=Severity.INFO,
    )
)
def limit_raised(pair: ContractPair) -> Iterator[Hit]:
    before, after = _limits(pair)
    if before != after and not (isinstance(after, int) and (not isinstance(before, int) or after < before)):
        message = f"LIMIT changed: {_shown(after)}; it was {_shown(before)}"
        yield Hit(locus=Locus("limit").in_findings(), message=message, before=before, after=after)


@rule_check(
    Rule(
        code="V114",
        slug="offset-unsupported",
        severity=Severity.ERROR,
        scope=Scope.VERSION,
        summary="Callers can no longer page: the query became a top-level UNION or an insight.",
        why="Calls with `limit` or `offset` get a 400.",
        fix="wrap the UNION in a subquery, or keep the HogQL query",
        example=("SELECT … FROM (SELECT … UNION ALL SELECT …)", "SELECT … UNION ALL SELECT …"),
    )
)
def offset_unsupported(pair: ContractPair) -> Iterator[Hit]:
    if _is_paged(pair.before) and _is_paged(pair.after) is False:
        what = "a set of SELECTs" if pair.after.kind == HOGQL else f"a {pair.after.kind}"
        message = f"callers can no longer page with limit and offset, because the query became {what}"
        yield Hit(locus=Locus("paging").in_findings(), message=message, before=True, after=False)


def _limits(pair: ContractPair) -> tuple[int | str | None, int | str | None]:
    """The limits before and after; both None if one side is unknown."""
    before, after = pair.before.paging, pair.after.paging
    return (before.written_limit, after.written_limit) if before and after else (None, None)


def _shown(limit: int | str | None) -> str:
    return "none" if limit is None else str(limit)


def _is_paged(side: Contract) -> bool | None:
    if side.kind != HOGQL:
        return False
    return not side.paging.is_union if side.paging is not None else None
