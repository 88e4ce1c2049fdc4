"""Calls of fixtures that live longer than a test: they count for each test that uses the fixture."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import pytest

from pytest_endpoints_gitops.failures import NotSetUp

if TYPE_CHECKING:
    from pytest_endpoints_gitops.call_log import LoggedCall, TestLog


class SharedCalls:
    """The calls that module- and session-scoped fixtures of this process have made, while the fixtures live."""

    def __init__(self) -> None:
        self._setting_up: list[pytest.FixtureDef[Any]] = []
        self._calls: list[tuple[pytest.FixtureDef[Any], LoggedCall]] = []

    def begin(self, fixture: pytest.FixtureDef[Any]) -> None:
        """A fixture is being set up."""
        self._setting_up.append(fixture)

    def end(self) -> None:
        """The fixture that began last is set up."""
        self._setting_up.pop()

    def note(self, call: LoggedCall, log: TestLog) -> None:
        """Note a call: of the fixture that is being set up, else of the test that runs."""
        fixture = self._setting_up[-1] if self._setting_up else None
        if fixture is None or fixture.scope == "function":
            log.calls.append(call)
            return
        call.fixture = fixture.argname
        self._calls.append((fixture, call))
        log.share(call)

    def forget(self, fixture: pytest.FixtureDef[Any]) -> None:
        """A fixture has ended: no later test has its data."""
        if self._calls:
            self._calls = [(owner, call) for owner, call in self._calls if owner is not fixture]

    def share(self, item: pytest.Item, log: TestLog, lock: str) -> None:
        """Count the calls of the fixtures that a test uses for this test too. A test of another lock fails: the data is
        not that of its own pins.
        """
        if self._calls:
            used = _fixtures_of(item)
            for fixture, call in self._calls:
                if any(fixture is other for other in used):
                    if call.lock == lock:
                        log.share(call)
                    elif all(known is not call for known in log.refused):
                        log.refused.append(call)
                        log.note(_of_another_lock(call, log, lock))


def _of_another_lock(call: LoggedCall, log: TestLog, lock: str) -> NotSetUp:
    return NotSetUp(
        f"fixture {call.fixture}",
        "its data is of another lock than the test's",
        ("expected", lock or "no lock"),
        ("received", f"{call.label} of {call.lock or 'no lock'}"),
        ("by", log.nodeid),
        advice="give the tests of each lock a fixture of their own",
        command=log.test.command(),
    )


def _fixtures_of(item: pytest.Item) -> Collection[pytest.FixtureDef[Any]]:
    """The fixtures that a test has asked for so far, by name or with `getfixturevalue`. pytest has no public list."""
    request = getattr(item, "_request", None)
    definitions: dict[str, pytest.FixtureDef[Any]] = getattr(request, "_fixture_defs", {})
    return definitions.values()
