"""The catalog of rules, by code."""

from endpoints_gitops.contract.rules import (  # noqa: F401 - each module declares its rules
    address,
    column_types,
    columns,
    hygiene,
    limits,
    pins,
    policy,
    query,
    request,
    serving,
    shape,
)
from endpoints_gitops.contract.rules.rule import RULES, Hit, Rule, rule_of

__all__ = ["RULES", "Hit", "Rule", "rule_of"]
