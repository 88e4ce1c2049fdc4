"""Query nodes with and without what the server fills in by itself (docs/server.md#insights).

The server stores a node with every default of its schema written out, so two nodes are compared by what remains when
those are taken away. For all nodes: `strip(expand(node)) == strip(node)`, and doing either twice changes nothing more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from endpoints_gitops.hogql.insight_schema import NODE, NODES, OPAQUE, QUERIES, Shape, shape_of

_EMPTY_LIST_IS_NOTHING: Final = ("properties", "fixedProperties")
_EMPTY_OBJECT_COUNTS: Final = ("filters",)  # an empty one still replaces {filters} in the SQL
_LISTS: Final = ("series", "nodes", "exclusions", "breakdowns", "formulaNodes", "goalLines")
_EITHER: Final = ("properties",)
_BROKEN_DOWN: Final = ("TrendsQuery", "RetentionQuery")
_MISSPELT: Final = 0.8
_DEEPEST: Final = 100


def expand(node: Mapping[str, Any]) -> dict[str, Any]:
    """The node as the server stores it: with every key of its shape, in alphabetical order."""
    return dict(_expanded(node, NODE))


def strip(node: Mapping[str, Any]) -> dict[str, Any]:
    """The node without nulls and defaults, at any depth. Of an unknown kind, only nulls go.

    Whole numbers lose their `.0`, as the server makes floats of some. A property filter always says its `type`.
    """
    return dict(_stripped(node, NODE))


def breakdown_properties(node: Mapping[str, Any]) -> tuple[str, ...]:
    """The properties that a caller of this insight may filter by; none for kinds without breakdown variables."""
    given = node.get("breakdownFilter") or {}
    if node.get("kind") not in _BROKEN_DOWN:
        return ()
    if given.get("breakdowns"):
        return tuple(str(one.get("property")) for one in given["breakdowns"])
    legacy = given.get("breakdown")
    return tuple(map(str, legacy)) if isinstance(legacy, list) else (() if legacy is None else (str(legacy),))


def validate(node: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the server's schema would refuse, as (dotted path, message): keys missing or unknown, and what is no object.

    Deeper down, an unknown key is a mistake only where it looks like a misspelt one: servers learn new keys.
    """
    kind = node.get("kind")
    if not isinstance(kind, str) or kind not in QUERIES:
        return [("kind", f"{kind!r} is no kind of query that an endpoint takes{_meant(kind, QUERIES)}")]
    if _depth(node) > _DEEPEST:
        return [("", f"the query is nested more than {_DEEPEST} levels deep")]
    known = QUERIES[kind].keys | {"kind"}
    unknown = [(key, f"{kind} has no key {key!r}{_meant(key, known)}") for key in node if key not in known]
    return unknown + [(path, message) for path, message in _mistakes("", node, NODE) if path not in dict(unknown)]


def _expanded(value: Any, name: str) -> Any:  # noqa: ANN401 - JSON of any shape
    if name == OPAQUE or not isinstance(value, Mapping | list):
        return value
    if isinstance(value, list):
        return [_expanded(item, name) for item in value]
    if name.endswith("*"):
        return {key: _expanded(item, name.removesuffix("*")) for key, item in value.items()}
    shape = shape_of(name, value)
    if shape is None:
        return dict(value)
    full = {**shape.optional, **value, **_implied(shape, value)}
    return {key: _expanded(full[key], shape.inside.get(key, "")) for key in sorted(full)}


def _stripped(value: Any, name: str) -> Any:  # noqa: ANN401 - JSON of any shape
    if name == OPAQUE:
        return value
    if isinstance(value, list):
        return [_stripped(item, name) for item in value]
    if isinstance(value, Mapping):
        return _stripped_object(value, name)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _stripped_object(value: Mapping[str, Any], name: str) -> dict[str, Any]:
    if name.endswith("*"):
        return {key: _stripped(item, name.removesuffix("*")) for key, item in value.items()}
    shape = shape_of(name, value)
    if shape is None:
        return {key: _stripped(item, "") for key, item in value.items() if item is not None}
    said = {**value, **_implied(shape, value)}
    bare = {key: _stripped(item, shape.inside.get(key, "")) for key, item in said.items()}
    return {key: item for key, item in bare.items() if not _says_nothing(shape, key, item)}


def _implied(shape: Shape, value: Mapping[str, Any]) -> dict[str, str]:
    return {key: only for key, only in shape.implied.items() if value.get(key) is None}


def _says_nothing(shape: Shape, key: str, item: object) -> bool:
    if key in shape.required:
        return False
    if item is None or (item == [] and key in _EMPTY_LIST_IS_NOTHING):
        return True
    if item == {} and key in shape.inside:
        return shape.inside[key] != OPAQUE and key not in _EMPTY_OBJECT_COUNTS
    default = shape.optional.get(key)
    return item == default and type(item) is type(default)


def _mistakes(path: str, value: object, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _mistakes(f"{path}{index}.", item, name)
    elif name.endswith("*") and isinstance(value, Mapping):
        for key, item in value.items():
            yield from _mistakes(f"{path}{key}.", item, name.removesuffix("*"))
    elif not isinstance(value, Mapping):
        yield path.removesuffix("."), f"an object belongs here, not {value!r}"
    elif (shape := shape_of(name, value)) is not None:
        yield from _mistakes_of_keys(path, value, shape)
        for key, inner in shape.inside.items():
            if value.get(key) is not None and inner != OPAQUE:
                yield from _mistakes_inside(f"{path}{key}", key, value[key], inner)
    elif name == NODE:
        yield f"{path}kind", f"{value.get('kind')!r} is no kind of series{_meant(value.get('kind'), NODES)}"


def _mistakes_of_keys(path: str, value: Mapping[str, Any], shape: Shape) -> Iterator[tuple[str, str]]:
    for key in shape.required:
        if value.get(key) is None:
            yield f"{path}{key}", f"{value.get('kind') or 'this object'} needs {key!r}"
    for key in value:
        if key not in shape.keys | {"kind", "type"} and _near(key, shape.keys, _MISSPELT):
            yield f"{path}{key}", f"{key!r} is not known here{_meant(key, shape.keys)}"


def _mistakes_inside(path: str, key: str, value: object, name: str) -> Iterator[tuple[str, str]]:
    if key in _LISTS and not isinstance(value, list):
        yield path, f"a list belongs here, not {value!r}"
    elif isinstance(value, list) and key not in (*_LISTS, *_EITHER, "fixedProperties"):
        yield path, "an object belongs here, not a list"
    else:
        yield from _mistakes(f"{path}.", value, name)


def _meant(word: object, known: Iterable[str]) -> str:
    close = _near(word, known) if isinstance(word, str) else None
    return f" (did you mean {close!r}?)" if close else ""


def _near(word: str, known: Iterable[str], likeness: float = 0.6) -> str | None:
    from difflib import get_close_matches

    return next(iter(get_close_matches(word, sorted(known), n=1, cutoff=likeness)), None)


def _depth(root: object) -> int:
    """How many objects and lists stand in each other; counted level by level, so that no depth is too much."""
    level, depth = [root], 0
    while level := [item for value in level for item in _children(value)]:
        depth += 1
    return depth


def _children(value: object) -> Iterable[object]:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, list) else ()
