"""Every key of a computed kind is used, only displayed, or refused: none is ignored by mistake."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from endpoints_gitops.hogql import insights
from endpoints_gitops.hogql.insights import EXCLUSION, NODE, OPAQUE, PROPERTY, NodeShape
from endpoints_gitops.local.insights.keys import QUERY_KEYS, KeyUse, meant, use_of
from endpoints_gitops.local.insights.refused import NotComputed


def _objects() -> Iterator[tuple[str, NodeShape, KeyUse]]:
    """The objects of all computed kinds, at any depth."""
    seen: set[str] = set()
    waiting = [(NODE, kind) for kind in QUERY_KEYS]
    while waiting:
        name, kind = waiting.pop()
        value = {"type": kind} if name == PROPERTY else {"kind": kind}
        use, shape = use_of(name, value), insights.shape_of(name, value)
        if f"{name} {kind}" in seen or shape is None or use is None:
            continue
        seen.add(f"{name} {kind}")
        yield f"{name} {kind}".strip(), shape, use
        for key, inner in shape.inside.items():
            if key in use.used and inner != OPAQUE:
                kinds = (
                    list(insights.PROPERTIES)
                    if inner == PROPERTY
                    else list(insights.NODES)
                    if inner in (NODE, EXCLUSION)
                    else [""]
                )
                waiting += [(inner, kind) for kind in kinds]


OBJECTS = list(_objects())


def test_there_are_objects() -> None:
    assert len(OBJECTS) > 10


@pytest.mark.parametrize(("name", "shape", "use"), OBJECTS, ids=[name for name, _, _ in OBJECTS])
def test_each_key_does_one_thing(name: str, shape: NodeShape, use: KeyUse) -> None:
    own = frozenset(
        {"kind"} if name.startswith((NODE, "by kind")) else {"type"} if name.startswith(PROPERTY) else set()
    )
    assert use.used | use.displayed | use.refused == shape.keys | own
    assert not use.used & use.displayed
    assert not use.refused & (use.used | use.displayed)


@pytest.mark.parametrize("kind", QUERY_KEYS)
def test_refused_keys_are_named(kind: str) -> None:
    for key in sorted(QUERY_KEYS[kind].refused):
        with pytest.raises(NotComputed) as caught:
            meant({"kind": kind, key: {"a": 1}})
        assert caught.value.key == key


def test_a_stored_node_with_all_defaults_is_computed() -> None:
    node = {"kind": "TrendsQuery", "series": [{"kind": "EventsNode", "event": "view"}], "trendsFilter": {}}
    assert meant(insights.expand(node)) == meant(node)
