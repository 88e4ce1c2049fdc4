"""The fixtures `endpoints` and `async_endpoints`, and the one way to request an answer: they, a case, and the app's own
client over HTTP all use a TestCaller.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

from endpoints_gitops.consumer.errors import ResultsBroken
from endpoints_gitops.model.printable import one_line
from endpoints_gitops.model.suggestions import did_you_mean
from pytest_endpoints_gitops.call_log import STUBBED, LoggedCall, noting
from pytest_endpoints_gitops.calls import ALL_ROWS, Page, PinnedCall, SourceAnswer
from pytest_endpoints_gitops.contract import refreshing
from pytest_endpoints_gitops.failures import ColumnUnknown, ContractViolated, EndpointRef, NotPinned
from pytest_endpoints_gitops.fakes import real_files
from pytest_endpoints_gitops.rows import ColumnReads, TestedRows
from pytest_endpoints_gitops.stubbing import EndpointStub, add_stub, stubbed_answer, take_stub

if TYPE_CHECKING:
    from endpoints_gitops.model.pin import Pin
    from pytest_endpoints_gitops.call_log import TestLog
    from pytest_endpoints_gitops.marks import Mark
    from pytest_endpoints_gitops.sources import AnswerSource
    from pytest_endpoints_gitops.stubbing import Rows
    from pytest_endpoints_gitops.stubs import StubAnswer
    from pytest_endpoints_gitops.suite import AppUnderTest

type Variables = Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class PreparedCall:
    """A call that is about to be made, its entry in the log, and the stub's answer if the test has one for it."""

    call: PinnedCall
    logged: LoggedCall
    stubbed: StubAnswer | None = None


