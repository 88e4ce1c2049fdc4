"""The native client for Go: one file that needs only the standard library, with a method for each pin.

`go_client.go` calls endpoints and checks answers; `go_insights.go` is added if an insight is pinned. The text is what
gofmt makes of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files as package_files
from itertools import groupby
from typing import Final

from endpoints_gitops.codegen.interface import (
    EndpointInterface,
    Parameter,
    RowField,
    ValueKind,
    ValueType,
    camel_case,
    identifiers,
    pascal_case,
)
from endpoints_gitops.codegen.literals import json_literal, string_literal
from endpoints_gitops.model.printable import one_line
from endpoints_gitops.model.target import GeneratedFile, GenerationTarget, is_go_package

_WORDS: Final = """
any bool break byte c case chan const context continue ctx default defer else error fallthrough false float64 for func
chosen go goto if import int int64 interface iota iter json len map max min nil options package page range return select
string struct switch time true type var variables
"""
_RESERVED: Final = frozenset(_WORDS.split())
"""The words of the language, and the names that methods use."""
_DECLARATION: Final = re.compile(r"^(?:func|type|var|const|\t) ?(\w+)", re.MULTILINE)
_STANDARD: Final = frozenset(
    ("Format", "GobDecode", "GobEncode", "MarshalJSON", "MarshalXML", "Peek", "ReadByte", "ReadFrom", "ReadRune",
     "Scan", "Seek", "UnmarshalJSON", "UnmarshalXML", "UnreadByte", "UnreadRune", "WriteByte", "WriteTo")
)  # fmt: skip
"""Methods whose signatures `go vet` knows."""
_OPTIONS: Final = frozenset(("CallOptions", "RowOptions", "Limit", "MaxWait", "Offset", "Refresh", "Timeout"))
_TAG_CHARACTERS: Final = "!#$%&()*+-./:;<=>?@[]^_{|}~ "
_PLAIN: Final[Mapping[ValueKind, tuple[str, str]]] = {
    ValueKind.INTEGER: ("int64", "integer"),
    ValueKind.FLOAT: ("float64", "float"),
    ValueKind.DECIMAL: ("string", "decimal"),
    ValueKind.STRING: ("string", "text"),
    ValueKind.BOOLEAN: ("bool", "boolean"),
    ValueKind.DATE: ("string", "text"),
    ValueKind.DATETIME: ("time.Time", "moment"),
}
"""The type of each kind, and the function that reads it."""


def files(interfaces: Sequence[EndpointInterface], target: GenerationTarget) -> tuple[GeneratedFile, ...]:
    """One file."""
    endpoints = _go_endpoints(interfaces)
    head, _, runtime = _template("go_client.go").partition("\n)\n")
    head = head.replace("package endpoints\n", f"package {_package(target)}\n", 1) + "\n)"
    has_insights = any(interface.is_insight for interface in interfaces)
    insights = [_template("go_insights.go").partition("\n)\n")[2]] if has_insights else []
    arities = sorted(
        {arity for interface in interfaces for field in interface.fields or () for arity in _arities(field.type)}
    )
    parts = [head, *map(_endpoint, endpoints), *map(_tuple, arities), runtime, *insights]
    text = "\n\n".join(part.strip("\n") for part in parts) + "\n"
    pins = tuple(interface.pin for interface in interfaces)
    return (GeneratedFile(path="endpoints_client.go", text=text, pins=pins),)


def _package(target: GenerationTarget) -> str:
    """The name that the target states, else that of its folder, if it can be one."""
    folder = target.out.rstrip("/").rpartition("/")[2]
    return target.package or (folder if is_go_package(folder) else "endpoints")


@cache
def _template(name: str) -> str:
    return package_files("endpoints_gitops.codegen").joinpath(name).read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True, kw_only=True)
class GoEndpoint:
    """An endpoint with its names in Go. `arguments` are those of required variables, `options` the fields of optional
    ones; `fields` are in the order of the columns."""

    interface: EndpointInterface
    method: str
    arguments: Mapping[str, str]
    options: Mapping[str, str]
    fields: tuple[str, ...]

    @property
    def local(self) -> str:
        """The beginning of names that the package does not export."""
        return self.method[0].lower() + self.method[1:]

    @property
    def required(self) -> tuple[Parameter, ...]:
        return tuple(item for item in self.interface.parameters if item.required)

    @property
    def optional(self) -> tuple[Parameter, ...]:
        return tuple(item for item in self.interface.parameters if not item.required)

    @property
    def base_options(self) -> str:
        return "CallOptions" if self.interface.is_insight else "RowOptions"

    @property
    def options_type(self) -> str:
        return f"{self.method}Options" if self.optional else self.base_options

    @property
    def row(self) -> str:
        """The type of a row, or of a result of an insight."""
        if self.interface.is_insight:
            return self.interface.record or "json.RawMessage"
        return "map[string]json.RawMessage" if self.interface.fields is None else f"{self.method}Row"


def _go_endpoints(interfaces: Sequence[EndpointInterface]) -> list[GoEndpoint]:
    names = [interface.pin.name for interface in interfaces]
    declared = _RESERVED.union(_DECLARATION.findall(_template("go_client.go")))
    declared |= frozenset(_DECLARATION.findall(_template("go_insights.go")))
    methods = _methods(names, declared)
    return [
        GoEndpoint(
            interface=interface,
            method=methods[interface.pin.name],
            arguments=identifiers(
                [item.variable for item in interface.parameters if item.required],
                lambda name: _free(camel_case(name), declared),
                declared,
            ),
            options=identifiers(
                [item.variable for item in interface.parameters if not item.required], pascal_case, _OPTIONS
            ),
            fields=_field_names([field.column for field in interface.fields or ()]),
        )
        for interface in interfaces
    ]


def _methods(names: Sequence[str], declared: frozenset[str]) -> Mapping[str, str]:
    """The names of methods. Each has a twin that begins with All, and none is the name of another member of Client. The
    types that are named after a method (`RowOptions` of Row) are not declared already.
    """
    client = _template("go_client.go").partition("type Client struct {\n")[2].partition("\n}\n")[0]
    members = frozenset(word for match in re.findall(r"^\t(\w+)(?:, (\w+))*", client, re.MULTILINE) for word in match)
    members |= frozenset(re.findall(r"^func \(c \*Client\) (\w+)", _template("go_client.go"), re.MULTILINE))
    members |= _STANDARD
    types = (name.removesuffix(suffix) for suffix in ("Options", "Row") for name in declared if name.endswith(suffix))
    taken = members.union(types)
    while True:
        chosen = identifiers(names, pascal_case, taken)
        twins = frozenset(f"All{method}" for method in chosen.values())
        if twins.isdisjoint({*chosen.values(), *members}):
            return chosen
        taken |= twins


def _field_names(columns: Sequence[str]) -> tuple[str, ...]:
    """A name for each column; columns of the same name get different ones."""
    numbered: list[str] = []
    for column in columns:
        base = candidate = pascal_case(column)
        number = 2
        while candidate in numbered:
            candidate, number = f"{base}_{number}", number + 1
        numbered.append(candidate)
    return tuple(numbered)


def _free(name: str, reserved: frozenset[str]) -> str:
    return f"{name}_" if name in reserved else name


def _endpoint(endpoint: GoEndpoint) -> str:
    return "\n".join([*_types(endpoint), *_variables(endpoint), *_method(endpoint), *_iterator(endpoint)])


def _types(endpoint: GoEndpoint) -> Iterator[str]:
    interface = endpoint.interface
    label = interface.pin.label
    if interface.fields is not None:
        yield f"// {endpoint.row} is a row of {label}."
        yield f"type {endpoint.row} struct {{"
        yield from _members(map(_member, endpoint.fields, interface.fields, _tags(interface.fields)))
        yield "}\n"
    if endpoint.optional:
        yield f"// {endpoint.options_type} are options of {label}. Variables that are nil are left to the server."
        yield f"type {endpoint.options_type} struct {{"
        yield f"\t{endpoint.base_options}"
        yield from _members(
            StructMember(
                comment=_default(item), name=endpoint.options[item.variable], type=_option_type(item, endpoint)
            )
            for item in endpoint.optional
        )
        yield "}\n"


def _default(parameter: Parameter) -> str:
    if not parameter.has_default:
        return f"variable {one_line(parameter.variable)}".rstrip()
    return f"variable {one_line(parameter.variable)}; the default is {json_literal(parameter.default)}"


def _variables(endpoint: GoEndpoint) -> Iterator[str]:
    """The pin, and how its columns are read."""
    interface = endpoint.interface
    pin = interface.pin
    parts = [f"name: {string_literal(pin.name)}", f"version: {pin.version}"]
    if pin.created_at is not None:
        parts.append(f"created: {string_literal(pin.created_at.isoformat())}")
    if pin.materialized:
        parts.append("materialized: true")
    yield f"var {endpoint.local}Pin = pin{{{', '.join(parts)}}}\n"
    if interface.fields is not None:
        yield f"func (row *{endpoint.row}) fields() []any {{"
        yield f"\treturn []any{{{', '.join(f'&row.{name}' for name in endpoint.fields)}}}"
        yield "}\n"
        yield f"var {endpoint.local}Columns = []column{{"
        for field in interface.fields:
            words = f"{string_literal(field.column)}, {string_literal(_word(field.type))}"
            yield f"\t{{{words}, into({_decoder(field.type)})}},"
        yield "}\n"


def _method(endpoint: GoEndpoint) -> Iterator[str]:
    interface = endpoint.interface
    pin = interface.pin
    yield f"// {endpoint.method} calls {pin.label}{', which is materialized' if pin.materialized else ''}."
    if pin.deprecation is not None:
        replacement = f"; use {pin.deprecation.replaced_by} instead" if pin.deprecation.replaced_by else ""
        yield "//"
        yield f"// Deprecated: The sunset is {pin.deprecation.sunset}{replacement}."
    yield f"func (c *Client) {endpoint.method}({_signature(endpoint)}) (*Answer[{endpoint.row}], error) {{"
    yield "\tchosen := orZero(options)"
    sent = (f"{string_literal(item.variable)}: {endpoint.arguments[item.variable]}" for item in endpoint.required)
    yield f"\tvariables := map[string]any{{{', '.join(sent)}}}"
    for item in endpoint.optional:
        name = f"chosen.{endpoint.options[item.variable]}"
        star = "*" if _option_type(item, endpoint).startswith("*") else ""
        yield f"\tif {name} != nil {{"
        yield f"\t\tvariables[{string_literal(item.variable)}] = {star}{name}"
        yield "\t}"
    options = f"chosen.{endpoint.base_options}" if endpoint.optional else "chosen"
    call = f"ctx, c, &{endpoint.local}Pin"
    if interface.is_insight:
        record = interface.record
        reader = "anyValue" if record is None else record[0].lower() + record[1:]
        yield f"\treturn runInsight({call}, {reader}, variables, {options})"
    elif interface.fields is None:
        yield f"\treturn runUnknownRows({call}, variables, {options})"
    else:
        by_position = str(bool(interface.repeated_columns)).lower()
        yield f"\treturn runRows[{endpoint.row}]({call}, {endpoint.local}Columns, {by_position}, variables, {options})"
    yield "}"


def _iterator(endpoint: GoEndpoint) -> Iterator[str]:
    if endpoint.interface.is_insight:
        return
    arguments = "".join(f"{endpoint.arguments[item.variable]}, " for item in endpoint.required)
    options = "chosen.RowOptions" if endpoint.optional else "chosen"
    label = endpoint.interface.pin.label
    yield ""
    yield f"// All{endpoint.method} returns all rows of {label}, page by page; options.Limit is the"
    yield "// number of rows in a page. Rows can be missing or repeated unless the query has ORDER BY a unique column."
    yield f"func (c *Client) All{endpoint.method}({_signature(endpoint)}) iter.Seq2[{endpoint.row}, error] {{"
    yield "\tchosen := orZero(options)"
    yield f"\treturn pages(&{endpoint.local}Pin, {options}, func(page RowOptions) (*Answer[{endpoint.row}], error) {{"
    if endpoint.optional:
        yield "\t\tchosen := chosen"
        yield "\t\tchosen.RowOptions = page"
        yield f"\t\treturn c.{endpoint.method}(ctx, {arguments}&chosen)"
    else:
        yield f"\t\treturn c.{endpoint.method}(ctx, {arguments}&page)"
    yield "\t})"
    yield "}"


def _signature(endpoint: GoEndpoint) -> str:
    arguments = (f"{endpoint.arguments[item.variable]} {_argument(item, endpoint)}" for item in endpoint.required)
    return ", ".join(["ctx context.Context", *arguments, f"options *{endpoint.options_type}"])


def _argument(parameter: Parameter, endpoint: GoEndpoint) -> str:
    """The type of a value that the server takes for a variable."""
    kind = parameter.type.kind
    if kind is ValueKind.ARRAY:
        return "[]string"
    text = "string" if kind is ValueKind.DATETIME else _PLAIN.get(kind, ("any", ""))[0]
    return f"[]{text}" if parameter.takes_lists and not endpoint.interface.is_insight and text != "any" else text


def _option_type(parameter: Parameter, endpoint: GoEndpoint) -> str:
    text = _argument(parameter, endpoint)
    return text if text == "any" or text.startswith("[]") else f"*{text}"


def _type(kind: ValueType) -> str:
    """The type of a value in a row."""
    if kind.kind is ValueKind.ANY:
        return "json.RawMessage"
    if kind.kind in _PLAIN:
        text = _PLAIN[kind.kind][0]
    elif kind.kind is ValueKind.TUPLE:
        text = f"Tuple{len(kind.items)}[{', '.join(map(_type, kind.items))}]"
    else:
        text = f"[]{_type(kind.items[0])}" if kind.kind is ValueKind.ARRAY else f"map[string]{_type(kind.items[1])}"
    return f"*{text}" if kind.nullable else text


def _decoder(kind: ValueType) -> str:
    """The function that reads a value."""
    if kind.kind is ValueKind.ANY:
        return "anyValue"
    if kind.kind in _PLAIN:
        text = _PLAIN[kind.kind][1]
    elif kind.kind is ValueKind.TUPLE:
        text = f"tuple{len(kind.items)}({', '.join(map(_decoder, kind.items))})"
    elif kind.kind is ValueKind.ARRAY:
        text = f"listOf({_decoder(kind.items[0])})"
    else:
        text = f"mapOf({_decoder(kind.items[1])})"
    return f"nullable({text})" if kind.nullable else text


def _word(kind: ValueType) -> str:
    """The server's word for a type, empty if it has none."""
    if kind.kind in (ValueKind.TUPLE, ValueKind.MAP):
        return "json"
    return "" if kind.kind is ValueKind.ANY else str(kind.kind)


