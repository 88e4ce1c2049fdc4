"""What one definition shows by itself, without a server and without anything to compare it with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from endpoints_gitops.contract.build import analysed_columns, from_definition
from endpoints_gitops.contract.contract import UNKNOWN, Contract
from endpoints_gitops.contract.rules import RULES, Hit
from endpoints_gitops.contract.rules.columns import doubled
from endpoints_gitops.contract.rules.hygiene import mismatches
from endpoints_gitops.contract.rules.request import scopes, unproven
from endpoints_gitops.contract.rules.serving import breakdown_limit_hits, refused, table_hits
from endpoints_gitops.errors import Location, Problem
from endpoints_gitops.hogql.columns import UntypedProperty
from endpoints_gitops.hogql.insight_changes import moving_dates
from endpoints_gitops.hogql.locations import offset_of_call
from endpoints_gitops.hogql.locus import Locus
from endpoints_gitops.hogql.parser import ParseFailure
from endpoints_gitops.hogql.refusals import RefusalKind, refusals
from endpoints_gitops.model.definition import LoadedDefinition
from endpoints_gitops.model.finding import Finding, Severity, in_order

if TYPE_CHECKING:
    from endpoints_gitops.model.endpoint import InsightVariable

_RULES_OF_PROBLEMS: Final = {
    "definition.duplicate": "G107",
    "definition.unknown-key": "G108",
    "definition.variable-disagrees": "G117",
}
_RULES_OF_REFUSALS: Final = {
    RefusalKind.FUNCTION: "G113",
    RefusalKind.CALL: "G114",
    RefusalKind.PLACEHOLDER: "G115",
    RefusalKind.CLAUSE: "G116",
}


def lint(
    loaded: LoadedDefinition,
    environment: str | None = None,
    variables: Mapping[str, InsightVariable] | None = None,
) -> tuple[Finding, ...]:
    """The findings of one file, in a fixed order. `variables` are the project's shared ones by code name, if known."""
    return lint_contract(from_definition(loaded, environment, variables))


def lint_contract(contract: Contract) -> tuple[Finding, ...]:
    """The same for what is known only as a contract."""
    found = [_finding(code, hit, contract) for code, hit in _hits(contract)]
    return in_order(found)


def duplicates(definitions: Iterable[LoadedDefinition]) -> tuple[Finding, ...]:
    """A finding for each file that defines a name which a file before it defines."""
    first: dict[str, LoadedDefinition] = {}
    found = []
    for loaded in sorted(definitions, key=lambda one: one.path):
        other = first.setdefault(loaded.name, loaded)
        if other is not loaded:
            message = f"{loaded.name} is defined twice: in {other.path} as well"
            places = (other.path, loaded.path)
            found.append(
                RULES["G107"].finding(
                    loaded.name, message, locus="name", where=loaded.where(), before=places[0], after=places[1]
                )
            )
    return in_order(found)


def of_problem(problem: Problem, endpoint: str = "") -> Finding | None:
    """The finding that a mistake in a file is, None for a mistake that no rule has."""
    code = _RULES_OF_PROBLEMS.get(problem.code)
    if code is None:
        return None
    where = Location(problem.path, problem.line)
    return RULES[code].finding(endpoint, problem.message, locus=problem.path, where=where, fix=problem.fix)


def base_unavailable(what: str, why: str, fix: str | None = None) -> Finding:
    """What should be compared with cannot be read: a failure (exit code 4), never clean."""
    message = f"{what} could not be read, so nothing was compared with it: {why}"
    return RULES["G109"].finding("", message, locus=what, fix=fix)


def _hits(contract: Contract) -> Iterator[tuple[str, Hit]]:
    yield from _columns(contract)
    yield from _rows(contract)
    if contract.serving.materialized and contract.serving.endpoint_active is not False and contract.refusal:
        key = "materialization.enabled"
        yield (
            "S109",
            Hit(locus="serving.materialized", message=refused(contract.refusal), after=contract.refusal, key=key),
        )
    if contract.serving.endpoint_active is not False:
        yield from table_hits(contract)
    for hit in breakdown_limit_hits(contract):
        yield "S117", hit
    yield from _variables(contract)
    yield from _refusals(contract)
    if contract.deprecation is not None:
        sunset = contract.deprecation.sunset.isoformat()
        message = f"deprecation is not used yet: no command heeds the sunset of {sunset}, and callers do not see it"
        yield "G120", Hit(locus="deprecation", message=message, after=sunset, key="deprecation")


