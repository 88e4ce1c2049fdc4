"""What stands beside the tests of a run: the network guard, the canary, the server between tests, and what is written
at the end. It costs next to nothing where nobody uses it.
"""

from __future__ import annotations

import warnings
from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

from pytest_endpoints_gitops.facts import LOG
from pytest_endpoints_gitops.guard import GUARDED_MODES, Guard
from pytest_endpoints_gitops.marks import mark_of

if TYPE_CHECKING:
    from pytest_endpoints_gitops.canary_report import Report
    from pytest_endpoints_gitops.evidence import Head
    from pytest_endpoints_gitops.session import Session


def install(session: Session) -> None:
    """To be called once, where a run concerns endpoints at all."""
    watching = Watching(session)
    session.config.pluginmanager.register(watching, "endpoints_watching")
    session.sections.append(watching.show)
    if session.settings.lock.value:
        guard = Guard(
            lambda: hosts(session),
            is_replaying=lambda: _is_replaying(session),
            running=session.running_log,
            note=session.note,
        )
        guard.stand()
        session.closing.callback(guard.leave)
    if session.settings.canary.value != "off":
        _start_canary(session)


class Watching:
    """The hooks of one process."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.report: Report | None = None
        self.head: Head | None = None
        self.trouble: list[str] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if self.session.server is not None:
            self.session.server.begin_test(item.nodeid)
        if self.session.canary is None and mark_of(item).canary not in (None, "off"):
            _start_canary(self.session)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, object, object]:
        """Told at the end, from the test's own thread: there a suite may make an error of the warning."""
        result = yield
        log = item.stash.get(LOG, None)
        if log is not None and log.findings:
            from pytest_endpoints_gitops.failures import EndpointsWarning
            from pytest_endpoints_gitops.serving import unpinned_calls

            for said in unpinned_calls(log):
                warnings.warn(EndpointsWarning(f"{item.nodeid}: {said}"), stacklevel=1)
        return result

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """What is tested is what stands there at the start; recordings and the like may be written meanwhile."""
        if self.session.settings.evidence.value and not self.session.is_worker:
            from pytest_endpoints_gitops.evidence import head, outputs

            self.head = head(self.session.config.rootpath, besides=outputs(self.session))

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Errors of the canary fail a run whose tests passed; evidence and report are written whatever happened."""
        if self.session.is_worker:
            return
        is_asked = self.session.settings.canary.value != "off"
        if is_asked or any(facts.canary for facts in self.session.facts.values()):
            from pytest_endpoints_gitops.canary_report import gathered

            self.report = gathered(self.session.facts)
            if self.report.has_errors or not self.report.has_compared:
                _fail(session)
        if self.session.outside:
            _fail(session)
        if self.head is None and not self.session.settings.report.value:
            return
        from endpoints_gitops.errors import EndpointsError

        for write in (self._write_evidence, self._write_report):
            try:
                write(int(session.exitstatus))
            except (OSError, EndpointsError) as error:
                self.trouble.append(f"evidence or report was not written: {error}")
                _fail(session)

    def _write_evidence(self, exit_code: int) -> None:
        if self.head is not None:
            from pytest_endpoints_gitops.evidence import write

            write(self.session, self.head, exit_code)

    def _write_report(self, exit_code: int) -> None:
        if self.session.settings.report.value:
            from pytest_endpoints_gitops.report import write

            write(self.session, self.report, exit_code)

    def show(self, reporter: pytest.TerminalReporter) -> None:
        for failure in self.session.outside:
            reporter.write_line(str(failure), red=True)
        if self.report is not None:
            from pytest_endpoints_gitops.canary_report import show

            show(reporter, self.report)
        if not self.trouble and (self.head is None or not self.head.changed):
            return
        from endpoints_gitops.model.printable import one_line

        if self.head is not None and self.head.changed:
            changed = ", ".join(sorted(self.head.changed)[:3])
            reporter.write_line(
                one_line(f"evidence: the checkout is dirty, {len(self.head.changed)} changed: {changed}")
            )
        for line in self.trouble:
            reporter.write_line(one_line(line), red=True)


def hosts(session: Session) -> set[str]:
    """Of all environments that the configuration names; none where it cannot be read, which the fixtures say."""
    import os
    from urllib.parse import urlsplit

    from endpoints_gitops.errors import EndpointsError
    from endpoints_gitops.workspace.configuration import load_configuration
    from endpoints_gitops.workspace.credentials import DEFAULT_HOST

    try:
        configuration = load_configuration(session.lock_path.parent, os.environ)
    except EndpointsError:
        return set()
    named = [one.host or DEFAULT_HOST for one in (*configuration.environments.values(), configuration.common)]
    named.append(configuration.overrides.get("HOST") or DEFAULT_HOST)
    return {urlsplit(host).hostname or "" for host in named}


def _fail(session: pytest.Session) -> None:
    """A worse ending stays."""
    if session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _start_canary(session: Session) -> None:
    from pytest_endpoints_gitops.canary import Canary

    session.canary = Canary(session.settings.canary.value)


def _is_replaying(session: Session) -> bool:
    log = session.running_log()
    said = None if log is None else mark_of(log.item).mode
    return (said or session.settings.mode.value) in GUARDED_MODES
