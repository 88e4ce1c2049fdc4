"""A YAML document as a tree in which everything knows its place: for errors, for lines, and for splicing.

An alias is a node of its own that points to what it stands for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Span:
    """A place in the text: offsets in characters without the byte order mark; `line` and `column` count from 1."""

    start: int
    end: int
    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScalarNode:
    """`style` is empty for a plain scalar, else one of `'`, `"`, `|`, `>`. The span includes anchor and tag."""

    span: Span
    anchor: str | None
    tag: str | None
    style: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SequenceNode:
    span: Span
    anchor: str | None
    tag: str | None
    flow: bool
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MappingNode:
    span: Span
    anchor: str | None
    tag: str | None
    flow: bool
    pairs: tuple[tuple[Node, Node], ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AliasNode:
    span: Span
    anchor: str
    target: SolidNode


type SolidNode = ScalarNode | SequenceNode | MappingNode
type Node = SolidNode | AliasNode


def solid(node: Node) -> SolidNode:
    """The node itself, or what an alias stands for."""
    return node.target if isinstance(node, AliasNode) else node


def key_text(key: Node) -> str:
    """The text of a mapping's key; empty for a key that is no scalar."""
    scalar = solid(key)
    return scalar.text if isinstance(scalar, ScalarNode) else ""


def entry(node: Node, key: str | int) -> tuple[Node, Node] | None:
    """The (key, value) nodes of a mapping's key, (item, item) of a sequence's index; merged keys come last."""
    place = solid(node)
    if isinstance(place, MappingNode) and isinstance(key, str):
        return _pair(place, key)
    if isinstance(place, SequenceNode) and isinstance(key, int) and 0 <= key < len(place.items):
        return place.items[key], place.items[key]
    return None


def is_merge(key: Node) -> bool:
    """Whether this key is `<<`, which brings in the keys of another mapping."""
    return isinstance(key, ScalarNode) and key.text == "<<" and not key.style and key.tag is None


def merged(value: Node) -> tuple[MappingNode, ...]:
    """The mappings that a `<<` brings in, the stronger first."""
    place = solid(value)
    items = place.items if isinstance(place, SequenceNode) else (place,)
    return tuple(one for one in map(solid, items) if isinstance(one, MappingNode))


def _pair(mapping: MappingNode, key: str) -> tuple[Node, Node] | None:
    own = _by_key(mapping).get(key)
    if own is not None:
        return own
    sources = (source for name, value in mapping.pairs if is_merge(name) for source in merged(value))
    return next((found for source in sources if (found := _pair(source, key))), None)


@lru_cache(maxsize=32)
def _by_key(mapping: MappingNode) -> dict[str, tuple[Node, Node]]:
    """The first pair of each key: a file with many mistakes asks for each of them."""
    return {key_text(pair[0]): pair for pair in reversed(mapping.pairs) if not is_merge(pair[0])}
