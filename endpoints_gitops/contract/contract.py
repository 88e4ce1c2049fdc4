"""The contract: what a caller can rely on for one version of one endpoint.

It is built from a definition, a server's version, a pin or an answer (`build`), and two of them are compared
(`compare`). Whether a variable is required depends on the query, defaults, materialization and optional breakdowns
together (docs/server.md#variables).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal

from endpoints_gitops.errors import Location
from endpoints_gitops.hogql.columns import output
from endpoints_gitops.hogql.eligibility import reason
from endpoints_gitops.hogql.insight_changes import insight_shape
from endpoints_gitops.hogql.locations import offset_of
from endpoints_gitops.hogql.locus import Locus
from endpoints_gitops.hogql.paging import QueryPaging, QueryShape, paging, shape
from endpoints_gitops.hogql.parser import ParseFailure
from endpoints_gitops.model.json import Json, JsonObject, fingerprint
from endpoints_gitops.model.sunset import SunsetNotice

if TYPE_CHECKING:
    from endpoints_gitops.model.definition import LoadedDefinition

HOGQL: Final = "HogQLQuery"
DATES: Final = ("date_from", "date_to")
UNKNOWN: Final = "unknown"

type Stability = Literal["draft", "beta", "stable"]


type FileKey = str | tuple[str, ...]
"""A key of a definition: dotted, or `("variables", "month", "type")` for one of the variable of that name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """A variable of a query, before materialization and defaults decide whether it is required.

    `is_open`: the file leaves the default to the shared variable, which is not known.
    """

    name: str
    type: str = UNKNOWN
    has_default: bool = False
    default: Json = None
    is_open: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractVariable:
    """A variable as callers see it. `type` is the server's name, or `unknown`; `default` is valid if `has_default`."""

    name: str
    type: str
    required: bool
    has_default: bool = False
    default: Json = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractColumn:
    """A column of an answer. `type` is the server's name; `nullable` is None if unknown; `why` explains an unknown.

    `expression` is the HogQL that computes it; `clickhouse` is ClickHouse's own type, from an answer. `full` is the
    type of an array, tuple or map including its item types (`Array(Nullable(integer))`), where known. `varies`: the
    type can depend on the value of a variable, if the query has one.
    """

    name: str
    type: str
    nullable: bool | None = None
    expression: str | None = None
    clickhouse: str | None = None
    full: str | None = None
    why: str | None = None
    varies: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """How the server computes answers. None means that the file does not set the value.

    `ready` is False while the table of a materialized version is not built yet.
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
    """The version of an endpoint on a server, which a pin refers to."""

    endpoint_id: str
    version: int
    version_id: str | None
    query_hash: str
    is_current: bool = True


@dataclass(frozen=True, kw_only=True)
class Contract:
    """What a caller can rely on. `columns` is None for insights, and where they are unknown: then `columns_why` says
    why.

    `query` is a node as the server stores it, without nulls and defaults. `identity` is None for a definition.
    `declared` are the columns that the file declares; `source` is that file. `stability` is None unless the contract
    comes from a definition, `deprecation` unless it comes from a definition or a pin; `knows_notice` says that there is
    none if it is None.
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
    deprecation: SunsetNotice | None = None
    knows_notice: bool = False
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
        """Why the server would refuse to materialize, in the server's words; None for a contract from the server."""
        return None if self.identity is not None else reason(self.query)

    @cached_property
    def is_from_table(self) -> bool:
        """Whether callers read a table: materialization is on, and the query allows it."""
        return self.serving.materialized is True and self.refusal is None

    @cached_property
    def variables(self) -> tuple[ContractVariable, ...]:
        """The variables that callers can send, each with whether it is required."""
        dropped = DATES if self.is_from_table and self.kind != HOGQL else ()
        return tuple(self._variable(item) for item in self.inputs if item.name not in dropped)

    def _variable(self, item: Input) -> ContractVariable:
        return ContractVariable(
            name=item.name,
            type=item.type,
            required=self._is_required(item),
            has_default=item.has_default,
            default=item.default,
        )

    def _is_required(self, item: Input) -> bool:
        if self.kind == HOGQL:
            return self.is_from_table or not item.has_default
        return self.is_from_table and item.name not in (self.serving.optional_breakdowns or ())

    @property
    def tenants(self) -> tuple[str, ...]:
        """The variables that the file marks with `scope: tenant`, used or not."""
        declared = self.source.definition.variables if self.source is not None else None
        return tuple(variable.name for variable in declared or () if variable.scope == "tenant")

    @property
    def undeclared(self) -> tuple[str, ...]:
        """The variables that the query uses and the file does not declare."""
        if self.source is None or self.sql is None:
            return ()
        declared = {variable.name for variable in self.source.definition.variables or ()}
        return tuple(item.name for item in self.inputs if item.is_open and item.name not in declared)

    @property
    def stars(self) -> tuple[str, ...]:
        """The `*` that the columns were inferred from, and which follow the tables; empty where the server or the file
        lists the columns.
        """
        is_read = self.sql is not None and self.identity is None and self.declared is None
        return output(self.sql or "").stars if is_read else ()

    @cached_property
    def shape(self) -> QueryShape | None:
        """Facts about the rows of the query; None for insights and for queries that cannot be parsed."""
        try:
            return shape(self.sql) if self.sql is not None else None
        except ParseFailure:
            return None

    @cached_property
    def paging(self) -> QueryPaging | None:
        """How far callers can page; None for insights and for queries that cannot be parsed."""
        try:
            return paging(self.sql) if self.sql is not None else None
        except ParseFailure:
            return None

    @cached_property
    def hash(self) -> str:
        """Equal for contracts that promise the same. Formatting of SQL and order of keys do not matter."""
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
        """`path:line` of a key in the file, preferably in its environment's settings; None without a file.

        For the query it is `path:line:column` of the character at `offset`, or of the part that `locus` names.
        """
        if self.source is None:
            return None
        if key == "query" and offset is None:
            offset = offset_of(self.sql, locus) if self.sql is not None else None
        if offset is not None and self.source.position is not None:
            return self.source.position(offset)
        if key == "query" and self.sql is None:
            clause = f".{locus.clause}" if isinstance(locus, Locus) and locus.is_in_findings else ""
            return self.source.where(f"query_definition{clause}")
        if isinstance(key, tuple):
            return self.source.where(_key_of_item(key, self.source))
        keys = ("data_freshness", "materialization.schedule") if key == "data_freshness" else (key,)
        of_environment = (f"environments.{self.environment}.{name}" for name in keys)
        present = next((name for name in (*of_environment, *keys) if name in self.source.lines), key)
        is_query = present in ("query", "columns", "variables") and present not in self.source.lines
        return self.source.where(_query_key(self.source) if is_query else present)


