"""Who is known to call, and whether their pins protect them: from a manifest, a lock, and what a server has."""

from __future__ import annotations

import pytest

from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.model.pin import Lock, Pin, Use
from endpoints_gitops.operations.callers import callers_of

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
