"""What callers send: the variables of a query."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from endpoints_gitops.contract.contract import UNKNOWN, Contract, ContractVariable, FileKey
from endpoints_gitops.contract.pair import ContractPair, operators_of
from endpoints_gitops.contract.rules.rule import Hit, Rule, declare, judged_by
from endpoints_gitops.hogql.locus import Locus
from endpoints_gitops.hogql.narrowing import is_scoped
from endpoints_gitops.hogql.parser import ParseFailure
from endpoints_gitops.model.finding import Scope, Severity
from endpoints_gitops.model.json import Json, canonical


@judged_by(
    Rule(
        code="V101",
        slug="variable-removed",
        severity=Severity.ERROR,
        scope=Scope.VERSION,
        summary="A variable is no longer accepted.",
        why="Callers that send it get a 400.",
        fix="keep it and ignore it in the SQL until the sunset",
        example=("WHERE event = {variables.event}", "WHERE event = '$pageview'"),
    )
)
def variable_removed(pair: ContractPair) -> Iterator[Hit]:
    for one in pair.removed_variables:
        if one.name not in pair.renamed_variables:
            hit = _variable(one.name, f"variable {one.name!r} is no longer accepted", one.type, None)
            yield replace(hit, fix="keep the breakdown, or publish a new endpoint") if pair.is_insight else hit


@judged_by(
    Rule(
        code="V102",
        slug="variable-renamed",
        severity=Severity.ERROR,
        scope=Scope.VERSION,
        summary="A variable has another name, and does the same.",
        why="Callers that send the old name get a 400.",
        fix="accept both names for a while",
        example=("WHERE event = {variables.event}", "WHERE event = {variables.event_name}"),
    )
)
def variable_renamed(pair: ContractPair) -> Iterator[Hit]:
    for old, new in pair.renamed_variables.items():
        yield _variable(old, f"variable {old!r} is now called {new.name!r}", old, new.name, key=("variables", new.name))


@judged_by(
    Rule(
        code="V103",
        slug="required-variable-added",
        severity=Severity.ERROR,
        scope=Scope.VERSION,
        summary="There is a new variable that must be sent.",
        why="Callers of before do not send it: they get a 400, or compare with NULL.",
        fix="give it a default and do not materialise, or publish a new endpoint",
        example=("SELECT count() FROM events", "SELECT count() FROM events WHERE event = {variables.event}"),
    )
)
def required_added(pair: ContractPair) -> Iterator[Hit]:
    for one in _really_added(pair):
        if one.required:
            why = "as the endpoint is materialised" if pair.after.is_from_table else "as it has no default"
            yield _variable(one.name, f"variable {one.name!r} is new and must be sent, {why}", None, one.type)


@judged_by(
    Rule(
        code="V104",
        slug="optional-variable-added",
        severity=Severity.INFO,
        scope=Scope.VERSION,
        summary="There is a new variable that can be left out.",
        why="Callers of before go on as they did.",
        fix="nothing to do",
        example=("SELECT count() FROM events", "a new variable with a default"),
    )
)
def optional_added(pair: ContractPair) -> Iterator[Hit]:
    for one in _really_added(pair):
        if not one.required:
            yield _variable(one.name, f"variable {one.name!r} is new and can be left out", None, one.type)


@judged_by(
    Rule(
        code="V105",
        slug="variable-became-required",
        severity=Severity.ERROR,
        scope=Scope.VERSION,
        summary="A variable that could be left out must be sent.",
        why="Callers that leave it out fail, or compare with NULL.",
        fix="restore the default",
        example=("default: $pageview", "no default, and none of the shared variable"),
    )
)
def became_required(pair: ContractPair) -> Iterator[Hit]:
    for old, new in pair.variables:
        if new.required and not old.required and not pair.after.is_from_table:
            yield _variable(new.name, f"variable {new.name!r} must be sent now: its default is gone", old.default, None)


@judged_by(
    Rule(
        code="V106",
        slug="variable-became-optional",
        severity=Severity.WARN,
        scope=Scope.VERSION,
        summary="A variable that had to be sent can be left out.",
        why="A caller that leaves it out gets the data of the default, perhaps more than it should see.",
        fix="confirm that filters which keep callers apart still have to be sent",
        example=("no default", "default: ''"),
        is_exposure=True,
    )
)
def became_optional(pair: ContractPair) -> Iterator[Hit]:
    for old, new in pair.variables:
        was = pair.input(old.name)
        if old.required and not new.required and not (was and was.is_open) and not _is_granted(pair, new.name):
            how = "as nothing is materialised any more" if pair.turned_off else f"with {new.default!r} for a default"
            scope = pair.setting_scope if pair.turned_off else None
            message = f"variable {new.name!r} can be left out now, {how}"
            yield _variable(new.name, message, None, new.default, scope=scope)


@judged_by(
    Rule(
        code="V107",
        slug="variable-type-changed",
        severity=Severity.ERROR,
        scope=Scope.VERSION,
        summary="A variable has another type in a new version.",
        why="Values of the old type are refused, or compared in another way.",
        fix="use a new variable",
        example=("type: String", "type: Number, and the query compares numbers"),
    )
)
def type_changed(pair: ContractPair) -> Iterator[Hit]:
    if pair.cuts_version:
        for name, was, now in _retyped(pair):
            if not pair.context.sharing.get(name):
                yield _variable(name, f"variable {name!r} is a {now} now; it was a {was}", was, now, more=("type",))


@judged_by(
    Rule(
        code="V109",
        slug="shared-variable-retyped",
        severity=Severity.ERROR,
        scope=Scope.IN_PLACE,
        is_everywhere=True,
        summary="The type of a shared variable changes.",
        why="It belongs to the whole project: every endpoint that uses it is hit, and no version is cut anywhere.",
        fix="use a new variable",
        example=("month: String, used by 3 endpoints", "month: Date, pushed with --shared-variables"),
    )
)
def shared_retyped(pair: ContractPair) -> Iterator[Hit]:
    for name, was, now in _retyped(pair):
        others = pair.context.sharing.get(name, ())
        if others or not pair.cuts_version:
            also = f"; {', '.join(sorted(others))} use{'s' * (len(others) == 1)} it too" if others else ""
            message = f"the shared variable {name!r} becomes a {now}; it is a {was}{also}"
            yield _variable(name, message, was, now, more=("type",))


@judged_by(
    Rule(
        code="V108",
        slug="variable-default-changed",
        severity=Severity.WARN,
        scope=Scope.VERSION,
        summary="A variable has another default.",
        why="The same call gives other rows.",
        fix="say so to the callers, or have them send the value",
        example=("default: 30", "default: 90"),
        call=Severity.INFO,
    )
)
def default_changed(pair: ContractPair) -> Iterator[Hit]:
    for old, new in pair.variables:
        was = pair.input(old.name)
        is_settled = not (old.required or new.required) or (was is not None and was.is_open and new.has_default)
        if is_settled and canonical(old.default) != canonical(new.default):
            before = "left to the shared variable" if was and was.is_open else repr(old.default)
            message = f"the default of {new.name!r} is {new.default!r} now; it was {before}"
            yield _variable(new.name, message, old.default, new.default, more=("default",))


@judged_by(
    Rule(
        code="V110",
        slug="variable-operator-changed",
        severity=Severity.WARN,
        scope=Scope.VERSION,
        summary="A variable is compared in another way, or with something else.",
        why="The same value selects other rows.",
        fix="confirm that the callers mean what the query now does",
        example=("WHERE timestamp >= {variables.since}", "WHERE timestamp > {variables.since}"),
        call=Severity.INFO,
    )
)
def operator_changed(pair: ContractPair) -> Iterator[Hit]:
    for old, new in pair.variables if pair.touches_variables else ():
        before, after = operators_of(pair.before, old.name), operators_of(pair.after, new.name)
        if before is not None and after is not None and before != after and not _is_dropped_scope(old.name, pair):
            was, now = (", ".join(each) or "no comparison" for each in (before, after))
            message = f"variable {new.name!r} stands in {now} now; it was {was}"
            yield _variable(new.name, message, [*before], [*after], key="query")


@judged_by(
    Rule(
        code="V111",
        slug="scoping-variable-dropped",
        severity=Severity.ERROR,
        scope=Scope.VERSION,
        summary="Nothing proves that a variable marked `scope: tenant` narrows every row.",
        why="A caller can see the data of another one.",
        fix="compare a column of every table with the variable: `WHERE tenant = {variables.tenant}` (docs/rules.md)",
        example=("WHERE properties.org = {variables.org}", "the condition is gone, or stands beside an OR"),
        is_exposure=True,
    )
)
def scope_dropped(pair: ContractPair) -> Iterator[Hit]:
    for name in dict.fromkeys((*pair.before.tenants, *pair.after.tenants)):
        if _is_dropped_scope(name, pair):
            yield _variable(name, unproven(pair.after, _name_after(name, pair)), True, False, key="query")


@judged_by(
    Rule(
        code="V116",
        slug="scope-mark-removed",
        severity=Severity.ERROR,
        scope=Scope.IN_PLACE,
        summary="A declared variable lost its `scope: tenant`.",
        why="Without the mark, nothing checks that the query still keeps callers apart (V111).",
        fix="restore `scope: tenant`",
        example=("{name: org, type: String, scope: tenant}", "{name: org, type: String}"),
        is_exposure=True,
        is_everywhere=True,
    )
)
def scope_mark_removed(pair: ContractPair) -> Iterator[Hit]:
    if pair.after.source is None:
        return
    declared = {variable.name for variable in pair.after.source.definition.variables or ()}
    present = declared | {variable.name for variable in pair.after.inputs}
    for name in pair.before.tenants:
        now = _name_after(name, pair)
        if now in present and now not in pair.after.tenants:
            message = f"variable {now!r} is no longer marked `scope: tenant`, so nothing guards its condition"
            yield _variable(now, message, "tenant", None)


declare(
    Rule(
        code="V115",
        slug="variable-undeclared",
        severity=Severity.WARN,
        scope=Scope.NEITHER,
        summary="The query uses a variable that its file does not declare.",
        why="Its type and default are whatever the project has under that name; if it has none, the push is refused.",
        fix="declare it under `variables`, with its type and default",
        example=("WHERE event = {variables.event}, and event under `variables`", "WHERE event = {variables.event}"),
    )
)


def _variable(
    name: str,
    message: str,
    before: Json,
    after: Json,
    *,
    key: FileKey | None = None,
    more: tuple[str, ...] = (),
    scope: Scope | None = None,
) -> Hit:
    return Hit(
        locus=Locus("variables", name),
        message=message,
        before=before,
        after=after,
        key=key or ("variables", name, *more),
        scope=scope,
    )


def _really_added(pair: ContractPair) -> list[ContractVariable]:
    renamed = {one.name for one in pair.renamed_variables.values()}
    return [one for one in pair.added_variables if one.name not in renamed]


def _is_granted(pair: ContractPair, name: str) -> bool:
    """Whether it is a breakdown that became optional, which rule S105 says."""
    is_table = pair.before.is_from_table and pair.after.is_from_table
    return is_table and name in (pair.after.serving.optional_breakdowns or ())


def _retyped(pair: ContractPair) -> Iterator[tuple[str, str, str]]:
    for old, new in pair.variables:
        if UNKNOWN not in (old.type, new.type) and old.type != new.type:
            yield new.name, old.type, new.type


def _is_dropped_scope(name: str, pair: ContractPair) -> bool:
    """A query that cannot be read proves nothing; one that was unproven before dropped nothing."""
    if name not in (*pair.before.tenants, *pair.after.tenants):
        return False
    return scopes(pair.before, name) is not False and scopes(pair.after, _name_after(name, pair)) is not True


def _name_after(name: str, pair: ContractPair) -> str:
    renamed = pair.renamed_variables.get(name)
    return renamed.name if renamed else name


def scopes(side: Contract, variable: str) -> bool | None:
    """Whether every row is proven to match the variable; None where the query cannot be read. Never of an insight:
    a caller that leaves the variable out gets all rows."""
    try:
        return is_scoped(side.sql, variable) if side.sql is not None else False
    except ParseFailure:
        return None


def unproven(side: Contract, variable: str) -> str:
    """What is said of a tenant variable whose condition is not proven."""
    if side.sql is None:
        return f"variable {variable!r} is marked `scope: tenant`, and an insight returns all rows to callers without it"
    if scopes(side, variable) is None:
        return f"variable {variable!r} is marked `scope: tenant`, and the query could not be parsed to prove it"
    return f"variable {variable!r} is marked `scope: tenant`, and nothing proves that it narrows every row of the query"
