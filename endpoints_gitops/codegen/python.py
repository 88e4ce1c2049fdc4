"""The native client for Python: a module with a class of rows and a function for each pin, over this library."""

from __future__ import annotations

import builtins
import keyword
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from endpoints_gitops.codegen.interface import (
    FUNNELS,
    RECORDS,
    EndpointInterface,
    Parameter,
    ValueKind,
    ValueType,
    identifiers,
    pascal_case,
    snake_case,
)
from endpoints_gitops.model.json import Json
from endpoints_gitops.model.target import PYTHON_PACKAGE, GeneratedFile, GenerationTarget

_PLAIN: Final[Mapping[ValueKind, str]] = {
    ValueKind.INTEGER: "int",
    ValueKind.FLOAT: "float",
    ValueKind.DECIMAL: "Decimal",
    ValueKind.STRING: "str",
    ValueKind.BOOLEAN: "bool",
    ValueKind.DATE: "_dt.date",
    ValueKind.DATETIME: "_dt.datetime",
}
_DIGITS: Final = re.compile(r"(\d+)")
_LIBRARY: Final = ("AsyncEndpoints", "Endpoints", "Row", "Rows", "TypedCall", "TypedEndpoint", "TypedRows")
_IMPORTS: Final[Mapping[str, tuple[str, ...]]] = {
    "collections.abc": ("AsyncIterator", "Iterator", "Mapping", "Sequence"),
    "dataclasses": ("dataclass",),
    "decimal": ("Decimal",),
    "typing": ("Any", "ClassVar", "Literal", "NotRequired", "TypedDict", "overload"),
    "endpoints_gitops": (
        "UNSET",
        *sorted((*RECORDS.values(), *FUNNELS.values(), *_LIBRARY, "Unset")),
    ),
}
_RESERVED: Final = frozenset((*keyword.kwlist, *keyword.softkwlist, *dir(builtins), *sum(_IMPORTS.values(), ())))
_FIELD_TYPES: Final = frozenset(("Any", "ClassVar", "Decimal", "bool", "dict", "float", "int", "list", "str", "None"))
"""The names in annotations of fields: a field of the same name would hide them."""


def files(interfaces: Sequence[EndpointInterface], target: GenerationTarget) -> tuple[GeneratedFile, ...]:
    """One module, or a package with a module for each endpoint."""
    modules = python_endpoints(interfaces)
    if not target.per_endpoint:
        return (_file(f"{PYTHON_PACKAGE}.py", _module(modules), interfaces),)
    package = _file(f"{PYTHON_PACKAGE}/__init__.py", _package(modules), ())
    return (
        package,
        *(
            _file(f"{PYTHON_PACKAGE}/{endpoint.function}.py", _module([endpoint]), [endpoint.interface])
            for endpoint in modules
        ),
    )


def _file(path: str, text: str, interfaces: Sequence[EndpointInterface]) -> GeneratedFile:
    pins = tuple(pin for interface in interfaces for pin in (interface.pin, *interface.twins))
    return GeneratedFile(path=path, text=text, pins=pins)


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonEndpoint:
    """An endpoint with its names in Python: of the function, of classes, and of fields and parameters.

    `fields` are in the order of the columns.
    """

    interface: EndpointInterface
    function: str
    class_name: str
    fields: tuple[str, ...]
    parameters: Mapping[str, str]

    @property
    def row(self) -> str | None:
        """The class of its rows; None without known columns."""
        return None if self.interface.fields is None else self.class_name

    @property
    def record(self) -> str:
        """The type of a record of an answer."""
        if self.row is not None:
            return self.row
        if not self.interface.is_insight:
            return "Row"
        if self.interface.pin.kind == "FunnelsQuery":
            return self.interface.record or " | ".join(sorted(FUNNELS.values()))
        return self.interface.record or "Any"

    @property
    def record_class(self) -> str:
        """The class of each record, for a check at run time."""
        return self.record if self.record.isidentifier() and self.record != "Any" else "object"


