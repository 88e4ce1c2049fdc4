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
from pytest_endpoints_gitops.call_log import LoggedCall, noting
from pytest_endpoints_gitops.calls import ALL_ROWS, Page, PinnedCall, SourceAnswer
from pytest_endpoints_gitops.contract import refreshing
from pytest_endpoints_gitops.failures import ColumnUnknown, ContractViolated, EndpointRef, NotPinned
from pytest_endpoints_gitops.fakes import real_files
from pytest_endpoints_gitops.rows import ColumnReads, TestedRows

if TYPE_CHECKING:
    from endpoints_gitops.model.pin import Pin
    from pytest_endpoints_gitops.call_log import TestLog
    from pytest_endpoints_gitops.marks import Mark
    from pytest_endpoints_gitops.sources import AnswerSource
    from pytest_endpoints_gitops.suite import AppUnderTest

type Variables = Mapping[str, Any] | None


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

    def prepare(self, name: str, given: Mapping[str, Any], page: Page = ALL_ROWS) -> tuple[PinnedCall, LoggedCall]:
        """The call, noted before it is made: a call that fails needs its recording too."""
        with noting(self.log), real_files():
            call = self.app.call(name, given, page, self.log)
            source = self.source
            logged = LoggedCall(
                environment=call.pin.environment,
                endpoint=call.pin.name,
                version=call.pin.version,
                variables=dict(call.shown),
                mode=source.name,
            )
            if source.uses_recordings:
                is_kept = source.name == "refresh"
                logged.file = call.file if is_kept else self.app.recordings.choose(call).file
                logged.kept = self.app.live.kept(call) if is_kept else None
        self.log.calls.append(logged)
        return call, logged

    def answer(self, call: PinnedCall, logged: LoggedCall) -> SourceAnswer:
        """The answer, checked against the contract, and compared with the candidate's where there is a canary.

        Raises a Failure.
        """
        with noting(self.log), real_files():
            test = self.log.test
            answer = self.source.answer(call, test)
            self.app.enforcer.check(call, answer, test)
            canary = self.canary
            if canary == "off":
                self.log.is_canary_off = True
            else:
                self.app.canary(canary).compare(call, answer, self.log, self.mark)
            logged.is_answered = True
            return answer

    def rows(self, call: PinnedCall, answer: SourceAnswer, logged: LoggedCall) -> TestedRows:
        """Rows that note what is read of them. Raises ContractViolated for results of an insight that do not have the
        shape of its kind.
        """
        reads = ColumnReads(logged, self.log, lambda name: self._unknown_column(call, answer, name))
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
            call, logged = caller.prepare(name, {**(variables or {}), **values}, (_limit, _offset))
            rows = caller.rows(call, caller.answer(call, logged), logged)
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
            call, logged = caller.prepare(name, {**(variables or {}), **values}, (_limit, _offset))
            if caller.source.is_immediate and caller.canary == "off":
                answer = caller.answer(call, logged)
            else:
                from anyio import to_thread

                answer = await to_thread.run_sync(caller.answer, call, logged)
            rows = caller.rows(call, answer, logged)
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
