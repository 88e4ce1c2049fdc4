"""Walking syntax trees, however deep: nothing here recurses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from endpoints_gitops.hogql.parser import Tree

QUERIES: Final = ("SelectQuery", "SelectSetQuery")
_POSITIONS: Final = ("start", "end")
_HOLDING: Final = (dict, list)


def is_node(value: Mapping[str, Any]) -> bool:
    """Whether a dict is a node: positions are none, and the windows of a SELECT, by name, could be called anything."""
    return isinstance(value.get("node"), str)


def nodes(*roots: object) -> Iterator[Tree]:
    """Every node under the roots and the roots themselves, parents before their children."""
    waiting = list(roots)
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if is_node(value):
                yield value
            waiting.extend(_children(value))
        elif isinstance(value, list):
            waiting.extend(value)


def nodes_within(*roots: object) -> Iterator[tuple[Tree, tuple[Tree, ...]]]:
    """Every node with those around it, outermost first; subqueries are given, and not entered."""
    waiting: list[tuple[object, tuple[Tree, ...]]] = [(root, ()) for root in reversed(roots)]
    while waiting:
        value, around = waiting.pop()
        if isinstance(value, dict):
            if is_node(value):
                yield value, around
                if value["node"] in QUERIES:
                    continue
                around = (*around, value)
            waiting.extend((inner, around) for inner in reversed(_children(value)))
        elif isinstance(value, list):
            waiting.extend((inner, around) for inner in reversed(value))


def of_kind(root: object, *kinds: str) -> Iterator[Tree]:
    return (node for node in nodes(root) if node["node"] in kinds)


def offset(node: Mapping[str, Any]) -> int:
    """Where a node starts, in characters; 0 where the parser does not say."""
    return int((node.get("start") or {}).get("offset") or 0)


def fold(root: object, combine: Callable[[dict[str, Any]], Any], *, whole: tuple[str, ...] = ()) -> Any:  # noqa: ANN401 - the type is what combine gives
    """Rebuild a tree from its leaves: `combine` gets each dict with its children already combined.

    Nodes of the kinds in `whole` are not entered: `combine` gets them as they are. Positions are no part of a tree's
    meaning and are never entered.
    """
    holder: list[Any] = [root]
    order: list[tuple[Any, Any]] = [(holder, 0)]
    for place, key in order:
        value = place[key]
        if isinstance(value, dict):
            if value.get("node") in whole:
                continue
            place[key] = copy = value.copy()
            order += [
                (copy, inner) for inner, below in value.items() if type(below) in _HOLDING and inner not in _POSITIONS
            ]
        elif isinstance(value, list):
            place[key] = items = value.copy()
            order += [(items, index) for index, below in enumerate(value) if type(below) in _HOLDING]
    for place, key in reversed(order):
        if isinstance(place[key], dict):
            place[key] = combine(place[key])
    return holder[0]


def _children(node: dict[str, Any]) -> list[Any]:
    return [below for key, below in node.items() if type(below) in _HOLDING and key not in _POSITIONS]
