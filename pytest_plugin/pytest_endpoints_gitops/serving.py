"""`endpoints_server` within a run of pytest: who answers for the test that runs, and what it is told at its end."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from endpoints_gitops.consumer.client_base import redirected
from endpoints_gitops.model.finding import Finding, Scope, Severity
from endpoints_gitops.model.pin import Pin
from pytest_endpoints_gitops import outgoing
from pytest_endpoints_gitops.asking import Asker, Page
from pytest_endpoints_gitops.attribution import current_owner, owned_by
from pytest_endpoints_gitops.facts import TestLog, log_of
from pytest_endpoints_gitops.failures import Failure, NotPinned
from pytest_endpoints_gitops.marks import mark_of
from pytest_endpoints_gitops.real import real_files
from pytest_endpoints_gitops.server import EndpointsServer, settings

if TYPE_CHECKING:
    from endpoints_gitops.workspace.configuration import EnvironmentSettings
    from pytest_endpoints_gitops.app import App
    from pytest_endpoints_gitops.config import EndpointsConfig
    from pytest_endpoints_gitops.session import Session
    from pytest_endpoints_gitops.values import Answer


@contextmanager
def started(session: Session, config: EndpointsConfig) -> Iterator[EndpointsServer]:
    """A server for the tests of this process."""
    app = session.app(config)
    with real_files():
        project_id = _environment(app).project_id or 1
    server = EndpointsServer(project_id, lambda client: _desk(session, app, senders.get(client)))
    senders = Senders(server)
    session.server = server
    server.begin_test("" if session.current is None else session.current.nodeid)
    outgoing.watch(senders)
    try:
        yield server
    finally:
        outgoing.unwatch(senders)
        session.server = None
        server.close()


@contextmanager
def pointed_at(server: EndpointsServer, session: Session, config: EndpointsConfig) -> Iterator[dict[str, str]]:
    """The app calls the server: by its environment variables, which this gives, and by clients made at import."""
    app = session.app(config)
    with real_files():
        variables = _variables(server, session, app)
    before = {name: os.environ.get(name) for name in variables}
    with redirected(server.url, server.project_id, server.key):
        os.environ.update(variables)
        session.replaced.append((before, variables))
        try:
            yield variables
        finally:
            session.replaced.pop()
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


def _variables(server: EndpointsServer, session: Session, app: App) -> dict[str, str]:
    environment = _environment(app)
    kind, _, name = (environment.key or "").partition(":")
    variable = name if kind == "env" else None
    own = (line.partition("=") for line in session.config.getini("endpoints_env"))
    names = ((name.strip(), value.strip()) for name, _, value in own)
    found = settings(server, variable, names)
    direct = ",".join(filter(None, (os.environ.get("NO_PROXY") or os.environ.get("no_proxy"), "127.0.0.1")))
    return found | {"NO_PROXY": direct, "no_proxy": direct}


@dataclass(frozen=True, slots=True)
class _Desk:
    """The test that runs, asking through the app's own client."""

    asker: Asker

    @property
    def test(self) -> str:
        return self.asker.log.nodeid

    def running(self) -> AbstractContextManager[None]:
        return owned_by(self.asker.log)

    def pin(self, name: str) -> Pin:
        return self.asker.app.pin(name)

    def answer(self, name: str, variables: Mapping[str, Any], page: Page) -> Answer:
        """The app has the rows whole, so all columns count as read."""
        call, fact = self.asker.prepared(name, variables, page)
        fact.is_whole = True
        return self.asker.answered(call)

    def failed(self, failure: Failure) -> None:
        """An app may make nothing of the error that it gets, so the test fails at its end."""
        log = self.asker.log
        if isinstance(failure, NotPinned):
            log.findings.append(_finding("P101", "pin-missing", Severity.ERROR, _named(failure), None, failure.verdict))
        log.note(failure)

    def unpinned(self, pin: Pin) -> None:
        message = f"{pin.name} was called without a version: the app gets whatever is newest"
        finding = _finding("P110", "unpinned-call", Severity.WARN, pin.name, pin.version, message)
        if finding not in self.asker.log.findings:
            self.asker.log.findings.append(finding)


def unpinned_calls(log: TestLog) -> Iterator[str]:
    """What is to be warned of at the end of a test (P110)."""
    for finding in log.findings:
        if finding["code"] == "P110":
            pinned = f"{finding['endpoint']}@{finding['version']}"
            yield f"P110 {finding['message']}; the lock pins {pinned}: send ?version={finding['version']}"


def _finding(
    code: str, slug: str, severity: Severity, endpoint: str, version: int | None, message: str
) -> dict[str, Any]:
    """Of the two rules that nobody but this server can judge: it sees what the app sends."""
    found = Finding(
        code=code,
        slug=slug,
        severity=severity,
        scope=Scope.NEITHER,
        endpoint=endpoint,
        version=version,
        locus="pin",
        message=message,
        fix="add it to `uses` and run `lock`" if version is None else f"send ?version={version}",
    )
    return dict(found.as_json())


def _named(failure: Failure) -> str:
    return failure.verdict.partition(":")[0].partition("@")[0]


def _desk(session: Session, app: App, sender: TestLog | None) -> _Desk | None:
    """For the test that sent the request; where that cannot be known, as of another process, for the one that runs."""
    log = sender or (None if session.current is None else log_of(session.current))
    return None if log is None else _Desk(Asker(app, log, mark_of(log.item)))


class Senders:
    """Which test a connection to the server was last used by: a client that all tests share keeps its connections."""

    def __init__(self, server: EndpointsServer) -> None:
        self._server = server
        self._logs: dict[int, TestLog] = {}

    def get(self, client: int) -> TestLog | None:
        """By the client's port."""
        return self._logs.get(client)

    def connecting(self, address: object) -> None:
        """Connections are told apart by what is sent."""

    def sending(self, sock: Any, data: bytes) -> None:  # noqa: ANN401, ARG002 - as a Watcher's
        owner = current_owner()
        if owner is not None and outgoing.port_of_peer(sock) == self._server.port:
            self._logs[sock.getsockname()[1]] = owner


def _environment(app: App) -> EnvironmentSettings:
    return app.configuration.environments.get(app.environment, app.configuration.common)
