"""What is done while tests run. Nothing of it is registered where there is neither a lock nor an option."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

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
    def pytest_testnodedown(self, node: Any, error: object) -> None:  # noqa: ANN401, ARG002 - xdist's
        if error:
            self.session.run.partial_because("a worker crashed")

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        self.session.run.deselected += len(items)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.session.run.collected = max(self.session.run.collected, len(session.items))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if not report.passed:
            self.session.run.partial_because(f"{report.nodeid or 'a file'} was not collected")

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
            run = self.session.run
            facts = item.stash[LOG].as_plain()
            report.__dict__[REPORTED] = {**facts, "collected": run.collected, "deselected": run.deselected}
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if self.session.is_worker:
            return
        run = self.session.run
        plain = report.__dict__.get(REPORTED)
        if plain is not None:
            run.collected, run.deselected = plain["collected"], plain["deselected"]
            self._gather(report, plain)
        if report.when == "teardown":
            run.finished.add(report.nodeid)
        if report.skipped and "endpoints" in report.keywords:
            if hasattr(report, "wasxfail"):
                run.unsure = run.unsure or f"{report.nodeid} failed as expected, and may have asked for more"
            else:
                run.partial_because(f"{report.nodeid} was skipped")

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        if self.session.is_worker:
            return
        self._note_partial(exitstatus)
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

    def _note_partial(self, exitstatus: int) -> None:
        run, config = self.session.run, self.session.config
        if exitstatus != pytest.ExitCode.OK:
            run.partial_because("not everything passed")
        if _names_paths(config):
            run.partial_because("paths were named")
        for option, said in (("keyword", "-k"), ("markexpr", "-m"), ("lf", "--lf"), ("ignore", "--ignore"), *_MORE):
            if config.getoption(option, None):
                run.partial_because(f"{said} was given")


def _without_class(report: pytest.TestReport, text: str) -> None:
    """The short summary begins with the verdict, not with the path of a class."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is not None:
        crash.message = text


_MORE = (
    ("ignore_glob", "--ignore-glob"),
    ("deselect", "--deselect"),
    ("stepwise", "--stepwise"),
    ("collectonly", "--co"),
)


def _names_paths(config: pytest.Config) -> bool:
    """Whether less was asked for than the whole: a path on the command line, or a start from further below."""
    source = config.args_source
    if source == pytest.Config.ArgsSource.INVOCATION_DIR:
        return config.invocation_params.dir != config.rootpath
    return source != pytest.Config.ArgsSource.TESTPATHS
