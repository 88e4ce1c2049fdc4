"""What a plan would do to callers, what is wrong with what it sends, and what is not sent because of either."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from endpoints_gitops.contract.build import from_definition, from_version
from endpoints_gitops.contract.contract import HOGQL, Contract, Serving
from endpoints_gitops.contract.lint import lint_contract
from endpoints_gitops.contract.rules import RULES
from endpoints_gitops.model.definition import Definition, LoadedDefinition
from endpoints_gitops.model.endpoint import Endpoint, InsightVariable
from endpoints_gitops.model.finding import Finding, Scope, Severity, in_order
from endpoints_gitops.model.json import Json
from endpoints_gitops.operations.callers import Callers
from endpoints_gitops.operations.check import findings_of
from endpoints_gitops.operations.pairs import Pair, Side, judge
from endpoints_gitops.plan.changes import Action, Change, Plan, Withheld
from endpoints_gitops.plan.meaning import Key, Meaning, of_definition, of_endpoint, same, variables_of
from endpoints_gitops.plan.variables import VariableAction, VariableChange

_NOT_MATERIALISABLE: Final = "S109"
_RETYPED: Final = "V109"
_SERVING: Final = {
    Key.ACTIVE: "endpoint_active",
    Key.MATERIALIZATION: "materialized",
    Key.FRESHNESS: "freshness_seconds",
    Key.OPTIONAL_BREAKDOWNS: "optional_breakdowns",
    Key.BUCKET_OVERRIDES: "bucket_overrides",
}


def consequences(
    plan: Plan,
    endpoints: Mapping[str, Endpoint],
    definitions: Mapping[str, LoadedDefinition],
    variables: Sequence[InsightVariable],
    callers: Callers,
) -> tuple[Finding, ...]:
    """The findings that pushing this plan would cause. What it leaves alone causes none."""
    found = judge(of_plan(plan, endpoints, definitions, variables), callers)
    retyped = [one for change in plan.variables for one in _retyped(change, plan.environment, callers)]
    known = {one.fingerprint for one in found}
    return (*found, *(one for one in retyped if one.fingerprint not in known))


def checked(
    plan: Plan, definitions: Mapping[str, LoadedDefinition], names: Collection[str], environment: str
) -> tuple[Finding, ...]:
    """What `check` finds in the definitions of these names, and in what the plan sends where no file says that (now).

    Of the latter there are only the findings that stop it: a plan does not hold all that a file declares.
    """
    changes = {change.name: change for change in plan.changes if change.action is not Action.DEACTIVATE}
    found: list[Finding] = []
    for name in sorted({*names, *changes}):
        change, loaded = changes.get(name), definitions.get(name)
        if change is not None and (loaded is None or not _still_says(loaded, environment, change)):
            sent = _pair(change, environment, None, None, ()).after
            found += [one for one in lint_contract(sent.promise) if stops(one)] if sent else []
        elif loaded is not None:
            found += (one if one.endpoint else replace(one, endpoint=name) for one in findings_of(loaded, environment))
    return in_order({one.fingerprint: one for one in found}.values())


def stops(finding: Finding, fail_on: Severity | None = None) -> bool:
    """Whether the endpoint of a finding is not written, and the exit code is 1.

    What callers notice is for them to judge, so it stops nothing unless `fail_on` says how grave is too grave.
    """
    if fail_on is not None and finding.severity.rank >= fail_on.rank:
        return True
    is_lint_error = finding.scope is Scope.NEITHER and finding.severity is Severity.ERROR
    return is_lint_error or finding.code == _NOT_MATERIALISABLE


def withhold(plan: Plan, findings: Sequence[Finding], fail_on: Severity | None = None) -> Plan:
    """The plan without the changes that a finding stops, and without the shared variables that only those need."""
    stopping = list({one.fingerprint: one for one in findings if stops(one, fail_on)}.values())
    if not stopping:
        return plan
    retyped = {one.locus for one in stopping if one.code == _RETYPED}
    frozen = {one.code_name for one in plan.variables if f"variables.{one.code_name}" in retyped}
    names = {one.endpoint for one in stopping}
    kept = tuple(change for change in plan.changes if change.name not in names)
    sending = {change.name for change in kept if change.sends_query}
    planned = {change.name for change in plan.changes}
    reasons = [one for one in stopping if one.endpoint in planned or (frozen and one.code == _RETYPED)]
    return replace(
        plan,
        changes=kept,
        variables=tuple(
            one for one in plan.variables if one.code_name not in frozen and _is_needed(one, sending, names)
        ),
        withheld=(
            *plan.withheld,
            *(
                Withheld(name=one.endpoint, code=one.code, reason=one.message, where=one.where, fix=one.fix)
                for one in reasons
            ),
        ),
    )


def _is_needed(variable: VariableChange, sending: Collection[str], stopped: Collection[str]) -> bool:
    """A missing variable is created for a query that is sent, another changed unless every file that says so stops."""
    if variable.action is VariableAction.CREATE:
        return not set(variable.declared_by).isdisjoint(sending)
    return not set(variable.declared_by).issubset(stopped)


def of_plan(
    plan: Plan,
    endpoints: Mapping[str, Endpoint],
    definitions: Mapping[str, LoadedDefinition],
    variables: Sequence[InsightVariable],
) -> tuple[Pair, ...]:
    """Each change of the plan, before and after it.

    Where `endpoints` lacks one that the plan changes, it is as the plan says it was. A definition explains the side
    after where it still says what the plan sends.
    """
    return tuple(
        _pair(change, plan.environment, endpoints.get(change.name), definitions.get(change.name), variables)
        for change in plan.changes
    )


def _pair(
    change: Change,
    environment: str,
    endpoint: Endpoint | None,
    loaded: LoadedDefinition | None,
    variables: Sequence[InsightVariable],
) -> Pair:
    old = {each.key: each.before for each in change.keys}
    new = {each.key: each.after for each in change.keys}
    present = change.precondition.settings if endpoint is None else of_endpoint(endpoint)
    query = present.get(Key.QUERY) or (of_definition(loaded, environment)[Key.QUERY] if loaded else None)
    if endpoint is not None:
        shared = {one.id: one for one in variables}
        before = partial(from_version, endpoint, shared)
    else:
        before = partial(_as_planned, change, {Key.QUERY: query, **present, **old}, None)
    after = partial(_after, change, environment, loaded, variables, before, {Key.QUERY: query, **present, **old, **new})
    version = change.precondition.version
    return Pair(
        name=change.name,
        environment=environment,
        before=None
        if change.action is Action.CREATE
        else Side(label=f"server, version {version}", contract=before, meaning=old, version=version),
        after=Side(label=change.path or change.name, contract=after, meaning=new, loaded=loaded),
    )


def _after(
    change: Change,
    environment: str,
    loaded: LoadedDefinition | None,
    variables: Sequence[InsightVariable],
    before: Any,  # noqa: ANN401 - a function that makes the contract before
    values: Mapping[Key, Json],
) -> Contract:
    if change.action is Action.DEACTIVATE:
        present: Contract = before()
        return replace(present, identity=None, serving=replace(present.serving, endpoint_active=False))
    if loaded is None or not _still_says(loaded, environment, change):
        return _as_planned(change, values, loaded)
    contract = from_definition(loaded, environment, {one.code_name: one for one in variables})
    return _as_far_as_written(contract, change, None if change.action is Action.CREATE else before())


def _still_says(loaded: LoadedDefinition, environment: str, change: Change) -> bool:
    says = of_definition(loaded, environment)
    return all(each.key in says and same(each.key, says[each.key], each.after) for each in change.keys)


def _as_far_as_written(contract: Contract, change: Change, before: Contract | None) -> Contract:
    """The contract of the file, with what the plan does not write as it was."""
    written = {each.key for each in change.keys}
    kept: dict[str, Any] = {field: None for key, field in _SERVING.items() if key not in written}
    masked = replace(
        contract,
        serving=replace(contract.serving, **kept),
        tags=contract.tags if Key.TAGS in written else None,
    )
    if before is None or Key.QUERY in written:
        return masked
    return replace(
        masked, query=before.query, inputs=before.inputs, columns=before.columns, columns_why=before.columns_why
    )


def _as_planned(change: Change, values: Meaning, loaded: LoadedDefinition | None) -> Contract:
    """The contract of what stands in the plan: all that is known of an endpoint without asking for it."""
    node = values.get(Key.QUERY)
    definition = Definition(
        name=change.name,
        query_definition=_node(node if isinstance(node, Mapping) else {"kind": HOGQL, "query": ""}),
        tags=values.get(Key.TAGS),
    )
    made = LoadedDefinition(
        path=change.path or change.name,
        definition=definition,
        sql=None,
        lines=loaded.lines if loaded else {"name": change.line} if change.line else {},
        place=loaded.place if loaded and _is_of_file(loaded, node) else None,
    )
    serving: dict[str, Any] = {field: values[key] for key, field in _SERVING.items() if key in values}
    return replace(from_definition(made), serving=Serving(**serving))


def _is_of_file(loaded: LoadedDefinition, node: Json) -> bool:
    """Whether the planned query is the text of the file, whose places are known."""
    return isinstance(node, Mapping) and loaded.sql is not None and node.get("query") == loaded.sql


def _node(meaning: Mapping[str, Json]) -> dict[str, Any]:
    """A meaning as a query node: variables by id, for which their code names do here."""
    named = {name: {"code_name": name, "variableId": name, **entry} for name, entry in variables_of(meaning).items()}
    bare = {key: value for key, value in meaning.items() if key != "variables"}
    return {**bare, "variables": named} if named else bare


def _retyped(change: VariableChange, environment: str, callers: Callers) -> Iterator[Finding]:
    """V109 for every endpoint that uses a shared variable of which the type changes, in the plan or not."""
    was = (change.before or {}).get("type")
    if was is None:
        return
    for name in change.used_by:
        others = ", ".join(sorted(set(change.used_by) - {name}))
        also = f"; {others} use it too" if others else ""
        yield RULES["V109"].finding(
            name,
            f"the shared variable {change.code_name!r} becomes a {change.type}; it is a {was}{also}",
            locus=f"variables.{change.code_name}",
            where=change.where or None,
            before=was,
            after=str(change.type),
            callers=tuple(caller.name for caller in callers.of(environment, name)),
        )
