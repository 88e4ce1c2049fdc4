"""Walks reach everything and survive any depth."""

from __future__ import annotations

from typing import Any

from endpoints_gitops.hogql.parser import parse
from endpoints_gitops.hogql.syntax_tree import fold, nodes, of_kind, offset

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
