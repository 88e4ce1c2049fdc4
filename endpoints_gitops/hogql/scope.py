"""What the names in a SELECT stand for: its sources, the aliases it has given, the CTEs above it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from endpoints_gitops.hogql.tables import TABLES, Column, Table
from endpoints_gitops.hogql.types import STRING, Kind, Typed, unknown

_AI_IDS: Final = ("$ai_", "_id")


@dataclass(frozen=True, slots=True)
class Source:
    """Something in FROM. `why` is set where its columns are not known, or not all of them."""

    columns: Mapping[str, Column]
    table: Table | None = None
    why: str | None = None


@dataclass(slots=True)
class Scope:
    """`ctes` are the tables of WITH, `values` its single values. `depth` counts the queries around this one."""

    ctes: Mapping[str, Source] = field(default_factory=dict)
    values: Mapping[str, Typed] = field(default_factory=dict)
    sources: dict[str, Source] = field(default_factory=dict)
    aliases: dict[str, Typed] = field(default_factory=dict)
    depth: int = 0

    def below(self) -> Scope:
        """The scope of a subquery: it sees the CTEs and nothing else."""
        return Scope(self.ctes, self.values, depth=self.depth + 1)


class UntypedProperty(str):
    """Why a type is unknown: it is computed from a property whose type only the project knows.

    A kind of text, so that it stays what it is wherever the reason of an expression is that of its part.
    """

    __slots__ = ()


def resolve(chain: list[str], scope: Scope) -> Typed:
    """What a field is: in the order in which the server looks for it."""
    head, *rest = chain
    if rest and head in scope.sources:
        return _walk(scope.sources[head], rest)
    if head in scope.aliases:
        return _inside(scope.aliases[head], rest)
    holders = [source for source in scope.sources.values() if _has(source, head)]
    if len(holders) == 1:
        return _walk(holders[0], chain)
    if holders:
        return unknown(f"{head} is a column of several tables")
    if head in scope.values:
        return _inside(scope.values[head], rest)
    open_end = next((source.why for source in scope.sources.values() if source.why), None)
    return unknown(open_end or f"nothing in the query is called {head}")


def property_of(keys: tuple[str, ...]) -> Typed:
    """What is stored under the keys: text, unless the project defines the property otherwise."""
    if len(keys) > 1 or (keys[0].startswith(_AI_IDS[0]) and keys[0].endswith(_AI_IDS[1])):
        return Typed(STRING.kind, nullable=True, keys=keys)
    why = UntypedProperty(f"the type of the property {keys[0]} is what the project defines it to be")
    return Typed(Kind.UNKNOWN, nullable=True, why=why, keys=keys)


def _has(source: Source, name: str) -> bool:
    return name in source.columns or (source.table is not None and name in source.table.relations)


def _walk(source: Source, names: list[str]) -> Typed:
    """Through the rows of other tables that belong to a row, to a column."""
    name, *rest = names
    if name in source.columns:
        return _inside(source.columns[name].typed, rest)
    relation = source.table.relations.get(name) if source.table else None
    if relation and rest:
        related = TABLES[relation.table]
        return _walk(Source(related.columns_by(relation), related), rest)
    return unknown(source.why or f"nothing in the query is called {'.'.join(names)}")


def _inside(value: Typed, keys: list[str]) -> Typed:
    if not keys:
        return value
    if value.keys is None:
        return unknown(value.why or f"what stands under {'.'.join(keys)} is not known")
    return property_of((*value.keys, *keys))
