"""Hygiene: problems of a single definition, and of comparisons that cannot be made. Applied in `contract.lint`."""

from __future__ import annotations

from collections.abc import Iterator

from endpoints_gitops.contract.contract import UNKNOWN, ContractColumn
from endpoints_gitops.contract.pair import ContractPair
from endpoints_gitops.contract.rules.rule import Hit, Rule, declare, rule_check
from endpoints_gitops.hogql.locus import Locus
from endpoints_gitops.model.finding import Scope, Severity

_NEITHER = Scope.NEITHER


@rule_check(
    Rule(
        code="G104",
        slug="contract-disabled",
        severity=Severity.ERROR,
        scope=Scope.IN_PLACE,
        summary="A definition no longer declares its columns.",
        why="`check` compared every edit of the query with the declared columns; it no longer does.",
        fix="declare the columns again, or approve that they are no longer checked",
        example=("columns: [{name: users, type: integer}]", "no columns"),
        since="2026-12",
    )
)
def contract_disabled(pair: ContractPair) -> Iterator[Hit]:
    """Only a definition declares columns, so both sides are definitions."""
    if pair.before.declared and pair.after.declared is None:
        names = [column.name for column in pair.before.declared]
        message = f"the declared columns {', '.join(names)} are gone, so no check holds the query to them"
        yield Hit(locus=Locus("columns"), message=message, before=[*names], key="name")


@rule_check(
    Rule(
        code="G105",
        slug="contract-mismatch",
        severity=Severity.ERROR,
        scope=_NEITHER,
        summary="The declared columns of a definition differ from those of its query.",
        why="The declared contract promises columns that no answer has.",
        fix="change the declared columns, or the query",
        example=("columns: [{name: users, type: integer}]", "SELECT avg(x) AS users, a float"),
    )
)
def mismatch_with_server(pair: ContractPair) -> Iterator[Hit]:
    """Compares with the server's columns, if the server has the same query."""
    if pair.is_same_text and pair.before.identity is not None and pair.before.columns is not None:
        yield from mismatches(pair.after.declared, pair.before.columns, "the server has")


declare(
    Rule(
        code="G107",
        slug="duplicate-endpoint",
        severity=Severity.ERROR,
        scope=_NEITHER,
        is_fixed=True,
        summary="Two files define the same endpoint.",
        why="It would be arbitrary which file wins.",
        fix="rename one of the endpoints, or delete one of the files",
        example=("a.yaml: name: orders", "b.yaml: name: orders"),
    )
)

declare(
    Rule(
        code="G108",
        slug="unknown-key",
        severity=Severity.ERROR,
        scope=_NEITHER,
        is_fixed=True,
        summary="A definition has an unknown key.",
        why="The key would be ignored silently.",
        fix="use the key that the message suggests; `schema` prints all keys",
        example=("description: …", "descripton: …"),
    )
)

declare(
    Rule(
        code="G109",
        slug="base-unavailable",
        severity=Severity.ERROR,
        scope=_NEITHER,
        is_fixed=True,
        summary="The base of a comparison could not be read.",
        why="A comparison that did not run must not pass.",
        fix="fetch the base (in CI: `fetch-depth: 0`), or name a different one",
        example=("breaking --against origin/main", "the clone has no origin/main"),
    )
)

declare(
    Rule(
        code="G110",
        slug="limit-without-order",
        severity=Severity.WARN,
        scope=_NEITHER,
        summary="The query has a LIMIT and no ORDER BY.",
        why="The server returns arbitrary rows, and pages overlap.",
        fix="add an ORDER BY that leaves no ties",
        example=("ORDER BY users DESC, day LIMIT 10", "LIMIT 10"),
    )
)

declare(
    Rule(
        code="G111",
        slug="order-not-total",
        severity=Severity.INFO,
        scope=_NEITHER,
        summary="ORDER BY leaves ties.",
        why="The order of rows with equal keys varies between calls; with a LIMIT, the returned rows vary too.",
        fix="order by the missing columns too",
        example=("ORDER BY users DESC, day", "ORDER BY users DESC"),
    )
)

