"""What is done while tests run: the hooks of the session, and those of a test, each in the order in which pytest calls
them. Nothing is registered where there is neither a lock nor an option, and no test uses a fixture.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Awaitable, Callable, Generator
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NoReturn

import pytest

from pytest_endpoints_gitops.background import BACKGROUND, owned_by, set_owner
from pytest_endpoints_gitops.call_log import LOG, TestLog, TestRecord, begin_attempt, log_of
from pytest_endpoints_gitops.collection import note_partial
from pytest_endpoints_gitops.failures import EndpointRef, Failure, RehearsalUnmet, from_plain, only_failure
from pytest_endpoints_gitops.guard import GUARDED_MODES, NetworkGuard
from pytest_endpoints_gitops.marks import mark_of
from pytest_endpoints_gitops.names import MARKER, REPORTED

if TYPE_CHECKING:
    from pytest_endpoints_gitops.canary_report import CanaryReport
    from pytest_endpoints_gitops.cleanup import Cleanup
    from pytest_endpoints_gitops.evidence import Head
    from pytest_endpoints_gitops.suite import Suite

_FAILED: Final = ("failed", "error")


def watch(suite: Suite) -> None:
    """Register everything that watches tests; to be called once."""
    manager = suite.config.pluginmanager
    manager.register(SessionHooks(suite), "endpoints_hooks")
    manager.register(TestHooks(suite), "endpoints_test_hooks")
    BACKGROUND.watch()
    suite.closing.callback(BACKGROUND.unwatch)
    if suite.known_locks:
        guard = NetworkGuard(
            suite.hosts,
            is_replaying=lambda: _is_replaying(suite),
            running=suite.running_log,
            note=suite.note,
        )
        guard.install()
        suite.closing.callback(guard.remove)


class SessionHooks:
    """The hooks of one process, before and after all tests."""

    def __init__(self, suite: Suite) -> None:
        self.suite = suite
        self.cleanups: list[Cleanup] = []
        self.canary: CanaryReport | None = None
        self.head: Head | None = None
        self.changed: frozenset[str] = frozenset()
        self.errors: list[str] = []

    def pytest_report_header(self) -> list[str] | None:
        from pytest_endpoints_gitops.summary import header

        return None if self.suite.is_worker else header(self.suite)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """What is tested is the checkout at the start; recordings and the like may be written meanwhile."""
        if self.suite.settings.evidence.value and not self.suite.is_worker:
            from pytest_endpoints_gitops.evidence import head, outputs

            self.head = head(self.suite.config.rootpath, besides=outputs(self.suite))
            self.suite.note_contents(self.suite.known_locks)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        from pytest_endpoints_gitops.fakes import prepare

        prepare(self.suite.settings, lambda item: self.suite.project_of(item).read(), session.items)
        if self.head is not None:
            self.suite.note_contents(self.suite.known_locks)

    def pytest_report_collectionfinish(self, items: list[pytest.Item]) -> list[str]:
        from pytest_endpoints_gitops.summary import collected

        return collected(self.suite, items)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self) -> Generator[None, object, object]:
        """Wait for what tests left running: it may still fail them."""
        result = yield
        BACKGROUND.wait()
        report_late_failures(self.suite)
        return result

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:  # noqa: ANN401 - xdist's
        """An xdist worker has ended."""
        if error:
            self.suite.completeness.partial_because("a worker crashed")
        output = getattr(node, "workeroutput", {}).get("endpoints", {})
        self.suite.completeness.take_worker(output.get("run"))
        for plain in output.get("outside", ()):
            self.suite.note(from_plain(plain), None)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        suite = self.suite
        for _, failure in suite.late:
            suite.note(failure, None)
        if suite.is_worker:
            outside = [failure.as_plain() for failure in suite.outside]
            output = {"run": suite.completeness.for_controller(), "outside": outside}
            suite.config.workeroutput["endpoints"] = output  # type: ignore[attr-defined]  # xdist's
            return
        note_partial(suite.completeness, suite.config, exitstatus)
        self._judge_recordings()
        self._judge_canary(session)
        self._compare_generated_clients()
        if suite.outside:
            _fail(session)
        self._write_files(session)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        suite = self.suite
        if suite.is_worker:
            return
        from pytest_endpoints_gitops.summary import summarize

        summarize(suite, self.cleanups, terminalreporter)
        for failure in suite.outside:
            terminalreporter.write_line(str(failure), red=True)
        if self.canary is not None:
            from pytest_endpoints_gitops.canary_report import show

            show(terminalreporter, self.canary)
        if self.head is not None or self.errors:
            from pytest_endpoints_gitops.summary import show_files

            show_files(terminalreporter, self.changed, self.errors)

    def _compare_generated_clients(self) -> None:
        """Those of each lock whose pins were called."""
        suite = self.suite
        for lock in filter(None, suite.used_locks):
            from pytest_endpoints_gitops.generated import stale_clients

            project = suite.project(lock)
            for failure in stale_clients(project):
                failure.run_in(project.command_folder(suite.config.invocation_params.dir))
                suite.note(failure, None)

    def _judge_recordings(self) -> None:
        """Those of each lock, also of one that no test used."""
        suite = self.suite
        locks = sorted({*suite.known_locks, *suite.used_locks}) or [suite.run_lock]
        concerned = [lock for lock in locks if suite.records or suite.recordings_path(lock).is_dir()]
        if concerned:
            from pytest_endpoints_gitops.cleanup import finish

            self.cleanups = [finish(suite, lock) for lock in concerned]
            suite.remember_readers()

    def _judge_canary(self, session: pytest.Session) -> None:
        """Errors of the canary fail a run whose tests passed."""
        records = self.suite.records
        if self.suite.settings.canary.value == "off" and not any(record.canary for record in records.values()):
            return
        from pytest_endpoints_gitops.canary_report import gathered

        self.canary = gathered(records)
        if self.canary.has_errors or not self.canary.has_compared:
            _fail(session)

    def _write_files(self, session: pytest.Session) -> None:
        """Write evidence and report, however the run ended."""
        if self.head is None and not self.suite.settings.report.value:
            return
        from endpoints_gitops.errors import EndpointsError

        for write in (self._write_evidence, self._write_report):
            try:
                write(int(session.exitstatus))
            except (OSError, EndpointsError) as error:
                self.errors.append(f"evidence or report was not written: {error}")
                _fail(session)

    def _write_evidence(self, exit_code: int) -> None:
        if self.head is not None:
            from pytest_endpoints_gitops.evidence import write

            self.changed = write(self.suite, self.head, exit_code)

    def _write_report(self, exit_code: int) -> None:
        if self.suite.settings.report.value:
            from pytest_endpoints_gitops.report import write

            write(self.suite, self.canary, exit_code)


class TestHooks:
    """The hooks of one process around each test. Logs go out with reports, and are gathered where reports arrive:
    without xdist, the same object does both.
    """

    __test__ = False

    def __init__(self, suite: Suite) -> None:
        self.suite = suite

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        report_late_failures(self.suite)
        self.suite.current = item
        with owned_by(None):
            try:
                return (yield)
            finally:
                self.suite.current = None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, object, object]:
        """Each attempt of a test that is run again has its own failures."""
        set_owner(begin_attempt(item, self.suite.late))
        if self.suite.server is not None:
            self.suite.server.begin_test(item.nodeid)
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Generator[None, object, object]:
        self.suite.shared_calls.begin(fixturedef)
        try:
            return (yield)
        finally:
            self.suite.shared_calls.end()

    def pytest_fixture_post_finalizer(self, fixturedef: pytest.FixtureDef[Any]) -> None:
        self.suite.shared_calls.forget(fixturedef)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Generator[None, object, object]:
        """A failure in a task group comes in a group of exceptions, and is taken out of it."""
        if pyfuncitem.get_closest_marker(MARKER) is None:
            return (yield)
        if inspect.iscoroutinefunction(pyfuncitem.obj):
            pyfuncitem.obj = _ungrouped(pyfuncitem.obj)
        try:
            return (yield)
        except BaseExceptionGroup as group:
            raise only_failure(group) from None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, object, object]:
        """A failure that was neither raised nor expected fails the test at its end. Warnings are issued in the test's
        own thread, where a suite may make errors of them.
        """
        server, log = self.suite.server, item.stash.get(LOG, None)
        failure = None
        try:
            result = yield
        finally:
            if log is not None:
                if server is not None and not log.has_failed:
                    for name in server.unmet():
                        log.note(_unmet(name, log))
                if not log.has_failed:
                    _note_unmet_stubs(log)
                failure = log.end()
        if failure is not None:
            raise failure
        if log is not None and log.findings:
            from pytest_endpoints_gitops.failures import EndpointsWarning
            from pytest_endpoints_gitops.server_fixture import unpinned_calls

            for warning in unpinned_calls(log):
                warnings.warn(EndpointsWarning(f"{item.nodeid}: {warning}"), stacklevel=1)
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if LOG in item.stash:
            self.suite.shared_calls.share(item, item.stash[LOG], self.suite.lock_of(item.path))
        if report.failed and LOG in item.stash:
            item.stash[LOG].has_failed = True
        if call.excinfo is not None and isinstance(call.excinfo.value, Failure):
            log_of(item).failures.append(call.excinfo.value.as_plain())
            _without_class(report, str(call.excinfo.value))
        if LOG in item.stash and item.stash[LOG].is_used:
            report.__dict__[REPORTED] = item.stash[LOG].as_plain()
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if self.suite.is_worker:
            return
        completeness = self.suite.completeness
        plain = report.__dict__.get(REPORTED)
        if plain is not None:
            self._gather(report, plain)
        elif report.failed and report.nodeid in self.suite.records:  # by xdist, of a worker that crashed
            self.suite.records[report.nodeid].outcome = "failed"
        if report.skipped and MARKER in report.keywords:
            if hasattr(report, "wasxfail"):
                reason = f"{report.nodeid} failed as expected, and may have asked for more"
                completeness.unsure = completeness.unsure or reason
            else:
                completeness.partial_because(f"{report.nodeid} was skipped")

    def _gather(self, report: pytest.TestReport, plain: dict[str, Any]) -> None:
        record = self.suite.records.setdefault(report.nodeid, TestRecord())
        record.take(plain)
        if self.suite.contents:
            self.suite.note_contents(call.lock for call in record.calls)
        if report.when != "call" and report.passed:
            return  # only the test's own phase, and what goes wrong around it, decides the outcome
        config = self.suite.config
        status = config.hook.pytest_report_teststatus(report=report, config=config)
        if status and status[0] and record.outcome not in _FAILED:
            record.outcome = status[0]


def report_late_failures(suite: Suite) -> None:
    """Fail tests that have ended for failures that came since, whichever test runs by now."""
    while suite.late:
        log, failure = suite.late.pop(0)
        if log.is_known(failure):
            continue
        call = pytest.CallInfo.from_call(partial(_raise, failure), when="teardown")
        report = log.item.ihook.pytest_runtest_makereport(item=log.item, call=call)
        log.item.ihook.pytest_runtest_logreport(report=report)


def _raise(failure: Failure) -> NoReturn:
    raise failure


def _fail(session: pytest.Session) -> None:
    """Let the run fail; a worse exit status stays."""
    if session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _is_replaying(suite: Suite) -> bool:
    log = suite.running_log()
    mode = None if log is None else mark_of(log.item).mode
    return (mode or suite.settings.mode.value) in GUARDED_MODES


def _note_unmet_stubs(log: TestLog) -> None:
    if log.stubs.unmet():
        from pytest_endpoints_gitops.stubbing import unmet_stubs

        for failure in unmet_stubs(log):
            log.note(failure)


def _unmet(name: str, log: TestLog) -> RehearsalUnmet:
    return RehearsalUnmet(
        EndpointRef(name),
        "no call met the rehearsed error",
        ("by", log.nodeid),
        ("expected", f'a call of {name} after endpoints_server.fail("{name}")'),
        ("received", "no such call"),
        command=log.test.command(),
    )


def _ungrouped(test: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """The test without the group around its failure: an event loop handles a BaseException in its own way, so the group
    is opened inside of it.
    """

    @functools.wraps(test)
    async def ungrouped(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - whatever the test takes
        try:
            return await test(*args, **kwargs)
        except BaseExceptionGroup as group:
            raise only_failure(group) from None

    return ungrouped


def _without_class(report: pytest.TestReport, text: str) -> None:
    """Let the short summary begin with the verdict, not with the path of a class."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is not None:
        crash.message = text
