"""Types for `Endpoints.run` by name: a module with the library's clients, and a stub with an overload for each pin."""

from __future__ import annotations

import keyword
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final

from endpoints_gitops.codegen.interface import EndpointInterface, Parameter
from endpoints_gitops.codegen.python import PythonEndpoint, PythonSource, docstring, exports, literal, python_endpoints
from endpoints_gitops.model.target import GeneratedFile, GenerationTarget

_MODULE: Final = "endpoints_types"
_HIDING: Final = frozenset(
    (
        *("Any", "Decimal", "Iterator", "Literal", "as_dict", "overload", "property"),
        *("bool", "dict", "float", "int", "list", "str"),
    )
)
"""Names that the classes of rows need: a column of the same name is read by its key."""
_NOT_A_VARIABLE: Final = frozenset(("self", "variables"))
_CLIENTS: Final = (("Endpoints", "", "Iterator"), ("AsyncEndpoints", "async ", "AsyncIterator"))
_FOR_MYPY: Final = "  # type: ignore[override]"
_FOR_PYRIGHT: Final = "  # pyright: ignore[reportIncompatibleMethodOverride]"
"""The methods take only the names that the lock pins, so by the rules of type checkers a client is not one of the
library's. It may be passed as one nevertheless: at run time it is one.
"""


def files(interfaces: Sequence[EndpointInterface], target: GenerationTarget) -> tuple[GeneratedFile, ...]:  # noqa: ARG001 - the interface of every target
    """The module and its stub."""
    endpoints = python_endpoints(interfaces)
    pins = tuple(interface.pin for interface in interfaces)
    return (
        GeneratedFile(path=f"{_MODULE}.py", text=_module(endpoints), pins=()),
        GeneratedFile(path=f"{_MODULE}.pyi", text=_stub(endpoints), pins=pins),
    )


def _module(endpoints: Sequence[PythonEndpoint]) -> str:
    """The module at run time: the library's own classes."""
    rows = [endpoint.row for endpoint in endpoints if endpoint.row]
    return "\n".join(
        [
            "# fmt: off",
            "# ruff: noqa",
            '"""The clients of endpoints_gitops, with types for the endpoints that endpoints.lock pins."""',
            "",
            f"from endpoints_gitops import AsyncEndpoints, Endpoints{', Row' if rows else ''}",
            "",
            *(f"{row} = Row" for row in rows),
            *([""] if rows else []),
            *exports(("AsyncEndpoints", "Endpoints", *rows)),
            "",
        ]
    )


def _stub(endpoints: Sequence[PythonEndpoint]) -> str:
    source = PythonSource()
    rows = [endpoint.row for endpoint in endpoints if endpoint.row]
    for endpoint in endpoints:
        if endpoint.row is not None:
            _write_row(source, endpoint)
        _write_variables(source, endpoint)
    _write_records(source)
    for client, prefix, iterator in _CLIENTS:
        source.lines += ["", f"class {client}(endpoints_gitops.{client}):"]
        _write_overloads(source, endpoints, f"{prefix}def run", iterator=None)
        _write_overloads(source, endpoints, "def iterate", iterator=iterator)
    return "\n".join(
        [
            "# fmt: off",
            "# ruff: noqa",
            *source.imports("endpoints_gitops"),
            "",
            *exports(("AsyncEndpoints", "Endpoints", *rows)),
            *source.lines,
            "",
        ]
    )


def _write_row(source: PythonSource, endpoint: PythonEndpoint) -> None:
    """A class without the `__getattr__` of Row, which would accept every name."""
    columns = [field.column for field in endpoint.interface.fields or ()]
    types = [source.annotation(field.type) for field in endpoint.interface.fields or ()]
    lines = source.lines
    lines += ["", f"class {endpoint.row}:", f'    """A row of {endpoint.interface.pin.label}."""']
    for column, kind in zip(columns, types, strict=True):
        if _is_name(column) and column not in _HIDING and columns.count(column) == 1:
            lines += ["    @property", f"    def {column}(self) -> {kind}: ..."]
    for index, (column, kind) in enumerate(zip(columns, types, strict=True)):
        key = f"{literal(column)}, {index}" if columns.count(column) == 1 else str(index)
        lines += ["    @overload", f"    def __getitem__(self, key: {source.name('Literal')}[{key}]) -> {kind}: ..."]
    lines += ["    @overload", f"    def __getitem__(self, key: int) -> {source.name('Any')}: ..."]
    lines += [
        f"    def __iter__(self) -> {source.name('Iterator')}[Any]: ...",
        "    def __len__(self) -> int: ...",
        "    def as_dict(self) -> dict[str, Any]: ...",
    ]
    source.name("overload")


def _write_records(source: PythonSource) -> None:
    """The class of rows, as type checkers see it."""
    source.needed |= {"Iterator", "Rows", "overload"}
    source.lines += [
        "",
        "class _RowsOf[Record](Rows):",
        "    @overload",
        "    def __getitem__(self, index: int) -> Record: ...",
        "    @overload",
        "    def __getitem__(self, index: slice) -> list[Record]: ...",
        "    def __iter__(self) -> Iterator[Record]: ...",
        "    def __reversed__(self) -> Iterator[Record]: ...",
    ]