def settled(after: Contract, before: Contract) -> Contract:
    """`after` with the values of `before` for everything that its file does not set (docs/server.md#versions).

    An inactive endpoint has no tables, so its materialization counts as unchanged.
    """
    new, old = after.serving, before.serving
    active = new.endpoint_active if new.endpoint_active is not None else old.endpoint_active
    is_kept = new.materialized is None or active is False or old.endpoint_active is False
    serving = replace(
        new,
        materialized=bool(old.materialized if is_kept else new.materialized),
        freshness_seconds=old.freshness_seconds if new.freshness_seconds is None else new.freshness_seconds,
        optional_breakdowns=_first(new.optional_breakdowns, old.optional_breakdowns, ()),
        bucket_overrides=_first(new.bucket_overrides, old.bucket_overrides, {}),
        endpoint_active=active is not False,
    )
    old_inputs = {item.name: item for item in before.inputs}
    inputs = tuple(_settled_input(item, old_inputs.get(item.name)) for item in after.inputs)
    return replace(after, serving=serving, inputs=inputs, tags=before.tags if after.tags is None else after.tags)


def _first[Value](new: Value | None, old: Value | None, default: Value) -> Value:
    return new if new is not None else old if old is not None else default


def _settled_input(item: Input, before: Input | None) -> Input:
    """An open default keeps its old value."""
    if not item.is_open or before is None:
        return item
    return replace(item, has_default=before.has_default, default=before.default, is_open=before.is_open)


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
    """For HogQL, the limit and whether it can be paged; for an insight, the keys and series of its results."""
    if contract.sql is not None:
        return [contract.paging.written_limit, not contract.paging.is_union] if contract.paging else None
    shape = insight_shape(contract.query)
    facts = (shape.keys, [series.label for series in shape.series], shape.formulas, shape.breakdowns)
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
    from endpoints_gitops.model.definition import QUERY_KEYS  # pydantic, which contracts of pins do without

    return next(key for key in QUERY_KEYS if getattr(source.definition, key) is not None)