def _arities(kind: ValueType) -> Iterator[int]:
    if kind.kind is ValueKind.TUPLE:
        yield len(kind.items)
    for item in kind.items:
        yield from _arities(item)


def _tuple(arity: int) -> str:
    """A type of tuples, and the function that reads one."""
    numbers = range(1, arity + 1)
    types = ", ".join(f"T{number}" for number in numbers)
    decoders = ", ".join(f"read{number} decoder[T{number}]" for number in numbers)
    lines = [
        f"// Tuple{arity} is a tuple of {arity} values.",
        f"type Tuple{arity}[{types} any] struct {{",
        *_members(StructMember(name=f"V{number}", type=f"T{number}") for number in numbers),
        "}\n",
        f"func tuple{arity}[{types} any]({decoders}) decoder[Tuple{arity}[{types}]] {{",
        f"\treturn func(raw json.RawMessage) (value Tuple{arity}[{types}], err error) {{",
        f"\t\titems, err := itemsOf(raw, {arity})",
    ]
    for number in numbers:
        lines += ["\t\tif err == nil {", f"\t\t\tvalue.V{number}, err = read{number}(items[{number - 1}])", "\t\t}"]
    return "\n".join([*lines, "\t\treturn value, err", "\t}", "}"])


@dataclass(frozen=True, slots=True, kw_only=True)
class StructMember:
    """A field of a struct. `comment` stands above it, `tag` behind its type."""

    name: str
    type: str
    comment: str = ""
    tag: str = ""


