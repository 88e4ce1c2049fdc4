"""The pytest plugin of endpoints-gitops: an app's own suite catches the query change that would break it.

pytest imports this module at every start, used or not, so it imports nothing that costs: the library is loaded by the
first fixture that needs it, and what watches tests is registered where there is a lock or an option was given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_endpoints_gitops.names import DESCRIPTION, FIXTURES, LOCK, MARKER

if TYPE_CHECKING:
    from endpoints_gitops import AsyncEndpoints, Endpoints
    from endpoints_gitops.model.pin import Lock
    from pytest_endpoints_gitops.caller import TestCaller
    from pytest_endpoints_gitops.cases import EndpointCase
    from pytest_endpoints_gitops.config import EndpointsConfig
    from pytest_endpoints_gitops.endpoint_caller import AsyncEndpointCaller, EndpointCaller
    from pytest_endpoints_gitops.server import EndpointsServer
    from pytest_endpoints_gitops.strategies import endpoint_rows, endpoint_variables
    from pytest_endpoints_gitops.suite import Suite

__all__ = ["EndpointsConfig", "endpoint_rows", "endpoint_variables"]

_RENAMED = {
    "BudgetSpent": "RateLimited",
    "ContractBroken": "ContractViolated",
    "EndpointInactive": "InactiveEndpoint",
    "EndpointRecreated": "RecreatedEndpoint",
    "MissingVariable": "VariableMissing",
    "UndeclaredVariable": "VariableUndeclared",
    "VersionInactive": "InactiveVersion",
    "WrongVariableType": "VariableMistyped",
}
"""Failures by the names that they had in the first release."""


def pytest_addoption(parser: pytest.Parser) -> None:
    from pytest_endpoints_gitops.options import add_options

    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", DESCRIPTION)
    if config.getoption("help") or config.getoption("version"):
        return
    from pytest_endpoints_gitops.suite import start

    suite = start(config)
    if suite.settings.concerns_this_run:
        _watch(suite)


@pytest.hookimpl(tryfirst=True)
def pytest_collect_directory(path: Path, parent: pytest.Collector) -> None:
    """A lock below the rootdir is met when its folder is collected, before its tests are."""
    if (path / LOCK).exists():
        from pytest_endpoints_gitops.suite import suite_of

        suite = suite_of(parent.config)
        suite.lock_of(path / LOCK)
        _watch(suite)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:  # noqa: ANN401 - xdist's
    """xdist starts a worker. The controller collects nothing itself, so it cannot meet a lock: it watches what workers
    report.
    """
    from pytest_endpoints_gitops.suite import suite_of

    suite = suite_of(node.config)
    _watch_collection(suite)
    node.workerinput["endpoints"] = suite.for_worker()


def pytest_unconfigure(config: pytest.Config) -> None:
    from pytest_endpoints_gitops.suite import SUITE

    suite = config.stash.get(SUITE, None)
    if suite is not None:
        suite.closing.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.definition.get_closest_marker(MARKER) is not None:
        from pytest_endpoints_gitops.marks import check_marks

        check_marks(metafunc.definition.iter_markers(MARKER), metafunc.definition.nodeid)
    if "endpoint_case" in metafunc.fixturenames:
        from pytest_endpoints_gitops.cases import parametrize

        parametrize(metafunc)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever uses a fixture has the marker, so that `-m endpoints` finds it, and is watched, also without a lock."""
    users = [item for item in items if not FIXTURES.isdisjoint(getattr(item, "fixturenames", ()))]
    for item in users:
        item.add_marker(MARKER)
    if users:
        from pytest_endpoints_gitops.suite import suite_of

        suite = suite_of(users[0].config)
        suite.locks_of_users.update(suite.lock_of(item.path) for item in users)
        _watch(suite)


@pytest.fixture(scope="session")
def endpoints_config() -> EndpointsConfig:
    """What holds for all calls: override it, `return EndpointsConfig(redact={"email": "someone@example.com"})`."""
    from pytest_endpoints_gitops.config import DEFAULT

    return DEFAULT


@pytest.fixture(scope="session")
def endpoints_lock(pytestconfig: pytest.Config) -> Lock:
    """The parsed lock, read only. Refused where the tests of this run have several: use `endpoints.pins`."""
    from pytest_endpoints_gitops.suite import suite_of

    return suite_of(pytestconfig).only_lock()


@pytest.fixture
def endpoints(request: pytest.FixtureRequest, endpoints_config: EndpointsConfig) -> EndpointCaller:
    """Calls what the lock pins: `endpoints("revenue_by_plan", month="2026-07")` gives rows."""
    from pytest_endpoints_gitops.endpoint_caller import EndpointCaller

    return EndpointCaller(_caller(request, endpoints_config))


@pytest.fixture(scope="session")
def endpoints_session(pytestconfig: pytest.Config, endpoints_config: EndpointsConfig) -> EndpointCaller:
    """As `endpoints`, for data of module- and session-scoped fixtures; each test that uses such a fixture counts."""
    from pytest_endpoints_gitops.caller import SessionCaller
    from pytest_endpoints_gitops.endpoint_caller import EndpointCaller
    from pytest_endpoints_gitops.suite import suite_of

    return EndpointCaller(SessionCaller(suite_of(pytestconfig), endpoints_config))


@pytest.fixture
def async_endpoints(request: pytest.FixtureRequest, endpoints_config: EndpointsConfig) -> AsyncEndpointCaller:
    """The same, awaited, under asyncio, anyio or trio."""
    from pytest_endpoints_gitops.endpoint_caller import AsyncEndpointCaller

    return AsyncEndpointCaller(_caller(request, endpoints_config))


