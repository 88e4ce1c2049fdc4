"""The native client for TypeScript: one module without dependencies, with a typed function for each pin.

`typescript_client.ts` calls endpoints and checks answers; `typescript_insights.ts` is added if an insight is pinned.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files as package_files
from typing import Final

from endpoints_gitops.codegen.interface import (
    EndpointInterface,
    Parameter,
    ValueKind,
    ValueType,
    camel_case,
    identifiers,
    pascal_case,
)
from endpoints_gitops.codegen.literals import json_literal, string_literal
from endpoints_gitops.model.target import GeneratedFile, GenerationTarget

_WORDS: Final = """
    arguments async await break case catch class const continue debugger default delete do else enum eval export extends
    false finally for function if implements import in instanceof interface let new null of package private protected
    public return static super switch this throw true try typeof undefined var void while with yield
    exports require clearTimeout fetch globalThis setTimeout then
"""
_RESERVED: Final = frozenset(_WORDS.split())
"""The words of the language and of CommonJS, the globals that the module uses, and `then`, which `import()` calls."""
_DECLARATION: Final = re.compile(
    r"^(?:export )?(?:async )?(?:function\*?|class|const|let|interface|type) (\w+)", re.MULTILINE
)
_IDENTIFIER: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_PLAIN: Final[Mapping[ValueKind, str]] = {
    ValueKind.INTEGER: "number",
    ValueKind.FLOAT: "number",
    ValueKind.DECIMAL: "string",
    ValueKind.STRING: "string",
    ValueKind.BOOLEAN: "boolean",
    ValueKind.DATE: "string",
    ValueKind.DATETIME: "string",
}


def files(
    interfaces: Sequence[EndpointInterface],
    target: GenerationTarget,  # noqa: ARG001 - as in other languages
) -> tuple[GeneratedFile, ...]:
    """One module."""
    has_insights = any(interface.is_insight for interface in interfaces)
    runtime = _template("typescript_client.ts") + (_template("typescript_insights.ts") if has_insights else "")
    reserved = _RESERVED.union(_DECLARATION.findall(_template("typescript_client.ts")))
    reserved |= frozenset(_DECLARATION.findall(_template("typescript_insights.ts")))
    names = [interface.pin.name for interface in interfaces]
    functions = identifiers(names, lambda name: _free(camel_case(name), reserved), reserved)
    types = identifiers(names, pascal_case)
    parts = [
        "\n".join(_endpoint(interface, functions[interface.pin.name], types[interface.pin.name])) + "\n"
        for interface in interfaces
    ]
    return (
        GeneratedFile(
            path="endpoints_client.ts",
            text="/* eslint-disable */\n\n" + "\n".join([*parts, runtime]),
            pins=tuple(interface.pin for interface in interfaces),
        ),
    )


@cache
def _template(name: str) -> str:
    return package_files("endpoints_gitops.codegen").joinpath(name).read_text(encoding="utf-8")


def _free(name: str, reserved: frozenset[str]) -> str:
    return f"{name}_" if name in reserved else name


def _endpoint(interface: EndpointInterface, function: str, name: str) -> Iterator[str]:
    """The types and the function of an endpoint."""
    pin = interface.pin
    variables = "Record<string, never>"
    if interface.parameters:
        variables = f"{name}Variables"
        yield f"/** The variables of {pin.label}. */"
        yield f"export interface {variables} {{"
        for parameter in interface.parameters:
            yield from _variable(parameter)
        yield "}\n"
    record = interface.record or "Json"
    if not interface.is_insight:
        record = f"{name}Row"
        yield f"/** A row of {pin.label}. */"
        yield from _row(interface, record)
    refresh = "TableRefresh" if pin.materialized else '"cache" | "force"'
    yield from _comment(interface)
    kind = "insightEndpoint" if interface.is_insight else "rowEndpoint"
    yield f"export const {function} = /* @__PURE__ */ {kind}<{variables}, {record}, {refresh}>("
    yield "  {"
    yield f"    name: {string_literal(pin.name)},"
    yield f"    version: {pin.version},"
    created_at = "null" if pin.created_at is None else string_literal(pin.created_at.isoformat())
    yield f"    createdAt: {created_at},"
    yield f"    materialized: {str(pin.materialized).lower()},"
    if not interface.is_insight:
        if interface.fields is None:
            yield "    columns: null,"
        else:
            yield "    columns: ["
            for field in interface.fields:
                yield f"      [{string_literal(field.column)}, {_specification(field.type)}],"
            yield "    ],"
        if interface.repeated_columns:
            yield "    byPosition: true,"
    yield "  },"
    if interface.is_insight:
        yield f"  {'null' if interface.record is None else string_literal(interface.record)},"
    yield ");"


def _variable(parameter: Parameter) -> Iterator[str]:
    if parameter.has_default and not parameter.required:
        yield f"  /** The default is {_comment_text(json_literal(parameter.default))}. */"
    mark = "" if parameter.required else "?"
    optional = "" if parameter.required else " | undefined"
    yield f"  readonly {_property(parameter.variable)}{mark}: {_argument(parameter)}{optional};"


def _argument(parameter: Parameter) -> str:
    """The type of a value that the server takes for a variable."""
    kind = parameter.type.kind
    text = "string" if kind is ValueKind.ARRAY else _PLAIN.get(kind, "Json")
    if text != "Json" and (parameter.takes_lists or kind is ValueKind.ARRAY):
        text = f"{text} | readonly {text}[]"
    return f"{text} | null" if parameter.type.nullable and text != "Json" else text


def _row(interface: EndpointInterface, record: str) -> Iterator[str]:
    if interface.fields is None:
        yield f"export interface {record} {{"
        yield "  readonly [column: string]: Json;"
        yield "}\n"
    elif interface.repeated_columns:
        yield f"export type {record} = readonly ["
        for field in interface.fields:
            yield f"  /* {_comment_text(field.column)} */ {_type(field.type)},"
        yield "];\n"
    else:
        yield f"export interface {record} {{"
        for field in interface.fields:
            yield f"  readonly {_property(field.column)}: {_type(field.type)};"
        yield "}\n"


def _type(kind: ValueType) -> str:
    """The type of a value in a row."""
    if kind.kind is ValueKind.ANY:
        return "Json"
    text = _PLAIN.get(kind.kind, "")
    if kind.kind is ValueKind.ARRAY:
        item = _type(kind.items[0])
        text = f"readonly ({item})[]" if " " in item else f"readonly {item}[]"
    elif kind.kind is ValueKind.TUPLE:
        text = f"readonly [{', '.join(map(_type, kind.items))}]"
    elif kind.kind is ValueKind.MAP:
        text = f"{{ readonly [key: string]: {_type(kind.items[1])} }}"
    return f"{text} | null" if kind.nullable else text


def _specification(kind: ValueType) -> str:
    """A type as the value that the client checks answers with."""
    parts = [f'kind: "{kind.kind}"']
    if kind.nullable:
        parts.append("nullable: true")
    if kind.items:
        parts.append(f"items: [{', '.join(map(_specification, kind.items))}]")
    return f"{{ {', '.join(parts)} }}"


def _comment(interface: EndpointInterface) -> Iterator[str]:
    pin = interface.pin
    lines = [f"`{pin.name}`, version {pin.version}{', materialized' if pin.materialized else ''}."]
    if pin.deprecation is not None:
        replacement = f"; use `{pin.deprecation.replaced_by}` instead" if pin.deprecation.replaced_by else ""
        lines.append(f"@deprecated The sunset is {pin.deprecation.sunset}{replacement}.")
    if len(lines) == 1:
        yield f"/** {_comment_text(lines[0])} */"
        return
    yield "/**"
    yield from (f" * {_comment_text(line)}" for line in lines)
    yield " */"


def _comment_text(text: str) -> str:
    """A text that does not end the comment around it."""
    return " ".join(text.split()).replace("*/", "*\\/")


def _property(name: str) -> str:
    return name if _IDENTIFIER.fullmatch(name) else string_literal(name)
