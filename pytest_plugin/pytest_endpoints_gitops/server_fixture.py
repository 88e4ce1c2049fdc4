"""The fixtures `endpoints_server` and `endpoints_env`: the server in a run, answered by the test that runs."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from endpoints_gitops.consumer.client_base import PinnedClient, Redirection, redirected
from endpoints_gitops.errors import UsageError
from endpoints_gitops.local.errors import RequestRefused
from endpoints_gitops.model.finding import Finding, Scope, Severity
from endpoints_gitops.model.pin import Pin
from endpoints_gitops.model.suggestions import did_you_mean
from pytest_endpoints_gitops import sockets
from pytest_endpoints_gitops.background import current_owner, owned_by
from pytest_endpoints_gitops.call_log import TestLog, log_of, noting
from pytest_endpoints_gitops.caller import TestCaller
from pytest_endpoints_gitops.failures import EndpointRef, Failure, NotPinned
from pytest_endpoints_gitops.fakes import real_files
from pytest_endpoints_gitops.marks import mark_of
from pytest_endpoints_gitops.server import EndpointsServer, settings
from pytest_endpoints_gitops.stubs import StubbedError

if TYPE_CHECKING:
    from pytest_endpoints_gitops.calls import Page, SourceAnswer
    from pytest_endpoints_gitops.config import EndpointsConfig
    from pytest_endpoints_gitops.stubbing import EndpointStub, Rows
    from pytest_endpoints_gitops.suite import AppUnderTest, Suite

UNPINNED_CALL: Final = "P110"
_OWN_SETTINGS: Final = frozenset({"path", "environment", "host", "project_id", "key", "transport"})
"""The arguments of a client that follow from the run."""


@contextmanager
def started(suite: Suite, config: EndpointsConfig) -> Iterator[EndpointsServer]:
    """A server for the tests of this process. Each is answered by the app of its own lock, and of its own configuration
    where a folder has one.
    """
    _open_tables(suite, config)

    def project_id() -> int:
        app = _app_of_running_test(suite, config)
        with real_files():
            return app.environment.settings.project_id or 1

    server = EndpointsServer(project_id, lambda port: _answering_test(suite, config, senders.get(port)))
    senders = Senders(server)
    suite.server = server
    server.begin_test("" if suite.current is None else suite.current.nodeid)
    sockets.watch(senders)
    try:
        yield server
    finally:
        sockets.unwatch(senders)
        suite.server = None
        server.close()


@contextmanager
def pointed_at(server: EndpointsServer, suite: Suite, config: EndpointsConfig) -> Iterator[dict[str, str]]:
    """Point the app at the server: by its environment variables, which this gives, and in clients made at import."""
    app = _app_of_running_test(suite, config)
    _open_tables(suite, config)
    with real_files():
        variables = _variables(server, suite, app)
    before = {name: os.environ.get(name) for name in variables}
    with redirected(server.url, server.project_id, server.key):
        os.environ.update(variables)
        suite.replaced.append((before, variables))
        try:
            yield variables
        finally:
            suite.replaced.pop()
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


def client_of[Client: PinnedClient[Any]](
    kind: type[Client], server: EndpointsServer, suite: Suite, config: EndpointsConfig
) -> Client:
    """A client of the library for the test that runs, which calls the server. Raises NotSetUp, and UsageError for an
    argument in `EndpointsConfig.client` that the suite cannot set.
    """
    app = _app_of_running_test(suite, config)
    _open_tables(suite, config)
    with real_files():
        path, environment = app.project.lock_path, app.environment.name
        settings = {"contract": suite.settings.contract.value, **config.client}
        _check_client_settings(kind, config.client)
        to = Redirection(host=server.url, project_id=server.project_id, key=server.key)
        return kind.from_lock(path, environment=environment, **settings).redirected_to(to)


def _check_client_settings(kind: type[PinnedClient[Any]], settings: Mapping[str, Any]) -> None:
    known = inspect.signature(kind.from_lock).parameters.keys() - _OWN_SETTINGS
    for name in settings:
        if name not in known:
            fix = f"it takes {', '.join(sorted(known))}"
            why = "the fixture sets it" if name in _OWN_SETTINGS else f"no such argument{did_you_mean(name, known)}"
            raise UsageError(f"EndpointsConfig(client=…): {name!r}: {why}", fix=fix, code="call.option")


def _open_tables(suite: Suite, config: EndpointsConfig) -> None:
    """Open the tables of mode `local` now: that takes seconds, and the app limits how long it waits for an answer."""
    mode = mark_of(suite.current).mode if suite.current is not None else None
    if (mode or suite.settings.mode.value) == "local":
        with real_files(), suppress(Failure):  # raised by the call that asks
            suite.tables(config).open()


def _variables(server: EndpointsServer, suite: Suite, app: AppUnderTest) -> dict[str, str]:
    kind, _, variable = (app.environment.settings.key or "").partition(":")
    lines = (line.partition("=") for line in suite.config.getini("endpoints_env"))
    names = ((name.strip(), value.strip()) for name, _, value in lines)
    variables = settings(server, variable if kind == "env" else None, names)
    direct = ",".join(filter(None, (os.environ.get("NO_PROXY") or os.environ.get("no_proxy"), "127.0.0.1")))
    return variables | {"NO_PROXY": direct, "no_proxy": direct}


@dataclass(frozen=True, slots=True)
class _ServedTest:
    """The test that runs, called through the app's own client."""

    caller: TestCaller

    @property
    def nodeid(self) -> str:
        return self.caller.log.nodeid

    def running(self) -> AbstractContextManager[None]:
        return owned_by(self.caller.log)

    def pin(self, name: str) -> Pin:
        return self.caller.app.environment.pin(name)

    def answer(self, name: str, variables: Mapping[str, Any], page: Page) -> SourceAnswer:
        """The app has the rows whole, so all columns count as read. A stubbed error is the app's to handle, so it fails
        no test: it is raised as RequestRefused.
        """
        prepared = self.caller.prepare(name, variables, page)
        prepared.logged.is_whole = True
        if isinstance(prepared.stubbed, StubbedError):
            error = prepared.stubbed
            raise RequestRefused(error.status, error.body, error.headers)
        return self.caller.answer(prepared)

    def stub(
        self,
        name: str,
        *,
        variables: Mapping[str, Any] | None,
        optional: bool,
        rows: Rows | None,
        status: int | None,
        retry_after: int | None,
    ) -> EndpointStub:
        with noting(self.caller.log), real_files():
            return self.caller.stub(
                name, variables=variables, optional=optional, rows=rows, status=status, retry_after=retry_after
            )

    def failed(self, failure: Failure) -> None:
        """Note the failure: an app may ignore the error that it gets, and then the test fails at its end."""
        log = self.caller.log
        if isinstance(failure, NotPinned) and failure.endpoint is not None:
            endpoint = EndpointRef(failure.endpoint.name)
            log.findings.append(_finding("P101", "pin-missing", Severity.ERROR, endpoint, failure.verdict))
        log.note(failure)

    def unpinned(self, pin: Pin) -> None:
        message = f"{pin.name} was called without a version: the app gets whatever is newest"
        endpoint = EndpointRef(pin.name, pin.version)
        finding = _finding(UNPINNED_CALL, "unpinned-call", Severity.WARN, endpoint, message)
        if finding not in self.caller.log.findings:
            self.caller.log.findings.append(finding)


