"""What a change does to the callers: two contracts in, findings out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from endpoints_gitops.advice import Command
from endpoints_gitops.contract.context import Caller, RuleContext
from endpoints_gitops.contract.contract import Contract, settled
from endpoints_gitops.contract.pair import ContractPair
from endpoints_gitops.contract.rules import RULES, Hit, Rule
from endpoints_gitops.model.finding import Finding, Scope, Severity, in_order

type ContextOf = Callable[[str], RuleContext]

_ASSUMED = RuleContext()


def compare(before: Contract | None, after: Contract | None, context: RuleContext = _ASSUMED) -> tuple[Finding, ...]:
    """The findings of one endpoint's change, in a fixed order. None is an endpoint that is not there on that side."""
    if before is None or after is None:
        return _alone(before, after, context)
    start = settled(before, before)
    pair = ContractPair(before=start, after=settled(after, start), context=context)
    found = [_judged(rule, hit, pair) for rule in RULES.values() if rule.judge for hit in rule.judge(pair)]
    return in_order(found)


def compare_all(
    before: Mapping[str, Contract], after: Mapping[str, Contract], context_of: ContextOf = lambda _: _ASSUMED
) -> tuple[Finding, ...]:
    """The findings of a whole folder or project. An endpoint that is there under another name only is a rename."""
    renamed = _renames(before, after)
    found: list[Finding] = []
    for name in sorted(before.keys() | after.keys()):
        if name in renamed:
            found.append(_renamed(before[name], after[renamed[name]], context_of(name)))
        elif name not in renamed.values() or name in before:
            found += compare(before.get(name), after.get(name), context_of(name))
    return in_order(found)


def _alone(before: Contract | None, after: Contract | None, context: RuleContext) -> tuple[Finding, ...]:
    if before is not None:
        message = f"{before.name} goes away: every call of it is a 404, whichever version it names"
        callers = tuple(caller.name for caller in context.callers)
        rule = RULES["A101"]
        severity = rule.capped(rule.severity, before.stability)
        return (rule.finding(before.name, message, locus="endpoint", severity=severity, callers=callers),)
    if after is not None:
        where = after.where("name")
        return (RULES["A112"].finding(after.name, f"{after.name} is new", locus="endpoint", where=where),)
    return ()


def _renames(before: Mapping[str, Contract], after: Mapping[str, Contract]) -> dict[str, str]:
    gone = [before[name] for name in sorted(before.keys() - after.keys())]
    come = [after[name] for name in sorted(after.keys() - before.keys())]
    found: dict[str, str] = {}
    for old in gone:
        same = (new for new in come if new.name not in found.values() and _is_renamed(old, new))
        if (new := next(same, None)) is not None:
            found[old.name] = new.name
    return found


def _is_renamed(old: Contract, new: Contract) -> bool:
    if new.renamed_from == old.name:
        return True
    return not ContractPair(before=old, after=settled(new, old), context=_ASSUMED).cuts_version


def _renamed(old: Contract, new: Contract, context: RuleContext) -> Finding:
    """A file that says where its name comes from keeps the old endpoint on the server, until `rename --finish`."""
    rule = RULES["A102"]
    is_kept = new.renamed_from == old.name
    then = "calls of the old name are 404s, and versions start again at 1"
    if is_kept:
        then = f"the old name answers until `{Command('rename', old.name, new.name, '--finish')}`"
    return rule.finding(
        old.name,
        f"{old.name} is now called {new.name}: {then}",
        locus="endpoint",
        severity=rule.capped(Severity.WARN if is_kept else rule.severity, old.stability),
        where=new.where("name"),
        before=old.name,
        after=new.name,
        callers=tuple(caller.name for caller in context.callers),
        fix="finish the rename when its callers have moved" if is_kept else None,
    )


def _judged(rule: Rule, hit: Hit, pair: ContractPair) -> Finding:
    scope = hit.scope or rule.scope
    finding = rule.finding(
        pair.after.name,
        hit.message,
        locus=hit.locus,
        version=pair.version,
        where=pair.after.where(hit.key, hit.offset, hit.at or hit.locus),
        before=hit.before,
        after=hit.after,
        callers=tuple(caller.name for caller in _hit(rule, hit, scope, pair)),
        fix=hit.fix,
    )
    return replace(finding, scope=scope, severity=_severity(rule, hit, scope, pair))


def _hit(rule: Rule, hit: Hit, scope: Scope, pair: ContractPair) -> tuple[Caller, ...]:
    """The callers that are reached: of a new version those without a pin, of a change in place those pinned to that
    version too."""
    reading = (caller for caller in pair.context.callers if hit.column is None or caller.reads_column(hit.column))
    return tuple(caller for caller in reading if _is_reached(caller, rule, scope, pair))


def _is_reached(caller: Caller, rule: Rule, scope: Scope, pair: ContractPair) -> bool:
    if pair.context.is_move or rule.is_everywhere:
        return True
    if scope is Scope.IN_PLACE:
        return caller.version == pair.version if caller.version is not None else pair.is_current
    return not caller.is_protected


def _severity(rule: Rule, hit: Hit, scope: Scope, pair: ContractPair) -> Severity:
    """For the strictest way of reading; then lowered by what protects the callers."""
    severities = [_severity_for(caller, rule, hit, pair) for caller in pair.context.judged_for]
    severity = max(severities, key=lambda one: one.rank)
    if scope is Scope.VERSION and pair.context.is_protected:
        severity = severity.lowered()
    return rule.capped(severity, pair.stability)


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
        return min(severity, rule.call, key=lambda one: one.rank)
    return severity
