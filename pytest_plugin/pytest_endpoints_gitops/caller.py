"""The one way to request an answer: the fixtures, a case, and the app's own client over HTTP all use a TestCaller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from endpoints_gitops.consumer.errors import ResultsBroken
from endpoints_gitops.model.printable import one_line
from endpoints_gitops.model.suggestions import did_you_mean
from pytest_endpoints_gitops.call_log import STUBBED, LoggedCall, noting
from pytest_endpoints_gitops.calls import ALL_ROWS, Page, PinnedCall, SourceAnswer
from pytest_endpoints_gitops.contract import refreshing
from pytest_endpoints_gitops.failures import ColumnUnknown, ContractViolated, EndpointRef, StubInvalid
from pytest_endpoints_gitops.fakes import real_files
from pytest_endpoints_gitops.marks import UNMARKED
from pytest_endpoints_gitops.rows import ColumnReads, TestedRows
from pytest_endpoints_gitops.stubbing import EndpointStub, add_stub, stubbed_answer, take_stub

if TYPE_CHECKING:
    from pytest_endpoints_gitops.call_log import TestLog
    from pytest_endpoints_gitops.config import EndpointsConfig
    from pytest_endpoints_gitops.failures import Failure
    from pytest_endpoints_gitops.marks import Mark
    from pytest_endpoints_gitops.sources import AnswerSource
    from pytest_endpoints_gitops.stubbing import Rows
    from pytest_endpoints_gitops.stubs import StubAnswer
    from pytest_endpoints_gitops.suite import AppUnderTest, Suite

type Variables = Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class PreparedCall:
    """A call that is about to be made, its entry in the log, and the stub's answer if the test has one for it."""

    call: PinnedCall
    logged: LoggedCall
    stubbed: StubAnswer | None = None


class TestCaller:
    """The calls of one test."""

    __test__ = False

    def __init__(self, app: AppUnderTest, log: TestLog, mark: Mark) -> None:
        self.app = app
        self.mark = mark
        self._log: TestLog | None = log
        log.folder = app.command_folder

    @property
    def log(self) -> TestLog:
        """The log of the test that calls."""
        assert self._log is not None, "a caller of no test overrides this"
        return self._log

    @property
    def source(self) -> AnswerSource:
        """That of the test's own mode, else of the run's."""
        return self.app.source(self.mark.mode or self.app.suite.settings.mode.value)

    @property
    def canary(self) -> str:
        """What calls are compared with; the marker goes over the option."""
        return self.mark.canary or self.app.suite.settings.canary.value

    def prepare(
        self, name: str, variables: Mapping[str, Any], page: Page = ALL_ROWS, *, ignores_stubs: bool = False
    ) -> PreparedCall:
        """The call, noted before it is made: a call that fails needs its recording too."""
        with noting(self.log), real_files():
            call = self.app.call(name, variables, page, self.log)
            stubbed = None if ignores_stubs else self._take_stub(call)
            source = self.source
            logged = LoggedCall(
                lock=self.app.project.name,
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
        self._note(logged)
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

    def rows(self, prepared: PreparedCall, answer: SourceAnswer, results: Sequence[Any] | None = None) -> TestedRows:
        """Rows that note what is read of them; only `results` of the answer if they are given. Raises ContractViolated
        for results of an insight that do not have the shape of its kind.
        """
        call = prepared.call
        reads = ColumnReads(prepared.logged, self._note_failure, lambda name: self._unknown_column(call, answer, name))
        try:
            return TestedRows.of_answer(call.pin, answer.run, reads, results)
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
        """Add a stub to this test; the fixtures say what it does."""
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

    def _note(self, logged: LoggedCall) -> None:
        self.log.calls.append(logged)

    def _note_failure(self, failure: Failure) -> None:
        self.log.note(failure)

    def _take_stub(self, call: PinnedCall) -> StubAnswer | None:
        return take_stub(call, self.log) if self.log.has_stubs else None

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


class SessionCaller(TestCaller):
    """The calls of fixtures that live longer than a test, in the mode of the run. Marks and stubs belong to a test, so
    they do not hold here.
    """

    def __init__(self, suite: Suite, config: EndpointsConfig) -> None:
        self._suite = suite
        self._config = config
        self.mark = UNMARKED
        self._log = None

    @property
    def app(self) -> AppUnderTest:  # type: ignore[override]  # that of the lock of the test that runs now
        return self._suite.app_of(self.log.item, self._config)

    @property
    def log(self) -> TestLog:
        """The log of the test that runs now: that of a fixture's first user while it is set up."""
        log = self._suite.running_log()
        if log is None:
            raise RuntimeError("endpoints_session belongs to a run of tests, and none runs")
        log.is_used = True
        return log

    def stub(self, name: str, **_: object) -> EndpointStub:
        """Raises StubInvalid."""
        raise StubInvalid(
            EndpointRef(name),
            "a stub belongs to one test, and endpoints_session to all",
            ("by", self.log.nodeid),
            ("instead", "endpoints.stub(…) or endpoints_server.answer(…)"),
            command=self.log.test.command(),
        )

    def _note(self, logged: LoggedCall) -> None:
        self._suite.shared_calls.note(logged, self.log)

    def _take_stub(self, call: PinnedCall) -> StubAnswer | None:
        del call
        return None
