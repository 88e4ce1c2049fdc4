"""The preview of a plan: its effect on callers, the mistakes in what it sends, and the changes withheld for either."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any, Final

from endpoints_gitops.advice import Advice
from endpoints_gitops.contract.build import from_definition
from endpoints_gitops.contract.contract import HOGQL, Contract, Serving
from endpoints_gitops.contract.lint import lint_contract
from endpoints_gitops.contract.rules import RULES
from endpoints_gitops.model.definition import Definition, LoadedDefinition
from endpoints_gitops.model.finding import Finding, Scope, Severity, in_order
from endpoints_gitops.model.json import Json
from endpoints_gitops.model.policy import Conventions, approval_of
from endpoints_gitops.model.sunset import DEFAULT_POLICY, DeprecationPolicy
from endpoints_gitops.operations.callers import Callers, findings_of_diffs
from endpoints_gitops.operations.check.definition import CheckSettings, findings_of
from endpoints_gitops.plan.changes import ChangeAction, EndpointChange, Plan, Withheld
from endpoints_gitops.plan.diff import EndpointDiff, Revision, Snapshot, compare_revisions
from endpoints_gitops.plan.settings import Key, Settings, same, variables_of
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
    snapshot: Snapshot,
    local: Mapping[str, Revision],
    callers: Callers,
    *,
    is_unknown_error: bool = False,
    today: date | None = None,
    policy: DeprecationPolicy = DEFAULT_POLICY,
) -> tuple[Finding, ...]:
    """The findings that pushing this plan would cause for callers. What it leaves alone causes none.

    `local` are the definitions by name; `is_unknown_error`, `today` and `policy` are as in `findings_of_diffs`. Raises
    PluginFailed.
    """
    diffs = diffs_of_plan(plan, snapshot, local)
    findings = findings_of_diffs(diffs, callers, is_unknown_error=is_unknown_error, today=today, policy=policy)
    retyped = [finding for change in plan.variables for finding in _retyped(change, plan.environment, callers)]
    known = {finding.fingerprint for finding in findings}
    return (*findings, *(finding for finding in retyped if finding.fingerprint not in known))


def checked(
    plan: Plan, local: Mapping[str, Revision], names: Collection[str], conventions: Conventions
) -> tuple[Finding, ...]:
    """The findings of `check` for the definitions of these names, and for what the plan sends where no file states it.

    Of the latter there are only the findings that stop it, as a plan does not hold all that a file declares. Raises
    PluginFailed.
    """
    changes = {change.name: change for change in plan.changes if change.action is not ChangeAction.DEACTIVATE}
    settings = CheckSettings(environment=plan.environment, conventions=conventions)
    findings: list[Finding] = []
    for name in sorted({*names, *changes}):
        change, revision = changes.get(name), local.get(name)
        loaded = revision.loaded if revision else None
        if change is not None and (revision is None or not _still_states(revision, change)):
            sent = _diff(change, plan.environment, None, None).local
            findings += [finding for finding in lint_contract(sent.contract) if stops(finding)] if sent else []
        elif loaded is not None:
            findings += (
                finding if finding.endpoint else replace(finding, endpoint=name)
                for finding in findings_of(loaded, settings)
            )
    return in_order({finding.fingerprint: finding for finding in findings}.values())


def stops(finding: Finding, fail_on: Severity | None = None) -> bool:
    """Whether a finding withholds its endpoint and makes the exit code 1.

    A finding for callers stops nothing, as it is for them to judge, unless it is as severe as `fail_on`. A waived one
    stops nothing.
    """
    if not finding.counts:
        return False
    if fail_on is not None and finding.fails(fail_on):
        return True
    is_lint_error = finding.scope is Scope.NEITHER and finding.severity is Severity.ERROR
    return is_lint_error or finding.code == _NOT_MATERIALISABLE


def withhold(plan: Plan, findings: Sequence[Finding], fail_on: Severity | None = None) -> Plan:
    """The plan without the changes that a finding stops, and without the shared variables that only those need."""
    stopping = list({finding.fingerprint: finding for finding in findings if stops(finding, fail_on)}.values())
    if not stopping:
        return plan
    retyped = {finding.locus for finding in stopping if finding.code == _RETYPED}
    frozen = {change.code_name for change in plan.variables if f"variables.{change.code_name}" in retyped}
    names = {finding.endpoint for finding in stopping}
    kept = tuple(change for change in plan.changes if change.name not in names)
    sending = {change.name for change in kept if change.sends_query}
    planned = {change.name for change in plan.changes}
    reasons = [finding for finding in stopping if finding.endpoint in planned or (frozen and finding.code == _RETYPED)]
    return replace(
        plan,
        changes=kept,
        variables=tuple(
            change for change in plan.variables if change.code_name not in frozen and _is_needed(change, sending, names)
        ),
        withheld=(
            *plan.withheld,
            *(
                Withheld(
                    name=finding.endpoint,
                    code=finding.code,
                    reason=finding.message,
                    where=finding.where,
                    fix=_way_out(finding),
                )
                for finding in reasons
            ),
        ),
    )


def _way_out(finding: Finding) -> str | None:
    """The fix of a finding; for callers, also the command that approves it."""
    if finding.scope is Scope.NEITHER or finding.fix is None:
        return finding.fix
    return Advice(finding.fix, "; or approve it: ", approval_of(finding))


def _is_needed(variable: VariableChange, sending: Collection[str], stopped: Collection[str]) -> bool:
    """Whether a variable is still written: a new one for a query that is sent, a changed one unless all that declare it
    are withheld.
    """
    if variable.action is VariableAction.CREATE:
        return not set(variable.declared_by).isdisjoint(sending)
    return not set(variable.declared_by).issubset(stopped)


def diffs_of_plan(plan: Plan, snapshot: Snapshot, local: Mapping[str, Revision]) -> tuple[EndpointDiff, ...]:
    """A diff for each change of the plan: the endpoint as the server has it, and as it is after the change.

    Where the snapshot lacks an endpoint, the state that the plan was made against takes its place. A definition
    (`local`, by name) gives the contract of what is written where it still states that.
    """
    return tuple(
        _diff(change, plan.environment, snapshot.revision(change.name), local.get(change.name))
        for change in plan.changes
    )


def _diff(change: EndpointChange, environment: str, remote: Revision | None, local: Revision | None) -> EndpointDiff:
    old, new = change.before, change.after
    present = change.precondition.settings if remote is None else remote.settings
    query = present.get(Key.QUERY) or (local.settings[Key.QUERY] if local else None)
    version = change.precondition.version

    def contract_before() -> Contract:
        return remote.contract if remote else _planned_contract(change, {Key.QUERY: query, **present, **old}, None)

    before = Revision(label=f"server, version {version}", settings=old, version=version, build_contract=contract_before)

    def contract_after() -> Contract:
        if change.action is ChangeAction.DEACTIVATE:
            serving = replace(before.contract.serving, endpoint_active=False)
            return replace(before.contract, identity=None, serving=serving)
        if local is None or not _still_states(local, change):
            values = {Key.QUERY: query, **present, **old, **new}
            return _planned_contract(change, values, local.loaded if local else None)
        return _contract_after_write(local.contract, change, None if is_new else before.contract)

    is_new = change.action is ChangeAction.CREATE
    after = Revision(
        label=change.path or change.name,
        settings=new,
        loaded=local.loaded if local else None,
        build_contract=contract_after,
    )
    return compare_revisions(change.name, after, None if is_new else before, environment=environment)


def _still_states(local: Revision, change: EndpointChange) -> bool:
    stated = local.settings
    return all(key in stated and same(key, stated[key], value) for key, value in change.after.items())


def _contract_after_write(contract: Contract, change: EndpointChange, before: Contract | None) -> Contract:
    """The contract of the file where the plan writes it, and the contract before where it does not."""
    written = change.after.keys()
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


def _planned_contract(change: EndpointChange, values: Settings, loaded: LoadedDefinition | None) -> Contract:
    """The contract that the settings in a plan give, where neither the server nor the file has them."""
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
        position=loaded.position if loaded and _is_of_file(loaded, node) else None,
    )
    serving: dict[str, Any] = {field: values[key] for key, field in _SERVING.items() if key in values}
    return replace(from_definition(made), serving=Serving(**serving), knows_notice=False)


def _is_of_file(loaded: LoadedDefinition, node: Json) -> bool:
    """Whether the planned query is the text of the file, so that its positions apply."""
    return isinstance(node, Mapping) and loaded.sql is not None and node.get("query") == loaded.sql


def _node(query: Mapping[str, Json]) -> dict[str, Any]:
    """A normalized query as a query node. Its variables are listed by id; their code names serve as ids here."""
    named = {name: {"code_name": name, "variableId": name, **entry} for name, entry in variables_of(query).items()}
    bare = {key: value for key, value in query.items() if key != "variables"}
    return {**bare, "variables": named} if named else bare


def _retyped(change: VariableChange, environment: str, callers: Callers) -> Iterator[Finding]:
    """The findings V109 for every endpoint that uses a shared variable whose type changes, in the plan or not."""
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
