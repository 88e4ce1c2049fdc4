"""The canary: every call is also made to a candidate, and what differs is judged by the rules of the library.

What the test sees never changes, and no test fails of it: findings are gathered, and errors among them fail the run at
its end, when it is known which columns the suite reads (`canary_report`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from endpoints_gitops.api.answers import RunAnswer
from endpoints_gitops.contract.build import columns_of_answer, from_pin
from endpoints_gitops.contract.compare import compare
from endpoints_gitops.contract.context import Caller, Context
from endpoints_gitops.contract.contract import UNKNOWN, Contract, ContractColumn
from endpoints_gitops.errors import EndpointsError
from endpoints_gitops.hogql.paging import shape
from endpoints_gitops.hogql.parser import ParseFailure
from endpoints_gitops.model.finding import Finding, Scope, Severity
from endpoints_gitops.model.pin import Pin
from pytest_endpoints_gitops import session as sessions
from pytest_endpoints_gitops.candidates import Candidate, Candidates, Refused, candidates_of
from pytest_endpoints_gitops.failures import Failure
from pytest_endpoints_gitops.row_changes import row_changes

if TYPE_CHECKING:
    from pytest_endpoints_gitops.app import App
    from pytest_endpoints_gitops.facts import TestLog
    from pytest_endpoints_gitops.marks import Mark
    from pytest_endpoints_gitops.values import Answer, Call

ROWS: Final = "ROWS"
"""What stands for a rule's code where the rows themselves differ."""

_SUITE: Final = "this suite"


class Canary(sessions.Canary):
    """`what` of the run; a test's marker goes over it."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._candidates: dict[tuple[int, str], Candidates] = {}
        self._known: dict[tuple[int, str, str], Candidate] = {}

    def compare(self, app: App, call: Call, answer: Answer, log: TestLog, mark: Mark) -> None:
        what = mark.canary or self._what
        if what == "off":
            log.is_canary_off = True
            return
        entry: dict[str, Any] = {"endpoint": call.pin.name, "version": call.pin.version, "what": what}
        use = app.uses.get(call.pin.name)
        entry |= {"reads": use.reads if use else "name"}
        entry |= {"test": log.nodeid, "variables": dict(call.shown), "candidate": what, "findings": []}
        try:
            entry |= self._judged(app, call, answer, mark, what)
        except Failure as failure:
            entry |= {"state": "unknown", "why": failure.verdict}
        except EndpointsError as error:
            entry |= {"state": "unknown", "why": str(error)}
        log.canary.append(entry)

    def _judged(self, app: App, call: Call, answer: Answer, mark: Mark, what: str) -> dict[str, Any]:
        candidates = self._candidates.setdefault((id(app), what), candidates_of(app, what))
        key = (id(app), what, call.pin.name)
        candidate = self._known[key] = self._known.get(key) or candidates.of(call.pin)
        entry: dict[str, Any] = {"candidate": candidate.label, "why": candidate.pending or ""}
        if candidate.contract is None:
            state = "pending" if candidate.pending else "moved" if candidate.found else "same"
            return entry | {"state": state, "findings": [one.as_json() for one in candidate.found]}
        refusal, pair = "", None
        try:
            pair = candidates.pair(call, candidate)
        except Refused as refused:
            refusal = str(refused)
        mine, other = (answer.run, None) if pair is None else (pair[0] or answer.run, pair[1])
        found = _findings(app, call.pin, candidate.contract, mine, other)
        if other is not None and found:
            found += _rows(call, candidate, mine, other, mark, answer.origin)
        state = "refused" if refusal else "moved" if found else "same"
        why = refusal or entry["why"]
        return entry | {"state": state, "why": why, "findings": [one.as_json() for one in found]}


def _findings(app: App, pin: Pin, after: Contract, mine: RunAnswer, other: RunAnswer | None) -> list[Finding]:
    """What the move means for a caller that reads any column: who reads which is known at the end of the run."""
    use = app.uses.get(pin.name)
    caller = Caller(name=_SUITE, version=pin.version, reads=use.reads if use else "name")
    before = from_pin(pin)
    if other is not None and not (mine.materialized or other.materialized):
        before, after = _answered(before, mine), _answered(after, other)
    return list(compare(before, after, Context(callers=(caller,), is_move=True)))


def _answered(contract: Contract, run: RunAnswer) -> Contract:
    """With the columns that the answer shows: it knows types and nulls that lists of columns do not tell."""
    if run.columns is None:
        return contract
    known = {one.name: one for one in contract.columns or ()}
    columns = tuple(_explained(one, known.get(one.name)) for one in columns_of_answer(run.columns, run.types))
    return replace(contract, columns=columns, columns_why=None)


def _explained(answered: ContractColumn, known: ContractColumn | None) -> ContractColumn:
    if known is None:
        return answered
    if answered.type == UNKNOWN:
        return replace(known, expression=known.expression)
    return replace(answered, expression=known.expression)


def _rows(
    call: Call, candidate: Candidate, mine: RunAnswer, other: RunAnswer, mark: Mark, origin: str
) -> list[Finding]:
    found = row_changes(
        mine.results,
        other.results,
        (mine.columns, other.columns),
        is_unordered=_is_unordered(call.pin) if mark.unordered is None else mark.unordered,
        tolerance=mark.tolerance or 0.0,
    )
    if found is None:
        return []
    said = ", ".join(f"{name}={value!r}" for name, value in call.shown.items()) or "no variables"
    promised = mark.tolerance is not None
    return [
        Finding(
            code=ROWS,
            slug="rows-differ",
            severity=Severity.ERROR if promised else Severity.WARN,
            scope=Scope.VERSION,
            endpoint=call.pin.name,
            version=candidate.version,
            locus="rows",
            before=found.before,
            after=found.after,
            callers=(call.test,),
            message=f"{candidate.label} answers other rows for {said}: {found} (held against: {origin})",
            fix="if they are meant to agree, look at the query; if not, say it in the change",
        )
    ]


def _is_unordered(pin: Pin) -> bool:
    """Without an ORDER BY that leaves no ties, the order of rows is chance."""
    sql = pin.query.get("query")
    if not isinstance(sql, str):
        return False
    try:
        return shape(sql).order_is_total is not True
    except ParseFailure:
        return True
