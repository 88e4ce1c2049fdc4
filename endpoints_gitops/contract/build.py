"""Contracts from what people and servers say: a definition, a version, a pin, an answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from endpoints_gitops.contract.clickhouse import is_nullable, type_word
from endpoints_gitops.contract.contract import (
    DATES,
    HOGQL,
    UNKNOWN,
    Contract,
    ContractColumn,
    Identity,
    Input,
    Serving,
)
from endpoints_gitops.hogql.columns import Output, OutputColumn, output
from endpoints_gitops.hogql.insights import breakdown_properties, strip
from endpoints_gitops.hogql.parser import ParseFailure, parse
from endpoints_gitops.hogql.variables import variables_used
from endpoints_gitops.model.definition import Definition, LoadedDefinition, Variable
from endpoints_gitops.model.endpoint import Endpoint, EndpointVersion, InsightVariable
from endpoints_gitops.model.json import Json, JsonObject
from endpoints_gitops.model.pin import Pin, query_hash

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
    inputs = _declared_inputs(definition, node, variables or {})
    columns, why = _analysed(node)
    declared = _declared_columns(definition)
    return Contract(
        name=definition.name,
        query=_with_values(node, inputs),
        inputs=inputs,
        columns=_with_declared(columns, declared),
        columns_why=why,
        serving=_asked_serving(definition),
        tags=None if definition.tags is None else tuple(sorted({tag.strip().lower() for tag in definition.tags})),
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
    version = endpoint if isinstance(endpoint, EndpointVersion) else None
    return Contract(
        name=endpoint.name,
        query=node,
        inputs=_stored_inputs(node, _types(node, variables) | dict(types or {})),
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
        else _stored_inputs(node, {})
    )
    given = tuple(ContractColumn(name=one.name, type=one.type, nullable=one.nullable) for one in pin.columns or ())
    return Contract(
        name=pin.name,
        query=node,
        inputs=inputs,
        columns=_explained(given, _output(node)) if given else None,
        columns_why=_NOT_IN_PIN if is_hogql and not given else None,
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


def _answered(name: str, written: str) -> ContractColumn:
    if not written:
        return ContractColumn(name=name, type=UNKNOWN, why="the answer does not say its type")
    return ContractColumn(name=name, type=type_word(written), nullable=is_nullable(written), clickhouse=written)


def _node(definition: Definition, sql: str | None) -> dict[str, Any]:
    if definition.query_definition is None:
        return {"kind": HOGQL, "query": sql or ""}
    return strip({key: value for key, value in definition.query_definition.items() if key != "version"})


def _declared_inputs(
    definition: Definition, node: Mapping[str, Any], shared: Mapping[str, InsightVariable]
) -> tuple[Input, ...]:
    """Those that the query uses: the server takes no others."""
    if node.get("kind") != HOGQL:
        return _stored_inputs(node, {})
    declared = {one.name: one for one in definition.variables or ()}
    stored = {one.name: one for one in _stored_inputs(node, {})}
    names = _used(str(node.get("query") or ""), (*declared, *stored))
    return tuple(_declared_input(name, declared.get(name), stored.get(name), shared.get(name)) for name in names)


def _declared_input(
    name: str, declared: Variable | None, stored: Input | None, shared: InsightVariable | None
) -> Input:
    """The file's list goes over the node's map, and that over the shared variable."""
    kind = str(declared.type) if declared else str(shared.type) if shared else UNKNOWN
    is_tenant = declared is not None and declared.scope == "tenant"
    if declared is not None and declared.states("default"):
        return _with_default(name, kind, declared.default, is_tenant)
    if stored is not None:
        return replace(stored, type=kind, is_tenant=is_tenant)
    if shared is not None:
        return _with_default(name, kind, shared.default_value, is_tenant)
    return Input(name=name, type=kind, is_open=True, is_tenant=is_tenant)


def _with_default(name: str, kind: str, default: Json, is_tenant: bool) -> Input:
    """Null is no default: whoever sends nothing would compare with NULL (docs/server.md#variables)."""
    return Input(name=name, type=kind, has_default=default is not None, default=_plain(default), is_tenant=is_tenant)


def _plain(value: Json) -> Json:
    """JSON as the server has it: 30 and 30.0 are one number, and tuples are lists."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return list(value) if isinstance(value, tuple) else value


def _stored_inputs(node: Mapping[str, Any], types: Mapping[str, str]) -> tuple[Input, ...]:
    if node.get("kind") != HOGQL:
        properties = dict.fromkeys(breakdown_properties(node))
        return tuple(Input(name=name, type="String", has_default=True) for name in (*properties, *DATES))
    entries = {str(one["code_name"]): one for one in _entries(node)}
    if not entries:
        return ()
    names = _used(str(node.get("query") or ""), tuple(entries))
    return tuple(_stored_input(entries[name], types.get(name, UNKNOWN)) for name in names if name in entries)


def _stored_input(entry: Mapping[str, Any], kind: str) -> Input:
    value = None if entry.get("isNull") is True else entry.get("value")
    return _with_default(str(entry["code_name"]), kind, value, is_tenant=False)


def _entries(node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    given = node.get("variables")
    listed = given.values() if isinstance(given, Mapping) else ()
    return [one for one in listed if isinstance(one, Mapping) and one.get("code_name")]


def _used(sql: str, known: Iterable[str]) -> tuple[str, ...]:
    """In the order of the text; what is declared where the text cannot be read."""
    if "{" not in sql:
        return ()
    try:
        return variables_used(parse(sql))
    except ParseFailure:
        return tuple(dict.fromkeys(known))


def _with_values(node: JsonObject, inputs: Iterable[Input]) -> JsonObject:
    """The node as it will be stored, its variables by code name."""
    if node.get("kind") != HOGQL:
        return node
    bare = {key: value for key, value in node.items() if key != "variables"}
    entries: dict[str, Json] = {
        one.name: {"code_name": one.name, "variableId": one.name}
        | ({"value": one.default} if one.has_default else {"isNull": True})
        for one in inputs
    }
    return {**bare, "variables": entries} if entries else bare


def _types(node: Mapping[str, Any], variables: Mapping[str, InsightVariable] | None) -> dict[str, str]:
    found = {str(one["code_name"]): (variables or {}).get(str(one.get("variableId"))) for one in _entries(node)}
    return {name: str(shared.type) for name, shared in found.items() if shared is not None}


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
        name=found.name, type=found.type, nullable=found.nullable, expression=found.expression, why=found.why
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
    """The server's own list; the text adds what that lacks. An empty list is what it keeps when describing failed."""
    if node.get("kind") != HOGQL:
        return None, None
    if not endpoint.columns:
        return None, _NOT_DESCRIBED
    given = tuple(ContractColumn(name=one.name, type=one.type) for one in endpoint.columns)
    return _explained(given, _output(node)), None


def _explained(given: tuple[ContractColumn, ...], found: Output | None) -> tuple[ContractColumn, ...]:
    """With expression and nullability from the text, where it tells of the same columns."""
    if found is None or not found.complete or len(found.columns) != len(given):
        return given
    return tuple(_agreed(mine, told) for mine, told in zip(given, found.columns, strict=True))


def _agreed(mine: ContractColumn, told: OutputColumn) -> ContractColumn:
    if mine.name != told.name:
        return mine
    is_same = told.type == mine.type and mine.nullable is None
    return replace(mine, expression=told.expression, nullable=told.nullable if is_same else mine.nullable)


def _asked_serving(definition: Definition) -> Serving:
    optional = definition.optional_breakdown_properties
    return Serving(
        materialized=definition.materialization.enabled if definition.materialization else None,
        freshness_seconds=definition.freshness_seconds,
        optional_breakdowns=None if optional is None else tuple(sorted(optional)),
        bucket_overrides=None if definition.bucket_overrides is None else dict(definition.bucket_overrides),
        endpoint_active=definition.active,
    )


def _present_serving(endpoint: Endpoint) -> Serving:
    is_on = endpoint.materialization.is_on or endpoint.is_materialized
    version = endpoint if isinstance(endpoint, EndpointVersion) else None
    return Serving(
        materialized=is_on,
        freshness_seconds=endpoint.data_freshness_seconds,
        optional_breakdowns=tuple(sorted(endpoint.optional_breakdown_properties)),
        bucket_overrides=dict(endpoint.bucket_overrides or {}),
        ready=endpoint.is_materialized if is_on else None,
        endpoint_active=version.endpoint_is_active if version else endpoint.is_active,
        version_active=version is None or version.is_active,
    )
