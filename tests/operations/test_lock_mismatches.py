"""P108 is judged without loading the catalogue, and is the catalogue's rule all the same."""

from __future__ import annotations

from endpoints_gitops.contract.rules import RULES
from endpoints_gitops.model.pin import Lock, Use
from endpoints_gitops.operations.lock.mismatches import lock_mismatches


def test_the_rule_of_the_catalogue():
    (found,) = lock_mismatches("prod", (Use(name="revenue"),), Lock(), lambda _: "endpoints.toml:3")
    rule = RULES[found.code]
    assert (found.slug, found.severity, found.scope) == (rule.slug, rule.severity, rule.scope)
    assert (found.where, found.locus) == ("endpoints.toml:3", "uses.prod")
