"""The pytest plugin of endpoints-gitops: an app's own suite catches the query change that would break it.

pytest imports this module at every start, used or not, so it imports nothing that costs: the library is loaded by the
first fixture that needs it, and what watches tests is registered where there is a lock or an option was given.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from pytest_endpoints_gitops.names import DESCRIPTION, FIXTURES, MARKER

if TYPE_CHECKING:
    from endpoints_gitops.model.pin import Lock
    from pytest_endpoints_gitops.asking import Asker
    from pytest_endpoints_gitops.caller import AsyncEndpoints, Endpoints
    from pytest_endpoints_gitops.cases import EndpointCase
    from pytest_endpoints_gitops.config import EndpointsConfig
    from pytest_endpoints_gitops.server import EndpointsServer

__all__ = ["EndpointsConfig"]


def pytest_addoption(parser: pytest.Parser) -> None:
    from pytest_endpoints_gitops.options import add_options

    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", DESCRIPTION)
    if config.getoption("help") or config.getoption("version"):
        return
    from pytest_endpoints_gitops.session import session_of, start

    start(config)
    session = session_of(config)
    if session.settings.concerns_this_run:
        from pytest_endpoints_gitops.collection import Collection
        from pytest_endpoints_gitops.hooks import watch

        config.pluginmanager.register(Collection(session), "endpoints_collection")
        watch(session)


def pytest_unconfigure(config: pytest.Config) -> None:
    from pytest_endpoints_gitops.session import SESSION

    session = config.stash.get(SESSION, None)
    if session is not None:
        session.closing.close()


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
    if users and not users[0].config.pluginmanager.has_plugin("endpoints_hooks"):
        from pytest_endpoints_gitops.hooks import watch
        from pytest_endpoints_gitops.session import session_of

        watch(session_of(users[0].config))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    if pyfuncitem.get_closest_marker(MARKER) is None:
        return (yield)
    from pytest_endpoints_gitops.groups import only_failure, open_inside

    open_inside(pyfuncitem)
    try:
        return (yield)
    except BaseExceptionGroup as group:
        raise only_failure(group) from None


@pytest.fixture(scope="session")
def endpoints_config() -> EndpointsConfig:
    """What holds for all calls: override it, `return EndpointsConfig(redact={"email": "someone@example.com"})`."""
    from pytest_endpoints_gitops.config import DEFAULT

    return DEFAULT


@pytest.fixture(scope="session")
def endpoints_lock(pytestconfig: pytest.Config) -> Lock:
    """The parsed lock, read only."""
    from pytest_endpoints_gitops.session import session_of

    return session_of(pytestconfig).lock


@pytest.fixture
def endpoints(request: pytest.FixtureRequest, endpoints_config: EndpointsConfig) -> Endpoints:
    """Calls what the lock pins: `endpoints("revenue_by_plan", month="2026-07")` gives rows."""
    from pytest_endpoints_gitops.caller import Endpoints

    return Endpoints(_asker(request, endpoints_config))


@pytest.fixture
def async_endpoints(request: pytest.FixtureRequest, endpoints_config: EndpointsConfig) -> AsyncEndpoints:
    """The same, awaited, under asyncio, anyio or trio."""
    from pytest_endpoints_gitops.caller import AsyncEndpoints

    return AsyncEndpoints(_asker(request, endpoints_config))


@pytest.fixture
def endpoint_case(request: pytest.FixtureRequest, endpoints_config: EndpointsConfig) -> EndpointCase:
    """One pinned endpoint with one of its examples: `endpoint_case.check()` holds it to its contract."""
    from pytest_endpoints_gitops.cases import case_of

    return case_of(_asker(request, endpoints_config), request.param)


@pytest.fixture(scope="session")
def endpoints_server(pytestconfig: pytest.Config, endpoints_config: EndpointsConfig) -> Iterator[EndpointsServer]:
    """PostHog's run route on loopback, answered by the mode: `.url`, `.key`, `.requests`, `.fail(NAME, status=429)`."""
    from pytest_endpoints_gitops.serving import started
    from pytest_endpoints_gitops.session import session_of

    with started(session_of(pytestconfig), endpoints_config) as server:
        yield server


@pytest.fixture
def endpoints_env(
    pytestconfig: pytest.Config, endpoints_server: EndpointsServer, endpoints_config: EndpointsConfig
) -> Iterator[Mapping[str, str]]:
    """Points the app's own settings at `endpoints_server`; gives the environment variables that it set."""
    from pytest_endpoints_gitops.serving import pointed_at
    from pytest_endpoints_gitops.session import session_of

    with pointed_at(endpoints_server, session_of(pytestconfig), endpoints_config) as variables:
        yield variables


def _asker(request: pytest.FixtureRequest, config: EndpointsConfig) -> Asker:
    from pytest_endpoints_gitops.asking import Asker
    from pytest_endpoints_gitops.facts import log_of
    from pytest_endpoints_gitops.marks import mark_of
    from pytest_endpoints_gitops.session import session_of

    app = session_of(request.config).app(config)
    return Asker(app, log_of(request.node), mark_of(request.node))


def __getattr__(name: str) -> Any:  # noqa: ANN401 - EndpointsConfig and the failures, imported when somebody names them
    if name == "EndpointsConfig":
        from pytest_endpoints_gitops.config import EndpointsConfig

        return EndpointsConfig
    if name[:1].isupper():
        from pytest_endpoints_gitops import failures

        if hasattr(failures, name):
            return getattr(failures, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
