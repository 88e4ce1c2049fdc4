"""Contracts from what people and servers say: a definition, a version, a pin, an answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from endpoints_gitops.contract.clickhouse import full_type, is_nullable, type_word
from endpoints_gitops.contract.contract import (
    HOGQL,
    UNKNOWN,
    Contract,
    ContractColumn,
    Identity,
    Input,
    Serving,
)
from endpoints_gitops.contract.inputs import declared_inputs, stored_inputs, types_by_name, with_values
from endpoints_gitops.hogql.columns import Output, OutputColumn, output
from endpoints_gitops.hogql.insights import strip
from endpoints_gitops.model.definition import Definition, LoadedDefinition
from endpoints_gitops.model.pin import Pin, PinnedColumn, query_hash

if TYPE_CHECKING:
    from endpoints_gitops.model.endpoint import Endpoint, EndpointVersion, InsightVariable

_NOT_DESCRIBED: Final = "the server could not tell the columns of this query"
_NOT_IN_PIN: Final = "the lock holds no columns of it"


def from_definition(
    loaded: LoadedDefinition,
    environment: str | None = None,
    variables: Mapping[str, InsightVariable] | None = None,
) -> Contract:
    """What the file promises. `variables` are the project's shared ones by code name, where they are known: they give
    the defaults that the file leaves open.
    """
    definition = loaded.definition.in_environment(environment)
    node = _node(definition, loaded.sql)
    inputs = declared_inputs(definition, node, variables or {})
    columns, why = _analysed(node)
    declared = _declared_columns(definition)
    return Contract(
        name=definition.name,
        query=with_values(node, inputs),
        inputs=inputs,
        columns=_with_declared(columns, declared),
        columns_why=why,
        serving=_asked_serving(definition),
        tags=None if definition.tags is None else _tags(definition.tags),
        stability=definition.stability or "stable",
        deprecation=definition.deprecation,
        declared=declared,
        renamed_from=definition.renamed_from,
        environment=environment,
        source=loaded,
    )


def from_version(
    endpoint: Endpoint,
    variables: Mapping[str, InsightVariable] | None = None,
    types: Mapping[str, str] | None = None,
) -> Contract:
    """What a server has: an endpoint (its current version) or one of its versions.

    `variables` are the shared ones by id; `types` says the types by code name where only those are known.
    """
    node = strip(endpoint.query)
    columns, why = _served_columns(endpoint, node)
    version = _as_version(endpoint)
    return Contract(
        name=endpoint.name,
        query=node,
        inputs=stored_inputs(node, types_by_name(node, variables) | dict(types or {})),
        columns=columns,
        columns_why=why,
        serving=_present_serving(endpoint),
        identity=Identity(
            endpoint_id=endpoint.id,
            version=version.version if version else endpoint.current_version,
            version_id=(version.version_id if version else None) or endpoint.current_version_id,
            query_hash=query_hash(endpoint.query),
            is_current=version is None or version.version == endpoint.current_version,
        ),
        tags=tuple(endpoint.tags),
    )


def from_pin(pin: Pin) -> Contract:
    """What was locked."""
    node = strip(pin.query)
    is_hogql = pin.kind == HOGQL
    known = {one.name: one for one in pin.variables}
    inputs = (
        tuple(
            Input(
                name=one.name,
                type=one.type,
                has_default=one.has_default and one.default is not None,
                default=one.default,
            )
            for one in known.values()
        )
        if is_hogql
        else stored_inputs(node, {})
    )
    given = tuple(map(_pinned_column, pin.columns or ()))
    columns, why = _listed(given, node, _NOT_IN_PIN)
    return Contract(
        name=pin.name,
        query=node,
        inputs=inputs,
        columns=columns,
        columns_why=why,
        serving=Serving(
            materialized=pin.materialized,
            freshness_seconds=pin.freshness_seconds,
            optional_breakdowns=tuple(sorted(pin.optional_breakdown_properties)),
            bucket_overrides=pin.bucket_overrides or {},
        ),
        identity=Identity(
            endpoint_id=pin.endpoint_id, version=pin.version, version_id=pin.version_id, query_hash=pin.query_hash
        ),
    )


def columns_of_answer(columns: Iterable[str], types: Iterable[tuple[str, str]]) -> tuple[ContractColumn, ...]:
    """The columns that a run's answer shows. Its `types` are ClickHouse's, with nullability; they go by position, as
    names in there can differ (docs/server.md#hogql).
    """
    written = [kind for _, kind in types]
    names = list(columns)
    padded = [*written, *[""] * (len(names) - len(written))]
    return tuple(_answered(name, kind) for name, kind in zip(names, padded, strict=False))


def _pinned_column(column: PinnedColumn) -> ContractColumn:
    return ContractColumn(name=column.name, type=column.type, nullable=column.nullable, full=column.full)


def _answered(name: str, written: str) -> ContractColumn:
    if not written:
        return ContractColumn(name=name, type=UNKNOWN, why="the answer does not say its type")
    return ContractColumn(
        name=name,
        type=type_word(written),
        nullable=is_nullable(written),
        clickhouse=written,
        full=full_type(written),
    )


def _tags(tags: Iterable[str]) -> tuple[str, ...]:
    """As the server keeps them (docs/server.md#bodies)."""
    return tuple(sorted({" ".join(tag.split()).lower() for tag in tags} - {""}))


def _node(definition: Definition, sql: str | None) -> dict[str, Any]:
    if definition.query_definition is None:
        return {"kind": HOGQL, "query": sql or ""}
    return strip({key: value for key, value in definition.query_definition.items() if key != "version"})


def _declared_columns(definition: Definition) -> tuple[ContractColumn, ...] | None:
    if definition.columns is None:
        return None
    return tuple(ContractColumn(name=one.name, type=one.type, nullable=one.nullable) for one in definition.columns)


def analysed_columns(contract: Contract) -> tuple[tuple[ContractColumn, ...] | None, str | None]:
    """What the text alone says of the columns: them, or why they cannot be told; both None for insights."""
    return _analysed(contract.query)


def _output(node: Mapping[str, Any]) -> Output | None:
    return output(str(node.get("query") or "")) if node.get("kind") == HOGQL else None


def _analysed(node: Mapping[str, Any]) -> tuple[tuple[ContractColumn, ...] | None, str | None]:
    found = _output(node)
    if found is None:
        return None, None
    if not found.complete:
        return None, found.why or "the columns cannot be told from the query"
    return tuple(map(_column, found.columns)), None


def _column(found: OutputColumn) -> ContractColumn:
    return ContractColumn(
        name=found.name,
        type=found.type,
        nullable=found.nullable,
        expression=found.expression,
        full=found.full,
        why=found.why,
    )


def _with_declared(
    columns: tuple[ContractColumn, ...] | None, declared: tuple[ContractColumn, ...] | None
) -> tuple[ContractColumn, ...] | None:
    """Where the query does not tell, the file's own promise does: lint holds the two against each other (G105)."""
    if declared is None:
        return columns
    if columns is None:
        return declared
    promised = {one.name: one for one in declared}
    return tuple(_promised(column, promised.get(column.name)) for column in columns)


def _promised(column: ContractColumn, promise: ContractColumn | None) -> ContractColumn:
    if promise is None or (column.type != UNKNOWN and column.nullable is not None and column.why is None):
        return column
    kind = promise.type if column.type == UNKNOWN or column.why is not None else column.type
    nullable = column.nullable if promise.nullable is None else promise.nullable
    return replace(column, type=kind, nullable=nullable, why=None if kind != UNKNOWN else column.why)


def _served_columns(
    endpoint: Endpoint, node: Mapping[str, Any]
) -> tuple[tuple[ContractColumn, ...] | None, str | None]:
    """The server's own list. An empty one is what it keeps when describing failed (docs/server.md#answers)."""
    given = tuple(ContractColumn(name=one.name, type=one.type) for one in endpoint.columns or ())
    return _listed(given, node, _NOT_DESCRIBED)


def _listed(
    given: tuple[ContractColumn, ...], node: Mapping[str, Any], why: str
) -> tuple[tuple[ContractColumn, ...] | None, str | None]:
    """A list of columns, to which the text adds what it lacks; without a list, what the text says for certain."""
    found = _output(node)
    if found is None:
        return None, None
    if given:
        return _explained(given, found), None
    return (tuple(map(_column, found.columns)), None) if found.is_certain else (None, why)


def _explained(given: tuple[ContractColumn, ...], found: Output) -> tuple[ContractColumn, ...]:
    """With expression and nullability from the text, where it tells of the same columns."""
    if not found.complete or len(found.columns) != len(given):
        return given
    return tuple(_agreed(mine, told) for mine, told in zip(given, found.columns, strict=True))


def _agreed(mine: ContractColumn, told: OutputColumn) -> ContractColumn:
    if mine.name != told.name:
        return mine
    is_same = told.type == mine.type
    return replace(
        mine,
        expression=told.expression,
        nullable=told.nullable if is_same and mine.nullable is None else mine.nullable,
        full=told.full if is_same and mine.full is None else mine.full,
    )


def _asked_serving(definition: Definition) -> Serving:
    optional = definition.optional_breakdown_properties
    return Serving(
        materialized=definition.materialization.enabled if definition.materialization else None,
        freshness_seconds=definition.freshness_seconds,
        optional_breakdowns=None if optional is None else tuple(sorted(optional)),
        bucket_overrides=None if definition.bucket_overrides is None else dict(definition.bucket_overrides),
        endpoint_active=definition.active,
    )


def _as_version(endpoint: Endpoint) -> EndpointVersion | None:
    from endpoints_gitops.model.endpoint import EndpointVersion

    return endpoint if isinstance(endpoint, EndpointVersion) else None


def _present_serving(endpoint: Endpoint) -> Serving:
    is_on = endpoint.materialization.is_on or endpoint.is_materialized
    version = _as_version(endpoint)
    return Serving(
        materialized=is_on,
        freshness_seconds=endpoint.data_freshness_seconds,
        optional_breakdowns=tuple(sorted(endpoint.optional_breakdown_properties)),
        bucket_overrides=dict(endpoint.bucket_overrides or {}),
        ready=endpoint.is_materialized if is_on else None,
        endpoint_active=version.endpoint_is_active if version else endpoint.is_active,
        version_active=version is None or version.is_active,
    )
