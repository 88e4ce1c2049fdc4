"""OpenAPI documents of pins: as PostHog serves them, and enriched by what the lock knows.

PostHog's document of a version does not know which version is pinned, describes rows as arrays of anything, and lacks
`offset`, most errors and the kinds of insights (docs/server.md#running). An enriched document takes all of these from
the pin, and only its texts, its server and its path from the served one. Enriching an enriched document of the same pin
changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from endpoints_gitops.codegen.interface import (
    EndpointInterface,
    Parameter,
    identifiers,
    interface_of,
    pascal_case,
    snake_case,
)
from endpoints_gitops.codegen.openapi_schemas import (
    ERRORS,
    INSIGHTS,
    Schema,
    answer_schema,
    insight_schema_name,
    reference,
    row_schema,
    value_schema,
)
from endpoints_gitops.model.json import Json, JsonObject, canonical
from endpoints_gitops.model.pin import Pin

MARK: Final = "x-endpoints-gitops"
"""The key of `info` that only documents written by this program have."""


class OpenApiVersion(StrEnum):
    """The versions in which documents can be written. Generators read 3.0 most reliably; 3.1 types rows by position."""

    V3_0 = "3.0"
    V3_1 = "3.1"


class DocumentForm(StrEnum):
    """Whether a document is PostHog's, apart from its mark, or enriched."""

    ENRICHED = "enriched"
    SERVED = "as-served"


