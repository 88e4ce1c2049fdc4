"""Compare two contracts: the findings are what the change breaks for callers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from endpoints_gitops.advice import Command
from endpoints_gitops.contract.context import Caller, RuleContext
from endpoints_gitops.contract.contract import Contract, settled
from endpoints_gitops.contract.pair import ContractPair
from endpoints_gitops.contract.rules import RULES, Hit, Rule
from endpoints_gitops.contract.rules.address import is_too_early, severity_of_removal
from endpoints_gitops.model.finding import Finding, Scope, Severity, in_order

type ContextOf = Callable[[str], RuleContext]

_DEFAULT_CONTEXT = RuleContext()


def compare(
    before: Contract | None, after: Contract | None, context: RuleContext = _DEFAULT_CONTEXT
) -> tuple[Finding, ...]:
    """The findings of one endpoint's change, in a fixed order. None means that the endpoint does not exist on that
    side."""
    if before is None or after is None:
        return _one_sided(before, after, context)
    start = settled(before, before)
    pair = ContractPair(before=start, after=settled(after, start), context=context)
    findings = [_finding(rule, hit, pair) for rule in RULES.values() if rule.check for hit in rule.check(pair)]
    return in_order(findings)


def compare_all(
    before: Mapping[str, Contract], after: Mapping[str, Contract], context_of: ContextOf = lambda _: _DEFAULT_CONTEXT
) -> tuple[Finding, ...]:
    """The findings of a whole folder or project, by endpoint name. An endpoint that only changed its name is a
    rename."""
    renamed = renames(before, after)
    findings: list[Finding] = []
    for name in sorted(before.keys() | after.keys()):
        if name in renamed:
            findings.append(_renamed(before[name], after[renamed[name]], context_of(name)))
        elif name not in renamed.values() or name in before:
            findings += compare(before.get(name), after.get(name), context_of(name))
    return in_order(findings)


def _one_sided(before: Contract | None, after: Contract | None, context: RuleContext) -> tuple[Finding, ...]:
    if before is not None:
        return tuple(_removed(before, context))
    if after is not None:
        where = after.where("name")
        return (RULES["A112"].finding(after.name, f"{after.name} is new", locus="endpoint", where=where),)
    return ()


def _removed(before: Contract, context: RuleContext) -> Iterator[Finding]:
    """One error for one removal: A106 if it breaks the announcement, else A101, with A109 if there never was one."""
    name, notice = before.name, before.deprecation
    callers = tuple(caller.name for caller in context.callers)
    if notice is not None and is_too_early(notice, context):
        rule, severity = RULES["A106"], None
        message = f"{name} is removed before its announced sunset of {notice.sunset}"
        sunset: str | None = notice.sunset.isoformat()
    else:
        rule, severity, sunset = RULES["A101"], severity_of_removal(notice, context), None
        message = f"{name} is removed: every call of it returns 404, whichever version it names"
    yield rule.finding(
        name,
        message,
        locus="endpoint",
        severity=severity,
        before=sunset,
        callers=callers,
        stability=before.stability,
    )
    if notice is None and before.knows_notice:  # only a definition says that there was no announcement
        message = f"{name} is removed without a deprecation: its callers had no notice"
        yield RULES["A109"].finding(name, message, locus="deprecation", callers=callers)


def renames(before: Mapping[str, Contract], after: Mapping[str, Contract]) -> dict[str, str]:
    """The new names of renamed endpoints, by the old one: the file says so, or the query is the same."""
    removed = [before[name] for name in sorted(before.keys() - after.keys())]
    added = [after[name] for name in sorted(after.keys() - before.keys())]
    new_names: dict[str, str] = {}
    for old in removed:
        candidates = (new for new in added if new.name not in new_names.values() and _is_renamed(old, new))
        if (new := next(candidates, None)) is not None:
            new_names[old.name] = new.name
    return new_names


def _is_renamed(old: Contract, new: Contract) -> bool:
    if new.renamed_from == old.name:
        return True
    return not ContractPair(before=old, after=settled(new, old), context=_DEFAULT_CONTEXT).cuts_version


def _renamed(old: Contract, new: Contract, context: RuleContext) -> Finding:
    """A file with `renamed_from` keeps the old endpoint on the server until `rename --finish`."""
    rule = RULES["A102"]
    is_kept = new.renamed_from == old.name
    effect = "calls of the old name return 404, and versions start at 1 again"
    if is_kept:
        effect = f"the old name answers until `{Command('rename', old.name, new.name, '--finish')}`"
    return rule.finding(
        old.name,
        f"{old.name} was renamed to {new.name}: {effect}",
        locus="endpoint",
        severity=Severity.WARN if is_kept else rule.severity,
        stability=old.stability,
        where=new.where("name"),
        before=old.name,
        after=new.name,
        callers=tuple(caller.name for caller in context.callers),
        fix="finish the rename once its callers have moved" if is_kept else None,
    )


def _finding(rule: Rule, hit: Hit, pair: ContractPair) -> Finding:
    scope = hit.scope or rule.scope
    finding = rule.finding(
        pair.after.name,
        hit.message,
        locus=hit.locus,
        version=pair.version,
        where=pair.after.where(hit.key, hit.offset, hit.at or hit.locus),
        before=hit.before,
        after=hit.after,
        callers=tuple(caller.name for caller in _affected(rule, hit, scope, pair)),
        fix=hit.fix,
        severity=_severity(rule, hit, scope, pair),
        stability=pair.stability,
    )
    return replace(finding, scope=scope)


def _affected(rule: Rule, hit: Hit, scope: Scope, pair: ContractPair) -> tuple[Caller, ...]:
    """The callers that the change affects: by a new version those without a pin, by a change in place also those that
    pin that version."""
    readers = (caller for caller in pair.context.callers if hit.column is None or caller.reads_column(hit.column))
    return tuple(caller for caller in readers if _is_affected(caller, rule, scope, pair))


def _is_affected(caller: Caller, rule: Rule, scope: Scope, pair: ContractPair) -> bool:
    if pair.context.is_move or rule.is_everywhere:
        return True
    if scope is Scope.IN_PLACE:
        return caller.version == pair.version if caller.version is not None else pair.is_current
    return not caller.is_protected


def _severity(rule: Rule, hit: Hit, scope: Scope, pair: ContractPair) -> Severity:
    """The severity for the strictest caller, lowered by one step if pins protect all callers; stability lowers it
    later."""
    severities = [_severity_for(caller, rule, hit, pair) for caller in pair.context.effective_callers]
    severity = max(severities, key=lambda severity: severity.rank)
    if scope is Scope.VERSION and pair.context.is_protected:
        severity = severity.lowered()
    return severity


def _severity_for(caller: Caller, rule: Rule, hit: Hit, pair: ContractPair) -> Severity:
    if hit.column is not None and not caller.reads_column(hit.column):
        return Severity.INFO
    severity = hit.severity or rule.severity
    if rule.is_undecidable and pair.context.is_unknown_error:
        severity = Severity.ERROR
    if rule.typed is not None and caller.is_typed:
        severity = rule.typed
    if rule.direct is not None and caller.is_direct:
        severity = rule.direct
    if rule.paging is not None and caller.is_paging:
        severity = rule.paging
    if caller.reads == "position" and rule.position is not None:
        return rule.position
    if caller.reads == "call" and rule.call is not None:
        return min(severity, rule.call, key=lambda severity: severity.rank)
    return severity
