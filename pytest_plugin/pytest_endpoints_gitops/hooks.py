"""What is done while tests run. Nothing of it is registered where there is neither a lock nor an option."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_endpoints_gitops.attribution import BACKGROUND, owned_by, set_owner
from pytest_endpoints_gitops.collection import note_partial
from pytest_endpoints_gitops.facts import LOG, REPORTED, TestFacts, TestLog, begin_attempt, log_of
from pytest_endpoints_gitops.failures import Failure, RehearsalUnmet, from_plain

if TYPE_CHECKING:
    from pytest_endpoints_gitops.finishing import Ending
    from pytest_endpoints_gitops.session import Session

_FAILED = ("failed", "error")


class Hooks:
    """The hooks of one process. Facts go out with reports, and are gathered where reports arrive: without xdist, the
    same object does both.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.ending: Ending | None = None

    def pytest_report_header(self) -> list[str] | None:
        from pytest_endpoints_gitops.summary import header

        return None if self.session.is_worker else header(self.session)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:  # noqa: ANN401 - xdist's
        """xdist starts a worker."""
        node.workerinput["endpoints"] = self.session.for_a_worker()

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:  # noqa: ANN401 - xdist's
        if error:
            self.session.run.partial_because("a worker crashed")
        output = getattr(node, "workeroutput", {}).get("endpoints", {})
        self.session.run.take_worker(output.get("run"))
        for plain in output.get("outside", ()):
            self.session.note(from_plain(plain), None)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        from pytest_endpoints_gitops.real import prepare

        prepare(self.session, session.items)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self) -> Generator[None, object, object]:
        """What tests left running may still fail them, so it is waited for."""
        result = yield
        BACKGROUND.wait()
        self._report_late_failures()
        return result

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        self._report_late_failures()
        self.session.current = item
        with owned_by(None):
            try:
                return (yield)
            finally:
                self.session.current = None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, object, object]:
        """Each attempt of a test that is run again has its own failures."""
        set_owner(begin_attempt(item, self.session.late))
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, object, object]:
        """A failure that was neither raised nor expected fails the test at its end."""
        failure, server = None, self.session.server
        try:
            result = yield
        finally:
            if LOG in item.stash:
                log = item.stash[LOG]
                if server is not None and not log.has_failed:
                    for name in server.unmet():
                        log.note(_unmet(name, log))
                failure = log.end()
        if failure is not None:
            raise failure
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if report.failed and LOG in item.stash:
            item.stash[LOG].has_failed = True
        if call.excinfo is not None and isinstance(call.excinfo.value, Failure):
            log_of(item).failures.append(call.excinfo.value.as_plain())
            _without_class(report, str(call.excinfo.value))
        if LOG in item.stash and item.stash[LOG].is_used:
            report.__dict__[REPORTED] = item.stash[LOG].as_plain()
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if self.session.is_worker:
            return
        run = self.session.run
        plain = report.__dict__.get(REPORTED)
        if plain is not None:
            self._gather(report, plain)
        if report.when == "teardown":
            run.finished.add(report.nodeid)
        elif report.when == "call" or report.skipped:
            run.called.add(report.nodeid)
        if report.skipped and "endpoints" in report.keywords:
            if hasattr(report, "wasxfail"):
                run.unsure = run.unsure or f"{report.nodeid} failed as expected, and may have asked for more"
            else:
                run.partial_because(f"{report.nodeid} was skipped")

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        for _, failure in self.session.late:
            self.session.note(failure, None)
        if self.session.is_worker:
            output: dict[str, Any] = {"run": self.session.run.for_the_controller()}
            output["outside"] = [failure.as_plain() for failure in self.session.outside]
            self.session.config.workeroutput["endpoints"] = output  # type: ignore[attr-defined]  # xdist's
            return
        lock = self.session.settings.lock.value
        note_partial(self.session.run, self.session.config, exitstatus, Path(lock) if lock else None)
        if self.session.facts or self.session.recordings_folder.is_dir():
            from pytest_endpoints_gitops.finishing import finish

            self.ending = finish(self.session)
            self.session.remember_readers()

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        from pytest_endpoints_gitops.summary import summarize

        if not self.session.is_worker:
            summarize(self.session, self.ending, terminalreporter)

    def _report_late_failures(self) -> None:
        """Of tests that have ended: each fails its own test, whichever runs by now."""
        while self.session.late:
            log, failure = self.session.late.pop(0)
            if failure.is_expected or failure.as_plain() in log.failures:
                continue
            call = pytest.CallInfo.from_call(partial(_raise, failure), when="teardown")
            report = log.item.ihook.pytest_runtest_makereport(item=log.item, call=call)
            log.item.ihook.pytest_runtest_logreport(report=report)

    def _gather(self, report: pytest.TestReport, plain: dict[str, Any]) -> None:
        facts = self.session.facts.setdefault(report.nodeid, TestFacts())
        facts.take(plain)
        if report.when != "call" and report.passed:
            return  # nothing to say: only a test's own phase, and what goes wrong around it, is counted
        said = self.session.config.hook.pytest_report_teststatus(report=report, config=self.session.config)
        if said and said[0] and facts.outcome not in _FAILED:
            facts.outcome = said[0]


def watch(session: Session) -> None:
    """Register everything that watches tests."""
    from pytest_endpoints_gitops import watching

    session.config.pluginmanager.register(Hooks(session), "endpoints_hooks")
    BACKGROUND.watch()
    session.closing.callback(BACKGROUND.unwatch)
    watching.install(session)


def _unmet(name: str, log: TestLog) -> RehearsalUnmet:
    return RehearsalUnmet(
        f"{name}: an error was rehearsed, and no call met it",
        ("by", log.nodeid),
        ("expected", f'a call of {name} after endpoints_server.fail("{name}")'),
        ("received", "no such call"),
        command=f"pytest {log.target}",
    )


def _raise(failure: Failure) -> None:
    raise failure


def _without_class(report: pytest.TestReport, text: str) -> None:
    """The short summary begins with the verdict, not with the path of a class."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is not None:
        crash.message = text
