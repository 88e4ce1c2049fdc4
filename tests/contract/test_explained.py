"""`explain C101`: each rule by its code and by its name, with its example."""

from __future__ import annotations

import pytest

from endpoints_gitops.cli.commands.explain import explanation
from endpoints_gitops.contract.rules import RULES, Rule


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.code)
def test_a_rule_is_explained_whole(rule: Rule) -> None:
    text = explanation(rule.code.lower())
    assert text == explanation(rule.slug)
    parts = (rule.code, rule.slug, rule.severity.value, rule.summary, rule.why, rule.fix, *rule.example, rule.since)
    assert [part for part in parts if part not in text] == []


def test_no_two_rules_have_one_name() -> None:
    assert len({rule.slug for rule in RULES.values()}) == len(RULES)