@pytest.fixture
def endpoint_case(request: pytest.FixtureRequest, endpoints_config: EndpointsConfig) -> EndpointCase:
    """One pinned endpoint with one of its examples: `endpoint_case.check()` checks it against its contract."""
    from pytest_endpoints_gitops.cases import case_of

    return case_of(_caller(request, endpoints_config), request.param)


@pytest.fixture(scope="session")
def endpoints_server(pytestconfig: pytest.Config, endpoints_config: EndpointsConfig) -> Iterator[EndpointsServer]:
    """PostHog's run route on loopback, answered by the mode: `.url`, `.key`, `.requests`, `.fail(NAME, status=429)`."""
    from pytest_endpoints_gitops.server_fixture import started
    from pytest_endpoints_gitops.suite import suite_of

    with started(suite_of(pytestconfig), endpoints_config) as server:
        yield server


@pytest.fixture
def endpoints_env(
    pytestconfig: pytest.Config, endpoints_server: EndpointsServer, endpoints_config: EndpointsConfig
) -> Iterator[Mapping[str, str]]:
    """Points the app's own settings at `endpoints_server`; gives the environment variables that it set."""
    from pytest_endpoints_gitops.server_fixture import pointed_at
    from pytest_endpoints_gitops.suite import suite_of

    with pointed_at(endpoints_server, suite_of(pytestconfig), endpoints_config) as variables:
        yield variables


@pytest.fixture
def endpoints_client(
    pytestconfig: pytest.Config, endpoints_server: EndpointsServer, endpoints_config: EndpointsConfig
) -> Iterator[Endpoints]:
    """The library's own `Endpoints`, for an app that takes its client as an argument; answered as `endpoints` is."""
    from endpoints_gitops import Endpoints
    from pytest_endpoints_gitops.server_fixture import client_of
    from pytest_endpoints_gitops.suite import suite_of

    with client_of(Endpoints, endpoints_server, suite_of(pytestconfig), endpoints_config) as client:
        yield client


@pytest.fixture
def async_endpoints_client(
    pytestconfig: pytest.Config, endpoints_server: EndpointsServer, endpoints_config: EndpointsConfig
) -> AsyncEndpoints:
    """The library's own `AsyncEndpoints`, under asyncio, anyio or trio; each event loop closes its connections."""
    from endpoints_gitops import AsyncEndpoints
    from pytest_endpoints_gitops.server_fixture import client_of
    from pytest_endpoints_gitops.suite import suite_of

    return client_of(AsyncEndpoints, endpoints_server, suite_of(pytestconfig), endpoints_config)


def _watch_collection(suite: Suite) -> None:
    """Watch from now on what is collected and which tests run; once."""
    manager = suite.config.pluginmanager
    if not manager.has_plugin("endpoints_collection"):
        from pytest_endpoints_gitops.collection import CollectionHooks

        hooks = CollectionHooks(suite.config, suite.completeness, suite.lock_of, partial(_watch_late, suite))
        manager.register(hooks, "endpoints_collection")


def _watch(suite: Suite) -> None:
    """Watch from now on everything that tests do; once."""
    _watch_collection(suite)
    if not suite.config.pluginmanager.has_plugin("endpoints_hooks"):
        from pytest_endpoints_gitops.hooks import watch

        watch(suite)


def _watch_late(suite: Suite, report: pytest.TestReport) -> None:
    """The report of a test with a log arrives from a worker. If nothing watched so far, watch, and take it too."""
    manager = suite.config.pluginmanager
    if not manager.has_plugin("endpoints_hooks"):
        _watch(suite)
        hooks: Any = manager.get_plugin("endpoints_test_hooks")
        hooks.pytest_runtest_logreport(report)


def _caller(request: pytest.FixtureRequest, config: EndpointsConfig) -> TestCaller:
    from pytest_endpoints_gitops.call_log import log_of
    from pytest_endpoints_gitops.caller import TestCaller
    from pytest_endpoints_gitops.marks import mark_of
    from pytest_endpoints_gitops.suite import suite_of

    app = suite_of(request.config).app_of(request.node, config)
    return TestCaller(app, log_of(request.node), mark_of(request.node))


def _strategy(name: str) -> Any:  # noqa: ANN401 - a function
    try:
        from pytest_endpoints_gitops import strategies
    except ModuleNotFoundError as error:
        if error.name != "hypothesis":
            raise
        from endpoints_gitops.errors import MissingExtra
        from endpoints_gitops.extras import install_advice

        fix = install_advice("hypothesis", "pytest-endpoints-gitops")
        raise MissingExtra(name, extra="hypothesis", packages=("hypothesis",), fix=fix) from None
    return getattr(strategies, name)


def __getattr__(name: str) -> Any:  # noqa: ANN401 - what a suite imports, loaded when it is used
    if name == "EndpointsConfig":
        from pytest_endpoints_gitops.config import EndpointsConfig

        return EndpointsConfig
    if name in ("endpoint_rows", "endpoint_variables"):
        return _strategy(name)
    if name[:1].isupper():
        from pytest_endpoints_gitops import failures

        if name in _RENAMED:
            import warnings

            warnings.warn(f"{name} is called {_RENAMED[name]} now", DeprecationWarning, stacklevel=2)
        kind = getattr(failures, _RENAMED.get(name, name), None)
        if kind is not None:
            return kind
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