def python_endpoints(interfaces: Sequence[EndpointInterface]) -> list[PythonEndpoint]:
    names = [interface.pin.name for interface in interfaces]
    functions = identifiers(names, lambda name: _free(snake_case(name), _RESERVED), _RESERVED)
    classes = identifiers(names, lambda name: _free(pascal_case(name), _RESERVED), _RESERVED)
    return [
        PythonEndpoint(
            interface=interface,
            function=functions[interface.pin.name],
            class_name=classes[interface.pin.name],
            fields=_field_names([field.column for field in interface.fields or ()]),
            parameters=identifiers(
                [parameter.variable for parameter in interface.parameters], lambda name: _member(name, frozenset())
            ),
        )
        for interface in interfaces
    ]


def _field_names(columns: Sequence[str]) -> tuple[str, ...]:
    """A name for each column; columns of the same name get different ones."""
    taken: set[str] = set()
    names = []
    for column in columns:
        base = candidate = _member(column, _FIELD_TYPES)
        number = 2
        while candidate in taken or (number > 2 and candidate in columns):
            candidate, number = f"{base}_{number}", number + 1
        taken.add(candidate)
        names.append(candidate)
    return tuple(names)


def _member(name: str, reserved: frozenset[str]) -> str:
    """The name of a field or parameter: the name itself if Python can have it, without underscores in front."""
    is_usable = name.isidentifier() and unicodedata.normalize("NFKC", name) == name and not name.startswith("_")
    return _free(name if is_usable else snake_case(name), reserved)


def _free(name: str, reserved: frozenset[str]) -> str:
    is_taken = keyword.iskeyword(name) or name in reserved or name == "self"
    return f"{name}_" if is_taken else name


@dataclass(slots=True)
class PythonSource:
    """Lines of a module, and the names that they need."""

    lines: list[str] = field(default_factory=list)
    needed: set[str] = field(default_factory=set)

    def annotation(self, kind: ValueType) -> str:
        """The type of a value that the client returns."""
        text = self._bare(kind)
        return f"{text} | None" if kind.nullable and text != "Any" else text

    def _bare(self, kind: ValueType) -> str:
        if kind.kind in _PLAIN:
            return self.name(_PLAIN[kind.kind])
        if kind.kind is ValueKind.ARRAY:
            return f"list[{self.annotation(kind.items[0])}]"
        if kind.kind is ValueKind.TUPLE:  # JSON has no tuples
            return f"list[{self._union(map(self.annotation, kind.items))}]"
        if kind.kind is ValueKind.MAP:
            return f"dict[{self._bare(kind.items[0])}, {self.annotation(kind.items[1])}]"
        return self.name("Any")

    @staticmethod
    def _union(texts: Iterable[str]) -> str:
        parts = dict.fromkeys(part for text in texts for part in union_parts(text))
        if "Any" in parts:
            return "Any"
        return " | ".join([*(part for part in parts if part != "None"), *(["None"] if "None" in parts else [])])

    def argument(self, parameter: Parameter) -> str:
        """The type of a value that the client takes."""
        kind = parameter.type.kind
        if kind is ValueKind.ARRAY:
            return self._optional(f"{self.name('Sequence')}[str]", parameter)
        if kind is ValueKind.FLOAT:
            text = f"float | {self.name('Decimal')}"
        elif kind in (ValueKind.DATE, ValueKind.DATETIME):
            text = f"{self.name('_dt.date')} | str"
        else:
            text = _PLAIN.get(kind, "object")
        if parameter.takes_lists and text != "object":
            text = f"{text} | {self.name('Sequence')}[{text}]"
        return self._optional(text, parameter)

    @staticmethod
    def _optional(text: str, parameter: Parameter) -> str:
        return f"{text} | None" if parameter.type.nullable and text != "object" else text

    def record(self, endpoint: PythonEndpoint) -> str:
        """The type of a record of an endpoint."""
        if endpoint.row is None:
            self.needed |= {*union_parts(endpoint.record)}
        return endpoint.record

    def name(self, name: str) -> str:
        """A name that has to be imported, except those of Python."""
        self.needed.add(name)
        return name

    def imports(self, *modules: str) -> Iterator[str]:
        """The lines that import what is needed, and whole modules of other distributions: each section after an empty
        line.
        """
        standard = ["import datetime as _dt"] if any(name.startswith("_dt.") for name in self.needed) else []
        others = [f"import {module}" for module in modules]
        for module, names in _IMPORTS.items():
            used = [name for name in names if name in self.needed]
            if used and module == "endpoints_gitops":
                others += [f"from {module} import (", *(f"    {name}," for name in used), ")"]
            elif used:
                standard.append(f"from {module} import {', '.join(used)}")
        for section in (standard, others):
            if section:
                yield from ("", *section)


