"""Who is known to call, and whether their pins protect them: from a manifest, a lock, and what a server has."""

from __future__ import annotations

from datetime import date

import pytest

from endpoints_gitops.codecs.definition import read_definition
from endpoints_gitops.contract.context import Caller
from endpoints_gitops.model.consumers import ConsumerRegistry, RegisteredConsumer, RegisteredEnvironment, RegisteredUse
from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.model.pin import Lock, Pin, Use
from endpoints_gitops.operations.callers import Callers, callers_of, findings_of_diffs, registered_callers
from endpoints_gitops.plan.diff import Revision, compare_revisions
from endpoints_gitops.workspace.configuration import EnvironmentSettings

QUERY = {"kind": "HogQLQuery", "query": "SELECT 1 AS one"}
PIN = Pin(environment="prod", name="orders", endpoint_id="a", version=3, version_id=None, created_at=None, query=QUERY)


def endpoint(**more: object) -> dict[str, Endpoint]:
    given = {"id": "a", "name": "orders", "query": QUERY, "current_version": 5} | more
    return {"orders": Endpoint.model_validate(given)}


THERE = {
    "nobody asked": (None, True),
    "it is there": (endpoint(), True),
    "it is gone": ({}, False),
    "it was created again": (endpoint(id="b"), False),
    "it is inactive": (endpoint(is_active=False), False),
    "it has no such version": (endpoint(current_version=2), False),
}


@pytest.mark.parametrize(("there", "protects"), THERE.values(), ids=THERE)
def test_a_pin_protects_while_it_can_be_called(there: dict[str, Endpoint] | None, protects: bool) -> None:
    (caller,) = callers_of("app", {}, Lock(pins=(PIN,)), there).of("prod", "orders")
    assert caller.is_protected is protects


def test_a_use_that_is_not_pinned_is_reached_by_every_version() -> None:
    uses = {"prod": (Use(name="orders", reads="position", columns=("one",)),)}
    known = callers_of("app", uses, Lock())
    (caller,) = known.of("prod", "orders")
    assert (caller.version, caller.is_protected, caller.reads, caller.columns) == (None, False, "position", ("one",))
    assert known.of("staging", "orders") == ()


def registry(use: RegisteredUse, **environment: object) -> ConsumerRegistry:
    known = RegisteredEnvironment(**{"name": "prod", "uses": (use,), **environment})
    app = RegisteredConsumer(name="billing", source="../billing", collected=date(2026, 7, 1), environments=(known,))
    return ConsumerRegistry(consumers=(app,))


PINNED = RegisteredUse(name="orders", version=3, endpoint_id="a", columns=("id",), columns_tested=("total",))


@pytest.mark.parametrize(("there", "protects"), THERE.values(), ids=THERE)
def test_a_registered_pin_protects_while_it_can_be_called(there: dict[str, Endpoint] | None, protects: bool) -> None:
    ours = EnvironmentSettings(name="prod")
    (caller,) = registered_callers(registry(PINNED), [ours], there).of("prod", "orders")
    assert caller.is_protected is protects
    assert (caller.name, caller.version, caller.columns) == ("billing", 3, ("id", "total"))


US, EU = "https://us.posthog.com", "https://eu.posthog.com"
PROJECTS = {
    "the same project": ({"host": US, "project_id": 1}, ("prod", US, 1), True),
    "the same project under another name": ({"name": "live", "host": US, "project_id": 1}, ("prod", US, 1), True),
    "the same host, written otherwise": ({"host": "HTTPS://us.posthog.com:443/", "project_id": 1}, ("p", US, 1), True),
    "another project under the same name": ({"host": US, "project_id": 2}, ("prod", US, 1), False),
    "another host under the same name": ({"host": EU, "project_id": 1}, ("prod", US, 1), False),
    "no project, the same name": ({"host": US}, ("prod", US, 1), True),
    "no project, another name": ({"host": US, "name": "live"}, ("prod", US, 1), False),
    "no host, the same name": ({"project_id": 2}, ("prod", US, 1), True),
    "nothing on this side, the same name": ({"host": US, "project_id": 2}, ("prod", None, None), True),
    "nothing on this side, another name": ({"name": "live"}, ("prod", None, None), False),
}


@pytest.mark.parametrize(("theirs", "ours", "counts"), PROJECTS.values(), ids=PROJECTS)
def test_a_consumer_counts_for_its_project(theirs: dict[str, object], ours: tuple, counts: bool) -> None:
    name, host, project = ours
    settings = EnvironmentSettings(name=name, host=host, project_id=project)
    known = registered_callers(registry(PINNED, **theirs), [settings])
    assert bool(known.of(name, "orders")) is counts
    assert known.of("live" if name != "live" else "prod", "orders") == ()


def test_callers_of_both_kinds_are_merged() -> None:
    app = callers_of("app", {}, Lock(pins=(PIN,)))
    other = registered_callers(registry(RegisteredUse(name="orders")), [EnvironmentSettings(name="prod")])
    merged = app.merged(other)
    assert [caller.name for caller in merged.of("prod", "orders")] == ["app", "billing"]
    assert [caller.is_protected for caller in merged.of("prod", "orders")] == [True, False]


def test_what_tests_of_the_same_app_read_is_added_to_what_it_declares() -> None:
    app = Callers(known={("prod", "orders"): (Caller(name="app", version=4, columns=("id", "day")),)})
    whole = Callers(known={("prod", "orders"): (Caller(name="app", version=4),)})
    tested = registered_callers(registry(PINNED), [EnvironmentSettings(name="prod")])
    (caller,) = app.reading(tested).of("prod", "orders")
    assert (caller.name, caller.version, caller.columns) == ("app", 4, ("id", "day", "total"))
    assert whole.reading(tested) == whole
    assert app.reading(Callers()) == app
    assert Callers().reading(tested) == Callers()


def test_a_change_reaches_the_callers_of_its_environment() -> None:
    loaded = read_definition("orders.yaml", b"name: orders\nquery: SELECT 1 AS one\n", lambda _: b"")
    removed = compare_revisions("orders", None, Revision.local(loaded, "prod"), environment="prod")
    callers = Callers(
        known={(environment, "orders"): (Caller(name=environment, version=None),) for environment in ("prod", "stage")}
    )
    assert {finding.code: finding.callers for finding in findings_of_diffs([removed], callers)}["A101"] == ("prod",)


@pytest.mark.parametrize(
    ("use", "text"),
    [
        (PINNED, "billing: version 3, reads id, total, last seen 2026-07-01"),
        (RegisteredUse(name="orders"), "billing: unpinned, last seen 2026-07-01"),
        (RegisteredUse(name="orders", reads="position"), "billing: unpinned, reads by position, last seen 2026-07-01"),
        (RegisteredUse(name="orders", reads="call"), "billing: unpinned, reads no rows, last seen 2026-07-01"),
    ],
)
def test_a_caller_is_described(use: RegisteredUse, text: str) -> None:
    (caller,) = registered_callers(registry(use), [EnvironmentSettings(name="prod")]).of("prod", "orders")
    assert caller.described(date(2026, 7, 2)) == text
    assert caller.described(date(2026, 10, 3)) == text.replace("2026-07-01", "94 days ago")
