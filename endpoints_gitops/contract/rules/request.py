"""The variables of a query, which callers send."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from endpoints_gitops.contract.contract import UNKNOWN, Contract, ContractVariable, FileKey
from endpoints_gitops.contract.pair import ContractPair, operators_of
from endpoints_gitops.contract.rules.rule import Hit, Rule, declare, rule_check
from endpoints_gitops.hogql.locus import Locus
from endpoints_gitops.hogql.parser import ParseFailure
from endpoints_gitops.model.finding import Scope, Severity
from endpoints_gitops.model.json import Json, canonical


@rule_check(
    Rule(
        code="V101",
        slug="variable-removed",
        severity=Severity.ERROR,
        scope=Scope.VERSION,
        summary="A variable was removed.",
        why="Callers that send the variable get a 400.",
        fix="keep the variable, without effect, until the sunset",
        example=("WHERE event = {variables.event}", "WHERE event = '$pageview'"),
    )
)
def variable_removed(pair: ContractPair) -> Iterator[Hit]:
    for variable in pair.removed_variables:
        if variable.name not in pair.renamed_variables:
            message = f"variable {variable.name!r} is no longer accepted"
            hit = _variable(variable.name, message, variable.type, None)
            yield replace(hit, fix="keep the breakdown, or publish a new endpoint") if pair.is_insight else hit


@rule_check(
    Rule(
        code="V102",
        slug="variable-renamed",
        severity=Severity.ERROR,
        scope=Scope.VERSION,
        summary="A variable was renamed.",
        why="Callers that send the old name get a 400.",
        fix="accept both names until the callers have moved",
        example=("WHERE event = {variables.event}", "WHERE event = {variables.event_name}"),
    )
)
def variable_renamed(pair: ContractPair) -> Iterator[Hit]:
    for old, new in pair.renamed_variables.items():
        yield _variable(
            old, f"variable {old!r} was renamed to {new.name!r}", old, new.name, key=("variables", new.name)
        )


@rule_check(
    Rule(
        code="V103",
        slug="required-variable-added",
        severity=Severity.ERROR,
        scope=Scope.VERSION,
        summary="A required variable was added.",
        why="Existing callers do not send it: they get a 400, or the query compares with NULL.",
        fix="give the variable a default and do not materialize, or publish a new endpoint",
        example=("SELECT count() FROM events", "SELECT count() FROM events WHERE event = {variables.event}"),
    )
)
def required_added(pair: ContractPair) -> Iterator[Hit]:
    for variable in _new_variables(pair):
        if variable.required:
            why = "the endpoint is materialized" if pair.after.is_from_table else "it has no default"
            message = f"variable {variable.name!r} is new and required, because {why}"
            yield _variable(variable.name, message, None, variable.type)


@rule_check(
    Rule(
        code="V104",
        slug="optional-variable-added",
        severity=Severity.INFO,
        scope=Scope.VERSION,
        summary="An optional variable was added.",
        why="Existing callers keep working.",
        fix="nothing to do",
        example=("SELECT count() FROM events", "a new variable with a default"),
    )
)
def optional_added(pair: ContractPair) -> Iterator[Hit]:
    for variable in _new_variables(pair):
        if not variable.required:
            yield _variable(variable.name, f"variable {variable.name!r} is new and optional", None, variable.type)


@rule_check(
    Rule(
        code="V105",
        slug="variable-became-required",
        severity=Severity.ERROR,
        scope=Scope.VERSION,
        summary="An optional variable became required.",
        why="Callers that omit it fail, or the query compares with NULL.",
        fix="restore the default",
        example=("default: $pageview", "no default, and the shared variable has none either"),
    )
)
def became_required(pair: ContractPair) -> Iterator[Hit]:
    for old, new in pair.variables:
        if new.required and not old.required and not pair.after.is_from_table:
            yield _variable(
                new.name, f"variable {new.name!r} became required, because its default was removed", old.default, None
            )


@rule_check(
    Rule(
        code="V106",
        slug="variable-became-optional",
        severity=Severity.WARN,
        scope=Scope.VERSION,
        summary="A required variable became optional.",
        why="A caller that omits it gets the data of the default, which can be more than it may see.",
        fix="confirm that callers must still send the variables that separate their data",
        example=("no default", "default: ''"),
        is_exposure=True,
    )
)
def became_optional(pair: ContractPair) -> Iterator[Hit]:
    for old, new in pair.variables:
        was = pair.input(old.name)
        if old.required and not new.required and not (was and was.is_open) and not _is_granted(pair, new.name):
            why = "the endpoint is no longer materialized" if pair.turned_off else f"its default is {new.default!r}"
            scope = pair.setting_scope if pair.turned_off else None
            message = f"variable {new.name!r} became optional, because {why}"
            yield _variable(new.name, message, None, new.default, scope=scope)


@rule_check(
    Rule(
        code="V107",
        slug="variable-type-changed",
        severity=Severity.ERROR,
        scope=Scope.VERSION,
        summary="The type of a variable changed in a new version.",
        why="The server refuses values of the old type, or compares them differently.",
        fix="use a new variable",
        example=("type: String", "type: Number, and the query compares numbers"),
    )
)
def type_changed(pair: ContractPair) -> Iterator[Hit]:
    if pair.cuts_version:
        for name, was, now in _retyped(pair):
            if not pair.context.sharing.get(name):
                yield _variable(
                    name, f"the type of variable {name!r} changed: {now}; it was {was}", was, now, suffix=("type",)
                )


@rule_check(
    Rule(
        code="V109",
        slug="shared-variable-retyped",
        severity=Severity.ERROR,
        scope=Scope.IN_PLACE,
        is_everywhere=True,
        summary="The type of a shared variable changed.",
        why="The change affects every endpoint of the project that uses the variable, and creates no version anywhere.",
        fix="use a new variable",
        example=("month: String, used by 3 endpoints", "month: Date, pushed with --shared-variables"),
    )
)
def shared_retyped(pair: ContractPair) -> Iterator[Hit]:
    for name, was, now in _retyped(pair):
        others = pair.context.sharing.get(name, ())
        if others or not pair.cuts_version:
            also = f"; {', '.join(sorted(others))} use{'s' * (len(others) == 1)} it too" if others else ""
            message = f"the type of the shared variable {name!r} changed: {now}; it was {was}{also}"
            yield _variable(name, message, was, now, suffix=("type",))


@rule_check(
    Rule(
        code="V108",
        slug="variable-default-changed",
        severity=Severity.WARN,
        scope=Scope.VERSION,
        summary="The default of a variable changed.",
        why="The same call returns different rows.",
        fix="inform the callers, or have them send the value",
        example=("default: 30", "default: 90"),
        call=Severity.INFO,
    )
)
def default_changed(pair: ContractPair) -> Iterator[Hit]:
    for old, new in pair.variables:
        was = pair.input(old.name)
        is_settled = not (old.required or new.required) or (was is not None and was.is_open and new.has_default)
        if is_settled and canonical(old.default) != canonical(new.default):
            before = "that of the shared variable" if was and was.is_open else repr(old.default)
            message = f"the default of {new.name!r} changed: {new.default!r}; it was {before}"
            yield _variable(new.name, message, old.default, new.default, suffix=("default",))


@rule_check(
    Rule(
        code="V110",
        slug="variable-operator-changed",
        severity=Severity.WARN,
        scope=Scope.VERSION,
        summary="The comparison of a variable changed: its operator, or what it is compared with.",
        why="The same value selects different rows.",
        fix="confirm that the new comparison is what the callers expect",
        example=("WHERE timestamp >= {variables.since}", "WHERE timestamp > {variables.since}"),
        call=Severity.INFO,
    )
)
def operator_changed(pair: ContractPair) -> Iterator[Hit]:
    for old, new in pair.variables if pair.touches_variables else ():
        before, after = operators_of(pair.before, old.name), operators_of(pair.after, new.name)
        if before is not None and after is not None and before != after:
            was, now = (", ".join(comparisons) or "no comparison" for comparisons in (before, after))
            message = f"the comparison of variable {new.name!r} changed: {now}; it was {was}"
            yield _variable(new.name, message, [*before], [*after], key="query")


@rule_check(
    Rule(
        code="V111",
        slug="scoping-variable-dropped",
        severity=Severity.ERROR,
        scope=Scope.VERSION,
        summary="A variable marked `scope: tenant` does not provably filter every row.",
        why="A caller could see the data of another tenant.",
        fix="compare a column of every table with the variable: `WHERE tenant = {variables.tenant}` (docs/rules.md)",
        example=("WHERE properties.org = {variables.org}", "the condition is removed, or is one side of an OR"),
        is_exposure=True,
    )
)
def scope_dropped(pair: ContractPair) -> Iterator[Hit]:
    for name in dict.fromkeys((*pair.before.tenants, *pair.after.tenants)):
        if _is_dropped_scope(name, pair):
            yield _variable(name, unproven(pair.after, _name_after(name, pair)), True, False, key="query")


@rule_check(
    Rule(
        code="V116",
        slug="scope-mark-removed",
        severity=Severity.ERROR,
        scope=Scope.IN_PLACE,
        summary="The mark `scope: tenant` was removed from a variable.",
        why="Without the mark, no check proves that the query separates tenants (V111).",
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
            message = f"variable {now!r} is no longer marked `scope: tenant`, so no check guards its condition"
            yield _variable(now, message, "tenant", None)


declare(
    Rule(
        code="V115",
        slug="variable-undeclared",
        severity=Severity.WARN,
        scope=Scope.NEITHER,
        summary="The query uses a variable that the file does not declare.",
        why="The project's variable of that name decides type and default; if there is none, `push` is refused.",
        fix="declare the variable under `variables`, with type and default",
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
    suffix: tuple[str, ...] = (),
    scope: Scope | None = None,
) -> Hit:
    return Hit(
        locus=Locus("variables", name),
        message=message,
        before=before,
        after=after,
        key=key or ("variables", name, *suffix),
        scope=scope,
    )


def _new_variables(pair: ContractPair) -> list[ContractVariable]:
    renamed = {variable.name for variable in pair.renamed_variables.values()}
    return [variable for variable in pair.added_variables if variable.name not in renamed]


def _is_granted(pair: ContractPair, name: str) -> bool:
    """Whether it is a breakdown that became optional, which rule S105 reports."""
    is_table = pair.before.is_from_table and pair.after.is_from_table
    return is_table and name in (pair.after.serving.optional_breakdowns or ())


def _retyped(pair: ContractPair) -> Iterator[tuple[str, str, str]]:
    for old, new in pair.variables:
        if UNKNOWN not in (old.type, new.type) and old.type != new.type:
            yield new.name, old.type, new.type


def _is_dropped_scope(name: str, pair: ContractPair) -> bool:
    """Whether the change lost the proof. A query that cannot be parsed has no proof; a missing proof cannot be lost."""
    if name not in (*pair.before.tenants, *pair.after.tenants):
        return False
    return scopes(pair.before, name) is not False and scopes(pair.after, _name_after(name, pair)) is not True


def _name_after(name: str, pair: ContractPair) -> str:
    renamed = pair.renamed_variables.get(name)
    return renamed.name if renamed else name


def scopes(side: Contract, variable: str) -> bool | None:
    """Whether the query provably filters every row by the variable; None if it cannot be parsed. Always False for an
    insight: a caller that omits the variable gets all rows."""
    if side.sql is None:
        return False
    from endpoints_gitops.hogql.narrowing import is_scoped

    try:
        return is_scoped(side.sql, variable)
    except ParseFailure:
        return None


def unproven(side: Contract, variable: str) -> str:
    """The message about a tenant variable whose condition is not proven."""
    if side.sql is None:
        return (
            f"variable {variable!r} is marked `scope: tenant`, but an insight returns all rows to callers that omit it"
        )
    if scopes(side, variable) is None:
        return (
            f"variable {variable!r} is marked `scope: tenant`, but the query could not be parsed, so nothing is proven"
        )
    return f"variable {variable!r} is marked `scope: tenant`, but does not provably filter every row of the query"