def _separate(endpoint: PythonEndpoint, method_names: frozenset[str]) -> list[Parameter]:
    """The variables that are passed in `variables`, because they cannot be keyword arguments."""
    return [
        parameter
        for parameter in endpoint.interface.parameters
        if not _is_name(parameter.variable) or parameter.variable in method_names
    ]


def _write_variables(source: PythonSource, endpoint: PythonEndpoint) -> None:
    """A class for each set of variables that are no keyword arguments: `run` has one, and `iterate` if it differs."""
    for suffix, names in (("", _NOT_A_VARIABLE), ("OfPages", _NAMES_OF_PAGES)):
        separate = _separate(endpoint, names)
        if not separate or (suffix and separate == _separate(endpoint, _NOT_A_VARIABLE)):
            continue
        name = f"_{endpoint.class_name}Variables{suffix}"
        source.lines += ["", f"{name} = {source.name('TypedDict')}({literal(name)}, {{"]
        for parameter in separate:
            kind = source.argument(parameter)
            kind = kind if parameter.required else f"{source.name('NotRequired')}[{kind}]"
            source.lines.append(f"    {literal(parameter.variable)}: {kind},")
        source.lines.append("})")


_NAMES_OF_PAGES: Final = _NOT_A_VARIABLE | {"key", "max_wait", "page_size"}


def _write_overloads(
    source: PythonSource, endpoints: Sequence[PythonEndpoint], definition: str, *, iterator: str | None
) -> None:
    """The overloads of `run`, or of `iterate` where `iterator` is the class that it returns."""
    is_overloaded = bool(endpoints)
    for_mypy = _FOR_MYPY
    for endpoint in endpoints:
        source.needed |= {"overload", "Literal"}
        source.lines += [f"    @overload{for_mypy}", f"    {definition}(", "        self,"]
        source.lines.append(f"        _endpoint: Literal[{literal(endpoint.interface.pin.name)}],")
        source.lines += ["        /,", "        *,"]
        source.lines += _arguments(source, endpoint, iterator)
        source.lines += [
            f"    ) -> {_result(source, endpoint, iterator)}:",
            *_indented(docstring(endpoint)),
        ]
        for_mypy = ""
    options = _page_options() if iterator else _run_options(source, is_rows=True, is_table=True)
    result = f"{source.name(iterator)}[Record]" if iterator else f"{source.name('TypedRows')}[Record]"
    source.lines += [
        *(["    @overload"] if is_overloaded else []),
        f"    {definition}[Record](" + ("" if is_overloaded else _FOR_MYPY) + _FOR_PYRIGHT,
        "        self,",
        f"        _call: {source.name('TypedCall')}[Record],",
        "        /,",
        "        *,",
        *options,
        f"    ) -> {result}: ...",
    ]


def _arguments(source: PythonSource, endpoint: PythonEndpoint, iterator: str | None) -> Iterator[str]:
    names = _NAMES_OF_PAGES if iterator else _NOT_A_VARIABLE
    separate = _separate(endpoint, names)
    for parameter in endpoint.interface.parameters:
        if parameter not in separate:
            default = "" if parameter.required else " = ..."
            yield f"        {parameter.variable}: {source.argument(parameter)}{default},"
    if separate:
        is_same = separate == _separate(endpoint, _NOT_A_VARIABLE)
        default = "" if any(parameter.required for parameter in separate) else " = ..."
        yield f"        variables: _{endpoint.class_name}Variables{'' if is_same else 'OfPages'}{default},"
    if iterator:
        yield from _page_options()
    else:
        pin = endpoint.interface.pin
        yield from _run_options(source, is_rows=not endpoint.interface.is_insight, is_table=pin.materialized)


def _run_options(source: PythonSource, *, is_rows: bool, is_table: bool) -> Iterator[str]:
    if is_rows:
        yield "        _limit: int | None = ...,"
        yield "        _offset: int | None = ...,"
    words = '"cache", "force", "direct"' if is_table else '"cache", "force"'
    yield f"        _refresh: {source.name('Literal')}[{words}] | None = ...,"
    yield "        _max_wait: float | None = ...,"


def _page_options() -> list[str]:
    return [
        "        page_size: int | None = ...,",
        "        key: str | None = ...,",
        "        max_wait: float | None = ...,",
    ]


def _result(source: PythonSource, endpoint: PythonEndpoint, iterator: str | None) -> str:
    record = source.record(endpoint)
    if iterator:
        return f"{source.name(iterator)}[{record}]"
    return f"_RowsOf[{record}]"


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"    {line}".rstrip() for line in lines]


def _is_name(name: str) -> bool:
    """Whether Python code can use it as an attribute or a keyword argument. Names in front of which Python puts the
    class (`__a`) are not usable.
    """
    is_identifier = name.isidentifier() and unicodedata.normalize("NFKC", name) == name
    return is_identifier and not keyword.iskeyword(name) and not name.startswith("_")
