"""What is done while tests run. Nothing of it is registered where there is neither a lock nor an option."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_endpoints_gitops.collection import note_partial
from pytest_endpoints_gitops.facts import LOG, REPORTED, TestFacts, log_of

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
        self.session.run.take_worker(getattr(node, "workeroutput", {}).get("endpoints"))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        self.session.current = item
        try:
            return (yield)
        finally:
            self.session.current = None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, object, object]:
        """What other threads could not raise fails the test at its end."""
        result = yield
        log = item.stash.get(LOG, None)
        swallowed = [one for one in log.swallowed if one.as_plain() not in log.failures] if log else []
        if swallowed:
            raise swallowed[0]
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        from pytest_endpoints_gitops.failures import Failure

        report = yield
        if call.excinfo is not None and isinstance(call.excinfo.value, Failure):
            log_of(item).failures.append(call.excinfo.value.as_plain())
            _without_class(report, str(call.excinfo.value))
        if LOG in item.stash:
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
        if self.session.is_worker:
            self.session.config.workeroutput["endpoints"] = self.session.run.for_the_controller()  # type: ignore[attr-defined]  # xdist's
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

    def _gather(self, report: pytest.TestReport, plain: dict[str, Any]) -> None:
        facts = self.session.facts.setdefault(report.nodeid, TestFacts())
        facts.take(plain)
        if report.when != "call" and report.passed:
            return  # nothing to say: only a test's own phase, and what goes wrong around it, is counted
        said = self.session.config.hook.pytest_report_teststatus(report=report, config=self.session.config)
        if said and said[0] and facts.outcome not in _FAILED:
            facts.outcome = said[0]


def _without_class(report: pytest.TestReport, text: str) -> None:
    """The short summary begins with the verdict, not with the path of a class."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is not None:
        crash.message = text