@dataclass(slots=True)
class TestCaller:
    """The calls of one test."""

    __test__ = False

    app: AppUnderTest
    log: TestLog
    mark: Mark

    @property
    def source(self) -> AnswerSource:
        """That of the test's own mode, else of the run's."""
        return self.app.source(self.mark.mode or self.app.suite.settings.mode.value)

    @property
    def canary(self) -> str:
        """What calls are compared with; the marker goes over the option."""
        return self.mark.canary or self.app.suite.settings.canary.value

    def prepare(
        self, name: str, given: Mapping[str, Any], page: Page = ALL_ROWS, *, ignores_stubs: bool = False
    ) -> PreparedCall:
        """The call, noted before it is made: a call that fails needs its recording too."""
        with noting(self.log), real_files():
            call = self.app.call(name, given, page, self.log)
            stubbed = None if ignores_stubs or not self.log.stubs else take_stub(call, self.log)
            source = self.source
            logged = LoggedCall(
                environment=call.pin.environment,
                endpoint=call.pin.name,
                version=call.pin.version,
                variables=dict(call.shown),
                mode=source.name if stubbed is None else STUBBED,
            )
            if stubbed is None and source.uses_recordings:
                is_kept = source.name == "refresh"
                logged.file = call.file if is_kept else self.app.recordings.choose(call).file
                logged.kept = self.app.live.kept(call) if is_kept else None
        self.log.calls.append(logged)
        return PreparedCall(call, logged, stubbed)

    def is_immediate(self, prepared: PreparedCall) -> bool:
        """Whether the answer takes no time, so that an event loop may ask for it directly."""
        return prepared.stubbed is not None or (self.source.is_immediate and self.canary == "off")

    def answer(self, prepared: PreparedCall) -> SourceAnswer:
        """The answer, checked against the contract, and compared with the candidate's where there is a canary. A stub
        was checked when it was made, and is not the server's.

        Raises a Failure.
        """
        call, logged = prepared.call, prepared.logged
        with noting(self.log), real_files():
            test = self.log.test
            if prepared.stubbed is not None:
                return stubbed_answer(call, prepared.stubbed, test)
            answer = self.source.answer(call, test)
            self.app.enforcer.check(call, answer, test)
            canary = self.canary
            if canary == "off":
                self.log.is_canary_off = True
            else:
                self.app.canary(canary).compare(call, answer, self.log, self.mark)
            logged.is_answered = True
            return answer

    def rows(self, prepared: PreparedCall, answer: SourceAnswer) -> TestedRows:
        """Rows that note what is read of them. Raises ContractViolated for results of an insight that do not have the
        shape of its kind.
        """
        call = prepared.call
        reads = ColumnReads(prepared.logged, self.log, lambda name: self._unknown_column(call, answer, name))
        try:
            return TestedRows.of_answer(call.pin, answer.run, reads)
        except ResultsBroken as error:
            with real_files():
                defined = ("defined", self.app.environment.location(call.pin))
            raise ContractViolated(
                call.endpoint,
                error.problem,
                ("received", answer.shown_origin),
                defined,
                command=refreshing(call, answer, self.log.test),
            ) from None

    def stub(
        self,
        name: str,
        *,
        variables: Variables,
        optional: bool,
        rows: Rows | None,
        status: int | None,
        retry_after: int | None,
    ) -> EndpointStub:
        """Add a stub to this test; see `EndpointCaller.stub`."""
        return add_stub(
            self.app.environment,
            self.app.enforcer,
            self.log,
            name,
            variables=variables,
            optional=optional,
            rows=rows,
            status=status,
            retry_after=retry_after,
        )

    def _unknown_column(self, call: PinnedCall, answer: SourceAnswer, name: str) -> ColumnUnknown:
        """Where another version that was recorded has the column, that is what changed."""
        endpoint = call.endpoint
        with real_files():
            version = self.app.recordings.version_with(endpoint.name, name, other_than=call.pin.version)
            defined = ("defined", self.app.environment.location(call.pin))
        columns = answer.run.columns or ()
        expected = f'"{name}"{did_you_mean(name, columns)}'
        problem, command = "not in the answer", ("get", endpoint.name, "--version", str(endpoint.version))
        if version is not None:
            other = EndpointRef(endpoint.name, version)
            expected = f'"{name}", which {other} has'
            problem, command = "gone", ("breaking", "--against", str(other), endpoint.name)
        return ColumnUnknown(
            endpoint,
            f'column "{name}" is {problem}',
            ("expected", expected),
            ("received", one_line(f"{', '.join(columns)}     {answer.shown_origin}")),
            ("read by", self.log.nodeid),
            defined,
            command=("endpoints-gitops", *command),
        )


class _PinnedCaller:
    """What both fixtures have in common."""

    def __init__(self, caller: TestCaller) -> None:
        self._caller = caller

    @property
    def pins(self) -> Mapping[str, Pin]:
        """The pins of the environment, by name."""
        return self._caller.app.environment.pins

    def version(self, name: str) -> int:
        """The pinned version that is called. Raises NotPinned."""
        return self._caller.app.environment.pin(name).version

    def stub(
        self,
        what: str | type,
        /,
        *,
        rows: Rows | None = None,
        status: int | None = None,
        retry_after: int | None = None,
        variables: Variables = None,
        optional: bool = False,
    ) -> EndpointStub:
        """Answer calls of an endpoint with rows by hand, or with an error, until the test ends.

            endpoints.stub("revenue_by_plan", rows=[{"plan": "pro", "customers": 3, "mrr": 90.0}])
            endpoints.stub("revenue_by_plan", status=429, retry_after=1).then(rows=[])

        It holds for this test alone, in every mode, also for what the app calls through `endpoints_server`. Rows are
        checked against the pin: dictionaries, records with a field for each column, or values in column order; for an
        insight its `results`. `then` adds the answer to the next call, and the last one is given again. `variables`:
        only for calls with these values. Of several stubs that fit a call, the last one answers. A stub that no call
        asks for fails the test at its end, unless it is `optional`.

        Raises StubInvalid for rows that the pinned version cannot return, NotPinned, VariableUndeclared,
        VariableMistyped, and ValueError for arguments that are no answer.
        """
        caller = self._caller
        with noting(caller.log), real_files():
            name = what if isinstance(what, str) else endpoint_of(what, self.pins)
            return caller.stub(
                name, variables=variables, optional=optional, rows=rows, status=status, retry_after=retry_after
            )