def unpinned_calls(log: TestLog) -> Iterator[str]:
    """The warnings at the end of a test: calls without a version (P110)."""
    for finding in log.findings:
        if finding["code"] == UNPINNED_CALL:
            endpoint = EndpointRef(finding["endpoint"], finding["version"])
            yield f"P110 {finding['message']}; the lock pins {endpoint}: send ?version={endpoint.version}"


def _finding(code: str, slug: str, severity: Severity, endpoint: EndpointRef, message: str) -> dict[str, Any]:
    """A finding of one of the two rules that only this server can judge, since it sees what the app sends."""
    is_unpinned = endpoint.version is None
    finding = Finding(
        code=code,
        slug=slug,
        severity=severity,
        scope=Scope.NEITHER,
        endpoint=endpoint.name,
        version=endpoint.version,
        locus="pin",
        message=message,
        fix="add it to `uses` and run `lock`" if is_unpinned else f"send ?version={endpoint.version}",
    )
    return dict(finding.as_json())


def _app_of_running_test(suite: Suite, config: EndpointsConfig) -> AppUnderTest:
    if suite.current is None:
        return suite.app(config, suite.run_lock)
    return suite.app_of(suite.current, config)


def _answering_test(suite: Suite, config: EndpointsConfig, sender: TestLog | None) -> _ServedTest | None:
    """The test that sent the request; where that is not known, as for another process, the one that runs."""
    log = sender or (None if suite.current is None else log_of(suite.current))
    if log is None:
        return None
    log.is_used = True  # a test whose app alone calls asks for none of the fixtures that set this
    own = (getattr(log.item, "funcargs", None) or {}).get("endpoints_config", config)
    return _ServedTest(TestCaller(suite.app_of(log.item, own), log, mark_of(log.item)))


class Senders:
    """Which test last used a connection to the server: a client that all tests share keeps its connections."""

    def __init__(self, server: EndpointsServer) -> None:
        self._server = server
        self._logs: dict[int, TestLog] = {}

    def get(self, port: int) -> TestLog | None:
        """By the client's port."""
        return self._logs.get(port)

    def connecting(self, address: object) -> None:
        """Do nothing: connections are told apart by what is sent."""

    def sending(self, sock: Any, data: bytes) -> None:  # noqa: ANN401, ARG002 - as a SocketWatcher's
        owner = current_owner()
        if owner is not None and sockets.port_of_peer(sock) == self._server.port:
            self._logs[sock.getsockname()[1]] = owner
