"""Hygiene: what a definition shows by itself, and what keeps a comparison from being one. Judged in `contract.lint`."""

from __future__ import annotations

from collections.abc import Iterator

from endpoints_gitops.contract.contract import UNKNOWN, ContractColumn
from endpoints_gitops.contract.pair import ContractPair
from endpoints_gitops.contract.rules.rule import Hit, Rule, declare, judged_by
from endpoints_gitops.hogql.locus import Locus
from endpoints_gitops.model.finding import Scope, Severity

_NEITHER = Scope.NEITHER


@judged_by(
    Rule(
        code="G105",
        slug="contract-mismatch",
        severity=Severity.ERROR,
        scope=_NEITHER,
        summary="The columns that a definition declares are not those that its query has.",
        why="The declared contract promises what does not come.",
        fix="change the declared columns, or the query",
        example=("columns: [{name: users, type: integer}]", "SELECT avg(x) AS users, a float"),
    )
)
def mismatch_with_server(pair: ContractPair) -> Iterator[Hit]:
    """Of the same query: then the server knows its columns for certain."""
    if pair.is_same_text and pair.before.identity is not None and pair.before.columns is not None:
        yield from mismatches(pair.after.declared, pair.before.columns, "the server has")


declare(
    Rule(
        code="G107",
        slug="duplicate-endpoint",
        severity=Severity.ERROR,
        scope=_NEITHER,
        summary="Two files define one name.",
        why="Which of them counts would be chance.",
        fix="give one of them another name, or delete it",
        example=("a.yaml: name: orders", "b.yaml: name: orders"),
    )
)

declare(
    Rule(
        code="G108",
        slug="unknown-key",
        severity=Severity.ERROR,
        scope=_NEITHER,
        summary="A definition has a key that no definition has.",
        why="What it was meant to say would be lost in silence.",
        fix="write the key that the message suggests; `schema` prints all of them",
        example=("description: …", "descripton: …"),
    )
)

declare(
    Rule(
        code="G109",
        slug="base-unavailable",
        severity=Severity.ERROR,
        scope=_NEITHER,
        summary="What should be compared with could not be read.",
        why="A comparison that did not happen is no clean one.",
        fix="bring it here (in CI: `fetch-depth: 0`), or name another one",
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
        why="Which rows come back is chance, and pages overlap.",
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
        why="Rows with equal keys come in any order, and flicker between calls; with a LIMIT, so do the rows.",
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
        summary="The answer changes by itself: now(), today(), or a relative range of dates.",
        why="A recorded or tested answer is old the next day.",
        fix="take the moment as a variable, or stop the clock in tests (--now)",
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
        why="The server refuses every run of it. A function that only ClickHouse has is a warning.",
        fix="write a function of HogQL; `check --live` asks the server",
        example=("SELECT count() AS n", "SELECT cuont() AS n"),
    )
)

declare(
    Rule(
        code="G114",
        slug="call-refused",
        severity=Severity.ERROR,
        scope=_NEITHER,
        summary="A function is called in a way that the server refuses: number of arguments, parameters, nesting.",
        why="The server refuses every run of it.",
        fix="call it with the arguments that the message names",
        example=("dateDiff('day', timestamp, now())", "dateDiff('day', timestamp)"),
    )
)

declare(
    Rule(
        code="G115",
        slug="placeholder-refused",
        severity=Severity.ERROR,
        scope=_NEITHER,
        summary="The query has a placeholder that the server does not fill in.",
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
        summary="The query parses, and has a clause, cast or index that the server refuses.",
        why="The server refuses every run of it.",
        fix="write it in another way; docs/server.md#hogql lists what is refused",
        example=("SELECT x::int", "SELECT x::bigint"),
    )
)

declare(
    Rule(
        code="G117",
        slug="shared-variable-disagrees",
        severity=Severity.ERROR,
        scope=_NEITHER,
        summary="Two definitions say different things of one shared variable.",
        why="It is one variable of the project, so a push is refused.",
        fix="say the same in all of them, or use two variables",
        example=("month: {type: Date} in both files", "month: {type: Date} in one, {type: String} in the other"),
    )
)

declare(
    Rule(
        code="G120",
        slug="key-without-effect",
        severity=Severity.WARN,
        scope=_NEITHER,
        summary="A definition has a key that no command uses yet.",
        why="Whoever wrote it relies on something that does not happen.",
        fix="keep it as a note to people, and tell the callers in another way",
        example=("description: goes away in June", "deprecation: {since: 2026-01-01, sunset: 2026-06-01}"),
    )
)


def mismatches(
    declared: tuple[ContractColumn, ...] | None, found: tuple[ContractColumn, ...], who: str
) -> Iterator[Hit]:
    """Where declared and found columns differ; what is not known of a found one is no difference."""
    if declared is None:
        return
    names, there = [one.name for one in declared], [one.name for one in found]
    if names != there:
        message = f"declared are the columns {', '.join(names) or 'none'}; {who} {', '.join(there)}"
        yield Hit(locus=Locus("columns"), message=message, before=[*names], after=[*there], key="columns")
        return
    for mine, other in zip(declared, found, strict=True):
        if (difference := _difference(mine, other)) is not None:
            before, after = difference
            message = f"column {mine.name!r} is declared {before}; {who} {after}"
            yield Hit(
                locus=Locus("columns", mine.name),
                message=message,
                before=before,
                after=after,
                key=("columns", mine.name),
            )


def _difference(declared: ContractColumn, found: ContractColumn) -> tuple[str, str] | None:
    if found.type not in (declared.type, UNKNOWN) and declared.type != UNKNOWN and found.why is None:
        return declared.type, found.type
    if declared.nullable is False and found.nullable is True:
        return "never null", "that it can be null"
    return None