def union_parts(text: str) -> list[str]:
    """The members of a union, whose own items may have unions in brackets."""
    parts, depth, start = [], 0, 0
    for index, character in enumerate(text):
        depth += (character == "[") - (character == "]")
        if character == "|" and depth == 0:
            parts.append(text[start:index].strip())
            start = index + 1
    return [*parts, text[start:].strip()]


def _module(endpoints: Sequence[PythonEndpoint]) -> str:
    source = PythonSource()
    for endpoint in endpoints:
        _write_endpoint(source, endpoint)
    example = next(iter(endpoints), None)
    call = "NAME(…)" if example is None else f"{example.function}({'…' if example.interface.parameters else ''})"
    names = [name for endpoint in endpoints for name in (endpoint.function, endpoint.row) if name]
    return "\n".join(
        [
            "# fmt: off",
            "# ruff: noqa",
            '"""Typed calls of the versions that endpoints.lock pins.',
            "",
            "    from endpoints_gitops import Endpoints",
            "",
            "    endpoints = Endpoints.from_lock()",
            f"    for row in endpoints.run({call}):",
            "        print(row)",
            '"""',
            "",
            "from __future__ import annotations",
            *source.imports(),
            "",
            *exports(names),
            *source.lines,
            "",
        ]
    )


def _package(endpoints: Sequence[PythonEndpoint]) -> str:
    """The module that makes the names of all others importable from one place."""
    names = {endpoint.function: sorted(filter(None, (endpoint.function, endpoint.row))) for endpoint in endpoints}
    return "\n".join(
        [
            "# fmt: off",
            "# ruff: noqa",
            '"""Typed calls of the versions that endpoints.lock pins."""',
            "",
            *(
                line
                for module in sorted(names, key=_natural_key)
                for line in (f"from .{module} import (", *(f"    {name}," for name in names[module]), ")")
            ),
            "",
            *exports(name for exported in names.values() for name in exported),
            "",
        ]
    )


def exports(names: Iterable[str]) -> list[str]:
    """The lines of `__all__`, in the order of ruff and isort: constants, classes, functions; numbers by their value."""
    ordered = sorted(
        names,
        key=lambda name: (not name.isupper(), name.islower(), _natural_key(name)),
    )
    return (
        ["__all__ = [", *(f"    {literal(name)}," for name in ordered), "]"] if ordered else ["__all__: list[str] = []"]
    )


