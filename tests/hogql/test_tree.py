"""Walks reach everything and survive any depth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from endpoints_gitops.hogql import parser
from endpoints_gitops.hogql.parser import ParseFailure, parse
from endpoints_gitops.hogql.query_changes import changes
from endpoints_gitops.hogql.syntax_tree import fold, nodes, nodes_of, of_kind, offset, selects, selects_of

DEPTH = 20_000


def deep() -> dict[str, Any]:
    tree: dict[str, Any] = {"node": "Constant", "value": 1}
    for _ in range(DEPTH):
        tree = {"node": "Call", "args": [tree]}
    return tree


def test_a_walk_gives_parents_before_children() -> None:
    kinds = [node["node"] for node in nodes(parse("select f(a) from t"))]
    assert kinds[0] == "SelectQuery"
    assert kinds.index("Call") < len(kinds) - 1 - kinds[::-1].index("Field")
    assert sorted(kinds) == ["Call", "Field", "Field", "JoinExpr", "SelectQuery"]


def test_of_kind_and_offset() -> None:
    tree = parse("select a, b, 1")
    assert sorted(map(offset, of_kind(tree, "Field", "Constant"))) == [7, 10, 13]
    assert offset({}) == 0


def test_deep_trees_are_walked_and_folded() -> None:
    assert sum(1 for _ in nodes(deep())) == DEPTH + 1
    assert fold(deep(), lambda node: node["args"][0] + 1 if node["node"] == "Call" else 0) == DEPTH


def test_a_fold_leaves_the_tree_alone() -> None:
    tree = {"node": "A", "args": [{"node": "B"}, [{"node": "C"}]]}
    assert fold(tree, lambda node: {**node, "seen": True})["args"][1][0] == {"node": "C", "seen": True}
    assert tree == {"node": "A", "args": [{"node": "B"}, [{"node": "C"}]]}


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "SELECT 'SelectQuery' AS a",
        "SELECT a FROM (SELECT 1 AS a)",
        "WITH x AS (SELECT 1 AS a) SELECT a FROM x",
        "SELECT 1 UNION ALL SELECT 2",
        "SELECT event FROM events WHERE event IN (SELECT event FROM events)",
        'SELECT (SELECT 1) AS a, \'{"node":"SelectQuery"}\' AS b FROM events',
    ],
)
def test_the_selects_of_a_text_are_those_of_its_tree(sql):
    assert selects_of(sql) == tuple(selects(parse(sql)))
    assert nodes_of(sql) == tuple(nodes(parse(sql)))


@pytest.mark.parametrize("sql", ["with r as (select 1 as a) select a from r", "select a from (select 1 as a) as r"])
def test_comparing_queries_leaves_their_trees_as_they_were(sql):
    before = repr(parse(sql))
    changes(sql, "select 2 as a")
    changes("select 2 as a", sql)
    assert repr(parse(sql)) == before


def test_a_tree_is_what_json_says_of_the_answer():
    lines = Path(__file__).with_name("queries.sql").read_text("utf-8").splitlines()
    texts = [*lines, "SELECT 'é\\u0000😀' AS a", f"SELECT {'(' * 300}1{')' * 300}", f"SELECT {'f(' * 250}1{')' * 250}"]
    compared = 0
    for sql in texts:
        try:
            tree = parse(sql)
        except ParseFailure:
            continue
        assert repr(tree) == repr(json.loads(parser._answered(sql)))
        compared += 1
    assert compared > 100