class EndpointCaller(_PinnedCaller):
    """Calls what the lock pins: `endpoints("revenue_by_plan", month="2026-07")`.

    `variables` takes those whose names are not Python identifiers, or clash. `_limit` and `_offset` request a page
    (HogQL only), which belongs to the call: it has a recording of its own. With a class (pydantic's model or a
    dataclass) in place of the name, the rows are of that class. Raises a Failure.
    """

    @overload
    def __call__(
        self,
        what: str,
        /,
        *,
        variables: Variables = None,
        _limit: int | None = None,
        _offset: int | None = None,
        **values: object,
    ) -> TestedRows: ...
    @overload
    def __call__[Row](
        self,
        what: type[Row],
        /,
        *,
        variables: Variables = None,
        _limit: int | None = None,
        _offset: int | None = None,
        **values: object,
    ) -> list[Row]: ...
    def __call__(
        self,
        what: str | type,
        /,
        *,
        variables: Variables = None,
        _limit: int | None = None,
        _offset: int | None = None,
        **values: object,
    ) -> Any:
        caller = self._caller
        with noting(caller.log):
            name = what if isinstance(what, str) else endpoint_of(what, self.pins)
            prepared = caller.prepare(name, {**(variables or {}), **values}, (_limit, _offset))
            rows = caller.rows(prepared, caller.answer(prepared))
            return rows if isinstance(what, str) else records(what, rows)


class AsyncEndpointCaller(_PinnedCaller):
    """As EndpointCaller, awaited, in whichever event loop the test runs: an answer that takes time is awaited in a
    thread.
    """

    async def __call__(
        self,
        what: str | type,
        /,
        *,
        variables: Variables = None,
        _limit: int | None = None,
        _offset: int | None = None,
        **values: object,
    ) -> Any:  # noqa: ANN401 - as EndpointCaller
        caller = self._caller
        with noting(caller.log):
            name = what if isinstance(what, str) else endpoint_of(what, self.pins)
            prepared = caller.prepare(name, {**(variables or {}), **values}, (_limit, _offset))
            if caller.is_immediate(prepared):
                answer = caller.answer(prepared)
            else:
                from anyio import to_thread

                answer = await to_thread.run_sync(caller.answer, prepared)
            rows = caller.rows(prepared, answer)
            return rows if isinstance(what, str) else records(what, rows)


def endpoint_of(kind: type, pins: Mapping[str, Pin]) -> str:
    """The endpoint of a class of rows: its `__endpoint__`, else its name in snake case. Raises NotPinned."""
    named = getattr(kind, "__endpoint__", None)
    if isinstance(named, str):
        return named
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind.__name__).lower()
    name = next((name for name in pins if name.lower().replace("-", "_") == words), None)
    if name is None:
        raise NotPinned(
            EndpointRef(kind.__name__),
            "no pinned endpoint has a name like that",
            ("expected", f'a pin of {words}, or __endpoint__ = "NAME" in the class'),
            ("received", ", ".join(pin.label for pin in pins.values()) or "no pins at all"),
            advice="add the endpoint to `uses`",
            command=("endpoints-gitops", "lock"),
        )
    return name


def records(kind: type, rows: TestedRows) -> list[Any]:
    """The rows as instances of the caller's class: a pydantic model, a dataclass, or one that takes all columns."""
    return [_record(kind, row) for row in rows.as_dicts()]


def _record(kind: type, row: dict[str, Any]) -> Any:  # noqa: ANN401 - of the caller's class
    if hasattr(kind, "model_validate"):
        return kind.model_validate(row)
    if dataclasses.is_dataclass(kind):
        return kind(**{field.name: row[field.name] for field in dataclasses.fields(kind)})
    return kind(**row)
