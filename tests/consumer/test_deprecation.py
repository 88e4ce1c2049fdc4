"""An app is warned of a deprecated pin once in its process, at the line of its call, and pays nothing for others."""

from __future__ import annotations

import warnings
from dataclasses import replace
from datetime import date

import pytest

from endpoints_gitops import AsyncEndpoints, Endpoints
from endpoints_gitops.consumer import pinned
from endpoints_gitops.consumer.client_base import redirected
from endpoints_gitops.model.sunset import SunsetNotice

NOTICE = SunsetNotice(
    since=date(2026, 1, 1), sunset=date(2026, 6, 30), replaced_by="mrr", reason="two\x1b[31m\n currencies\n"
)
TEXT = "the endpoint old@1 is deprecated: sunset 2026-06-30; use mrr instead (two"


@pytest.fixture(autouse=True)
def another_process(monkeypatch):
    """Each test begins as a process that has warned of nothing."""
    monkeypatch.setattr(pinned, "_DEPRECATED", set())


@pytest.fixture
def deprecated(create):
    return replace(create("old"), deprecation=NOTICE)


def run_here(called) -> None:
    """A call whose line is in this file, as in an app."""

    async def run() -> None:
        await called.endpoints.run("old")

    if isinstance(called.endpoints, AsyncEndpoints):
        called._runner.run(run())
    else:
        called.endpoints.run("old")


def test_the_first_call_warns_at_the_line_of_the_app(app, deprecated):
    called = app(deprecated)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        run_here(called)
        run_here(called)
        called.iterate("old")
        run_here(app(deprecated))
    (warning,) = [warning for warning in told if warning.category is DeprecationWarning]
    assert str(warning.message).startswith(TEXT)
    assert str(warning.message).endswith(" currencies)")
    assert str(warning.message).isprintable()
    assert warning.filename == __file__


def test_paging_warns_too(app, deprecated):
    called = app(deprecated)
    with pytest.warns(DeprecationWarning, match="old@1"):
        called.iterate("old")


def test_each_pin_is_warned_of(app, create, deprecated):
    other = replace(create("older"), deprecation=replace(NOTICE, replaced_by=None, reason=None))
    called = app(deprecated, other)
    with pytest.warns(DeprecationWarning, match=TEXT[:30]):
        called.run("old")
    with pytest.warns(DeprecationWarning, match=r"the endpoint older@1 is deprecated: sunset 2026-06-30$"):
        called.run("older")


def test_other_pins_are_not_warned_of(app, create):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        app(create("new")).run("new")


def test_warnings_that_are_errors_stop_the_call_before_it_is_sent_once(app, deprecated, server):
    called = app(deprecated)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DeprecationWarning):
            called.run("old")
        assert server.requests.entries() == ()
        called.run("old")


def test_calls_that_the_pytest_plugin_redirects_do_not_warn(deprecated, server, lock):
    with warnings.catch_warnings(), redirected(server.url, server.project_id, server.key):
        warnings.simplefilter("error")
        with Endpoints.from_lock(lock(deprecated), project_id=server.project_id) as endpoints:
            assert len(endpoints.run("old")) == 1