def _natural_key(name: str) -> list[tuple[int, str]]:
    """A key to sort names by, in which numbers count by their value: `n9` comes before `n10`."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in _DIGITS.split(name)]


def _write_endpoint(source: PythonSource, endpoint: PythonEndpoint) -> None:
    interface, lines = endpoint.interface, source.lines
    pin = interface.pin
    if endpoint.row is not None:
        _write_row(source, endpoint)
        holder = f"{endpoint.row}.__endpoint__"
        lines += ["", "", f"{holder} = {source.name('TypedEndpoint')}("]
    else:
        holder = f"_{endpoint.function.upper()}"
        lines += ["", "", f"{holder}: {source.name('TypedEndpoint')}[{source.record(endpoint)}] = TypedEndpoint("]
    lines += [f"    {literal(pin.name)},", f"    record={endpoint.record_class},"]
    if interface.fields is not None:
        lines += ["    fields=(", *(f"        {literal(name)}," for name in endpoint.fields), "    ),"]
    lines.append("    pins={")
    for known in sorted((pin, *interface.twins), key=lambda known: known.environment):
        lines.append(f'        {literal(known.environment)}: ({known.version}, "{known.contract_hash}"),')
    lines += ["    },", "    module=__name__,", ")"]
    _write_function(source, endpoint, holder)


def _write_row(source: PythonSource, endpoint: PythonEndpoint) -> None:
    interface, lines = endpoint.interface, source.lines
    source.needed |= {"dataclass", "ClassVar"}
    lines += [
        "",
        "",
        "@dataclass(frozen=True, slots=True, kw_only=True)",
        f"class {endpoint.row}:",
        f'    """A row of {interface.pin.label}."""',
        "",
        f"    __endpoint__: ClassVar[TypedEndpoint[{endpoint.row}]]",
    ]
    for name, column in zip(endpoint.fields, interface.fields or (), strict=True):
        comment = "" if name == column.column else f"  # column {literal(column.column)}"
        lines.append(f"    {name}: {source.annotation(column.type)}{comment}")


def _write_function(source: PythonSource, endpoint: PythonEndpoint, holder: str) -> None:
    interface, lines = endpoint.interface, source.lines
    result = f"{source.name('TypedCall')}[{endpoint.record}]"
    names = endpoint.parameters
    if interface.parameters:
        lines += ["", "", f"def {endpoint.function}(", "    *,"]
        for parameter in interface.parameters:
            lines.append(f"    {_signature(source, names[parameter.variable], parameter)}")
        lines.append(f") -> {result}:")
    else:
        lines += ["", "", f"def {endpoint.function}() -> {result}:"]
    lines += docstring(endpoint)
    if not interface.parameters:
        lines.append(f"    return {holder}.call({{}})")
        return
    lines += [f"    return {holder}.call(", "        {"]
    lines += [
        f"            {literal(parameter.variable)}: {names[parameter.variable]}," for parameter in interface.parameters
    ]
    lines += ["        }", "    )"]


def _signature(source: PythonSource, name: str, parameter: Parameter) -> str:
    kind = source.argument(parameter)
    if parameter.required:
        return f"{name}: {kind},"
    return f"{name}: {kind} | {source.name('Unset')} = {source.name('UNSET')},"


def docstring(endpoint: PythonEndpoint) -> list[str]:
    pin = endpoint.interface.pin
    lines = [f"Call {pin.label}."]
    defaults = [
        f"{endpoint.parameters[parameter.variable]}: {_python_value(parameter.default)}"
        for parameter in endpoint.interface.parameters
        if parameter.has_default and not parameter.required
    ]
    if defaults:
        lines += ["", "Defaults of the query:", *(f"    {text}" for text in defaults)]
    if pin.deprecation is not None:
        lines += ["", f"Deprecated: the sunset is {pin.deprecation.sunset}."]
    escaped = [line.replace("\\", "\\\\").replace('"""', '\\"\\"\\"') for line in lines]
    if len(escaped) == 1:
        return [f'    """{escaped[0]}"""']
    return [f'    """{escaped[0]}', *(f"    {line}".rstrip() for line in escaped[1:]), '    """']


def _python_value(value: Json) -> str:
    return literal(value) if isinstance(value, str) else repr(value)


def literal(text: str) -> str:
    """A text as a literal, in double quotes if possible. Characters that cannot be seen are escaped."""
    return f'"{repr(chr(39) + text)[2:-1]}"' if '"' not in text else repr(text)