def _refusals(contract: Contract) -> Iterator[tuple[str, Hit]]:
    """What the server would refuse; nothing for a query that could not be parsed, which its reader says."""
    try:
        found = refusals(contract.query) if contract.sql is not None else ()
    except ParseFailure:
        return
    for one in found:
        severity = None if one.is_certain else Severity.WARN
        said = one.message
        hit = Hit(locus="query", message=said, after=said, severity=severity, fix=one.fix, offset=one.offset)
        yield _RULES_OF_REFUSALS[one.kind], hit


def _variables(contract: Contract) -> Iterator[tuple[str, Hit]]:
    for name in contract.undeclared:
        message = f"the query uses the variable {name!r}, which is not declared"
        fix = f"add `- {{name: {name}, type: String}}` to `variables`, with its own type, and perhaps a default"
        yield "V115", Hit(locus=Locus("variables", name), message=message, after=name, fix=fix)
    for name in contract.tenants:
        if scopes(contract, name) is not True:
            message = unproven(contract, name)
            yield "V111", Hit(locus=Locus("variables", name), message=message, after=False, key=("variables", name))


def _columns(contract: Contract) -> Iterator[tuple[str, Hit]]:
    found, why = analysed_columns(contract)
    for name in doubled(found):
        yield "C111", Hit(locus=Locus("columns", name), message=f"two columns are called {name!r}", after=name)
    if why is not None and contract.declared is None:
        yield "C112", Hit(locus=Locus("columns"), message=f"the columns cannot be told: {why}", after=why)
    declared = {one.name for one in contract.declared or () if one.type != UNKNOWN}
    for one in found or ():
        if one.type == UNKNOWN and one.name not in declared:
            reason = f": {one.why}" if one.why else ""
            message = f"the type of column {one.name!r} cannot be told{reason}"
            severity = Severity.INFO if isinstance(one.why, UntypedProperty) else None
            yield "C112", Hit(locus=Locus("columns", one.name), message=message, after=UNKNOWN, severity=severity)
    for hit in mismatches(contract.declared, found, "the query has") if found is not None else ():
        yield "G105", hit


def _rows(contract: Contract) -> Iterator[tuple[str, Hit]]:
    rows = contract.shape
    if rows is None:
        for moving in moving_dates(contract.query) if contract.sql is None else ():
            yield (
                "G112",
                Hit(
                    locus=Locus("dateRange").in_findings(),
                    message=f"the answer changes by itself: {moving}",
                    after=moving,
                ),
            )
        return
    for star in rows.stars:
        message = f"the query selects {star}: its columns follow the table"
        yield "C113", Hit(locus=Locus("columns"), message=message, after=star, at=Locus("columns", star))
    if rows.paging.limit_text and not rows.order_by and rows.order_is_total is not True:
        message = f"LIMIT {rows.paging.limit_text} without ORDER BY: which rows come back is chance"
        yield "G110", Hit(locus=Locus("limit").in_findings(), message=message, after=rows.paging.limit_text)
    if rows.order_by and rows.order_is_total is False:
        yield "G111", _ties(rows.order_by, rows.order_missing, is_limited=rows.paging.limit_text is not None)
    for call in rows.volatile:
        offset = offset_of_call(contract.sql or "", call)
        yield "G112", Hit(locus="query", message=f"the answer changes by itself: {call}", after=call, offset=offset)


def _ties(order: tuple[str, ...], missing: tuple[str, ...], *, is_limited: bool) -> Hit:
    also = f"order by {', '.join(missing)} too" if missing else "order by a column that is unique too"
    return Hit(
        locus=Locus("order").in_findings(),
        message=f"ORDER BY {', '.join(order)} leaves ties: rows flicker between calls",
        before=[*order],
        after=[*missing],
        severity=Severity.WARN if is_limited else None,
        fix=also,
    )


def _finding(code: str, hit: Hit, contract: Contract) -> Finding:
    rule = RULES[code]
    return rule.finding(
        contract.name,
        hit.message,
        locus=hit.locus,
        severity=rule.capped(hit.severity or rule.severity, contract.stability),
        where=contract.where(hit.key, hit.offset, hit.at or hit.locus),
        before=hit.before,
        after=hit.after,
        fix=hit.fix,
    )
