"""The lock: the versions that a consumer pinned, with the contract of each.

A pin identifies a version by endpoint id, version id and query hash, not only by its number: the name of a deleted
endpoint can be reused at once, and the new endpoint starts at version 1 (docs/server.md#versions).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

from endpoints_gitops.model.json import Json, JsonObject, fingerprint
from endpoints_gitops.model.sunset import SunsetNotice

type ReadingStyle = Literal["position", "name", "call"]
"""How a caller reads rows: by index, by column name, or not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedVariable:
    """A variable. `type` is the server's name. `required` takes materialization and optional breakdowns into account.

    `default` is valid only if `has_default`, because it can be null.
    """

    name: str
    type: str
    required: bool
    has_default: bool = False
    default: Json = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedColumn:
    """A column. `nullable` is None if unknown: the server's list of columns does not have it. `full` is the type of an
    array, tuple or map including its item types (`Array(Nullable(integer))`), if known. `varies`: the type depends on
    the value of a variable, so `type` is that for a text (docs/server.md#answers)."""

    name: str
    type: str
    nullable: bool | None = None
    full: str | None = None
    varies: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedExample:
    """An example call from the definition or the manifest; `rows` is set if they are stable."""

    variables: Mapping[str, Json] = field(default_factory=dict)
    name: str | None = None
    rows: tuple[Json, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """A version of an endpoint in one environment, with everything that is needed to call it and to check it offline.

    `query` is the node as the server stores it, without nulls (`without_nulls`). `created_at` is that of the endpoint.
    `columns` is None for insights. `allowed` are the reasons of accepted breaking upgrades. `deprecation` is the notice
    that the definition had when the pin was written.
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
    deprecation: SunsetNotice | None = None

    @property
    def kind(self) -> str:
        """The kind of the query node, such as `HogQLQuery`."""
        return str(self.query.get("kind", ""))

    @property
    def query_hash(self) -> str:
        return query_hash(self.query)

    @property
    def contract_hash(self) -> str:
        """The hash of the complete pin. A different one in a lock shows that the block was edited or merged wrongly."""
        facts = _facts(self)
        facts["created_at"] = None if self.created_at is None else self.created_at.isoformat()
        for key in ("variables", "columns", "examples"):
            facts[key] = None if facts[key] is None else [_facts(item) for item in facts[key]]
        for column in facts["columns"] or ():
            if column["full"] is None:  # as in locks of releases without full types
                del column["full"]
            if not column["varies"]:  # likewise
                del column["varies"]
        del facts["deprecation"]  # locks of releases without notices have the same hash
        if self.deprecation is not None:
            facts["deprecation"] = self.deprecation.as_json()
        return fingerprint(facts)

    @property
    def label(self) -> str:
        return f"{self.name}@{self.version}"


def _facts(value: Pin | PinnedVariable | PinnedColumn | PinnedExample) -> dict[str, Any]:
    """The fields of a value. `asdict` copies what is inside of them too, which takes several times as long."""
    return {item.name: getattr(value, item.name) for item in fields(value)}


@dataclass(frozen=True, kw_only=True)
class Lock:
    """All pins, ordered by environment and name.

    `old_hashes` are the hashes in a lock of schema 1, by environment and name, which cover only the contracts.
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
    """The entry of one endpoint in the manifest. `version` is None for `"*"`: the newest version when it is locked."""

    name: str
    version: int | None = None
    reads: ReadingStyle = "name"
    columns: tuple[str, ...] | None = None
    examples: tuple[PinnedExample, ...] = ()


def query_hash(query: JsonObject) -> str:
    """The hash of a stored query, which ignores the order of keys and keys with null.

    New servers add keys with null to stored queries, so null must not change the hash.
    """
    return fingerprint(without_nulls(query))


def without_nulls[Value: Json](value: Value) -> Value:
    """The value without keys whose value is null, at any depth."""
    if isinstance(value, Mapping):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}  # type: ignore[return-value]  # an object for an object
    if isinstance(value, list | tuple):
        return [without_nulls(item) for item in value]  # type: ignore[return-value]  # a list for a list
    return value
