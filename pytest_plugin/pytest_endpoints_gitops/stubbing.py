"""Stubs as tests write them: rows by hand, or an error, in place of the answers of one endpoint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Self

from endpoints_gitops.api.refusals import error_of
from endpoints_gitops.api.run_pages import UNPAGED_ROWS
from endpoints_gitops.api.wire import Answer, Request
from endpoints_gitops.consumer.values import own
from endpoints_gitops.model.json import Json, JsonObject, canonical
from endpoints_gitops.model.pin import Pin
from endpoints_gitops.model.printable import one_line
from endpoints_gitops.workspace.files import shown
from pytest_endpoints_gitops.calls import AnswerOrigin, PinnedCall, SourceAnswer, page_of, run_of
from pytest_endpoints_gitops.errors import columns_signature, failure_of
from pytest_endpoints_gitops.failures import EndpointRef, StubInvalid, StubUnmet
from pytest_endpoints_gitops.rehearsal import rehearsed
from pytest_endpoints_gitops.sources import has_no_limit, refuse_cut
from pytest_endpoints_gitops.stub_rows import RowsMistaken, stub_answer
from pytest_endpoints_gitops.stubs import StubAnswer, StubbedError, StubState

if TYPE_CHECKING:
    from pytest_endpoints_gitops.call_log import RunningTest, TestLog
    from pytest_endpoints_gitops.contract import ContractEnforcer
    from pytest_endpoints_gitops.project import PinnedEnvironment

type Rows = Iterable[Any]
"""Dictionaries, records with a field for each column, or values in column order; for an insight its `results`."""

_STUB: Final = "the stub of this test"


class EndpointStub:
    """What `endpoints.stub` and `endpoints_server.answer` give: `then` adds the answer to the next call.

    After the last answer, that one is given again. A stub is removed at the end of its test.
    """

    def __init__(
        self, environment: PinnedEnvironment, enforcer: ContractEnforcer, log: TestLog, pin: Pin, state: StubState
    ) -> None:
        self._environment = environment
        self._enforcer = enforcer
        self._log = log
        self._pin = pin
        self._state = state

    def __repr__(self) -> str:
        return f"<stub of {self._pin.label}: {len(self._state.requests)} calls>"

    @property
    def calls(self) -> list[JsonObject]:
        """The variables of each call that this stub answered, as JSON, in order."""
        return [dict(request) for request in self._state.requests]

    def then(self, *, rows: Rows | None = None, status: int | None = None, retry_after: int | None = None) -> Self:
        """Answer the call after that with these rows, or with this error. Raises StubInvalid, and ValueError for
        arguments that are no answer.
        """
        self._log.stubs.answer(self._state, self._answer(rows, status, retry_after))
        return self

    def _answer(self, rows: Rows | None, status: int | None, retry_after: int | None) -> StubAnswer:
        if (rows is None) == (status is None):
            raise ValueError("a stub answers with rows=[…] or with status=…, and with one of them")
        if status is not None:
            refusal = rehearsed(status, retry_after)
            return StubbedError(refusal.status, refusal.body, refusal.headers)
        if retry_after is not None:
            raise ValueError("retry_after belongs to status=429 or another error")
        try:
            return stub_answer(self._pin, rows)
        except RowsMistaken as mistake:
            raise self._invalid(mistake) from None

    def _invalid(self, mistake: RowsMistaken) -> StubInvalid:
        first, *others = mistake.problems
        lock = shown(self._environment.project.lock_path)
        return StubInvalid(
            EndpointRef(self._pin.name, self._pin.version),
            first,
            ("expected", f"{columns_signature(self._pin)}     {lock}"),
            ("received", one_line(mistake.received)),
            ("also", "\n".join(map(one_line, others))),
            ("by", self._log.nodeid),
            ("defined", self._environment.location(self._pin)),
            advice="change the stub",
            command=self._log.test.command(),
        )


def add_stub(
    environment: PinnedEnvironment,
    enforcer: ContractEnforcer,
    log: TestLog,
    name: str,
    *,
    variables: Mapping[str, Any] | None,
    optional: bool,
    rows: Rows | None,
    status: int | None,
    retry_after: int | None,
) -> EndpointStub:
    """Let a test answer calls of an endpoint itself, until it ends.

    Raises NotPinned, StubInvalid for rows that the pin does not allow, VariableUndeclared or VariableMistyped for
    `variables` that no call can have, and ValueError for arguments that are no answer.
    """
    pin = environment.pin(name)
    log.note_endpoint(pin.label)
    optionals = tuple(replace(variable, required=False) for variable in pin.variables)
    some = enforcer.variables(replace(pin, variables=optionals), variables or {}, log.test)
    stub = EndpointStub(environment, enforcer, log, pin, StubState(environment.name, name, some, optional))
    stub.then(rows=rows, status=status, retry_after=retry_after)
    log.stubs.add(stub._state)
    log.has_stubs = True
    return stub


def take_stub(call: PinnedCall, log: TestLog) -> StubAnswer | None:
    """The stub's answer of this call; None where the test has no stub for it. A page after the first is one of the
    answer that the page before it was from.
    """
    pin = call.pin
    defaults: dict[str, Json] = {variable.name: variable.default for variable in pin.variables if variable.has_default}
    effective = {**defaults, **call.variables}
    return log.stubs.take(pin.environment, pin.name, effective, call.variables, is_continued=bool(call.offset))


def stubbed_answer(call: PinnedCall, stubbed: StubAnswer, test: RunningTest) -> SourceAnswer:
    """The answer of a call that a stub answers. Raises the Failure that a live call has where the stub is an error,
    and RowsCut where the server would cut the rows.
    """
    if isinstance(stubbed, StubbedError):
        body = canonical(stubbed.body).encode()
        headers = {name.lower(): value for name, value in stubbed.headers.items()}
        request = Request(method="POST", path="", names=call.pin.name)
        answer = Answer(status=stubbed.status, headers=headers, body=body)
        raise failure_of(call, test, error_of(answer, request, _STUB, str)) from None
    rows, has_more = page_of(call, own(stubbed.results))
    run = run_of(call.pin, stubbed.columns, stubbed.types, rows, has_more=has_more)
    if run.columns is not None and call.limit is None and len(rows) > UNPAGED_ROWS and has_no_limit(call.pin):
        refuse_cut(call, replace(run, results=rows[:UNPAGED_ROWS], has_more=True))
    return SourceAnswer(run, AnswerOrigin.STUB, _STUB)


def unmet_stubs(log: TestLog) -> Iterable[StubUnmet]:
    """A failure for each stub of a test with an answer that no call asked for."""
    for state in log.stubs.unmet():
        count = len(state.answers)
        variables = f" with {canonical(state.variables)}" if state.variables else ""
        problem = "no call met the stub" if not state.used else f"calls met {state.used} of the stub's {count} answers"
        times = "a call" if count == 1 else f"{count} calls"
        yield StubUnmet(
            EndpointRef(state.name),
            problem,
            ("by", log.nodeid),
            ("expected", one_line(f"{times} of {state.name}{variables}; optional=True expects none")),
            ("received", "no such call" if not state.used else f"{len(state.requests)} such calls"),
            command=log.test.command(),
        )
