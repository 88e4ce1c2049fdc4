"""Contracts of a definition, a server's version and a pin, and the columns of an answer."""

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

if TYPE_CHECKING:
    from endpoints_gitops.model.definition import Definition, LoadedDefinition
    from endpoints_gitops.model.endpoint import Endpoint, EndpointVersion, InsightVariable
    from endpoints_gitops.model.pin import Pin, PinnedColumn

_NOT_DESCRIBED: Final = "the server could not describe the columns of this query"
_NOT_IN_PIN: Final = "the lock has no columns for it"


def from_definition(
    loaded: LoadedDefinition,
    environment: str | None = None,
    variables: Mapping[str, InsightVariable] | None = None,
) -> Contract:
    """The contract that a definition promises.

    `variables` are the project's shared variables by code name, where they are known: they supply the defaults that
    the file does not declare.
    """
    definition = loaded.definition.in_environment(environment)
    node = _node(definition, loaded.sql)
    inputs = declared_inputs(definition, node, variables or {})
    columns, why = _inferred(node)
    declared = _declared_columns(definition)
    return Contract(
        name=definition.name,
        query=with_values(node, inputs),
        inputs=inputs,
        columns=_with_declared(columns, declared),
        columns_why=why,
        serving=_declared_serving(definition),
        tags=None if definition.tags is None else _tags(definition.tags),
        stability=definition.stability or "stable",
        deprecation=definition.deprecation.notice if definition.deprecation else None,
        knows_notice=True,
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
    """The contract of an endpoint on a server (its current version) or of one of its versions.

    `variables` are the shared variables by id; `types` are types by code name, for callers that know only those.
    """
    from endpoints_gitops.model.pin import query_hash

    node = strip(endpoint.query)
    columns, why = _served_columns(endpoint, node)
    version = _as_version(endpoint)
    return Contract(
        name=endpoint.name,
        query=node,
        inputs=stored_inputs(node, types_by_name(node, variables) | dict(types or {})),
        columns=columns,
        columns_why=why,
        serving=_server_serving(endpoint),
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
    """The contract that a pin locks."""
    node = strip(pin.query)
    is_hogql = pin.kind == HOGQL
    pinned = {variable.name: variable for variable in pin.variables}
    inputs = (
        tuple(
            Input(
                name=variable.name,
                type=variable.type,
                has_default=variable.has_default and variable.default is not None,
                default=variable.default,
            )
            for variable in pinned.values()
        )
        if is_hogql
        else stored_inputs(node, {})
    )
    locked = tuple(map(_pinned_column, pin.columns or ()))
    columns, why = _listed(locked, node, _NOT_IN_PIN)
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
        deprecation=pin.deprecation,
    )


def columns_of_answer(columns: Iterable[str], types: Iterable[tuple[str, str]]) -> tuple[ContractColumn, ...]:
    """The columns of a run's answer.

    `types` are pairs of name and ClickHouse type. They are matched by position, because their names can differ from
    those of `columns` (docs/server.md#hogql).
    """
    clickhouse_types = [kind for _, kind in types]
    names = list(columns)
    padded = [*clickhouse_types, *[""] * (len(names) - len(clickhouse_types))]
    return tuple(_answer_column(name, kind) for name, kind in zip(names, padded, strict=False))


def _pinned_column(column: PinnedColumn) -> ContractColumn:
    return ContractColumn(
        name=column.name, type=column.type, nullable=column.nullable, full=column.full, varies=column.varies
    )


def _answer_column(name: str, clickhouse: str) -> ContractColumn:
    if not clickhouse:
        return ContractColumn(name=name, type=UNKNOWN, why="the answer has no type for it")
    return ContractColumn(
        name=name,
        type=type_word(clickhouse),
        nullable=is_nullable(clickhouse),
        clickhouse=clickhouse,
        full=full_type(clickhouse),
    )


def _tags(tags: Iterable[str]) -> tuple[str, ...]:
    """The tags as the server stores them (docs/server.md#bodies)."""
    return tuple(sorted({" ".join(tag.split()).lower() for tag in tags} - {""}))


def _node(definition: Definition, sql: str | None) -> dict[str, Any]:
    if definition.query_definition is None:
        return {"kind": HOGQL, "query": sql or ""}
    return strip({key: value for key, value in definition.query_definition.items() if key != "version"})


def _declared_columns(definition: Definition) -> tuple[ContractColumn, ...] | None:
    if definition.columns is None:
        return None
    return tuple(
        ContractColumn(name=column.name, type=column.type, nullable=column.nullable) for column in definition.columns
    )


def analyzed_columns(contract: Contract) -> tuple[tuple[ContractColumn, ...] | None, str | None]:
    """The columns inferred from the query alone and None, or None and why they are unknown; both None for insights."""
    return _inferred(contract.query)


def _output(node: Mapping[str, Any]) -> Output | None:
    return output(str(node.get("query") or "")) if node.get("kind") == HOGQL else None


def _inferred(node: Mapping[str, Any]) -> tuple[tuple[ContractColumn, ...] | None, str | None]:
    inferred = _output(node)
    if inferred is None:
        return None, None
    if not inferred.complete:
        return None, inferred.why or "the columns cannot be inferred from the query"
    return tuple(map(_column, inferred.columns)), None


def _column(column: OutputColumn) -> ContractColumn:
    return ContractColumn(
        name=column.name,
        type=column.type,
        nullable=column.nullable,
        expression=column.expression,
        full=column.full,
        why=column.why,
        varies=_may_vary(column),
    )


def _with_declared(
    columns: tuple[ContractColumn, ...] | None, declared: tuple[ContractColumn, ...] | None
) -> tuple[ContractColumn, ...] | None:
    """The columns, with declared types where the query does not determine them. Rule G105 reports contradictions."""
    if declared is None:
        return columns
    if columns is None:
        return declared
    promises = {column.name: column for column in declared}
    return tuple(_with_promise(column, promises.get(column.name)) for column in columns)


def _with_promise(column: ContractColumn, promise: ContractColumn | None) -> ContractColumn:
    if promise is None or (column.type != UNKNOWN and column.nullable is not None and column.why is None):
        return column
    kind = promise.type if column.type == UNKNOWN or column.why is not None else column.type
    nullable = column.nullable if promise.nullable is None else promise.nullable
    return replace(column, type=kind, nullable=nullable, why=None if kind != UNKNOWN else column.why)


def _served_columns(
    endpoint: Endpoint, node: Mapping[str, Any]
) -> tuple[tuple[ContractColumn, ...] | None, str | None]:
    """The server's own list. The server stores an empty one if it failed to describe the query
    (docs/server.md#answers)."""
    served = tuple(ContractColumn(name=column.name, type=column.type) for column in endpoint.columns or ())
    return _listed(served, node, _NOT_DESCRIBED)


def _listed(
    columns: tuple[ContractColumn, ...], node: Mapping[str, Any], why: str
) -> tuple[tuple[ContractColumn, ...] | None, str | None]:
    """The listed columns, completed from the query text; without a list, those that are certain from the text."""
    inferred = _output(node)
    if inferred is None:
        return None, None
    if columns:
        return _completed(columns, inferred), None
    return (tuple(map(_column, inferred.columns)), None) if inferred.is_certain else (None, why)


def _completed(columns: tuple[ContractColumn, ...], inferred: Output) -> tuple[ContractColumn, ...]:
    """The columns with expression and nullability from the text, if the text has the same columns."""
    if not inferred.complete or len(inferred.columns) != len(columns):
        return columns
    return tuple(_completed_column(*pair) for pair in zip(columns, inferred.columns, strict=True))


def _may_vary(inferred: OutputColumn) -> bool:
    """Whether the type can be that of a variable, which the analysis takes for a text, as the server does."""
    return inferred.type == "string" and inferred.nullable is None and not inferred.known


def _completed_column(column: ContractColumn, inferred: OutputColumn) -> ContractColumn:
    if column.name != inferred.name:
        return column
    is_same = inferred.type == column.type
    return replace(
        column,
        expression=inferred.expression,
        nullable=inferred.nullable if is_same and column.nullable is None else column.nullable,
        full=inferred.full if is_same and column.full is None else column.full,
        varies=column.varies or _may_vary(inferred),
    )


def _declared_serving(definition: Definition) -> Serving:
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


def _server_serving(endpoint: Endpoint) -> Serving:
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
