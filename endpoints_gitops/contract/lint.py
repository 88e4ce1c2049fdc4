"""Check a single definition, without a server and without a comparison."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from endpoints_gitops.contract.build import analyzed_columns, from_definition
from endpoints_gitops.contract.contract import UNKNOWN, Contract
from endpoints_gitops.contract.rules import RULES, Hit
from endpoints_gitops.contract.rules.columns import duplicate_names
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

_PROBLEM_RULES: Final = {
    "definition.duplicate": "G107",
    "definition.unknown-key": "G108",
    "definition.variable-disagrees": "G117",
}
_REFUSAL_RULES: Final = {
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
    """The findings of one file, in a fixed order. `variables` are the shared variables by code name, if known."""
    return lint_contract(from_definition(loaded, environment, variables))


def lint_contract(contract: Contract) -> tuple[Finding, ...]:
    """The findings of one contract, in a fixed order."""
    return in_order([_finding(code, hit, contract) for code, hit in _hits(contract)])


def duplicates(definitions: Iterable[LoadedDefinition]) -> tuple[Finding, ...]:
    """A finding for each file whose endpoint a previous file defines."""
    first: dict[str, LoadedDefinition] = {}
    findings = []
    for loaded in sorted(definitions, key=lambda definition: definition.path):
        other = first.setdefault(loaded.name, loaded)
        if other is not loaded:
            message = f"{loaded.name} is already defined in {other.path}"
            findings.append(
                RULES["G107"].finding(
                    loaded.name, message, locus="name", where=loaded.where(), before=other.path, after=loaded.path
                )
            )
    return in_order(findings)


def of_problem(problem: Problem, endpoint: str = "") -> Finding | None:
    """The finding for a mistake in a file; None if no rule covers it."""
    code = _PROBLEM_RULES.get(problem.code)
    if code is None:
        return None
    where = Location(problem.path, problem.line)
    return RULES[code].finding(endpoint, problem.message, locus=problem.path, where=where, fix=problem.fix)


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


def _refusals(contract: Contract) -> Iterator[tuple[str, Hit]]:
    """What the server would refuse. A query that cannot be parsed is reported where it is read."""
    try:
        refused_parts = refusals(contract.query) if contract.sql is not None else ()
    except ParseFailure:
        return
    for refusal in refused_parts:
        hit = Hit(
            locus="query",
            message=refusal.message,
            after=refusal.message,
            severity=None if refusal.is_certain else Severity.WARN,
            fix=refusal.fix,
            offset=refusal.offset,
        )
        yield _REFUSAL_RULES[refusal.kind], hit


def _variables(contract: Contract) -> Iterator[tuple[str, Hit]]:
    for name in contract.undeclared:
        message = f"the query uses the variable {name!r}, which the file does not declare"
        fix = f"add `- {{name: {name}, type: String}}` to `variables`, with the right type and optionally a default"
        yield "V115", Hit(locus=Locus("variables", name), message=message, after=name, fix=fix)
    for name in contract.tenants:
        if scopes(contract, name) is not True:
            message = unproven(contract, name)
            yield "V111", Hit(locus=Locus("variables", name), message=message, after=False, key=("variables", name))


def _columns(contract: Contract) -> Iterator[tuple[str, Hit]]:
    columns, why = analyzed_columns(contract)
    for name in duplicate_names(columns):
        yield "C111", Hit(locus=Locus("columns", name), message=f"two columns are named {name!r}", after=name)
    if why is not None and contract.declared is None:
        yield "C112", Hit(locus=Locus("columns"), message=f"the columns are unknown: {why}", after=why)
    declared = {column.name for column in contract.declared or () if column.type != UNKNOWN}
    for column in columns or ():
        if column.type == UNKNOWN and column.name not in declared:
            reason = f": {column.why}" if column.why else ""
            message = f"the type of column {column.name!r} is unknown{reason}"
            severity = Severity.INFO if isinstance(column.why, UntypedProperty) else None
            yield "C112", Hit(locus=Locus("columns", column.name), message=message, after=UNKNOWN, severity=severity)
    for hit in mismatches(contract.declared, columns, "the query has") if columns is not None else ():
        yield "G105", hit


def _rows(contract: Contract) -> Iterator[tuple[str, Hit]]:
    rows = contract.shape
    if rows is None:
        for moving in moving_dates(contract.query) if contract.sql is None else ():
            yield (
                "G112",
                Hit(
                    locus=Locus("dateRange").in_findings(),
                    message=f"the answer depends on the current time: {moving}",
                    after=moving,
                ),
            )
        return
    for star in rows.stars:
        message = f"the query selects {star}: the table decides its columns"
        yield "C113", Hit(locus=Locus("columns"), message=message, after=star, at=Locus("columns", star))
    if rows.paging.limit_text and not rows.order_by and rows.order_is_total is not True:
        message = f"LIMIT {rows.paging.limit_text} without ORDER BY: the server returns arbitrary rows"
        yield "G110", Hit(locus=Locus("limit").in_findings(), message=message, after=rows.paging.limit_text)
    if rows.order_by and rows.order_is_total is False:
        yield "G111", _ties(rows.order_by, rows.order_missing, is_limited=rows.paging.limit_text is not None)
    for call in rows.volatile:
        offset = offset_of_call(contract.sql or "", call)
        yield (
            "G112",
            Hit(locus="query", message=f"the answer depends on the current time: {call}", after=call, offset=offset),
        )


def _ties(order: tuple[str, ...], missing: tuple[str, ...], *, is_limited: bool) -> Hit:
    fix = f"also order by {', '.join(missing)}" if missing else "also order by a unique column"
    return Hit(
        locus=Locus("order").in_findings(),
        message=f"ORDER BY {', '.join(order)} leaves ties: the order of rows varies between calls",
        before=[*order],
        after=[*missing],
        severity=Severity.WARN if is_limited else None,
        fix=fix,
    )


def _finding(code: str, hit: Hit, contract: Contract) -> Finding:
    rule = RULES[code]
    return rule.finding(
        contract.name,
        hit.message,
        locus=hit.locus,
        severity=hit.severity,
        stability=contract.stability,
        where=contract.where(hit.key, hit.offset, hit.at or hit.locus),
        before=hit.before,
        after=hit.after,
        fix=hit.fix,
    )
