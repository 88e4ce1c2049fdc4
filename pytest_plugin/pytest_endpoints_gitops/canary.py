"""The canary: every call is also made to a candidate, and what differs is judged by the rules of the library.

What the test sees never changes, and the canary fails no test: its errors fail the run at its end, when it is known
which columns the suite reads (`canary_report`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from endpoints_gitops.api.answers import RunAnswer
from endpoints_gitops.contract.build import columns_of_answer, from_pin
from endpoints_gitops.contract.compare import compare
from endpoints_gitops.contract.context import Caller, RuleContext
from endpoints_gitops.contract.contract import UNKNOWN, Contract, ContractColumn
from endpoints_gitops.errors import EndpointsError, MissingExtra
from endpoints_gitops.hogql.locus import Locus
from endpoints_gitops.hogql.paging import shape
from endpoints_gitops.hogql.parser import ParseFailure
from endpoints_gitops.model.finding import Finding, Scope, Severity
from endpoints_gitops.model.pin import Pin
from pytest_endpoints_gitops.calls import PinnedCall, SourceAnswer
from pytest_endpoints_gitops.candidates import Candidate, CandidateRefusal, Candidates
from pytest_endpoints_gitops.failures import Failure
from pytest_endpoints_gitops.marks import Mark
from pytest_endpoints_gitops.project import PinnedEnvironment
from pytest_endpoints_gitops.row_comparison import RowComparison, compare_rows, filled, named_rows

if TYPE_CHECKING:
    from pytest_endpoints_gitops.call_log import TestLog

ROWS: Final = "ROWS"
"""The code of findings about the rows themselves, for which there is no rule."""

_SUITE: Final = "this suite"


class Canary:
    """Compares calls with `candidates`; `name` is what the user calls them: `latest`, `worktree` or a number."""

    def __init__(self, name: str, environment: PinnedEnvironment, candidates: Candidates) -> None:
        self._name = name
        self._environment = environment
        self._candidates = candidates
        self._known: dict[str, Candidate] = {}

    def compare(self, call: PinnedCall, answer: SourceAnswer, log: TestLog, mark: Mark) -> None:
        """Make the call to the candidate too, and note in the log what differs."""
        use = self._environment.uses.get(call.pin.name)
        entry: dict[str, Any] = {
            "lock": self._environment.project.name,
            "endpoint": call.pin.name,
            "version": call.pin.version,
            "what": self._name,
            "reads": use.reads if use else "name",
            "test": log.nodeid,
            "variables": dict(call.shown),
            "candidate": self._name,
            "findings": [],
        }
        try:
            entry |= self._compared(call, answer, log, mark)
        except Failure as failure:
            entry |= {"state": "unknown", "why": failure.verdict}
        except MissingExtra as error:
            entry |= {"state": "unknown", "why": f"{error.message}: {error.fix}"}
        except EndpointsError as error:
            entry |= {"state": "unknown", "why": str(error)}
        log.canary.append(entry)

    def _compared(self, call: PinnedCall, answer: SourceAnswer, log: TestLog, mark: Mark) -> dict[str, Any]:
        candidate = self._known.get(call.pin.name)
        if candidate is None:
            candidate = self._known[call.pin.name] = self._candidates.of(call.pin)
        if candidate.contract is None:
            state = "pending" if candidate.pending else "moved" if candidate.findings else "same"
            return _entry(candidate, state, candidate.findings)
        refusal, answers = "", None
        try:
            answers = self._candidates.answers(call, candidate)
        except CandidateRefusal as refused:
            refusal = str(refused)
        before, after = (answer.run, None) if answers is None else (answers[0] or answer.run, answers[1])
        findings = self._findings(call.pin, candidate.contract, before, after)
        if after is not None and findings:
            findings += _row_findings(call, candidate, before, after, mark, log.nodeid, answer.shown_origin)
        state = "refused" if refusal else "moved" if findings else "same"
        return _entry(candidate, state, findings, refusal)

    def _findings(self, pin: Pin, contract: Contract, before: RunAnswer, after: RunAnswer | None) -> list[Finding]:
        """What the move means for a caller that reads any column: who reads which is known at the end of the run."""
        use = self._environment.uses.get(pin.name)
        caller = Caller(name=_SUITE, version=pin.version, reads=use.reads if use else "name")
        pinned = from_pin(pin)
        if after is not None and not (before.materialized or after.materialized):
            pinned, contract = _answered(pinned, before), _answered(contract, after)
        return list(compare(pinned, contract, RuleContext(callers=(caller,), is_move=True)))


def _entry(candidate: Candidate, state: str, findings: Iterable[Finding], refusal: str = "") -> dict[str, Any]:
    return {
        "candidate": candidate.label,
        "state": state,
        "why": refusal or candidate.pending or "",
        "findings": [{**finding.as_json(), "column": _column(finding)} for finding in findings],
    }


def _column(finding: Finding) -> str | None:
    """The column of the answer that a finding is about, None for one that every caller is hit by."""
    return finding.locus.column if isinstance(finding.locus, Locus) else None


def _answered(contract: Contract, run: RunAnswer) -> Contract:
    """The contract with the columns of the answer, which has types and nulls that lists of columns do not have."""
    if run.columns is None:
        return contract
    known = {column.name: column for column in contract.columns or ()}
    answered = columns_of_answer(run.columns, run.types)
    columns = tuple(_explained(column, known.get(column.name)) for column in answered)
    return replace(contract, columns=columns, columns_why=None)


def _explained(answered: ContractColumn, known: ContractColumn | None) -> ContractColumn:
    if known is None:
        return answered
    if answered.type == UNKNOWN:
        return known
    return replace(answered, expression=known.expression)


def _row_findings(
    call: PinnedCall,
    candidate: Candidate,
    before: RunAnswer,
    after: RunAnswer,
    mark: Mark,
    nodeid: str,
    origin: str,
) -> list[Finding]:
    comparison = _compare_rows(call, before, after, mark)
    if not comparison:
        return []
    variables = ", ".join(f"{name}={value!r}" for name, value in call.shown.items()) or "no variables"
    return [
        Finding(
            code=ROWS,
            slug="rows-differ",
            severity=Severity.WARN if mark.tolerance is None else Severity.ERROR,
            scope=Scope.VERSION,
            endpoint=call.pin.name,
            version=candidate.version,
            locus="rows",
            before=comparison.before,
            after=comparison.after,
            callers=(nodeid,),
            message=f"{candidate.label} answers other rows for {variables}: {comparison} (compared with: {origin})",
            fix="check the query if the rows should be the same; otherwise mention the difference in the change",
        )
    ]


def _compare_rows(call: PinnedCall, before: RunAnswer, after: RunAnswer, mark: Mark) -> RowComparison:
    """In the columns that both have: the contract covers the others. Results of insights are compared in every key."""
    mine, theirs = named_rows(before.results, before.columns), named_rows(after.results, after.columns)
    if before.columns is not None and after.columns is not None:
        names = [name for name in dict.fromkeys(before.columns) if name in after.columns]
    else:
        names = sorted({name for row in (*mine, *theirs) for name in row})
    return compare_rows(
        filled(mine, names),
        filled(theirs, names),
        is_unordered=_is_unordered(call.pin) if mark.unordered is None else mark.unordered,
        tolerance=mark.tolerance or 0.0,
    )


def _is_unordered(pin: Pin) -> bool:
    """Without an ORDER BY that leaves no ties, the order of rows is chance."""
    sql = pin.query.get("query")
    if not isinstance(sql, str):
        return False
    try:
        return shape(sql).order_is_total is not True
    except ParseFailure:
        return True
