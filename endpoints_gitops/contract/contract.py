"""The contract: what a caller can rely on for one version of one endpoint.

It is built from a definition, a server's version, a pin or an answer (`build`), and two of them are compared
(`compare`). Whether a variable must be sent is never read off one field: query, defaults, materialisation and optional
breakdowns decide it together (docs/server.md#variables).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final, Literal

from endpoints_gitops.errors import Location
from endpoints_gitops.hogql.columns import output
from endpoints_gitops.hogql.eligibility import reason
from endpoints_gitops.hogql.insight_changes import insight_shape
from endpoints_gitops.hogql.locations import offset_of
from endpoints_gitops.hogql.locus import Locus
from endpoints_gitops.hogql.paging import QueryPaging, QueryShape, paging, shape
from endpoints_gitops.hogql.parser import ParseFailure
from endpoints_gitops.model.definition import QUERY_KEYS, Deprecation, LoadedDefinition
from endpoints_gitops.model.json import Json, JsonObject, fingerprint

HOGQL: Final = "HogQLQuery"
DATES: Final = ("date_from", "date_to")
UNKNOWN: Final = "unknown"

type Stability = Literal["draft", "beta", "stable"]


type FileKey = str | tuple[str, ...]
"""A key of a definition: dotted, or `("variables", "month", "type")` for one of the variable of that name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """A variable before anybody asks whether it must be sent.

    `is_open`: the file leaves the default to the shared variable, and nobody here knows that one.
    """

    name: str
    type: str = UNKNOWN
    has_default: bool = False
    default: Json = None
    is_open: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractVariable:
    """`type` is the server's word, or `unknown`. `required` is effective. `default` counts where `has_default`."""

    name: str
    type: str
    required: bool
    has_default: bool = False
    default: Json = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractColumn:
    """`type` is the server's word. `nullable` is None where it cannot be told, and `why` says why something cannot.

    `expression` is what it is computed from, as HogQL; `clickhouse` is ClickHouse's own type, from an answer.
    `full` is the type of an array, tuple or map with those of its items (`Array(Nullable(integer))`), where known.
    """

    name: str
    type: str
    nullable: bool | None = None
    expression: str | None = None
    clickhouse: str | None = None
    full: str | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """How the answer is made. None is what a file leaves as it is on the server.

    `ready` is False while a table is asked for that does not exist yet.
    """

    materialized: bool | None = None
    freshness_seconds: int | None = None
    optional_breakdowns: tuple[str, ...] | None = None
    bucket_overrides: Mapping[str, str] | None = None
    ready: bool | None = None
    endpoint_active: bool | None = None
    version_active: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Which version of which endpoint this is on a server: what a pin pins."""

    endpoint_id: str
    version: int
    version_id: str | None
    query_hash: str
    is_current: bool = True


@dataclass(frozen=True, kw_only=True)
class Contract:
    """What one side promises. `columns` is None where there are none (insights), or where `columns_why` says why
    nobody knows them.

    `query` is a node as the server takes it, without nulls and defaults. `identity` is None for a definition.
    `declared` are the columns that the file itself promises; `source` is that file. `stability` is None where nobody
    can have said it.
    """

    name: str
    query: JsonObject
    inputs: tuple[Input, ...] = ()
    columns: tuple[ContractColumn, ...] | None = None
    columns_why: str | None = None
    serving: Serving = field(default_factory=Serving)
    identity: Identity | None = None
    tags: tuple[str, ...] | None = None
    stability: Stability | None = None
    deprecation: Deprecation | None = None
    declared: tuple[ContractColumn, ...] | None = None
    renamed_from: str | None = None
    environment: str | None = None
    source: LoadedDefinition | None = None

    @property
    def kind(self) -> str:
        """The kind of the query node, such as `HogQLQuery`."""
        return str(self.query.get("kind", ""))

    @property
    def sql(self) -> str | None:
        """The HogQL text, None for insights."""
        return str(self.query.get("query") or "") if self.kind == HOGQL else None

    @cached_property
    def refusal(self) -> str | None:
        """Why the server would not keep the answer as a table, in its own words. What a server has, it has accepted."""
        return None if self.identity is not None else reason(self.query)

    @cached_property
    def is_from_table(self) -> bool:
        """Whether callers read a table: asked for, and possible."""
        return self.serving.materialized is True and self.refusal is None

    @cached_property
    def variables(self) -> tuple[ContractVariable, ...]:
        """What callers may send, with what they have to."""
        dropped = DATES if self.is_from_table and self.kind != HOGQL else ()
        return tuple(self._effective(one) for one in self.inputs if one.name not in dropped)

    def _effective(self, one: Input) -> ContractVariable:
        return ContractVariable(
            name=one.name,
            type=one.type,
            required=self._is_required(one),
            has_default=one.has_default,
            default=one.default,
        )

    def _is_required(self, one: Input) -> bool:
        if self.kind == HOGQL:
            return self.is_from_table or not one.has_default
        return self.is_from_table and one.name not in (self.serving.optional_breakdowns or ())

    @property
    def tenants(self) -> tuple[str, ...]:
        """The variables that the file marks with `scope: tenant`, used or not."""
        declared = self.source.definition.variables if self.source is not None else None
        return tuple(variable.name for variable in declared or () if variable.scope == "tenant")

    @property
    def undeclared(self) -> tuple[str, ...]:
        """The variables that the query uses and the file says nothing of."""
        if self.source is None or self.sql is None:
            return ()
        declared = {one.name for one in self.source.definition.variables or ()}
        return tuple(one.name for one in self.inputs if one.is_open and one.name not in declared)

    @property
    def stars(self) -> tuple[str, ...]:
        """The `*` that the columns were read from: they hold for the tables of today. Columns that a server or the file
        itself lists do not come from them.
        """
        is_read = self.sql is not None and self.identity is None and self.declared is None
        return output(self.sql or "").stars if is_read else ()

    @cached_property
    def shape(self) -> QueryShape | None:
        """What can be said of the rows; None for insights and for what the parser cannot follow."""
        try:
            return shape(self.sql) if self.sql is not None else None
        except ParseFailure:
            return None

    @cached_property
    def paging(self) -> QueryPaging | None:
        """How far callers can page; None for insights and for what the parser cannot follow."""
        try:
            return paging(self.sql) if self.sql is not None else None
        except ParseFailure:
            return None

    @cached_property
    def hash(self) -> str:
        """Equal for two contracts on which a caller can rely alike. Layout of SQL and order of keys do not count."""
        return fingerprint(
            {
                "kind": self.kind,
                "variables": sorted(map(_variable_facts, self.variables), key=repr),
                "columns": None if self.columns is None else [*map(_column_facts, self.columns)],
                "serving": _serving_facts(self),
                "rows": _rows_facts(self),
            }
        )

    def where(self, key: FileKey, offset: int | None = None, locus: str = "") -> Location | None:
        """`path:line` of a key in the file, in its environment's settings first; None without a file.

        For the query it is `path:line:column` of the character at `offset`, else of what the locus names in it.
        """
        if self.source is None:
            return None
        if key == "query" and offset is None:
            offset = offset_of(self.sql, locus) if self.sql is not None else None
        if offset is not None and self.source.place is not None:
            return self.source.place(offset)
        if key == "query" and self.sql is None:
            clause = f".{locus.clause}" if isinstance(locus, Locus) and locus.is_in_findings else ""
            return self.source.where(f"query_definition{clause}")
        if isinstance(key, tuple):
            return self.source.where(_key_of_item(key, self.source))
        words = ("data_freshness", "materialization.schedule") if key == "data_freshness" else (key,)
        laid = (f"environments.{self.environment}.{word}" for word in words)
        said = next((place for place in (*laid, *words) if place in self.source.lines), key)
        is_query = said in ("query", "columns", "variables") and said not in self.source.lines
        return self.source.where(_query_key(self.source) if is_query else said)


def settled(after: Contract, before: Contract) -> Contract:
    """`after` as it will be: what its file leaves alone is as it was before (docs/server.md#versions).

    On an endpoint that is not active there are no tables, so materialisation is taken for unchanged there.
    """
    mine, other = after.serving, before.serving
    active = mine.endpoint_active if mine.endpoint_active is not None else other.endpoint_active
    says_nothing = mine.materialized is None or active is False or other.endpoint_active is False
    serving = replace(
        mine,
        materialized=bool(other.materialized if says_nothing else mine.materialized),
        freshness_seconds=other.freshness_seconds if mine.freshness_seconds is None else mine.freshness_seconds,
        optional_breakdowns=_first(mine.optional_breakdowns, other.optional_breakdowns, ()),
        bucket_overrides=_first(mine.bucket_overrides, other.bucket_overrides, {}),
        endpoint_active=active is not False,
    )
    known = {one.name: one for one in before.inputs}
    inputs = tuple(_closed(one, known.get(one.name)) for one in after.inputs)
    return replace(after, serving=serving, inputs=inputs, tags=before.tags if after.tags is None else after.tags)


def _first[Value](said: Value | None, other: Value | None, default: Value) -> Value:
    return said if said is not None else other if other is not None else default


def _closed(one: Input, before: Input | None) -> Input:
    """What the file leaves open stays as it is."""
    if not one.is_open or before is None:
        return one
    return replace(one, has_default=before.has_default, default=before.default, is_open=before.is_open)


def _variable_facts(variable: ContractVariable) -> Json:
    default = variable.default if variable.has_default and not variable.required else None
    return [variable.name, variable.type, variable.required, default]


def _column_facts(column: ContractColumn) -> Json:
    return [column.name, column.type, column.nullable]


def _serving_facts(contract: Contract) -> Json:
    serving, is_from_table = contract.serving, contract.is_from_table
    return {
        "materialized": is_from_table,
        "freshness": serving.freshness_seconds,
        "buckets": dict(serving.bucket_overrides or {}) if is_from_table else {},
    }


def _rows_facts(contract: Contract) -> Json:
    """Of HogQL the ceiling and whether it can be paged; of an insight the keys and series of its results."""
    if contract.sql is not None:
        return [contract.paging.written_limit, not contract.paging.is_union] if contract.paging else None
    shape = insight_shape(contract.query)
    facts = (shape.keys, [one.label for one in shape.series], shape.formulas, shape.breakdowns)
    return [*map(list, facts), None, shape.is_compared, shape.interval, shape.is_total]


def _key_of_item(key: tuple[str, ...], source: LoadedDefinition) -> str:
    """The dotted key of an item of a list, such as `variables.0.type`; of the query where the list does not name it."""
    head, name, *more = key
    names = {
        "variables": [variable.name for variable in source.definition.variables or ()],
        "columns": [column.name for column in source.definition.columns or ()],
    }[head]
    return ".".join((head, str(names.index(name)), *more)) if name in names else _query_key(source)


def _query_key(source: LoadedDefinition) -> str:
    """The key of the file that has the query."""
    return next(key for key in QUERY_KEYS if getattr(source.definition, key) is not None)
