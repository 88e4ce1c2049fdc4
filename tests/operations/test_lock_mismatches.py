"""P108 is judged without loading the catalog, and is the catalog's rule all the same."""

from __future__ import annotations

from dataclasses import replace

import pytest

from endpoints_gitops.contract.rules import RULES
from endpoints_gitops.model.pin import Lock, Pin, PinnedExample, Use
from endpoints_gitops.operations.lock.mismatches import lock_mismatches, unused_pins

PIN = Pin(environment="prod", name="revenue", endpoint_id="A", version=3, version_id="A3", created_at=None, query={})


def test_the_rule_of_the_catalog():
    (found,) = lock_mismatches("prod", (Use(name="revenue"),), Lock(), lambda _: "endpoints.toml:3")
    rule = RULES[found.code]
    assert (found.slug, found.severity, found.scope) == (rule.slug, rule.severity, rule.scope)
    assert (found.where, found.locus) == ("endpoints.toml:3", "uses.prod")


def test_examples_are_compared_where_the_manifest_has_them():
    uses = (Use(name="revenue", examples=(PinnedExample(variables={"plan": "pro"}),)),)
    assert lock_mismatches("prod", uses, Lock(pins=(PIN,)), lambda _: None) == ()
    (found,) = lock_mismatches("prod", uses, Lock(pins=(PIN,)), lambda _: "endpoints.toml:3", compares_examples=True)
    assert (found.where, found.locus, found.fix) == (
        "endpoints.toml:3",
        "uses.prod.examples",
        "endpoints-gitops lock",
    )
    assert found.message == ("the examples of revenue in the manifest are not those in the lock (environment prod)")


def test_pins_of_an_environment_in_which_nothing_is_used():
    staging = replace(PIN, environment="staging")
    (found,) = unused_pins("prod", Lock(pins=(PIN, staging)))
    assert (found.endpoint, found.locus, found.where, found.before) == ("revenue", "uses.prod", None, 3)
    assert found.message == "revenue@3 is pinned in environment prod and no longer used"


MISMATCHES = {
    "not pinned": (
        (Use(name="signups"), Use(name="revenue")),
        ("signups", None, None, "signups is used in environment prod and not pinned", "endpoints-gitops lock"),
    ),
    "not pinned in the stated version": (
        (Use(name="signups", version=4), Use(name="revenue", version=3)),
        ("signups", None, 4, "signups is used in environment prod and not pinned", "endpoints-gitops lock"),
    ),
    "another version": (
        (Use(name="revenue", version=4),),
        (
            "revenue",
            3,
            4,
            "revenue is pinned to version 3 in environment prod, and the manifest says 4",
            "endpoints-gitops upgrade revenue@4 --env prod",
        ),
    ),
    "not used": (
        (),
        ("revenue", 3, None, "revenue@3 is pinned in environment prod and no longer used", "endpoints-gitops lock"),
    ),
}


@pytest.mark.parametrize(("uses", "expected"), MISMATCHES.values(), ids=MISMATCHES)
def test_each_mismatch(uses, expected):
    (found,) = lock_mismatches("prod", uses, Lock(pins=(PIN,)), lambda name: f"endpoints.toml:{name}")
    assert (found.endpoint, found.before, found.after, found.message, found.fix) == expected
    assert (found.where, found.locus) == (f"endpoints.toml:{found.endpoint}", "uses.prod")