def _member(name: str, field: RowField, tag: str) -> StructMember:
    comment = "" if tag else f"column {one_line(field.column)}".rstrip()
    return StructMember(name=name, type=_type(field.type), comment=comment, tag=tag)


def _tags(fields: Sequence[RowField]) -> Iterator[str]:
    """The tags with which encoding/json writes rows by column; empty for a name that several columns have, or that a
    tag cannot hold."""
    names = [field.column for field in fields]
    for name in names:
        is_plain = all(character.isalnum() or character in _TAG_CHARACTERS for character in name)
        yield f'`json:"{name}{"," if name == "-" else ""}"`' if is_plain and name and names.count(name) == 1 else ""


def _members(members: Iterable[StructMember]) -> Iterator[str]:
    """The fields of a struct. gofmt aligns the types and tags of fields without a comment between them."""
    group: list[StructMember] = []
    for member in members:
        if member.comment:
            yield from _aligned(group)
            group = []
            yield f"\t// {member.comment}"
        group.append(member)
    yield from _aligned(group)


def _aligned(group: Sequence[StructMember]) -> Iterator[str]:
    width = max((len(member.name) for member in group), default=0)
    for has_tag, members in groupby(group, lambda member: bool(member.tag)):
        run = list(members)
        type_width = max(len(member.type) for member in run) if has_tag else 0
        yield from (f"\t{member.name:{width}} {member.type:{type_width}} {member.tag}".rstrip() for member in run)
