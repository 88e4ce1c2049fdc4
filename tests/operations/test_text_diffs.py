"""Differences to show: nothing is lost, what changed is marked, and formatting is no difference."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoints_gitops.contract.contract import Contract, ContractColumn, Input, Serving
from endpoints_gitops.model.printable import one_line
from endpoints_gitops.model.report import TextDiff
from endpoints_gitops.operations.text_diffs import contract_diff, query_diff, settings_diff, text_diff
from endpoints_gitops.plan.settings import Key

LINES = st.lists(st.sampled_from(["a", "b", "a b", "", "x, y", "x, z", "  w"]), max_size=12)


def lines_of(diff: TextDiff | None) -> list[str]:
    return [f"{line.sign}{line.text}" for line in diff.lines] if diff else []


def marked(diff: TextDiff | None, sign: str) -> list[str]:
    """The changed words of the lines with this sign."""
    assert diff is not None
    return [part.text for line in diff.lines if line.sign == sign for part in line.parts if part.is_changed]


@given(LINES, LINES)
def test_both_texts_can_be_read_from_a_diff(before: list[str], after: list[str]) -> None:
    diff = text_diff("t", "\n".join(before), "\n".join(after))
    old, new = "\n".join(before).splitlines(), "\n".join(after).splitlines()
    if old == new:
        assert diff is None
        return
    assert diff is not None
    removed = [line.text for line in diff.lines if line.sign == "-"]
    added = [line.text for line in diff.lines if line.sign == "+"]
    assert len(new) - len(old) == len(added) - len(removed)
    assert not Counter(removed) - Counter(old)
    assert not Counter(added) - Counter(new)
    assert Counter(old) - Counter(removed) == Counter(new) - Counter(added)


def test_changed_words_are_marked_in_the_formatted_query() -> None:
    before = {"kind": "HogQLQuery", "query": "select event, count() as n from events"}
    after = {"kind": "HogQLQuery", "query": "SELECT   event, uniq(person_id) AS n\nFROM events"}
    diff = query_diff(before, after)
    assert lines_of(diff) == [" SELECT", "   event,", "-  count() AS n", "+  uniq(person_id) AS n", " FROM events"]
    assert (marked(diff, "-"), marked(diff, "+")) == (["count"], ["uniq", "person_id"])
    assert diff is not None
    assert diff.language == "sql"


def test_formatting_is_no_difference() -> None:
    before = {"kind": "HogQLQuery", "query": "select event, count() as n from events"}
    assert query_diff(before, {"kind": "HogQLQuery", "query": "SELECT event,\n count() AS n FROM events"}) is None


def test_a_changed_default_is_a_difference_of_the_query() -> None:
    node = {"kind": "HogQLQuery", "query": "select {variables.n} as n"}
    diff = query_diff({**node, "variables": {"n": {"value": 1}}}, {**node, "variables": {"n": {"value": 2}}})
    assert lines_of(diff)[-2:] == ["--- n = 1", "+-- n = 2"]


def test_an_insight_is_shown_as_json() -> None:
    diff = query_diff({"kind": "TrendsQuery", "interval": "day"}, {"kind": "TrendsQuery", "interval": "week"})
    assert lines_of(diff) == [" {", '-  "interval": "day",', '+  "interval": "week",', '   "kind": "TrendsQuery"', " }"]
    assert diff is not None
    assert diff.language == ""


def test_a_new_endpoint_has_added_lines_only() -> None:
    diff = query_diff(None, {"kind": "HogQLQuery", "query": "select 1 as one"})
    assert lines_of(diff) == ["+SELECT", "+  1 AS one"]


def test_the_contract_names_what_becomes_required_and_how_it_is_served() -> None:
    query = {"kind": "HogQLQuery", "query": "select event as e from events where event = {variables.e}"}
    columns = (ContractColumn(name="e", type="string", nullable=True),)
    inputs = (Input(name="e", type="String", has_default=True, default="x"),)
    before = Contract(
        name="one", query={**query, "variables": {"e": {"code_name": "e"}}}, inputs=inputs, columns=columns
    )
    after = Contract(
        name="one", query=before.query, inputs=inputs, columns=columns,
        serving=Serving(materialized=True, freshness_seconds=3600),
    )  # fmt: skip
    assert lines_of(contract_diff(before, after)) == [
        '-variable e: String, default "x"',
        "+variable e: String, required",
        " column e: string, nullable",
        "-served from a cache",
        "+served from a table, at most 1 hour old",
    ]
    assert contract_diff(before, before) is None


def test_settings_are_shown_without_the_query() -> None:
    before = {Key.QUERY: {"kind": "HogQLQuery"}, Key.FRESHNESS: 86400, Key.TAGS: ["a"]}
    after = {Key.QUERY: {"kind": "TrendsQuery"}, Key.FRESHNESS: 3600, Key.DESCRIPTION: "new"}
    diff = settings_diff(before, after, Key)
    assert lines_of(diff) == [
        "-tags: [\"a\"]", "-data_freshness: 24hour", '+description: "new"', "+data_freshness: 1hour",
    ]  # fmt: skip
    assert settings_diff(before, after, [Key.QUERY]) is None


@pytest.mark.parametrize("line_break", ["\n", "\r", "\x85", "\u2028", "\u2029", "\x0b"])
def test_values_cannot_add_lines_to_a_diff(line_break: str) -> None:
    """A description or the alias of a column that goes on in another line would look like another change."""
    settings = settings_diff({}, {Key.DESCRIPTION: f"x{line_break}tags: []"}, Key)
    query = {"kind": "HogQLQuery", "query": "select 1 as x"}
    columns = (ContractColumn(name=f"x: string{line_break}column y", type="integer"),)
    contract = contract_diff(
        Contract(name="one", query=query), Contract(name="one", query=query, inputs=(), columns=columns)
    )
    assert len(lines_of(settings)) == 1
    assert [line for line in lines_of(contract) if line.startswith("+")] == [
        f"+column x: string{one_line(line_break)}column y: integer"
    ]
