"""The lock: which version of which endpoint a consumer has chosen, and what was promised when it did.

A pin is an identity (endpoint id, version id, query hash) and not a number: a deleted endpoint's name is free at once,
and the new one starts at version 1 (docs/server.md#versions).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Literal

from endpoints_gitops.model.json import Json, JsonObject, fingerprint

type ReadingStyle = Literal["position", "name", "call"]
"""How a caller reads rows: by index, by column name, or not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedVariable:
    """`type` is one of the server's words. `required` is effective: with materialisation and optional breakdowns seen.

    `default` counts only where `has_default`: null can be one.
    """

    name: str
    type: str
    required: bool
    has_default: bool = False
    default: Json = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedColumn:
    """`nullable` is None where it is not known: the server's list of columns does not say. `full` is the type of an
    array, tuple or map with those of its items (`Array(Nullable(integer))`), where it is known."""

    name: str
    type: str
    nullable: bool | None = None
    full: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedExample:
    """A call that the definition or the manifest declares; `rows` where they are stable."""

    variables: Mapping[str, Json] = field(default_factory=dict)
    name: str | None = None
    rows: tuple[Json, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One endpoint's version in one environment, with everything that is needed to call and to judge it offline.

    `query` is the node as the server stores it, without what holds nothing (`without_nulls`). `created_at` is the
    endpoint's. `columns` is None for insights. `allowed` are the reasons with which breaking moves were accepted.
    """

    environment: str
    name: str
    endpoint_id: str
    version: int
    version_id: str | None
    created_at: datetime | None
    query: JsonObject
    variables: tuple[PinnedVariable, ...] = ()
    columns: tuple[PinnedColumn, ...] | None = None
    materialized: bool = False
    freshness_seconds: int | None = None
    optional_breakdown_properties: tuple[str, ...] = ()
    bucket_overrides: Mapping[str, str] | None = None
    examples: tuple[PinnedExample, ...] = ()
    allowed: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """The kind of the query node, such as `HogQLQuery`."""
        return str(self.query.get("kind", ""))

    @property
    def query_hash(self) -> str:
        return query_hash(self.query)

    @property
    def contract_hash(self) -> str:
        """The name of everything that the pin holds: another one in a lock says that the block was edited or mixed."""
        created_at = None if self.created_at is None else self.created_at.isoformat()
        facts = asdict(self)
        for column in facts["columns"] or ():
            if column["full"] is None:  # as locks hold it that were written before there were full types
                del column["full"]
        return fingerprint({**facts, "created_at": created_at})

    @property
    def label(self) -> str:
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, kw_only=True)
class Lock:
    """All pins, ordered by environment and name.

    `old_hashes` are what a lock of schema 1 says of each pin, by environment and name: nothing but the contract can be
    verified by them.
    """

    pins: tuple[Pin, ...] = ()
    old_hashes: Mapping[tuple[str, str], str] = field(default_factory=dict, compare=False)

    def pin(self, name: str, environment: str) -> Pin | None:
        return self._by_key.get((name, environment))

    @cached_property
    def _by_key(self) -> dict[tuple[str, str], Pin]:
        return {(pin.name, pin.environment): pin for pin in reversed(self.pins)}

    def of(self, environment: str) -> tuple[Pin, ...]:
        return tuple(pin for pin in self.pins if pin.environment == environment)


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What the manifest says of one endpoint. `version` is None for `"*"`: newest when locked."""

    name: str
    version: int | None = None
    reads: ReadingStyle = "name"
    columns: tuple[str, ...] | None = None
    examples: tuple[PinnedExample, ...] = ()


def query_hash(query: JsonObject) -> str:
    """The name of a stored query, over the server's JSON: keys in any order, and those that hold nothing left out.

    Servers learn new keys, which are null for what was stored before, so null is no part of a query's identity.
    """
    return fingerprint(without_nulls(query))


def without_nulls[Value: Json](value: Value) -> Value:
    """The value without the keys of its objects, at any depth, that hold null."""
    if isinstance(value, Mapping):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}  # type: ignore[return-value]  # an object for an object
    if isinstance(value, list | tuple):
        return [without_nulls(item) for item in value]  # type: ignore[return-value]  # a list for a list
    return value
