"""The text of a finding: short, with the old and new value, and without placeholders."""

from __future__ import annotations

import json
from typing import Any

import pytest

from endpoints_gitops.codecs.definition import read_definition
from endpoints_gitops.contract.build import from_definition
from endpoints_gitops.contract.compare import compare
from endpoints_gitops.model.finding import Finding

TRENDS: dict[str, Any] = {"kind": "TrendsQuery", "series": [{"kind": "EventsNode", "event": "a"}]}


def found(before: dict[str, Any], after: dict[str, Any]) -> tuple[Finding, ...]:
    contracts = [
        from_definition(read_definition("orders.yaml", json.dumps({"name": "orders", **keys}).encode(), lambda _: b""))
        for keys in (before, after)
    ]
    return compare(contracts[0], contracts[1])


def insight(**keys: Any) -> dict[str, Any]:
    return {"query_definition": TRENDS | keys}


SAID = [
    ({"dateRange": {"date_from": "-14d"}}, ['the date range changed: {"date_from":"-14d"}; it was the default']),
    ({"filterTestAccounts": True}, ["the exclusion of test accounts changed: true; it was the default"]),
    (
        {"compareFilter": {"compare": True}},
        [
            "a comparison with another period was added",
            "the keys of the result objects changed: added compare, compare_label",
        ],
    ),
    ({"interval": "week"}, ["the interval of the insight changed from day to week"]),
]


@pytest.mark.parametrize(("keys", "messages"), SAID)
def test_what_changed_in_an_insight(keys: dict[str, Any], messages: list[str]) -> None:
    assert [one.message for one in found(insight(), insight(**keys))] == messages


def test_advice_fits_an_insight() -> None:
    breakdown = {"breakdownFilter": {"breakdown": "$browser", "breakdown_type": "event"}}
    fixes = {one.code: one.fix for one in found(insight(**breakdown), insight())}
    assert fixes["V101"] == "keep the breakdown, or publish a new endpoint"


def test_long_clauses_are_cut_in_messages_and_whole_in_the_finding() -> None:
    events = ", ".join(f"'event {number}'" for number in range(1_000))
    after = f"SELECT count() AS n FROM events WHERE event IN ({events})"
    (finding,) = found({"query": "SELECT count() AS n FROM events"}, {"query": after})
    assert len(finding.message) < 400
    assert "'event 999'" in str(finding.after)


@pytest.mark.parametrize(
    ("after", "words"),
    [
        ("select event as e, count() as n from events group by e -- people", "only the formatting"),
        ("SELECT event AS e, count() AS n FROM events GROUP BY 1", "reworded but equivalent"),
    ],
)
def test_whether_a_push_would_cut_a_version(after: str, words: str) -> None:
    (finding,) = found({"query": "SELECT event AS e, count() AS n FROM events GROUP BY e"}, {"query": after})
    assert (finding.code, words in finding.message) == ("M108", True)
