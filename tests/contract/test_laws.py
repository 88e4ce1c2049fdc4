"""Laws for all contracts: equal contracts have no findings, formatting is no change, hashes and findings agree, and a
stricter reader gets no fewer findings.
"""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from endpoints_gitops.codecs.definition import read_definition
from endpoints_gitops.contract.build import columns_of_answer, from_definition, from_pin, from_version
from endpoints_gitops.contract.compare import compare
from endpoints_gitops.contract.context import Caller, RuleContext
from endpoints_gitops.contract.contract import Contract, settled
from endpoints_gitops.hogql.parser import parse
from endpoints_gitops.hogql.printer import print_hogql
from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.model.finding import Finding
from endpoints_gitops.model.pin import Pin, PinnedColumn, PinnedVariable, ReadingStyle

COLUMNS = st.lists(
    st.sampled_from(
        [
            "event AS a",
            "count() AS n",
            "uniq(uuid) AS n",
            "avg(length(event)) AS n",
            "nullIf(event, '') AS a",
            "min(timestamp) AS t",
            "toDate(min(timestamp)) AS t",
            "[1, 2] AS l",
            "(1, 2) AS l",
            "lower(event) AS b",
        ]
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda column: column.rpartition(" ")[2],
)
CONDITIONS = st.sampled_from(
    ["event != 'x'", "event = {variables.e}", "event IN {variables.e}", "event >= {variables.e}"]
)
ENDS = st.sampled_from(["", " LIMIT 10", " LIMIT 20"])


@st.composite
def definitions(draw: st.DrawFn) -> Contract:
    sql = f"SELECT {', '.join(draw(COLUMNS))} FROM events WHERE {draw(CONDITIONS)} GROUP BY event{draw(ENDS)}"
    keys: dict[str, Any] = {"name": "orders", "query": sql}
    if "{" in sql:
        keys["variables"] = [
            draw(st.sampled_from([{"name": "e", "type": "String", "default": d} for d in ("x", "y", None)]))
        ]
    keys["materialization"] = {"enabled": draw(st.booleans())}
    keys["data_freshness"] = draw(st.sampled_from(["1hour", "24hour"]))
    return contract_of(keys)


def contract_of(keys: dict[str, Any]) -> Contract:
    return from_definition(read_definition("orders.yaml", json.dumps(keys).encode(), lambda _: b""))


def as_version(contract: Contract, number: int = 1) -> Contract:
    return from_version(endpoint_of(contract, number), types={one.name: one.type for one in contract.inputs})


def endpoint_of(contract: Contract, number: int) -> Endpoint:
    return Endpoint.model_validate(
        {
            "id": "e",
            "name": contract.name,
            "query": contract.query,
            "current_version": number,
            "current_version_id": f"v{number}",
            "data_freshness_seconds": contract.serving.freshness_seconds,
            "is_materialized": contract.is_from_table,
            "columns": [{"name": one.name, "type": one.type} for one in contract.columns or ()],
        }
    )


def pin_of(contract: Contract) -> Pin:
    assert contract.identity is not None
    return Pin(
        environment="prod",
        name=contract.name,
        endpoint_id="e",
        version=1,
        version_id="v1",
        created_at=None,
        query=contract.query,
        variables=tuple(
            PinnedVariable(
                name=one.name, type=one.type, required=one.required, has_default=one.has_default, default=one.default
            )
            for one in contract.variables
        ),
        columns=tuple(
            PinnedColumn(name=one.name, type=one.type, nullable=one.nullable) for one in contract.columns or ()
        ),
        materialized=contract.is_from_table,
        freshness_seconds=contract.serving.freshness_seconds,
    )


@given(definitions())
def test_no_change_finds_nothing(contract: Contract) -> None:
    assert compare(contract, contract) == ()
    assert compare(as_version(contract), as_version(contract)) == ()


@given(definitions())
def test_what_was_pushed_is_what_the_file_says(contract: Contract) -> None:
    """From the file, from the server that took it, and from a lock of that: one contract. What cannot be a table is
    served without one there."""
    live = as_version(contract)
    assert [one.code for one in compare(live, contract)] == (["S109"] if _is_refused(contract) else [])
    assert from_pin(pin_of(live)).hash == live.hash == settled(contract, contract).hash
    assert compare(from_pin(pin_of(live)), live) == ()


def _is_refused(contract: Contract) -> bool:
    return contract.serving.materialized is True and contract.refusal is not None


@given(definitions(), st.randoms(use_true_random=False))
def test_form_is_no_change(contract: Contract, random: Any) -> None:
    printed = print_hogql(parse(contract.sql or ""))
    loose = "".join(character if character != " " else random.choice([" ", "\n", "  "]) for character in printed)
    other = replace(contract, query={**contract.query, "query": loose})
    assert {one.code for one in compare(contract, other)} <= {"M108"}
    assert contract.hash == other.hash


@given(definitions())
def test_the_order_of_keys_is_no_change(contract: Contract) -> None:
    turned = replace(contract, query=dict(reversed(contract.query.items())), inputs=contract.inputs[::-1])
    assert turned.hash == contract.hash
    assert compare(contract, turned) == ()


def _moves_contract(finding: Finding) -> bool:
    """The findings on columns, required variables, limits and serving; not those on meaning, which a hash of what
    callers can rely on leaves out."""
    is_meaning = finding.code[0] == "M" or finding.code in ("C116", "V110")
    return not is_meaning and finding.code not in ("S110", "C118")


@given(definitions(), definitions())
def test_hashes_are_equal_exactly_where_nothing_is_found_there_and_back(one: Contract, other: Contract) -> None:
    """To be materialised is no loss where there are no variables, and to be so no longer is one: hence both ways. What
    is not decided, and tables that cannot be (S109), are left out.
    """
    found = (*compare(one, other), *compare(other, one))
    assume(all(finding.code not in ("C112", "M107", "S109") for finding in found))
    hashes = settled(one, one).hash, settled(other, settled(one, one)).hash
    assert (hashes[0] == hashes[1]) == (not any(map(_moves_contract, found))), [finding.code for finding in found]


STYLES: tuple[ReadingStyle, ...] = ("call", "name", "position")


@given(definitions(), definitions(), st.sampled_from([None, 1]), st.booleans())
def test_who_reads_more_strictly_is_hit_no_less(one: Contract, other: Contract, pin: int | None, strict: bool) -> None:
    by_style = [
        compare(
            one, other, RuleContext(callers=(Caller(name="app", version=pin, reads=style),), is_unknown_error=strict)
        )
        for style in STYLES
    ]
    for looser, stricter in pairwise(by_style):
        assert [finding.fingerprint for finding in looser] == [finding.fingerprint for finding in stricter]
        assert all(a.severity.rank <= b.severity.rank for a, b in zip(looser, stricter, strict=True))


@given(definitions(), definitions())
def test_pins_lower_by_a_step_at_most_and_a_move_never(one: Contract, other: Contract) -> None:
    loose = compare(one, other)
    pinned = compare(one, other, RuleContext(callers=(Caller(name="app", version=1),)))
    moved = compare(one, other, RuleContext(callers=(Caller(name="app", version=1),), is_move=True))
    assert [finding.severity for finding in moved] == [finding.severity for finding in loose]
    for free, held in zip(loose, pinned, strict=True):
        lowered = free.severity.lowered() if free.scope.value == "V" else free.severity
        assert held.severity is lowered


@given(definitions(), definitions())
def test_findings_are_the_same_in_every_run(one: Contract, other: Contract) -> None:
    assert compare(one, other) == compare(one, other)


def test_an_answer_shows_its_columns() -> None:
    types = [
        ("a", "Nullable(Float64)"),
        ("b", "LowCardinality(Nullable(String))"),
        ("other name", "SimpleAggregateFunction(sum, UInt64)"),
        ("d", "Tuple(a UInt8, b String)"),
        ("e", "DateTime64(6, 'UTC')"),
    ]
    found = columns_of_answer(["a", "b", "c", "d", "e", "f"], types)
    assert [(one.name, one.type, one.nullable) for one in found] == [
        ("a", "float", True),
        ("b", "string", True),
        ("c", "integer", False),
        ("d", "json", False),
        ("e", "datetime", False),
        ("f", "unknown", None),
    ]


INSIGHT: dict[str, Any] = {"kind": "TrendsQuery", "series": [{"kind": "EventsNode", "event": "a"}]}
RESULTS = [
    {"series": [*INSIGHT["series"], {"kind": "EventsNode", "event": "b"}]},
    {"breakdownFilter": {"breakdown": "$os", "breakdown_type": "event"}},
    {"compareFilter": {"compare": True}},
    {"interval": "week"},
    {"trendsFilter": {"display": "BoldNumber"}},
    {"trendsFilter": {"formula": "A * 2"}},
]


def test_the_hash_of_an_insight_is_of_its_results() -> None:
    def insight(**keys: Any) -> Contract:
        content = json.dumps({"name": "orders", "query_definition": INSIGHT | keys})
        return from_definition(read_definition("orders.yaml", content.encode(), lambda _: b""))

    hashes = [insight(**keys).hash for keys in ({}, *RESULTS)]
    assert len({*hashes}) == len(hashes)
    assert insight(dateRange={"date_from": "-14d"}).hash == hashes[0]