declare(
    Rule(
        code="G112",
        slug="moving-window",
        severity=Severity.INFO,
        scope=_NEITHER,
        summary="The answer depends on the current time: now(), today(), or a relative date range.",
        why="A recorded answer is out of date the next day.",
        fix="pass the time as a variable, or freeze the clock in tests (--now)",
        example=("WHERE timestamp >= {variables.since}", "WHERE timestamp >= now() - interval 7 day"),
    )
)

declare(
    Rule(
        code="G113",
        slug="unknown-function",
        severity=Severity.ERROR,
        scope=_NEITHER,
        summary="The query calls a function that HogQL does not have.",
        why="The server refuses every run of the query. A function that only ClickHouse has is a warning.",
        fix="use a HogQL function; `check --live` asks the server",
        example=("SELECT count() AS n", "SELECT cuont() AS n"),
    )
)

declare(
    Rule(
        code="G114",
        slug="call-refused",
        severity=Severity.ERROR,
        scope=_NEITHER,
        summary="The server refuses a function call: number of arguments, parameters, nesting.",
        why="The server refuses every run of the query.",
        fix="call the function with the arguments that the message names",
        example=("dateDiff('day', timestamp, now())", "dateDiff('day', timestamp)"),
    )
)

declare(
    Rule(
        code="G115",
        slug="placeholder-refused",
        severity=Severity.ERROR,
        scope=_NEITHER,
        summary="The query has a placeholder that the server does not replace.",
        why="The server refuses the query.",
        fix="use variables: `{variables.NAME}`, declared under `variables`",
        example=("WHERE timestamp >= {variables.since}", "WHERE {filters}"),
    )
)

declare(
    Rule(
        code="G116",
        slug="clause-refused",
        severity=Severity.ERROR,
        scope=_NEITHER,
        summary="The query has a clause, cast or index that parses but that the server refuses.",
        why="The server refuses every run of the query.",
        fix="rewrite it; docs/server.md#hogql lists what the server refuses",
        example=("SELECT x::int", "SELECT x::bigint"),
    )
)

declare(
    Rule(
        code="G117",
        slug="shared-variable-disagrees",
        severity=Severity.ERROR,
        scope=_NEITHER,
        is_fixed=True,
        summary="Two definitions declare the same shared variable differently.",
        why="The project has one variable of that name, so `push` refuses both definitions.",
        fix="declare the variable identically in all definitions, or use two variables",
        example=("month: {type: Date} in both files", "month: {type: Date} in one, {type: String} in the other"),
    )
)


def mismatches(
    declared: tuple[ContractColumn, ...] | None, actual: tuple[ContractColumn, ...], owner: str
) -> Iterator[Hit]:
    """The differences between declared and actual columns; unknown types count as equal. `owner` names the side that
    has the actual ones, with its verb: "the server has".
    """
    if declared is None:
        return
    declared_names, actual_names = [column.name for column in declared], [column.name for column in actual]
    if declared_names != actual_names:
        names = ", ".join(declared_names) or "none"
        message = f"the declared columns are {names}; {owner} {', '.join(actual_names)}"
        yield Hit(
            locus=Locus("columns"), message=message, before=[*declared_names], after=[*actual_names], key="columns"
        )
        return
    for promise, column in zip(declared, actual, strict=True):
        if (difference := _difference(promise, column)) is not None:
            before, after = difference
            message = f"column {promise.name!r} is declared as {before}; {owner} {after}"
            yield Hit(
                locus=Locus("columns", promise.name),
                message=message,
                before=before,
                after=after,
                key=("columns", promise.name),
            )


def _difference(declared: ContractColumn, actual: ContractColumn) -> tuple[str, str] | None:
    if actual.type not in (declared.type, UNKNOWN) and declared.type != UNKNOWN and actual.why is None:
        return declared.type, actual.type
    if declared.nullable is False and actual.nullable is True:
        return "not nullable", "a nullable one"
    return None