class UnreadableDocument(Exception):
    """A document is not one that PostHog serves for a version, or not one that can be combined; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentMark:
    """What a document of ours says about itself: the pin that it was made from, and its form."""

    name: str
    version: int
    environment: str
    contract_hash: str
    form: DocumentForm

    @classmethod
    def of(cls, pin: Pin, form: DocumentForm) -> DocumentMark:
        return cls(
            name=pin.name,
            version=pin.version,
            environment=pin.environment,
            contract_hash=pin.contract_hash,
            form=form,
        )

    def as_json(self) -> JsonObject:
        return {
            "name": self.name,
            "version": self.version,
            "environment": self.environment,
            "contract_hash": self.contract_hash,
            "form": str(self.form),
        }


def mark_of(document: object) -> DocumentMark | None:
    """The mark of a document of one pin; None if this program did not write it."""
    info = document.get("info") if isinstance(document, Mapping) else None
    mark = info.get(MARK) if isinstance(info, Mapping) else None
    match mark:
        case {
            "name": str(name),
            "version": int(version),
            "environment": str(environment),
            "contract_hash": str(contract_hash),
            "form": "enriched" | "as-served" as form,
        }:
            return DocumentMark(
                name=name,
                version=version,
                environment=environment,
                contract_hash=contract_hash,
                form=DocumentForm(form),
            )
    return None


def is_ours(document: object) -> bool:
    """Whether this program wrote a document, of one pin or combined."""
    info = document.get("info") if isinstance(document, Mapping) else None
    return isinstance(info, Mapping) and MARK in info


def document_text(document: JsonObject) -> str:
    """The document as JSON: equal documents have equal texts, in which reviews show single changes."""
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def endpoint_name(document: JsonObject) -> str:
    """The endpoint that a document of one pin is about. Raises UnreadableDocument."""
    return _Served(document).name


def as_served(served: JsonObject, pin: Pin) -> JsonObject:
    """The served document with our mark. Raises UnreadableDocument for one of another endpoint or version."""
    info = _Served(served).of(pin).info
    return {**served, "info": {**info, MARK: DocumentMark.of(pin, DocumentForm.SERVED).as_json()}}


def enrich(served: JsonObject, pin: Pin, version: OpenApiVersion = OpenApiVersion.V3_0) -> JsonObject:
    """The document of a pin, enriched from the lock.

    `served` is the document as PostHog serves it, or an enriched one of the same endpoint. Its version of the endpoint
    does not matter: only texts, servers and the path are read from it. Raises UnreadableDocument if `served` is not of
    this endpoint or has no operation that runs it.
    """
    source, interface = _Served(served).of(pin, any_version=True), interface_of(pin)
    document: dict[str, Any] = {
        "openapi": "3.0.3",
        "info": {
            "title": pin.name,
            "description": source.text(source.info, "description", f"PostHog Endpoint: {pin.name}"),
            "version": str(pin.version),
            MARK: DocumentMark.of(pin, DocumentForm.ENRICHED).as_json(),
        },
        "servers": source.servers,
        "paths": {source.path: {"post": _operation(source, interface)}},
        "components": {"securitySchemes": source.security_schemes, "schemas": _schemas(source, interface)},
    }
    return as_3_1(document) if version is OpenApiVersion.V3_1 else document


class _Served:
    """Typed access to a document of one version. Raises UnreadableDocument where it has another shape."""

    def __init__(self, document: JsonObject) -> None:
        self._document: Mapping[str, Any] = document
        self.info: Mapping[str, Any] = _object_in(document, "info")
        title = self.info.get("title")
        if not isinstance(title, str) or not title:
            raise UnreadableDocument("info.title is not the name of an endpoint")
        self.name = title
        paths = _object_in(document, "paths")
        runs = [path for path in paths if path.rstrip("/").endswith("/run")]
        if len(runs) != 1 or len(paths) != 1:
            raise UnreadableDocument("it does not have exactly one path, which ends in /run")
        self.path = runs[0]
        self.operation = _object_in(_object_in(paths, self.path, "paths"), "post", f"paths.{self.path}")

    def of(self, pin: Pin, *, any_version: bool = False) -> _Served:
        """This document. Raises UnreadableDocument if it is about another endpoint or version."""
        if self.name != pin.name:
            raise UnreadableDocument(f"it describes the endpoint {self.name!r} and not {pin.name}")
        if not any_version and self.info.get("version") != str(pin.version):
            raise UnreadableDocument(f"it describes version {self.info.get('version')!r} and not {pin.version}")
        return self

    @property
    def servers(self) -> Sequence[JsonObject]:
        servers = self._document.get("servers")
        if not isinstance(servers, list) or not servers or not all(map(_has_url, servers)):
            raise UnreadableDocument("it has no list of servers with URLs")
        return servers

    @property
    def security_schemes(self) -> JsonObject:
        components = self._document.get("components")
        schemes = components.get("securitySchemes") if isinstance(components, Mapping) else None
        scheme = schemes.get(_SCHEME) if isinstance(schemes, Mapping) else None
        described = scheme if isinstance(scheme, Mapping) else {}
        description = self.text(described, "description", "A personal API key, or a project secret key.")
        return {_SCHEME: {"type": "http", "scheme": "bearer", "description": description}}

    def variable(self, name: str) -> Mapping[str, Any]:
        """The schema of a variable; empty if the document has none."""
        value: Any = self._document
        for key in ("components", "schemas", "Variables", "properties", name):
            value = value.get(key) if isinstance(value, Mapping) else None
        return value if isinstance(value, Mapping) else {}

    @staticmethod
    def text(where: Mapping[str, Any], key: str, default: str) -> str:
        value = where.get(key)
        return value if isinstance(value, str) and value else default


_SCHEME: Final = "PersonalAPIKey"


def _object_in(value: object, key: str, where: str = "") -> Mapping[str, Any]:
    item = value.get(key) if isinstance(value, Mapping) else None
    if not isinstance(item, Mapping):
        raise UnreadableDocument(f"{'.'.join(filter(None, (where, key)))} is not an object")
    return item


def _has_url(server: object) -> bool:
    return isinstance(server, Mapping) and isinstance(server.get("url"), str)


def _operation(source: _Served, interface: EndpointInterface) -> Schema:
    name = interface.pin.name
    return {
        "operationId": source.text(source.operation, "operationId", f"run_{snake_case(name)}"),
        "summary": source.text(source.operation, "summary", f"Execute {name}"),
        "description": source.text(source.operation, "description", f"Execute the {name} endpoint"),
        "tags": ["Endpoints"],
        "security": [{_SCHEME: []}],
        "requestBody": {"required": True, "content": _content("EndpointRunRequest")},
        "responses": {
            "200": {"description": "The results.", "content": _content("RunAnswer")},
            "400": _error("The request is wrong, or the query failed or was too expensive.", "AnyError"),
            "401": _error("The key is missing or refused.", headers={"WWW-Authenticate": _STRING_HEADER}),
            "403": _error("The key lacks the scope endpoint:read, or is for another project."),
            "404": _error("The endpoint does not exist or is inactive, or it lacks this version.", "AnyError"),
            "429": _error("Too many requests, or too many at once.", headers={"Retry-After": _RETRY_AFTER}),
            "503": _error("The server is at capacity.", headers={"Retry-After": _RETRY_AFTER}),
        },
    }


_STRING_HEADER: Final[Schema] = {"schema": {"type": "string"}}
_RETRY_AFTER: Final[Schema] = {
    "description": "The seconds to wait. Absent if too many queries run at once.",
    "schema": {"type": "integer", "minimum": 0},
}


def _error(description: str, schema: str = "Error", headers: Schema | None = None) -> Schema:
    return {"description": description, **({"headers": headers} if headers else {}), "content": _content(schema)}


def _content(schema: str) -> Schema:
    return {"application/json": {"schema": reference(schema)}}


def _schemas(source: _Served, interface: EndpointInterface) -> Mapping[str, Schema]:
    schemas: dict[str, Schema] = {
        **ERRORS,
        "EndpointRunRequest": _request(interface),
        "RunAnswer": answer_schema(interface),
    }
    if interface.parameters:
        schemas["Variables"] = _variables(source, interface.parameters)
    if not interface.is_insight:
        schemas["Row"] = row_schema(interface)
    elif (insight := insight_schema_name(interface)) is not None:
        schemas[insight] = INSIGHTS[insight]
        if insight == "RetentionCohort":
            schemas["RetentionValue"] = INSIGHTS["RetentionValue"]
    return schemas


def _request(interface: EndpointInterface) -> Schema:
    pin = interface.pin
    refresh = ["cache", "force", *(["direct"] if pin.materialized else [])]
    properties: dict[str, Schema] = {
        "version": {"type": "integer", "enum": [pin.version], "description": "The pinned version."},
        "client_query_id": {"type": "string"},
        "refresh": {
            "type": "string",
            "enum": refresh,
            "description": "`cache` (the default), or `force` to bypass the cache"
            + (", or `direct` to bypass the table too." if pin.materialized else "."),
        },
        "debug": {"type": "boolean"},
    }
    if not interface.is_insight:  # the server refuses both for insights
        properties["limit"] = {"type": "integer", "minimum": 1, "description": "The most rows to return."}
        properties["offset"] = {"type": "integer", "minimum": 0, "description": "The rows to skip; needs `limit`."}
    required = ["version"]
    if interface.parameters:
        properties["variables"] = reference("Variables")
        required += ["variables"] if interface.requires_variables else []
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _variables(source: _Served, parameters: Sequence[Parameter]) -> Schema:
    schema: Schema = {
        "type": "object",
        "description": "Values of the variables of this endpoint.",
        "properties": {parameter.variable: _variable(source, parameter) for parameter in parameters},
        "additionalProperties": False,
    }
    required = [parameter.variable for parameter in parameters if parameter.required]
    return schema | ({"required": required} if required else {})


def _variable(source: _Served, parameter: Parameter) -> Schema:
    served = source.variable(parameter.variable)
    schema = value_schema(parameter.type)
    if parameter.takes_lists and isinstance(parameter.default, list | tuple) and schema.get("type") != "array":
        schema = {"anyOf": [schema, {"type": "array", "items": schema}]}
    description = source.text(served, "description", f"Variable: {parameter.variable}")
    examples = [served["example"]] if "example" in served else served.get("examples")
    if not examples and parameter.has_default and parameter.default is not None:
        examples = [parameter.default]
    return {**schema, "description": description, **({"example": examples[0]} if examples else {})}


def as_3_1(document: JsonObject) -> JsonObject:
    """An enriched document of OpenAPI 3.0.3 as 3.1: arrays with `x-tuple` get a type for each position."""
    components: Mapping[str, Any] = _object_in(document, "components")
    schemas = {name: _schema_3_1(schema) for name, schema in components["schemas"].items()}
    return {**document, "openapi": "3.1.0", "components": {**components, "schemas": schemas}}


def _schema_3_1(schema: Schema) -> Schema:
    written = dict(schema)
    if "properties" in written:
        written["properties"] = {name: _schema_3_1(item) for name, item in written["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(written.get(key), Mapping):
            written[key] = _schema_3_1(written[key])
    if written.get("nullable"):  # the choices are nullable too, which one more choice says
        written |= {"anyOf": [{**item, "nullable": False} for item in written["anyOf"]]} if "anyOf" in written else {}
    for key in ("anyOf", "allOf", "x-tuple"):
        if key in written:
            written[key] = [_schema_3_1(item) for item in written[key]]
    if "x-tuple" in written:
        written["prefixItems"], written["items"] = written.pop("x-tuple"), False
    if "example" in written:
        written["examples"] = [written.pop("example")]
    return _or_null(written) if written.pop("nullable", False) else written


def _or_null(schema: Schema) -> Schema:
    null: Schema = {"type": "null"}
    if "anyOf" in schema:
        return {**schema, "anyOf": [*schema["anyOf"], null]}
    assert "type" in schema, "our schemas have a type or choices where they are nullable"
    return {**schema, "type": [schema["type"], "null"]}


_OF_ONE_ENDPOINT: Final = frozenset({"EndpointRunRequest", "Row", "RunAnswer", "Variables"})
"""Schemas that get the name of their endpoint even where those of all documents are equal, so that an endpoint that is
added later does not rename what apps import."""


def combine(documents: Sequence[JsonObject]) -> JsonObject:
    """One document with the operations of several, each of one endpoint and in the same version of OpenAPI.

    Components of one name that are equal in all documents are shared; others get the endpoint's name in front
    (`SignUpsVariables` for `sign-ups`). Names, operations and models differ even where upper and lower case, `-` and
    `_` do not count, because generators write them in their own style and into files. The order of the documents does
    not matter.

    Raises UnreadableDocument for documents of the same path or of different versions of OpenAPI, and for none at all.
    """
    parts = sorted((_CombinedPart(document) for document in documents), key=lambda part: part.source.name)
    versions = sorted({part.openapi for part in parts})
    if len(versions) != 1:
        problem = f"they are in different versions of OpenAPI: {', '.join(versions)}" if versions else "there are none"
        raise UnreadableDocument(problem)
    names = [part.source.name for part in parts]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise UnreadableDocument(f"two of them describe {repeated[0]}")
    prefixes = identifiers(names, pascal_case, same=_bare)
    operations = identifiers(names, snake_case, same=_bare)
    _name_components(parts, prefixes)
    servers = [part.source.servers for part in parts]
    has_one_server = all(canonical(server) == canonical(servers[0]) for server in servers)
    paths: dict[str, Json] = {}
    components: dict[str, dict[str, Json]] = {}
    for part in parts:
        item = part.path_item(f"run_{operations[part.source.name]}")
        paths[part.source.path] = item if has_one_server else {**item, "servers": part.source.servers}
        for section, key, value in part.renamed_components():
            components.setdefault(section, {})[key] = value
    return {
        "openapi": versions[0],
        "info": {
            "title": "PostHog endpoints",
            "description": "The endpoints that this app calls, each in the version that it pins.",
            "version": "1",
            MARK: [part.summary for part in parts],
        },
        **({"servers": servers[0]} if has_one_server else {}),
        "paths": paths,
        "components": components,
    }


class _CombinedPart:
    """One of the documents that are combined. `names` has the new name of each component, by section and name."""

    def __init__(self, document: JsonObject) -> None:
        self.source = _Served(document)
        self.openapi = str(document.get("openapi"))
        self.names: dict[tuple[str, str], str] = {}
        self.components: Mapping[str, Any] = _object_in(document, "components")
        self._mark = mark_of(document)

    @property
    def summary(self) -> JsonObject:
        """What the combined document says about this one."""
        if self._mark is not None:
            return self._mark.as_json()
        return {"name": self.source.name, "version": self.source.text(self.source.info, "version", "")}

    def named(self) -> Mapping[tuple[str, str], Any]:
        """Every component by its section and name."""
        return {
            (section, name): value
            for section, values in self.components.items()
            if isinstance(values, Mapping)
            for name, value in values.items()
        }

    def path_item(self, operation_id: str) -> JsonObject:
        operation = {**self.source.operation, "operationId": operation_id}
        security = operation.get("security")
        if isinstance(security, list):
            operation["security"] = [self._renamed_schemes(item) for item in security]
        return {"post": self._renamed(operation)}

    def renamed_components(self) -> Sequence[tuple[str, str, Json]]:
        named = self.named()
        return [(section, self.names[section, name], self._renamed(named[section, name])) for section, name in named]

    def references(self, value: object) -> frozenset[tuple[str, str]]:
        """The components that a value refers to."""
        if isinstance(value, Mapping):
            target = _referenced(value)
            inner = frozenset().union(*map(self.references, value.values()))
            return inner if target is None else inner | {target}
        return frozenset().union(*map(self.references, value)) if isinstance(value, list) else frozenset()

    def _renamed(self, value: Any) -> Any:  # noqa: ANN401 - JSON of any shape
        """The value with new names in its references."""
        if isinstance(value, list):
            return [self._renamed(item) for item in value]
        if not isinstance(value, Mapping):
            return value
        target = _referenced(value)
        if target is None:
            return {key: self._renamed(item) for key, item in value.items()}
        if target not in self.names:
            raise UnreadableDocument(f"the document of {self.source.name} lacks components.{'.'.join(target)}")
        return {**value, "$ref": f"#/components/{target[0]}/{self.names[target]}"}

    def _renamed_schemes(self, requirement: Json) -> Json:
        if not isinstance(requirement, Mapping):
            return requirement
        return {self.names.get(("securitySchemes", name), name): item for name, item in requirement.items()}


def _referenced(value: Mapping[str, Any]) -> tuple[str, str] | None:
    """The section and name of the component that an object refers to."""
    written = value.get("$ref")
    if not isinstance(written, str):
        return None
    parts = written.removeprefix("#/components/").split("/")
    return (parts[0], parts[1]) if len(parts) == 2 else None


def _name_components(parts: Sequence[_CombinedPart], prefixes: Mapping[str, str]) -> None:
    """Choose the name of every component of every document."""
    shared = _shared(parts)
    taken = {(section, _bare(name)) for section, name in shared}
    for part in parts:
        part.names = {key: key[1] for key in part.named() if key in shared}
        for section, name in sorted(part.named().keys() - shared):
            base = candidate = f"{prefixes[part.source.name]}{name}"
            number = 2
            while (section, _bare(candidate)) in taken:
                candidate, number = f"{base}_{number}", number + 1
            taken.add((section, _bare(candidate)))
            part.names[section, name] = candidate


def _shared(parts: Sequence[_CombinedPart]) -> frozenset[tuple[str, str]]:
    """The components that are equal wherever they are, with everything that they refer to."""
    texts: dict[tuple[str, str], set[str]] = {}
    refers: dict[tuple[str, str], frozenset[tuple[str, str]]] = {}
    for part in parts:
        for key, value in part.named().items():
            texts.setdefault(key, set()).add(canonical(value))
            refers[key] = refers.get(key, frozenset()) | part.references(value)
    shared = {key for key, different in texts.items() if len(different) == 1 and key[1] not in _OF_ONE_ENDPOINT}
    while lost := {key for key in shared if not refers[key] <= shared}:
        shared -= lost
    return frozenset(shared)


def _bare(name: str) -> str:
    """What is left of a name where neither case nor separators count."""
    return name.replace("_", "").replace("-", "").lower()
